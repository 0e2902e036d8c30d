package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// engineURLs say where what grows of a node lies. Empty members lie in the data
// directory. No secret is in any of them: they are printed, kept and mirrored.
type engineURLs struct {
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

// The kinds of engineURLs, by the scheme of their URL.
const (
	kindSQLite   = "sqlite"
	kindKafka    = "kafka"
	kindFile     = "file"
	kindS3       = "s3"
	kindPostgres = "postgres"
)

// engineFlag is one of --queue, --store and --catalog.
type engineFlag struct {
	name  string
	kinds []string
	url   *string
	help  string
}

func (e *engineURLs) flags() []engineFlag {
	return []engineFlag{
		{"queue", []string{kindSQLite, kindKafka}, &e.Queue, "where the queue lies, when init makes the node: sqlite:PATH or kafka://HOST,…/PREFIX (or HOLDFAST_QUEUE)"},
		{"store", []string{kindFile, kindS3}, &e.Store, "where the store lies: file:PATH or s3://BUCKET/PREFIX?endpoint=URL (or HOLDFAST_STORE)"},
		{"catalog", []string{kindSQLite, kindPostgres}, &e.Catalog, "where the catalog lies: sqlite:PATH or postgres://USER@HOST/DATABASE (or HOLDFAST_CATALOG)"},
	}
}

// fromEnvironment fills in what no flag names: HOLDFAST_QUEUE and so on.
func (e *engineURLs) fromEnvironment() {
	for _, f := range e.flags() {
		if *f.url == "" {
			*f.url = os.Getenv("HOLDFAST_" + strings.ToUpper(f.name))
		}
	}
}

// checked returns e with each URL in the one form in which it is recorded and
// compared, or an error that says what is wrong with the first bad one.
func (e engineURLs) checked() (engineURLs, error) {
	for _, f := range e.flags() {
		if *f.url == "" {
			continue
		}
		u, err := checkEngine(*f.url, f.kinds)
		if err != nil {
			return e, usageError("--%s (HOLDFAST_%s): %w", f.name, strings.ToUpper(f.name), err)
		}
		*f.url = u
	}
	if kindOf(e.Queue) == kindKafka && kindOf(e.Catalog) != kindPostgres {
		return e, usageError("--queue kafka://… keeps its Tasks and their leases in PostgreSQL: give --catalog postgres://USER@HOST/DATABASE too")
	}
	return e, nil
}

func kindOf(text string) string {
	kind, _, _ := strings.Cut(text, ":")
	if kind == "postgresql" {
		return kindPostgres
	}
	return kind
}

// local reports whether an engine is a file or folder of this machine, and which;
// otherwise is where it lies in a data directory.
func local(text, otherwise string) (path string, ok bool) {
	if text == "" {
		return otherwise, true
	}
	kind, path, _ := strings.Cut(text, ":")
	return path, kind == kindSQLite || kind == kindFile
}

// checkEngine never repeats a URL that it refuses: there may be a secret in it.
func checkEngine(text string, kinds []string) (string, error) {
	kind := kindOf(text)
	known := false
	for _, k := range kinds {
		known = known || k == kind
	}
	if !known {
		return "", fmt.Errorf("it begins with none of %s", strings.Join(kinds, ":, ")+":")
	}
	if kind == kindSQLite || kind == kindFile {
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

// same refuses flags that name another engine than node.json: a mistyped URL would
// look like a node that has lost everything.
func (s *settings) sameEngines(asked engineURLs) error {
	has := engineURLs{}
	if s.Engines != nil {
		has = *s.Engines
	}
	have := has.flags()
	for i, f := range asked.flags() {
		if *f.url == "" || *f.url == *have[i].url {
			continue
		}
		where := *have[i].url
		if where == "" {
			where = "the one in the data directory"
		}
		return usageError("--%s (HOLDFAST_%s) is not the %s of this node, which is %s: leave it away; `holdfast node move` takes a node to another queue or catalog, `holdfast move` to another store", f.name, strings.ToUpper(f.name), f.name, where)
	}
	return nil
}

// engines are where the node's queue, store and catalog lie.
func (s *settings) engines() engineURLs {
	if s.Engines == nil {
		return engineURLs{}
	}
	return *s.Engines
}
