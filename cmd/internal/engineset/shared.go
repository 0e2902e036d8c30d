package engineset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"holdfast/catalog"
	catalogpg "holdfast/catalog/postgres"
	"holdfast/pipeline/scaled"
	"holdfast/storage/s3"
	"holdfast/wholefile"
)

// OpenBucket opens a store in a bucket. With make there is none yet: one that is
// there is another's, or is to be shared, and then its id must be given.
func (n *Set) OpenBucket(ctx context.Context, url, id string, make bool) (Store, error) {
	o, err := s3.Parse(url)
	if err != nil {
		return nil, Usage("--store: %w", err)
	}
	if o.AccessKey, o.SecretKey, o.SessionToken, err = BucketKeys(); err != nil {
		return nil, err
	}
	o.ID, o.Spool, o.Log = id, n.path("upload"), n.Log
	s, err := s3.Open(ctx, o)
	switch {
	case make && err == nil:
		is := s.ID()
		s.Close()
		return nil, fmt.Errorf("%s holds a store already, %s: if this node is to work beside those that made it, say `holdfast init --join %s` with the same URLs; else name another bucket or prefix", url, is, is)
	case make && errors.Is(err, fs.ErrNotExist): // not after any other error: what could not be looked at may be another's
		o.Create = true
		s, err = s3.Open(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// KeysOfFile reads a file of two lines that a variable names.
func KeysOfFile(variable string) (access, secret, session string, err error) {
	b, err := wholefile.ReadSecret(os.Getenv(variable))
	if err != nil {
		return "", "", "", fmt.Errorf("read %s: %w", variable, err)
	}
	a, k, ok := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	if !ok {
		return "", "", "", fmt.Errorf("read %s: two lines are wanted, the access key and the secret key", variable)
	}
	return string(bytes.TrimSpace(a)), string(bytes.TrimSpace(k)), "", nil
}

// BucketKeys are those of the environment, or of a file with two lines.
func BucketKeys() (access, secret, session string, err error) {
	if os.Getenv("HOLDFAST_S3_KEYS_FILE") != "" {
		return KeysOfFile("HOLDFAST_S3_KEYS_FILE")
	}
	access, secret = os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if access == "" || secret == "" {
		return "", "", "", errors.New("open store: no keys for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or HOLDFAST_S3_KEYS_FILE to a file of two lines that only you can read")
	}
	return access, secret, os.Getenv("AWS_SESSION_TOKEN"), nil
}

// SecretOf is a secret of the environment: NAME, or the content of the file NAME_FILE.
func SecretOf(name string) (string, error) {
	file := os.Getenv(name + "_FILE")
	if file == "" {
		return os.Getenv(name), nil
	}
	b, err := wholefile.ReadSecret(file)
	if err != nil {
		return "", fmt.Errorf("read %s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// OpenBroker opens a queue of Kafka and PostgreSQL: its Tasks lie in the catalog's
// database. Without existing what is not there is made.
func (n *Set) OpenBroker(ctx context.Context, existing bool) (Queue, error) {
	return n.broker(ctx, existing, nil)
}

// AdoptBroker binds an empty database to the topics of a queue whose database was lost;
// names are those of the queue, the newest first.
func (n *Set) AdoptBroker(ctx context.Context, names []string) (Queue, error) {
	return n.broker(ctx, false, names)
}

func (n *Set) broker(ctx context.Context, existing bool, names []string) (Queue, error) {
	password, err := SecretOf("HOLDFAST_KAFKA_PASSWORD")
	if err != nil {
		return nil, err
	}
	database, err := SecretOf("HOLDFAST_PG_PASSWORD")
	if err != nil {
		return nil, err
	}
	q, err := scaled.Open(ctx, scaled.Options{URL: n.Queue, User: os.Getenv("HOLDFAST_KAFKA_USER"), Password: password,
		Database: n.Catalog, DatabasePassword: database, Existing: existing, Names: names, Log: n.Log})
	if errors.Is(err, scaled.ErrURL) {
		return nil, Usage("--queue: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// Database are the options of a catalog in PostgreSQL. It is of one store: that of
// another has other captures in it.
func (n *Set) Database() (o catalogpg.Options, err error) {
	o.Owner, o.Rebuilding = string(n.Owner), n.Rebuilding
	switch {
	case n.StoreID != "":
		o.Owner = n.StoreID
	case n.Store != "":
		o.Owner = n.Store
	}
	o.Password, err = SecretOf("HOLDFAST_PG_PASSWORD")
	return o, err
}

// OpenDatabase opens a catalog in PostgreSQL; with make what is not there is made.
func (n *Set) OpenDatabase(ctx context.Context, make bool) (Catalog, error) {
	o, err := n.Database()
	if err != nil {
		return nil, err
	}
	open := catalogpg.Open
	if make {
		open = catalogpg.Create
	}
	c, err := open(ctx, n.Catalog, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (n *Set) rebuildDatabase(ctx context.Context, fill func(context.Context, catalog.Writer) error) error {
	o, err := n.Database()
	if err != nil {
		return err
	}
	o.Rebuilding = nil
	return catalogpg.Rebuild(ctx, n.Catalog, o, fill)
}
