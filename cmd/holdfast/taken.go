package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/kept"
	"holdfast/messages"
)

// maxTaken bounds how many captures of one Source are looked through for a file.
const maxTaken = 100

// mediaRecord is what is read of media.json.
type mediaRecord struct {
	Differs  []json.RawMessage `json:"differs"`
	File     string            `json:"file"`
	Media    string            `json:"media"`
	Name     string            `json:"name"`
	Received int64             `json:"received"`
	Size     int64             `json:"size"`
	State    string            `json:"state"`
	Why      string            `json:"why"`
}

// whole says whether the file is there, as the service's own hashes say.
func (k mediaRecord) whole() bool { return k.State == "whole" && len(k.Differs) == 0 }

// takenIn says which Capture of a Case has a file of a post already, whole and as
// the service's own hashes say. What cannot be read now, or is not in the catalog
// yet, counts as not taken: then the file is asked for once more, and the store
// keeps it once.
func (r *round) takenIn(home holdfast.ID) func(ctx context.Context, source, file string) (string, error) {
	return func(ctx context.Context, source, file string) (string, error) {
		s := r.n.kept()
		for c, err := range r.n.cat.Captures(ctx, catalog.Query{Member: home, Source: holdfast.Source(source), Kind: holdfast.KindCapture, Limit: maxTaken}) {
			if err != nil {
				r.n.log.WarnContext(ctx, "not known whether a file is taken", "source", source, "err", err)
				return "", ctx.Err()
			}
			if k := mediaOf(ctx, s, c.ID); c.Outcome == "complete" && k.File == file && k.whole() {
				return string(c.ID), nil
			}
		}
		return "", nil
	}
}

// triedIn says in which Captures of a Case a file of a post did not come whole. What
// cannot be read now counts as none.
func (r *round) triedIn(home holdfast.ID) func(ctx context.Context, source, file string) (collectors.Tries, error) {
	return func(ctx context.Context, source, file string) (collectors.Tries, error) {
		k, _, err := r.n.tried(ctx, catalog.Query{Member: home, Source: holdfast.Source(source), Kind: holdfast.KindCapture, Limit: maxTaken}, file)
		if err != nil {
			r.n.log.WarnContext(ctx, "not known whether a file was tried", "source", source, "err", err)
			return collectors.Tries{}, ctx.Err()
		}
		return k, nil
	}
}

// tried counts the Captures in which a file did not come whole, and what the last one
// says of it; none where a Capture has it, or what is withheld.
func (n *node) tried(ctx context.Context, q catalog.Query, file string) (t collectors.Tries, last mediaRecord, err error) {
	s := n.kept()
	for c, err := range n.cat.Captures(ctx, q) { // newest first
		if err != nil {
			return t, last, err
		}
		k := mediaOf(ctx, s, c.ID)
		switch {
		case k.File != file:
		case k.whole() || k.State == "withheld":
			return collectors.Tries{}, k, nil
		case t.Count == 0:
			t, last = collectors.Tries{Count: 1, Last: c.Started.Time, Capture: string(c.ID)}, k
		default:
			t.Count++
		}
	}
	return t, last, nil
}

// mediaOf reads what a Capture of a file says of it; nothing of another one.
func mediaOf(ctx context.Context, s *kept.Reader, id holdfast.ID) (k mediaRecord) {
	raw, _, err := s.Manifest(ctx, id)
	if err != nil {
		return k
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return k
	}
	for _, o := range m.Objects {
		if o.Role != telegram.RoleMediaJSON || o.Name != telegram.NameMedia {
			continue
		}
		f, err := s.OpenObject(ctx, id, o)
		if err != nil {
			return k
		}
		b, err := io.ReadAll(io.LimitReader(f, holdfast.MaxDocument))
		f.Close()
		if err != nil || json.Unmarshal(b, &k) != nil {
			return mediaRecord{}
		}
	}
	return k
}

// mediaFailed lists the files of a channel's posts that did not come whole, or of one
// post, newest try first.
func (c *cli) mediaFailed(ctx context.Context, n *node, name telegram.Name) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	channel, s := telegram.Name{Channel: name.Channel}.Source(), n.kept()
	seen := map[[2]string]bool{}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		source := string(cp.Source)
		of := source == channel || strings.HasPrefix(source, channel+"/")
		if !of || cp.Outcome == "complete" || name.Post > 0 && source != name.Source() {
			continue
		}
		k := mediaOf(ctx, s, cp.ID)
		if k.File == "" || seen[[2]string{source, k.File}] {
			continue
		}
		seen[[2]string{source, k.File}] = true
		t, last, err := n.tried(ctx, catalog.Query{Source: cp.Source, Kind: holdfast.KindCapture}, k.File)
		if err != nil {
			return err
		}
		if t.Count > 0 {
			if err := c.sayFailed(ctx, n, source, t, last); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cli) sayFailed(ctx context.Context, n *node, source string, t collectors.Tries, k mediaRecord) error {
	cp, err := n.cat.Capture(ctx, holdfast.ID(t.Capture))
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	row := map[string]any{"event": "file", "source": source, "file": k.File, "media": k.Media, "name": k.Name, "size": k.Size, "received": k.Received, "state": k.State, "why": k.Why,
		"tries": t.Count, "last": holdfast.At(t.Last), "again": nil, "capture": t.Capture, "capture_state": cp.State}
	next := "not asked for again by itself"
	if at, ok := telegram.AskAgain(t); ok {
		row["again"] = holdfast.At(at)
		next = fmt.Sprintf("asked for again from %s on, when its post is", holdfast.At(at))
	}
	c.say(row, "%s  file %s %s  %s (%s), %d of %d bytes  %d tries, last %s in %s; %s", messages.Visible(source), k.File, messages.Visible(k.Name), k.State, messages.Visible(k.Why),
		k.Received, k.Size, t.Count, holdfast.At(t.Last), t.Capture, next)
	return nil
}
