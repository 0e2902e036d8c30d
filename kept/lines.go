package kept

import (
	"context"
	"encoding/json"

	"holdfast"
	"holdfast/catalog"
)

// Lines reads the lines of posts.jsonl where they lie: the catalog holds of a
// post what a version is, not what it says. It is not safe for concurrent use.
type Lines struct {
	from *Reader
	read map[holdfast.ID]map[catalog.PostText][]byte
	last []holdfast.ID // oldest first
}

// rememberedLines is how many captures are remembered: posts of one page of history come
// one after the other.
const rememberedLines = 16

// Of returns the line of a version as it was first observed; nil, and the reason
// on the log, if it cannot be read any more.
func (r *Lines) Of(ctx context.Context, id int64, v catalog.Version) json.RawMessage {
	capture := v.First.Capture
	all, known := r.read[capture]
	if !known {
		var err error
		if all, err = r.capture(ctx, capture); err != nil {
			r.from.Log.WarnContext(ctx, "posts cannot be read", "capture", capture, "err", err)
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

func (r *Lines) capture(ctx context.Context, id holdfast.ID) (map[catalog.PostText][]byte, error) {
	m, err := r.from.Parsed(ctx, id)
	if err != nil {
		return nil, err
	}
	all := map[catalog.PostText][]byte{}
	for _, o := range m.Objects {
		if o.Role != catalog.RolePosts {
			continue
		}
		b, err := r.from.Bytes(ctx, id, o, catalog.MaxAnswerBytes)
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

// NewLines reads through from, which nobody else uses meanwhile.
func NewLines(from *Reader) *Lines { return &Lines{from: from} }
