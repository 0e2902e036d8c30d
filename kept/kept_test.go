package kept_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/pipeline"
	queuedb "holdfast/pipeline/sqlite"
	"holdfast/preserve"
	"holdfast/storage/file"
)

// world is a node's store, queue and catalog, and a capture that no plan has.
type world struct {
	*testing.T
	dir     string
	store   *file.Store
	catalog *catalogdb.Catalog
	queue   pipeline.Consumer
	item    pipeline.Item
}

func newWorld(t *testing.T) *world {
	ctx, dir, log := t.Context(), t.TempDir(), slog.New(slog.DiscardHandler)
	w := &world{T: t, dir: dir}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.store, err = file.Open(filepath.Join(dir, "store"), file.Options{MinFree: -1})
	check(err)
	t.Cleanup(func() { w.store.Close() })
	q, err := queuedb.Open(ctx, filepath.Join(dir, "queue.db"), queuedb.Options{})
	check(err)
	t.Cleanup(func() { q.Close() })
	w.queue = q
	w.catalog, err = catalogdb.Create(ctx, filepath.Join(dir, "catalog.db"), catalogdb.Options{})
	check(err)
	t.Cleanup(func() { w.catalog.Close() })
	facts := pipeline.Facts{Node: "a.0123456789abcdef", Software: holdfast.Software{Name: "test", Digest: hashing.Of(nil)}, Config: hashing.Of(nil), Clock: holdfast.Clock{Source: "node"}}
	out, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, log)
	check(err)
	_, err = out.Append(ctx, pipeline.Entry{Case: holdfast.NewID(), Action: "noted", Why: "it is small, and rides in the message"})
	check(err)
	_, err = (&pipeline.Normalise{Queue: q, Log: log}).Drain(ctx)
	check(err)
	ms, err := q.Receive(ctx, pipeline.StageIndex, 0, 0, pipeline.Bounds{Count: 1})
	check(err)
	w.item, err = ms[0].Item()
	check(err)
	a, err := catalog.Read(int64(w.item.Place()), w.item.Manifest)
	check(err)
	check(w.catalog.Accepted(ctx, []catalog.Accepted{a}))
	return w
}

func (w *world) reader(q kept.Queue) *kept.Reader {
	return &kept.Reader{Catalog: w.catalog, Store: w.store, Queue: q, Log: slog.New(slog.DiscardHandler)}
}

// seal puts the capture into a pack and says so to the catalog.
func (w *world) seal() (seal, pack string) {
	w.Helper()
	seal = holdfast.SealID("0123456789abcdef", 0, 1)
	m, err := holdfast.ParseManifest(w.item.Manifest)
	if err != nil {
		w.Fatal(err)
	}
	small := map[hashing.Digest][]byte{hashing.Of(w.item.Manifest): w.item.Manifest}
	for _, s := range w.item.Small {
		small[s.Digest] = s.Bytes
	}
	pack = holdfast.PackName(m.Case, seal)
	p := &holdfast.Plan{Captures: []holdfast.Planned{{ID: m.ID, Manifest: hashing.Of(w.item.Manifest), Position: 1}}, First: 1, Last: 1, Queue: "0123456789abcdef", Seal: seal,
		Packs: []holdfast.Pack{{Case: m.Case, Name: pack}}}
	var z bytes.Buffer
	b, err := p.Encode()
	if err == nil {
		err = errors.Join(preserve.WritePack(&z, m.Case, small), w.store.Create(w.Context(), catalog.PlanName(seal), bytes.NewReader(b)))
	}
	if err == nil {
		err = w.store.Create(w.Context(), pack, bytes.NewReader(z.Bytes()))
	}
	if err != nil {
		w.Fatal(err)
	}
	s, err := catalog.Locate(w.Context(), w.store, seal)
	if err == nil {
		s.State, s.At = pipeline.StateSigned, time.Now()
		err = w.catalog.Sealed(w.Context(), []catalog.SealState{s})
	}
	if err != nil {
		w.Fatal(err)
	}
	return seal, pack
}

// pruned is a queue that has it no more.
type pruned struct{ pipeline.Consumer }

