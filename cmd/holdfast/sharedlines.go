package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/kept"
)

// AllLines calls yield for every line of a Case, chain after chain: those of this node
// from its own files, and those of other nodes from the Events that carry them, which is
// where they lie for everybody. A chain of another node is verified from its first line,
// as far as anybody is known to have stated it.
func (k *custody) AllLines(ctx context.Context, home holdfast.ID, yield func(line []byte, h holdfast.Head) error) error {
	mine := map[holdfast.ID]bool{}
	err := k.Lines(home, func(line []byte, h holdfast.Head) error {
		mine[h.Chain] = true
		return yield(line, h)
	})
	if err != nil || !k.n.sharedCatalog() {
		return err
	}
	cs, err := k.n.cat.Case(ctx, string(home))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range cs.Chains {
		if mine[c.ID] {
			continue
		}
		if err := k.others(ctx, home, c, yield); err != nil {
			return fmt.Errorf("read custody lines of node %s: %w", c.Node, err)
		}
	}
	return nil
}

// others reads one chain of another node.
func (k *custody) others(ctx context.Context, home holdfast.ID, c catalog.Chain, yield func([]byte, holdfast.Head) error) error {
	read := k.n.kept()
	h := holdfast.Head{Chain: c.ID}
	for n := int64(1); n <= c.Length; n++ {
		line, err := k.line(ctx, read, holdfast.EventID(c.ID, n))
		if errors.Is(err, catalog.ErrNotFound) { // a Manifest states it, and its Event is on its way
			if err = k.n.refresh(ctx); err == nil {
				line, err = k.line(ctx, read, holdfast.EventID(c.ID, n))
			}
		}
		if err != nil {
			return fmt.Errorf("line %d of chain %s: %w", n, c.ID, err)
		}
		l, err := holdfast.ParseLine(line)
		if err == nil && (l.Chain != c.ID || l.N != n || l.Case != home) {
			err = errors.New("its Event holds another line")
		}
		if err != nil {
			return fmt.Errorf("line %d of chain %s: %w", n, c.ID, err)
		}
		h.Length, h.Head = n, holdfast.Next(h.Head, hashing.Of(line))
		if err := yield(line, h); err != nil {
			return err
		}
	}
	return nil
}

// line reads the bytes of a custody line out of its Event.
func (k *custody) line(ctx context.Context, read *kept.Reader, id holdfast.ID) ([]byte, error) {
	raw, _, err := read.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return nil, err
	}
	o := m.Object("line.json")
	if o == nil || m.Kind != holdfast.KindEvent {
		return nil, errors.New("it is no line of custody")
	}
	r, err := read.OpenObject(ctx, id, *o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, holdfast.MaxDocument+1))
	if err == nil && (int64(len(b)) != o.Size || hashing.Of(b) != o.Digest) {
		err = hashing.ErrMismatch
	}
	return b, err
}
