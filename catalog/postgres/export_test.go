package postgres

import (
	"context"
	"io/fs"
	"maps"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
)

// SearchStrips looks for texts in strips of so many, for so long.
func (c *Catalog) SearchStrips(ctx context.Context, q catalog.TextQuery, texts int, d time.Duration) (out catalog.Found, err error) {
	a, err := newAsk(q)
	if err != nil {
		return out, err
	}
	return out, c.view(ctx, func(tx pgx.Tx) error {
		f := &sought{after: q.After}
		all, err := a.strips(ctx, tx, f, texts, time.Now().Add(d))
		out = catalog.Found{Hits: f.hits[:min(len(f.hits), q.Limit)], More: len(f.hits) > q.Limit, Stopped: !all}
		if f.after != nil {
			out.Down = *f.after
		}
		return err
	})
}

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
