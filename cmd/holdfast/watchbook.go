package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/filelock"
	officedb "holdfast/office"
	"holdfast/schedule"
	"holdfast/wholefile"
)

// watchBook keeps the list of what is watched: of one node in its directory, of nodes that
// share a queue in the office's database, where each of them, and each door, knows and
// changes the same one.
type watchBook interface {
	// Read returns the list; who asks may do with it what he likes.
	Read(ctx context.Context) ([]*watch, error)

	// Change edits it: all of the edit or nothing. A crash leaves the old or the new one.
	// edit is called again where another has changed the list meanwhile, and may not keep
	// what it is given.
	Change(ctx context.Context, edit func([]*watch) ([]*watch, error)) error

	// AsOf is another one when the list may be another one.
	AsOf(ctx context.Context) (listMark, error)
}

// listMark is when a list was changed last: of a file its time, else a version.
type listMark struct {
	at      time.Time
	version int64
}

func (n *node) watchBook(ctx context.Context) (watchBook, error) {
	if !n.sharedQueue() {
		return watchFile{n}, nil
	}
	b, err := n.book(ctx)
	if err != nil {
		return nil, err
	}
	return watchRows{n, b.Watches()}, nil
}

// watches is what is watched; a node without a list watches nothing.
func (n *node) watches(ctx context.Context) ([]*watch, error) {
	b, err := n.watchBook(ctx)
	if err != nil {
		return nil, err
	}
	return b.Read(ctx)
}

func (n *node) changeWatches(ctx context.Context, edit func([]*watch) ([]*watch, error)) error {
	b, err := n.watchBook(ctx)
	if err == nil {
		err = b.Change(ctx, edit)
	}
	if err == nil {
		n.copyWatches(ctx)
	}
	return err
}

// watchFile is DIR/watches.json.
type watchFile struct{ n *node }

func (k watchFile) AsOf(context.Context) (listMark, error) {
	return listMark{at: changed(k.n.path(fileWatches))}, nil
}

func (k watchFile) Read(context.Context) ([]*watch, error) { return readWatches(k.n.path(fileWatches)) }

func readWatches(path string) ([]*watch, error) {
	b, err := wholefile.Read(path, maxWatchDoc)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d watchDoc
	if err := wholefile.DecodeJSON(fileWatches, b, &d); err != nil {
		return nil, fmt.Errorf("%w; put a copy back, or move it away: then nothing is watched, and nothing that was captured is lost", err)
	}
	if d.Version > 1 {
		return nil, fmt.Errorf("%s has version %d: use a newer holdfast", fileWatches, d.Version)
	}
	for _, w := range d.Watches {
		if !w.sound() {
			return nil, fmt.Errorf("read %s: a watch without a case, or of no channel and no page with a schedule: somebody has changed it; put a copy back", fileWatches)
		}
	}
	return d.Watches, nil
}

// sound says whether a row is of a channel, or of a page with a schedule.
func (w *watch) sound() bool {
	if w == nil || len(w.Cases) == 0 {
		return false
	}
	if w.isPage() {
		_, err := schedule.Parse(w.Schedule)
		return err == nil && w.visitHow.sound()
	}
	return isTelegram(w.Source) && w.visitHow == (visitHow{})
}

func (k watchFile) Change(ctx context.Context, edit func([]*watch) ([]*watch, error)) error {
	unlock, err := filelock.Wait(ctx, k.n.path("watches.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, err := k.Read(ctx)
	if err != nil {
		return err
	}
	before, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if list, err = edited(list, edit); err != nil {
		return err
	}
	after, err := json.Marshal(list)
	if err != nil || string(after) == string(before) {
		return err
	}
	return wholefile.WriteJSON(k.n.path(fileWatches), watchDoc{Version: 1, Watches: list})
}

// edited is a list that was edited, in order, and no longer than it may be.
func edited(list []*watch, edit func([]*watch) ([]*watch, error)) ([]*watch, error) {
	list, err := edit(list)
	if err != nil {
		return nil, err
	}
	if len(list) > maxWatches {
		return nil, fmt.Errorf("%d sources: at most %d are watched by one list", len(list), maxWatches)
	}
	slices.SortFunc(list, func(a, b *watch) int { return strings.Compare(string(a.Source), string(b.Source)) })
	return list, nil
}

// watchRows is the list of the office.
type watchRows struct {
	n *node
	b *officedb.Watches
}

// watchCache is the office's list as this process has read it last. It is safe for
// concurrent use.
type watchCache struct {
	mu      sync.Mutex
	version int64
	rows    map[string]officedb.Watch
}

func (r watchRows) AsOf(ctx context.Context) (listMark, error) {
	v, err := r.b.Version(ctx)
	return listMark{version: v}, err
}

func (r watchRows) Read(ctx context.Context) ([]*watch, error) {
	list, _, err := r.read(ctx)
	return list, err
}

// read reads what has changed since the last time, and returns all of it anew.
func (r watchRows) read(ctx context.Context) (list []*watch, version int64, err error) {
	c := &r.n.watchCache
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh, now, err := r.b.Since(ctx, c.version)
	if err != nil {
		return nil, 0, err
	}
	if c.rows == nil {
		c.rows = map[string]officedb.Watch{}
	}
	for _, k := range fresh {
		if c.rows[k.Source] = k; len(k.Body) == 0 {
			delete(c.rows, k.Source)
		}
	}
	c.version = now
	for _, k := range c.rows {
		w := &watch{by: k.Node}
		if err := wholefile.DecodeJSON("it", k.Body, w); err != nil || !w.sound() || string(w.Source) != k.Source {
			return nil, 0, fmt.Errorf("read watch of %s: it is not what holdfast keeps of one (%w): use a newer holdfast, or was it changed by hand?", k.Source, errors.Join(err, errors.New("in the office's database")))
		}
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b *watch) int { return strings.Compare(string(a.Source), string(b.Source)) })
	return list, now, nil
}

// changeTries is how often an edit is made again that others were quicker than. They
// wait for each other (watches.lock): it is so only where a connection was lost with the
// lock.
const changeTries = 10

func (r watchRows) Change(ctx context.Context, edit func([]*watch) ([]*watch, error)) error {
	unlock, err := r.n.officeLock(ctx, "watches.lock")
	if err != nil {
		return err
	}
	defer unlock()
	for range changeTries {
		list, version, err := r.read(ctx)
		if err != nil {
			return err
		}
		was := map[string][]byte{}
		for _, k := range list {
			if was[string(k.Source)], err = json.Marshal(k); err != nil {
				return err
			}
		}
		if list, err = edited(list, edit); err != nil {
			return err
		}
		put, err := rowsOf(list, was)
		if err != nil || len(put)+len(was) == 0 {
			return err
		}
		remove := make([]string, 0, len(was))
		for s := range was {
			remove = append(remove, s)
		}
		if err = r.b.Change(ctx, version, string(holdfast.NewID()), put, remove); !errors.Is(err, officedb.ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("change what is watched: %w; do it again", officedb.ErrChanged)
}

// rowsOf are the rows of a list that are other than they were; was keeps those that are
// gone.
func rowsOf(list []*watch, was map[string][]byte) (put []officedb.Watch, err error) {
	for _, k := range list {
		s := string(k.Source)
		b, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, was[s]) {
			put = append(put, officedb.Watch{Source: s, Body: b, Node: k.Node})
		}
		delete(was, s)
	}
	return put, nil
}
