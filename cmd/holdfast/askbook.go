package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/api"
	officedb "holdfast/office"
	"holdfast/wholefile"
)

// askBook keeps asks: of one node in its directory, of nodes that share a queue in the
// office's database, so that each door knows what was asked for at another. An ask is made
// before its Tasks are added, and marked once they are: a crash between the two leaves one
// whose Tasks are added when it comes again, at whatever door, under the same IDs.
type askBook interface {
	askReader
	askWriter
}

type askReader interface {
	Read(ctx context.Context, token string, id holdfast.ID) (*ask, error) // wraps fs.ErrNotExist
	Added(ctx context.Context, token string, id holdfast.ID) (bool, error)
	List(ctx context.Context, token string, yield func(*ask) error) error
}

type askWriter interface {
	Keep(ctx context.Context, token string, k *ask) error // wraps fs.ErrExist
	Mark(ctx context.Context, token string, id holdfast.ID) error

	// Forget takes the mark last: an ask without it would add its Tasks again.
	Forget(ctx context.Context, token string, id holdfast.ID) error
}

func (n *node) askBook(ctx context.Context) (askBook, error) {
	if !n.sharedQueue() {
		return askFiles(n.path(dirAsks)), nil
	}
	b, err := n.book(ctx)
	if err != nil {
		return nil, err
	}
	return askRows{b}, nil
}

// askFiles is DIR/asks: <token>/<id>.json, and beside it <id>.added.
type askFiles string

func (d askFiles) name(token string, id holdfast.ID, end string) string {
	return filepath.Join(string(d), token, string(id)+end)
}

func (d askFiles) Read(_ context.Context, token string, id holdfast.ID) (*ask, error) {
	b, err := wholefile.Read(d.name(token, id, ".json"), maxAsk)
	if err != nil {
		return nil, err
	}
	return readAsk(id, b)
}

func readAsk(id holdfast.ID, b []byte) (*ask, error) {
	k := new(ask)
	return k, wholefile.DecodeJSON("ask "+string(id), b, k)
}

func (d askFiles) Added(_ context.Context, token string, id holdfast.ID) (bool, error) {
	_, err := os.Lstat(d.name(token, id, ".added"))
	return err == nil, nil
}

func (d askFiles) Keep(_ context.Context, token string, k *ask) error {
	b, err := wholefile.EncodeJSON(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(string(d), token), 0o700); err != nil {
		return fmt.Errorf("make folder of asks: %w", err)
	}
	return wholefile.Create(d.name(token, k.ID, ".json"), b)
}

func (d askFiles) Mark(_ context.Context, token string, id holdfast.ID) error {
	if err := wholefile.Create(d.name(token, id, ".added"), nil); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d askFiles) Forget(_ context.Context, token string, id holdfast.ID) error {
	_ = os.Remove(d.name(token, id, ".json")) // what is left is swept the next time
	_ = os.Remove(d.name(token, id, ".added"))
	return nil
}

func (d askFiles) List(ctx context.Context, token string, yield func(*ask) error) error {
	files, err := os.ReadDir(filepath.Join(string(d), token))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list asks: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue
		}
		k, err := d.Read(ctx, token, holdfast.ID(name))
		if err == nil {
			err = yield(k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// askRows are documents of the office: ask/<token>/<id>, and added/<token>/<id>.
type askRows struct{ b *officedb.Book }

const (
	askPrefix   = "ask/"
	addedPrefix = "added/"
)

func askName(prefix, token string, id holdfast.ID) string { return prefix + token + "/" + string(id) }

func (r askRows) Read(ctx context.Context, token string, id holdfast.ID) (*ask, error) {
	b, err := r.b.Read(ctx, askName(askPrefix, token, id))
	if err != nil {
		return nil, err
	}
	return readAsk(id, b)
}

func (r askRows) Added(ctx context.Context, token string, id holdfast.ID) (bool, error) {
	_, err := r.b.Read(ctx, askName(addedPrefix, token, id))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (r askRows) Keep(ctx context.Context, token string, k *ask) error {
	b, err := wholefile.EncodeJSON(k)
	if err != nil {
		return err
	}
	return r.b.Create(ctx, askName(askPrefix, token, k.ID), b)
}

func (r askRows) Mark(ctx context.Context, token string, id holdfast.ID) error {
	if err := r.b.Create(ctx, askName(addedPrefix, token, id), nil); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (r askRows) Forget(ctx context.Context, token string, id holdfast.ID) error {
	return r.b.Remove(ctx, askName(askPrefix, token, id), askName(addedPrefix, token, id)) // both at once
}

// asksAtOnce is how many are read at once.
const asksAtOnce = 50

func (r askRows) List(ctx context.Context, token string, yield func(*ask) error) error {
	prefix := askPrefix + token + "/"
	for after := ""; ; {
		all, err := r.b.List(ctx, prefix, after, asksAtOnce)
		if err != nil {
			return err
		}
		for _, d := range all {
			k, err := readAsk(holdfast.ID(strings.TrimPrefix(d.Name, prefix)), d.Body)
			if err == nil {
				err = yield(k)
			}
			if err != nil {
				return err
			}
			after = d.Name
		}
		if len(all) < asksAtOnce {
			return nil
		}
	}
}

// officeAway is an error that a caller need only wait for.
func officeAway(err error) error {
	if awayNow(err) {
		return api.Busy(officeRetry, "the office's database does not answer now: ask again in a moment")
	}
	return err
}
