package pg_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/deploy/engines"
	"holdfast/pg"
)

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://a:secret@localhost/db":           "take it out, and set PGPASSWORD",
		"postgres://a@localhost/db?password=secret":  "take it out, and set PGPASSWORD",
		"postgres://a:secret%zz@localhost/db":        "",
		"postgres://a:secret@localhost:port/db":      "",
		"mysql://a@localhost/db":                     "does not begin with postgres://",
		"postgres://a@localhost/":                    "names no database",
		"host=localhost user=a":                      "does not begin with postgres://",
		"postgres://a@localhost/db?pool_max_conns=x": "",
	} {
		_, err := pg.Open(t.Context(), pg.Options{URL: url, Schema: "s"})
		if !errors.Is(err, pg.ErrURL) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTLS: a server on another machine must have a certificate, unless it is said
// that it need not.
func TestTLS(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for url, verified := range map[string]bool{
		"postgres://a@db.example/db": true, "postgres://a@127.0.0.1,db.example:1/db": true, "postgres://a@192.0.2.1/db": true,
		"postgres://a@127.0.0.1/db": false, "postgres://a@[::1]:5/db": false, "postgres://a@localhost/db": false, "postgres://a@/db?host=/run/x": false,
		"postgres://a@db.example/db?sslmode=disable": false,
	} {
		if got := pg.Verified(t, url); got != verified {
			t.Errorf("%s: asks for a certificate: %v", url, got)
		}
	}
}

func TestServer(t *testing.T) {
	p := engines.PostgreSQL(t, "max_connections=12")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	files := fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (b text);\n")}}
	open := func(url, password string, existing bool, more ...string) error {
		m := fstest.MapFS{"00001_a.sql": files["00001_a.sql"]}
		for _, text := range more {
			m["00002_b.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
		}
		pool, err := pg.Open(t.Context(), pg.Options{URL: url, Password: password, Schema: "My \"office", Migrations: m, Existing: existing})
		if err == nil {
			pool.Close()
		}
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		is   error
		says string
	}{
		{"none", open(p.URL, p.Password, true), pg.ErrNone, "My \\\"office"},
		{"made", open(p.URL, p.Password, false), nil, ""},
		{"again", open(p.URL, p.Password, true), nil, ""},
		{"password", open(p.URL, "wrong", true), pg.ErrRefused, "for the password set PGPASSWORD"},
		{"no password", open(p.URL, "", true), pg.ErrRefused, "for the password set PGPASSWORD"},
		{"user", open(strings.Replace(p.URL, "holdfast@", "nobody@", 1), p.Password, true), pg.ErrRefused, "the user or the password is wrong"},
		{"database", open(strings.Replace(p.URL, "/holdfast?", "/other?", 1), p.Password, true), pg.ErrRefused, "createdb -O USER NAME"},
		{"TLS", open(strings.Replace(p.URL, "sslmode=disable", "sslmode=require", 1), p.Password, true), pg.ErrRefused, "it has no TLS"},
		{"nobody", open("postgres://holdfast@"+l.Addr().String()+"/holdfast", p.Password, true), pg.ErrUnavailable, "is it running"},
		{"a bad step", open(p.URL, p.Password, false, "CREATE TABLE c (d text); CREATE TABLE a (b text);"), nil, ""},
		{"the next step", open(p.URL, p.Password, false, "CREATE TABLE c (d text);"), nil, ""}, // nothing of the bad one is left
		{"newer", open(p.URL, p.Password, false), pg.ErrNewer, "has version 2, this program knows 1"},
	} {
		if c.what == "a bad step" {
			if c.err == nil {
				t.Error("a step that fails is taken for made")
			}
			continue
		}
		if !errors.Is(c.err, c.is) || c.err != nil && !strings.Contains(c.err.Error(), c.says) || strings.Contains(fmtErr(c.err), p.Password) {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
}

func fmtErr(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
