package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/preserve"
	"holdfast/preserve/plans"
	"holdfast/storage"
)

// remove takes the bytes out of the store. Its order is the promise: for each pack the
// rest under a name of its own, then the tombstone that gives it, then the old name is
// erased; for each Object its tombstone, then the Object. What a crash leaves is one of
// these states, and each is found again by its names.
//
// until is what still keeps some of it; all else is erased.
func (e *erasure) remove(ctx context.Context, o *order) (until *storage.LockedError, err error) {
	alone, err := e.alone(ctx, o)
	if err != nil {
		return nil, err
	}
	defer alone()
	unlock, err := e.n.officeLock(ctx, "cases.lock") // no hold comes between the look and the deed
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := e.n.repeatOrder(ctx, o); err != nil {
		return nil, err
	}
	caps, err := e.allowed(ctx, o)
	if err != nil {
		return nil, err
	}
	gone, err := e.unneeded(ctx, o)
	if err != nil {
		return nil, err
	}
	locked := func(err error) error {
		l := (*storage.LockedError)(nil)
		if !errors.As(err, &l) {
			return err
		}
		if until == nil || l.Hold && !until.Hold || l.Hold == until.Hold && l.Until.After(until.Until) {
			until = l
		}
		return nil
	}
	for _, cp := range caps {
		if err := locked(e.removeFromPack(ctx, o, holdfast.PackName(cp.Case, cp.Seal), cp.Case, gone)); err != nil {
			return nil, err
		}
	}
	for _, d := range slices.SortedFunc(maps.Keys(gone), hashing.Digest.Compare) {
		if err := locked(e.removeObject(ctx, o, d)); err != nil {
			return nil, err
		}
	}
	return until, nil
}

// alone keeps others of this node from accepting captures while Objects of their own are
// erased: who has received the same bytes before would else be told that they are kept,
// and lose them. Whoever accepts holds that lock, and looks for his Objects under it.
// What lies in packs alone needs none: a capture brings such bytes itself.
func (e *erasure) alone(ctx context.Context, o *order) (unlock func(), err error) {
	large := false
	for _, d := range o.erased {
		has, err := e.n.store.Has(ctx, d)
		if err != nil {
			return nil, err
		}
		large = large || has
	}
	if !large {
		return func() {}, nil
	}
	wctx, stop := context.WithTimeout(ctx, e.wait)
	defer stop()
	if unlock, err = filelock.Wait(wctx, e.n.path(fileCollecting)); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &exitError{exitUnsealed, fmt.Errorf("erase %s: somebody captures, such as `holdfast watch run`, and may hold the same bytes: stop that, then `holdfast erase --resume`", o.target())}
	}
	if err := e.n.refresh(ctx); err != nil { // what they have accepted is known now
		unlock()
		return nil, err
	}
	return unlock, nil
}

// allowed looks again whether nothing forbids it: a hold may have come since.
func (e *erasure) allowed(ctx context.Context, o *order) (caps []catalog.Capture, err error) {
	for _, id := range o.captures {
		cp, err := e.n.cat.Capture(ctx, holdfast.ID(id))
		if err != nil {
			return nil, err
		}
		held, err := e.n.heldBy(ctx, cp)
		if err == nil && len(held) > 0 {
			err = fmt.Errorf("it was ordered, and capture %s is under the hold of case %s since: what is left of it stays", id, messages.Visible(strings.Join(held, ", ")))
		}
		if err == nil {
			err = e.acknowledged(ctx, cp)
		}
		if err != nil {
			return nil, err
		}
		caps = append(caps, cp)
	}
	return caps, nil
}

// unneeded are the Objects of the order that nobody has captured again since.
func (e *erasure) unneeded(ctx context.Context, o *order) (map[hashing.Digest]bool, error) {
	gone := map[hashing.Digest]bool{}
	o.kept = nil
	for _, d := range o.erased {
		by, _, err := e.needs(ctx, d, o.captures)
		if err != nil {
			return nil, err
		}
		if by != "" {
			o.kept = append(o.kept, keptObject{d, by})
			e.c.say(map[string]any{"event": "kept", "id": o.target(), "object": d, "for": by}, "kept     %s  capture %s has it too, by now", d, by)
			continue
		}
		gone[d] = true
	}
	return gone, nil
}

func (o *order) tombstone(name string, d hashing.Digest, erased []hashing.Digest, training bool) *storage.Tombstone {
	slices.SortFunc(erased, hashing.Digest.Compare)
	caps := slices.Clone(o.captures)
	slices.Sort(caps)
	return &storage.Tombstone{Captures: caps, Digest: d, Erased: erased, Event: string(o.events[0]), Name: name, Seal: o.seal, Training: training}
}