func (pruned) Receive(context.Context, pipeline.Stage, int, int64, pipeline.Bounds) ([]pipeline.Message, error) {
	return nil, pipeline.ErrStale
}

// TestReader reads one capture in the queue, then in its pack, and then nowhere.
func TestReader(t *testing.T) {
	w := newWorld(t)
	m, err := holdfast.ParseManifest(w.item.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	line := m.Object("line.json")
	read := func(r *kept.Reader) (string, error) {
		b, seal, err := r.Manifest(t.Context(), m.ID)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(b, w.item.Manifest) {
			t.Error("another Manifest")
		}
		o, err := r.Bytes(t.Context(), m.ID, *line, holdfast.MaxDocument)
		if err == nil && hashing.Of(o) != line.Digest {
			t.Error("another Object")
		}
		return seal, err
	}
	if seal, err := read(w.reader(w.queue)); err != nil || seal != "" {
		t.Errorf("in the queue: Seal %q, %v", seal, err)
	}
	for name, q := range map[string]kept.Queue{"pruned": pruned{w.queue}, "another queue": newWorld(t).queue} {
		if _, err := read(w.reader(q)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nowhere, %s: %v, want fs.ErrNotExist", name, err)
		}
	}
	seal, pack := w.seal()
	for name, r := range map[string]*kept.Reader{"by the catalog": w.reader(pruned{w.queue}), "by a place": w.reader(pruned{w.queue})} {
		if name == "by a place" {
			r.At = kept.Places{}
			cp, err := w.catalog.Capture(t.Context(), m.ID)
			if err != nil {
				t.Fatal(err)
			}
			r.At.Add(cp)
		}
		if got, err := read(r); err != nil || got != seal {
			t.Errorf("%s: Seal %q, %v, want %s", name, got, err, seal)
		}
	}
	other := newWorld(t) // whose queue has another capture at that position, and whose catalog knows nothing of this one
	if b, _, err := other.reader(w.queue).Manifest(t.Context(), m.ID); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("in another catalog: %q, %v, want ErrNotFound", b, err)
	}
	placed := other.reader(other.queue)
	placed.Store, placed.At = w.store, kept.Places{}
	cp, err := w.catalog.Capture(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	placed.At.Add(cp)
	if got, err := read(placed); err != nil || got != seal {
		t.Errorf("by a place alone: Seal %q, %v, want %s", got, err, seal)
	}
	if _, _, err := w.reader(w.queue).Manifest(t.Context(), holdfast.NewID()); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a capture that nobody knows: %v, want ErrNotFound", err)
	}
	// A pack that was changed is not believed, and the queue does not have it any more.
	path := filepath.Join(w.dir, "store", filepath.FromSlash(pack))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("rides in the message"))
	if at < 0 {
		t.Fatal("the pack does not hold the line")
	}
	b[at]++
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	if o, err := w.reader(pruned{w.queue}).Bytes(t.Context(), m.ID, *line, holdfast.MaxDocument); err == nil {
		t.Errorf("a changed pack gives %q", o)
	}
}

// TestLarge reads an Object of its own, and says where one is nowhere.
func TestLarge(t *testing.T) {
	w := newWorld(t)
	m, err := holdfast.ParseManifest(w.item.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	d, size, err := w.store.Put(t.Context(), strings.NewReader("large, as far as the store knows"))
	if err != nil {
		t.Fatal(err)
	}
	r := w.reader(w.queue)
	f, err := r.OpenObject(t.Context(), m.ID, holdfast.Object{Name: "large", Digest: d, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || hashing.Of(b) != d {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := r.OpenObject(t.Context(), m.ID, holdfast.Object{Name: "gone", Digest: hashing.Of([]byte("gone"))}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "object gone") {
		t.Errorf("an Object that is nowhere: %v", err)
	}
	cut, err := r.Bytes(t.Context(), m.ID, holdfast.Object{Name: "large", Digest: d, Size: size}, 5)
	if err != nil || string(cut) != "large" {
		t.Errorf("cut: %q, %v", cut, err)
	}
}
