package kept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// Places are where the Manifests lie of what is to be exported: read once, since
// a question to the catalog for each of 100,000 would take most of the time.
type Places map[holdfast.ID]place

type place struct {
	manifest hashing.Digest
	seal     string // "" while no plan has it
}

// Add notes where that of one capture lies.
func (p Places) Add(c catalog.Capture) { p[c.ID] = place{c.Manifest, c.Seal} }

// Reader gives the bytes of captures, wherever they lie. It is not safe for
// concurrent use.
type Reader struct {
	Catalog Catalog
	Store   Store
	Queue   Queue
	Log     *slog.Logger // of [Lines] and [Texts]
	At      Places       // Optional.

	seals []located // newest last, at most seekers
}

// seekers is how many Seals are remembered: captures of one Seal come one after
// the other, but for those that began in the same moment.
const seekers = 8

// located says where the small Objects of a Seal lie.
type located struct {
	seal string
	refs map[hashing.Digest]catalog.Ref
}

// Manifest returns the bytes of a Manifest, at most [holdfast.MaxDocument], and the Seal that
// has it; "" while no plan has. A capture that the catalog has not is
// [catalog.ErrNotFound], one whose Manifest lies nowhere wraps [fs.ErrNotExist].
func (s *Reader) Manifest(ctx context.Context, id holdfast.ID) ([]byte, string, error) {
	if p, ok := s.At[id]; ok && p.seal != "" {
		if b, err := s.small(ctx, p.seal, p.manifest, holdfast.MaxDocument); err == nil {
			return b, p.seal, nil
		}
	}
	b, seal, err := s.manifest(ctx, id)
	if errors.Is(err, fs.ErrNotExist) { // sealed, and pruned, between the two looks
		b, seal, err = s.manifest(ctx, id)
	}
	return b, seal, err
}

func (s *Reader) manifest(ctx context.Context, id holdfast.ID) ([]byte, string, error) {
	cp, err := s.Catalog.Capture(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if b, err := s.small(ctx, cp.Seal, cp.Manifest, holdfast.MaxDocument); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, cp.Seal, err
	}
	it, err := s.Queued(ctx, cp)
	return it.Manifest, cp.Seal, err
}

// small reads from a pack of the Seal; another pack serves where that one is
// damaged.
func (s *Reader) small(ctx context.Context, seal string, d hashing.Digest, limit int64) (b []byte, err error) {
	if ref, ok := s.placed(ctx, seal)[d]; ok {
		if b, err = ref.Read(ctx, s.Store, d, limit); err == nil {
			return b, nil
		}
	}
	err = fs.ErrNotExist
	for ref, rerr := range s.Catalog.Refs(ctx, d) {
		if rerr != nil {
			return nil, rerr
		}
		if b, err = ref.Read(ctx, s.Store, d, limit); err == nil {
			return b, nil
		}
	}
	return nil, err
}

// placed returns where the small Objects of a Seal lie; nil for none.
func (s *Reader) placed(ctx context.Context, seal string) map[hashing.Digest]catalog.Ref {
	if seal == "" {
		return nil
	}
	for _, l := range s.seals {
		if l.seal == seal {
			return l.refs
		}
	}
	l := located{seal, map[hashing.Digest]catalog.Ref{}}
	st, _ := catalog.Locate(ctx, s.Store, seal) // what it misses, the catalog may know
	for _, p := range st.Placed {
		l.refs[p.Digest] = p.Ref
	}
	s.seals = append(s.seals[max(len(s.seals)-seekers+1, 0):], l)
	return l.refs
}

// Queued reads a capture that no plan has taken yet.
func (s *Reader) Queued(ctx context.Context, cp catalog.Capture) (pipeline.Item, error) {
	at := pipeline.Place(cp.Position)
	ms, err := s.Queue.Receive(ctx, pipeline.StageIndex, at.Partition(), at.Position()-1, pipeline.Bounds{Count: 1, NoWait: true})
	if err != nil && !errors.Is(err, pipeline.ErrStale) {
		return pipeline.Item{}, err
	}
	if len(ms) == 0 || ms[0].ID != cp.ID {
		return pipeline.Item{}, fmt.Errorf("capture %s is neither in a pack nor in the queue: %w; `holdfast rebuild` looks again", cp.ID, fs.ErrNotExist)
	}
	return ms[0].Item()
}

// OpenObject opens an Object of a capture, which the caller closes. What lies nowhere wraps
// [fs.ErrNotExist]; a large Object that is not what its Digest says shows at its end.
func (s *Reader) OpenObject(ctx context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	r, err := s.kept(ctx, id, o)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	cp, err := s.Catalog.Capture(ctx, id)
	if err != nil {
		return nil, err
	}
	it, err := s.Queued(ctx, cp)
	if errors.Is(err, fs.ErrNotExist) { // sealed, and pruned, between the two looks
		if r, kerr := s.kept(ctx, id, o); kerr == nil {
			return r, nil
		}
	}
	for _, sm := range it.Small {
		if sm.Digest == o.Digest {
			return io.NopCloser(bytes.NewReader(sm.Bytes)), nil
		}
	}
	return nil, errors.Join(err, fmt.Errorf("object %s of capture %s is not here: %w", o.Name, id, fs.ErrNotExist))
}

// kept opens what is in a pack or an Object of its own.
func (s *Reader) kept(ctx context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	b, err := s.small(ctx, s.At[id].seal, o.Digest, pipeline.MaxInline)
	if err == nil {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r, _, err := s.Store.Open(ctx, o.Digest)
	return r, err
}

// Parsed reads a Manifest.
func (s *Reader) Parsed(ctx context.Context, id holdfast.ID) (*holdfast.Manifest, error) {
	raw, _, err := s.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	return holdfast.ParseManifest(raw)
}

// Bytes reads a whole Object of at most limit bytes; what is longer is cut.
func (s *Reader) Bytes(ctx context.Context, id holdfast.ID, o holdfast.Object, limit int64) ([]byte, error) {
	r, err := s.OpenObject(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}