// removeFromPack writes what is left of a pack, unless that is done, and erases every
// pack before it.
func (e *erasure) removeFromPack(ctx context.Context, o *order, name string, home holdfast.ID, gone map[hashing.Digest]bool) error {
	now, err := storage.FollowPack(ctx, e.n.store, name)
	if err != nil {
		return err
	}
	raw, files, err := e.readPack(ctx, now)
	if err != nil {
		return err
	}
	var mine []hashing.Digest
	for d := range files {
		if gone[d] {
			mine = append(mine, d)
			delete(files, d)
		}
	}
	if len(mine) > 0 {
		t := o.tombstone(now, raw, mine, e.n.set.Training)
		if now, err = e.writeRest(ctx, t, home, files); err != nil {
			return err
		}
	}
	return e.erasePacks(ctx, name, now)
}

// readPack returns the Digest of a pack and its entries, each hashed. One that is not
// as it was written is not written anew: that would hide the damage.
func (e *erasure) readPack(ctx context.Context, name string) (d hashing.Digest, files map[hashing.Digest][]byte, err error) {
	if files, err = plans.Packed(ctx, e.n.store, name); err != nil {
		return d, nil, fmt.Errorf("read pack %s: %w; bring it back from a mirror first", name, err)
	}
	f, err := e.n.store.OpenName(ctx, name)
	if err != nil {
		return d, nil, err
	}
	defer f.Close()
	d, _, err = hashing.Copy(io.Discard, io.NewSectionReader(f, 0, f.Size()))
	return d, files, err
}

// writeRest creates the pack that is left, and the tombstone behind it.
func (e *erasure) writeRest(ctx context.Context, t *storage.Tombstone, home holdfast.ID, files map[hashing.Digest][]byte) (string, error) {
	var b bytes.Buffer
	if err := preserve.WritePack(&b, home, files); err != nil {
		return "", err
	}
	t.New = &storage.Successor{Digest: hashing.Of(b.Bytes()), Name: storage.SuccessorName(t.Name, t.Event)}
	if err := e.createSame(ctx, t.New.Name, b.Bytes()); err != nil {
		return "", err
	}
	return t.New.Name, e.createTombstone(ctx, t)
}

// createSame creates a name, or finds it as a run that was killed has left it.
func (e *erasure) createSame(ctx context.Context, name string, b []byte) error {
	err := e.n.store.Create(ctx, name, bytes.NewReader(b))
	if !errors.Is(err, storage.ErrExists) {
		return err
	}
	old, err := e.n.store.ReadName(ctx, name, int64(len(b)))
	if err == nil && !bytes.Equal(old, b) {
		err = fmt.Errorf("%s is there and says something else: %w", name, storage.ErrForeign)
	}
	return err
}

func (e *erasure) createTombstone(ctx context.Context, t *storage.Tombstone) error {
	b, err := t.Encode()
	if err != nil {
		return err
	}
	return e.createSame(ctx, storage.TombstoneName(t.Name), b)
}

// erasePacks erases a pack and each that has taken its place, up to the one that is
// there now. What another order waits for, because a hold came, must not go with it.
func (e *erasure) erasePacks(ctx context.Context, name, now string) error {
	for name != now {
		t, err := storage.ReadTombstone(ctx, e.n.store, name)
		if err != nil {
			return err
		}
		if err := e.mayGo(ctx, t); err != nil {
			return err
		}
		if err := e.eraser.Erase(ctx, storage.Key{Name: name}); err != nil {
			return err
		}
		name = t.New.Name
	}
	return nil
}

func (e *erasure) mayGo(ctx context.Context, t *storage.Tombstone) error {
	for _, id := range t.Captures {
		cp, err := e.n.cat.Capture(ctx, holdfast.ID(id))
		if err != nil {
			return err
		}
		if held, err := e.n.heldBy(ctx, cp); err != nil || len(held) > 0 {
			return errors.Join(err, fmt.Errorf("the pack %s holds bytes of capture %s too, which is under the hold of case %s since its own erasure was ordered", t.Name, id, messages.Visible(strings.Join(held, ", "))))
		}
	}
	return nil
}

// removeObject erases an Object of its own, if it is one. Where its tombstone stands
// from an order before, and the bytes came again, the old tombstone stays: it is of the
// same Object, and the line of this order says the rest.
func (e *erasure) removeObject(ctx context.Context, o *order, d hashing.Digest) error {
	has, err := e.n.store.Has(ctx, d)
	if err != nil {
		return err
	}
	name := storage.ObjectName(d)
	if _, err := storage.ReadTombstone(ctx, e.n.store, name); errors.Is(err, fs.ErrNotExist) {
		if !has {
			return nil // it lay in packs
		}
		if err := e.createTombstone(ctx, o.tombstone(name, d, []hashing.Digest{d}, e.n.set.Training)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return e.eraser.Erase(ctx, storage.Key{Digest: d}) // also where it is gone: the fsync may not have been
}
