package kept

import (
	"context"
	"fmt"
	"io"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Texts reads the texts of posts where they lie: the catalog holds their
// Digests only. It is not safe for concurrent use.
type Texts struct {
	from *Reader
	read map[holdfast.ID]map[catalog.PostText]canon.Text
}

// textsOf is how many captures are remembered: the posts of one page of history
// come one after the other, what was edited since lies elsewhere.
const textsOf = 64

// Of returns the text of a version as it was first observed; ok is false, and the
// reason on the log, if it cannot be read any more.
func (t *Texts) Of(ctx context.Context, id int64, v catalog.Version) (text canon.Text, ok bool) {
	if v.First.Capture == "" {
		return "", false
	}
	all, known := t.read[v.First.Capture]
	if !known {
		var err error
		if all, err = t.capture(ctx, v.First.Capture); err != nil {
			t.from.Log.WarnContext(ctx, "texts of posts cannot be read", "capture", v.First.Capture, "err", err)
		}
		if t.read == nil || len(t.read) >= textsOf {
			t.read = map[holdfast.ID]map[catalog.PostText]canon.Text{}
		}
		t.read[v.First.Capture] = all
	}
	text, ok = all[catalog.PostText{Post: id, Content: v.Content}]
	return text, ok && hashing.Of([]byte(text)) == v.Text
}

func (t *Texts) capture(ctx context.Context, id holdfast.ID) (map[catalog.PostText]canon.Text, error) {
	raw, _, err := t.from.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return nil, err
	}
	all := map[catalog.PostText]canon.Text{}
	for _, o := range m.Objects {
		if o.Role != catalog.RolePosts {
			continue
		}
		texts, err := t.object(ctx, id, o)
		if err != nil {
			return all, fmt.Errorf("object %s: %w", o.Name, err)
		}
		for k, text := range texts {
			all[k] = text
		}
	}
	return all, nil
}

func (t *Texts) object(ctx context.Context, id holdfast.ID, o holdfast.Object) (map[catalog.PostText]canon.Text, error) {
	r, err := t.from.OpenObject(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, catalog.MaxAnswerBytes+1))
	if err != nil {
		return nil, err
	}
	return catalog.Texts(b)
}

// NewTexts reads through from, which nobody else uses meanwhile.
func NewTexts(from *Reader) *Texts { return &Texts{from: from} }
