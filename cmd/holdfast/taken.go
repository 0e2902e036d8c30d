package main

import (
	"context"
	"encoding/json"
	"io"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
)

// maxTaken bounds how many captures of one Source are looked through for a file.
const maxTaken = 100

// mediaRecord is what is read of media.json.
type mediaRecord struct {
	Differs []json.RawMessage `json:"differs"`
	File    string            `json:"file"`
	State   string            `json:"state"`
}

// takenIn says which Capture of a Case has a file of a post already, whole and as
// the service's own hashes say. What cannot be read now, or is not in the catalog
// yet, counts as not taken: then the file is asked for once more, and the store
// keeps it once.
func (r *round) takenIn(home holdfast.ID) func(ctx context.Context, source, file string) (string, error) {
	return func(ctx context.Context, source, file string) (string, error) {
		s := &captures{n: r.n}
		for c, err := range r.n.cat.Captures(ctx, catalog.Query{Member: home, Source: holdfast.Source(source), Kind: holdfast.KindCapture, Limit: maxTaken}) {
			if err != nil {
				r.n.log.WarnContext(ctx, "not known whether a file is taken", "source", source, "err", err)
				return "", ctx.Err()
			}
			if c.Outcome == "complete" && s.mediaOf(ctx, c.ID).File == file {
				return string(c.ID), nil
			}
		}
		return "", nil
	}
}

// mediaOf reads what a Capture of a file says of it; nothing of another one.
func (s *captures) mediaOf(ctx context.Context, id holdfast.ID) (k mediaRecord) {
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
		if err != nil || json.Unmarshal(b, &k) != nil || k.State != "whole" || len(k.Differs) > 0 {
			return mediaRecord{}
		}
	}
	return k
}
