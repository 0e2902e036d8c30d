package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/spool"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// scrubber is a database that can be written anew without what was deleted from it: a
// deleted row's bytes stay in its file until then.
type scrubber interface {
	Scrub(ctx context.Context) error
}

// lingerer is an engine whose disks have deleted bytes for a while, which nobody but
// their owner can shorten.
type lingerer interface {
	Lingers(ctx context.Context) (where string, err error)
}

// lingers says what still has the bytes, and until when.
func (e *erasure) lingers(ctx context.Context, o *order) error {
	for _, of := range []struct {
		name   string
		engine any
	}{{"queue", e.n.engine}, {"catalog", e.n.cat}} {
		l, ok := of.engine.(lingerer)
		if !ok {
			continue
		}
		where, err := l.Lingers(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", of.name, err)
		}
		e.c.say(map[string]any{"event": "lingers", "id": o.target(), "in": of.name, "where": where}, "lingers  %s  %s: %s", o.target(), of.name, where)
	}
	return nil
}

// forget takes the bytes out of what else has them: the catalog with its search, the
// queue's file, alerts, and what lies half received. All of it can be done again.
func (e *erasure) forget(ctx context.Context, o *order) error {
	if err := e.forgetCatalog(ctx, o); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if _, err := (pruner{e.n}).Prune(ctx, 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if err := e.unqueued(ctx, o); err != nil {
		return err
	}
	for name, s := range map[string]any{"queue": e.n.engine, "catalog": e.n.cat} {
		if s, ok := s.(scrubber); ok {
			if err := s.Scrub(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if err := e.forgetAlerts(ctx, o); err != nil {
		return err
	}
	if err := spool.Sweep(e.n.dir); err != nil {
		return err
	}
	return e.forgetPartial(o)
}

// forgetCatalog tells it where the packs lie now and, where what was erased is
// searched, makes it again from the store: an index of words cannot be told to forget
// one text.
func (e *erasure) forgetCatalog(ctx context.Context, o *order) error {
	again, batch := false, []catalog.SealState{}
	for _, id := range o.captures {
		cp, err := e.n.cat.Capture(ctx, holdfast.ID(id))
		if o.line != nil && errors.Is(err, catalog.ErrNotFound) {
			continue // another node's, which this catalog never knew
		}
		if err != nil {
			return err
		}
		st, err := catalog.Locate(ctx, e.n.store, cp.Seal)
		if err != nil {
			return err
		}
		batch = append(batch, st)
		raw, _, err := e.n.kept().Manifest(ctx, cp.ID)
		if err != nil {
			return err
		}
		a, err := catalog.Read(cp.Position, raw)
		if err != nil {
			return err
		}
		for _, t := range append(a.PostsObjects(), a.PageObjects()...) {
			again = again || o.has(t.Digest)
		}
	}
	if err := e.n.cat.Sealed(ctx, batch); err != nil || !again {
		return err
	}
	return e.n.rejudge(ctx)
}

func (o *order) has(d hashing.Digest) bool {
	for _, k := range o.kept {
		if k.digest == d {
			return false
		}
	}
	for _, x := range o.erased {
		if x == d {
			return true
		}
	}
	return false
}

// unqueued refuses to call it done while the queue still has a message: whoever is
// behind with it, such as the alerts, reads it first.
func (e *erasure) unqueued(ctx context.Context, o *order) error {
	id, err := e.n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	for _, c := range o.captures {
		cp, err := e.n.cat.Capture(ctx, holdfast.ID(c))
		if err != nil {
			return err
		}
		if !strings.HasPrefix(cp.Seal, id.Queue+"-") {
			continue
		}
		_, err = e.n.kept().Queued(ctx, cp)
		if err == nil {
			return fmt.Errorf("the queue still holds the message of capture %s: somebody is behind with reading it, such as the alerts; run it again", c)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (e *erasure) forgetAlerts(ctx context.Context, o *order) error {
	if _, err := os.Lstat(e.n.path(alertsDB)); errors.Is(err, fs.ErrNotExist) && !e.n.sharedQueue() {
		return nil
	}
	a, err := e.n.alertBox(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Forget(ctx, o.captures)
}

// forgetPartial removes what was received and is one of the Objects.
func (e *erasure) forgetPartial(o *order) error {
	var roots []string
	for _, pattern := range []string{"partial", "spool-*"} {
		found, err := filepath.Glob(e.n.path(pattern))
		if err != nil {
			return err
		}
		roots = append(roots, found...)
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return unlessGone(err)
			}
			f, err := os.Open(name)
			if err != nil {
				return unlessGone(err)
			}
			defer f.Close()
			sum, _, err := hashing.Copy(io.Discard, f)
			if err == nil && o.has(sum) {
				err = os.Remove(name)
			}
			return unlessGone(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
