package main

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

// openBucket opens a store in a bucket. With make there is none yet: one that is
// there is another's, or is to be shared, and then its id must be given.
func (n *node) openBucket(ctx context.Context, url, id string, make bool) (nodeStore, error) {
	o, err := s3.Parse(url)
	if err != nil {
		return nil, usageError("--store: %w", err)
	}
	if o.AccessKey, o.SecretKey, o.SessionToken, err = bucketKeys(); err != nil {
		return nil, err
	}
	o.ID, o.Spool, o.Log = id, n.path("upload"), n.log
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

// keysOfFile reads a file of two lines that a variable names.
func keysOfFile(variable string) (access, secret, session string, err error) {
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

// bucketKeys are those of the environment, or of a file with two lines.
func bucketKeys() (access, secret, session string, err error) {
	if os.Getenv("HOLDFAST_S3_KEYS_FILE") != "" {
		return keysOfFile("HOLDFAST_S3_KEYS_FILE")
	}
	access, secret = os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if access == "" || secret == "" {
		return "", "", "", errors.New("open store: no keys for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or HOLDFAST_S3_KEYS_FILE to a file of two lines that only you can read")
	}
	return access, secret, os.Getenv("AWS_SESSION_TOKEN"), nil
}

// secretOf is a secret of the environment: NAME, or the content of the file NAME_FILE.
func secretOf(name string) (string, error) {
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

// openBroker opens a queue of Kafka and PostgreSQL: its Tasks lie in the catalog's
// database. Without existing what is not there is made.
func (n *node) openBroker(ctx context.Context, e engineURLs, existing bool) (nodeQueue, error) {
	password, err := secretOf("HOLDFAST_KAFKA_PASSWORD")
	if err != nil {
		return nil, err
	}
	database, err := secretOf("HOLDFAST_PG_PASSWORD")
	if err != nil {
		return nil, err
	}
	q, err := scaled.Open(ctx, scaled.Options{URL: e.Queue, User: os.Getenv("HOLDFAST_KAFKA_USER"), Password: password,
		Database: e.Catalog, DatabasePassword: database, Existing: existing, Log: n.log})
	if errors.Is(err, scaled.ErrURL) {
		return nil, usageError("--queue: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// database are the options of a catalog in PostgreSQL. It is of one store: that of
// another has other captures in it.
func (n *node) database(e engineURLs) (o catalogpg.Options, err error) {
	o.Owner, o.Rebuilding = string(n.set.Unfiled), n.afterRebuild
	switch {
	case e.StoreID != "":
		o.Owner = e.StoreID
	case e.Store != "":
		o.Owner = e.Store
	}
	o.Password, err = secretOf("HOLDFAST_PG_PASSWORD")
	return o, err
}

func (n *node) openDatabase(ctx context.Context, e engineURLs, make bool) (nodeCatalog, error) {
	o, err := n.database(e)
	if err != nil {
		return nil, err
	}
	open := catalogpg.Open
	if make {
		open = catalogpg.Create
	}
	c, err := open(ctx, e.Catalog, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (n *node) rebuildDatabase(ctx context.Context, e engineURLs, fill func(context.Context, catalog.Writer) error) error {
	o, err := n.database(e)
	if err != nil {
		return err
	}
	o.Rebuilding = nil
	return catalogpg.Rebuild(ctx, e.Catalog, o, fill)
}
