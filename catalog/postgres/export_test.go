package postgres

import (
	"io/fs"
	"maps"
	"testing"
	"testing/fstest"
)

// Later are the options of a program that has one more migration.
func Later(t *testing.T, o Options, sql string) Options {
	t.Helper()
	steps := fstest.MapFS{"00099_later.sql": {Data: []byte("-- +goose Up\n" + sql)}}
	ours, err := o.migrations()
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(ours, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := fs.ReadFile(ours, name)
		if err != nil {
			t.Fatal(err)
		}
		steps[name] = &fstest.MapFile{Data: b}
	}
	o.steps = maps.Clone(steps)
	return o
}
