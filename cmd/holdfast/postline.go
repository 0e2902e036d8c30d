package main

import (
	"context"
	"encoding/json"
	"io"

	"holdfast"
	"holdfast/catalog"
)

// lineReader reads the lines of posts.jsonl where they lie: the catalog holds of a
// post what a version is, not what it says. It is not safe for concurrent use.
type lineReader struct {
	from *captures
	read map[holdfast.ID]map[catalog.PostText][]byte
	last []holdfast.ID // oldest first
}

// rememberedLines is how many captures are remembered: posts of one page of history come
// one after the other.
const rememberedLines = 16

// of returns the line of a version as it was first observed; nil, and the reason
// on the log, if it cannot be read any more.
func (r *lineReader) of(ctx context.Context, id int64, v catalog.Version) json.RawMessage {
	capture := v.First.Capture
	all, known := r.read[capture]
	if !known {
		var err error
		if all, err = r.capture(ctx, capture); err != nil {
			r.from.n.log.WarnContext(ctx, "posts cannot be read", "capture", capture, "err", err)
		}
		if r.read == nil {
			r.read = map[holdfast.ID]map[catalog.PostText][]byte{}
		}
		if len(r.last) == rememberedLines {
			delete(r.read, r.last[0])
			r.last = r.last[1:]
		}
		r.read[capture], r.last = all, append(r.last, capture)
	}
	return all[catalog.PostText{Post: id, Content: v.Content}]
}

func (r *lineReader) capture(ctx context.Context, id holdfast.ID) (map[catalog.PostText][]byte, error) {
	m, err := r.from.parsed(ctx, id)
	if err != nil {
		return nil, err
	}
	all := map[catalog.PostText][]byte{}
	for _, o := range m.Objects {
		if o.Role != catalog.RolePosts {
			continue
		}
		b, err := r.from.bytes(ctx, id, o, catalog.MaxAnswerBytes)
		if err != nil {
			return all, err
		}
		lines, err := catalog.Lines(b)
		if err != nil {
			return all, err
		}
		for k, line := range lines {
			all[k] = line
		}
	}
	return all, nil
}

// parsed reads a Manifest.
func (s *captures) parsed(ctx context.Context, id holdfast.ID) (*holdfast.Manifest, error) {
	raw, _, err := s.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	return holdfast.ParseManifest(raw)
}

// bytes reads a whole Object of at most limit bytes; what is longer is cut.
func (s *captures) bytes(ctx context.Context, id holdfast.ID, o holdfast.Object, limit int64) ([]byte, error) {
	r, err := s.OpenObject(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}
