package engineset

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// URLs say where what grows of a node lies. Empty members lie in the data
// directory. No secret is in any of them: they are printed, kept and mirrored.
type URLs struct {
	// Queue is sqlite:PATH, or kafka://HOST,HOST/PREFIX, whose Tasks lie in the
	// database of Catalog.
	Queue string `json:"queue,omitempty"`
	// Store is file:PATH, or s3://BUCKET/PREFIX?endpoint=URL.
	Store string `json:"store,omitempty"`
	// Catalog is sqlite:PATH, or postgres://USER@HOST/DATABASE.
	Catalog string `json:"catalog,omitempty"`
	// StoreID is the random id of the store that Store means. Written by init.
	StoreID string `json:"store_id,omitempty"`
}

// The kinds of engines, by the scheme of their URL.
const (
	KindSQLite   = "sqlite"
	KindKafka    = "kafka"
	KindFile     = "file"
	KindS3       = "s3"
	KindPostgres = "postgres"
)

// Flag is one of --queue, --store and --catalog.
type Flag struct {
	Name  string
	Kinds []string
	URL   *string // the member of the URLs
	Help  string
}

// Flags are how a person gives them: three, in this order.
func (e *URLs) Flags() []Flag {
	return []Flag{
		{"queue", []string{KindSQLite, KindKafka}, &e.Queue, "where the queue lies, when init makes the node: sqlite:PATH or kafka://HOST,…/PREFIX (or HOLDFAST_QUEUE)"},
		{"store", []string{KindFile, KindS3}, &e.Store, "where the store lies: file:PATH or s3://BUCKET/PREFIX?endpoint=URL (or HOLDFAST_STORE)"},
		{"catalog", []string{KindSQLite, KindPostgres}, &e.Catalog, "where the catalog lies: sqlite:PATH or postgres://USER@HOST/DATABASE (or HOLDFAST_CATALOG)"},
	}
}

// FromEnvironment fills in what no flag names: HOLDFAST_QUEUE and so on.
func (e *URLs) FromEnvironment() {
	for _, f := range e.Flags() {
		if *f.URL == "" {
			*f.URL = os.Getenv("HOLDFAST_" + strings.ToUpper(f.Name))
		}
	}
}

// Checked returns e with each URL in the one form in which it is recorded and
// compared, or an error that says what is wrong with the first bad one.
func (e URLs) Checked() (URLs, error) {
	for _, f := range e.Flags() {
		if *f.URL == "" {
			continue
		}
		u, err := Check(*f.URL, f.Kinds)
		if err != nil {
			return e, Usage("--%s (HOLDFAST_%s): %w", f.Name, strings.ToUpper(f.Name), err)
		}
		*f.URL = u
	}
	if KindOf(e.Queue) == KindKafka && KindOf(e.Catalog) != KindPostgres {
		return e, Usage("--queue kafka://… keeps its Tasks and their leases in PostgreSQL: give --catalog postgres://USER@HOST/DATABASE too")
	}
	return e, nil
}

// KindOf is the kind of an engine by its URL; what begins with no kind has another word.
func KindOf(text string) string {
	kind, _, _ := strings.Cut(text, ":")
	if kind == "postgresql" {
		return KindPostgres
	}
	return kind
}

// Local reports whether an engine is a file or folder of this machine, and which;
// otherwise is where it lies in a data directory.
func Local(text, otherwise string) (path string, ok bool) {
	if text == "" {
		return otherwise, true
	}
	kind, path, _ := strings.Cut(text, ":")
	return path, kind == KindSQLite || kind == KindFile
}

// Check returns one URL in the form in which it is recorded, or says why it is not of one
// of the kinds. It never repeats a URL that it refuses: there may be a secret in it.
func Check(text string, kinds []string) (string, error) {
	kind := KindOf(text)
	known := false
	for _, k := range kinds {
		known = known || k == kind
	}
	if !known {
		return "", fmt.Errorf("it begins with none of %s", strings.Join(kinds, ":, ")+":")
	}
	if kind == KindSQLite || kind == KindFile {
		_, path, _ := strings.Cut(text, ":")
		if path == "" || strings.HasPrefix(path, "//") {
			return "", fmt.Errorf("write %s:PATH, a path of this machine", kind)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		return kind + ":" + abs, nil
	}
	if err := noSecret(text); err != nil {
		return "", err
	}
	return text, nil
}

// noSecret refuses a URL with a password in it. It is read by hand too: several
// hosts with ports are no URL to net/url.
func noSecret(text string) error {
	_, rest, ok := strings.Cut(text, "://")
	authority, query, _ := strings.Cut(rest, "/")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, query = rest[:i], rest[i:]
	}
	if !ok || authority == "" {
		return errors.New("it is no URL: write " + "KIND://HOST…")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 && secretUser(authority[:i]) {
		return errSecretURL
	}
	_, query, _ = strings.Cut(query, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what stands behind ? cannot be read")
	}
	for name, all := range values {
		n := strings.ToLower(name)
		for _, word := range []string{"password", "secret", "token", "credential", "accesskey", "access_key"} {
			if strings.Contains(n, word) {
				return errSecretURL
			}
		}
		for _, v := range all { // an endpoint is a URL too
			_, rest, ok := strings.Cut(v, "://")
			host, _, _ := strings.Cut(rest, "/")
			if ok && strings.Contains(host, "@") {
				return errSecretURL
			}
		}
	}
	return nil
}

// secretUser says whether there is more than a name before the @ of a URL.
func secretUser(text string) bool {
	plain, err := url.PathUnescape(text)
	return err != nil || strings.Contains(plain, ":")
}

var errSecretURL = errors.New("there is a password in it, and a URL is printed and kept: take it out, and give it by PGPASSWORD, PGPASSFILE or HOLDFAST_PG_PASSWORD_FILE (PostgreSQL), AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or HOLDFAST_S3_KEYS_FILE (S3), HOLDFAST_KAFKA_USER and HOLDFAST_KAFKA_PASSWORD or HOLDFAST_KAFKA_PASSWORD_FILE (Kafka)")

// Same refuses flags that name another engine than the node's, which e are: a mistyped URL
// would look like a node that has lost everything.
func (e URLs) Same(asked URLs) error {
	have := e.Flags()
	for i, f := range asked.Flags() {
		if *f.URL == "" || *f.URL == *have[i].URL {
			continue
		}
		where := *have[i].URL
		if where == "" {
			where = "the one in the data directory"
		}
		return Usage("--%s (HOLDFAST_%s) is not the %s of this node, which is %s: leave it away; `holdfast node move` takes a node to another queue or catalog, `holdfast move` to another store", f.Name, strings.ToUpper(f.Name), f.Name, where)
	}
	return nil
}
