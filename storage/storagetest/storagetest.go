// Package storagetest is the suite that every [storage.Store] passes. A store's
// own test calls [Test]; what only that store can show (modes, crashes, locks)
// it tests itself.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"holdfast/hashing"
	"holdfast/storage"
)

// Corrupter is implemented by a store under test that can be damaged: Corrupt
// changes bytes of the Object d behind the store's back, not its size. Without
// it the suite skips what needs it.
type Corrupter interface {
	Corrupt(t *testing.T, d hashing.Digest)
}

// Shortener is implemented by a store under test that can be damaged: Shorten
// cuts off the last byte of the Object d.
type Shortener interface {
	Shorten(t *testing.T, d hashing.Digest)
}

// Reopener is implemented by a store under test that can be opened a second
// time: Reopen returns another handle on the same bytes, as a new process would.
type Reopener interface {
	Reopen(t *testing.T) storage.Store
}

// Test runs the suite. newStore returns an empty store for one subtest, which
// it closes by t.Cleanup.
func Test(t *testing.T, newStore func(t *testing.T) storage.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, storage.Store)
	}{
		{"Objects/PutOpenHas", testPutOpenHas},
		{"Objects/Empty", testEmptyObject},
		{"Objects/Missing", testMissingObject},
		{"Objects/WrongDigestOnWrite", testWrongDigest},
		{"Objects/CorruptOnRead", testCorruptRead},
		{"Objects/CorruptOnPut", testCorruptPut},
		{"Objects/Idempotent", testIdempotentPut},
		{"Objects/ConcurrentPut", testConcurrentPut},
		{"Objects/SourceFails", testPutSourceFails},
		{"Objects/Cancel", testPutCancel},
		{"Objects/StreamsInBoundedMemory", testStreaming},
		{"Objects/List", testObjects},
		{"Objects/ListStops", testObjectsStop},
		{"Objects/OpenOutlivesContext", testOpenOutlivesContext},
		{"Objects/OddReaders", testOddReaders},
		{"Objects/Liars", testLiars},
		{"Objects/Shorter", testShorter},
		{"Objects/Large", testLarge},
		{"Names/CreateOpenRead", testCreate},
		{"Names/Missing", testMissingName},
		{"Names/NeverOverwrites", testNeverOverwrites},
		{"Names/ConcurrentCreate", testConcurrentCreate},
		{"Names/CreateAll", testCreateAll},
		{"Names/ConcurrentCreateAll", testConcurrentCreateAll},
		{"Names/Range", testRange},
		{"Names/ReadLimit", testReadLimit},
		{"Names/WriterFails", testWriterFails},
		{"Names/Cancel", testCreateCancel},
		{"Names/Bad", testBadNames},
		{"Names/Folders", testFolders},
		{"Names/FoldersAll", testFoldersAll},
		{"Names/ReadAtOnce", testReadAtOnce},
		{"Names/ListOrder", testListOrder},
		{"Names/ListStops", testListStops},
		{"Import/Files", testImport},
		{"Import/Refuses", testImportRefuses},
		{"Import/Order", testImportOrder},
		{"Import/Stops", testImportStops},
		{"Accept", testAccept},
		{"Durable/Reopen", testReopen},
		{"Erase", testErase},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newStore(t)) })
	}
}

var errSource = errors.New("source broke") // what a broken stream of a test says

// handles returns s and, if it can be had, a second handle on the same bytes.
func handles(t *testing.T, s storage.Store) []storage.Store {
	if r, ok := s.(Reopener); ok {
		return []storage.Store{s, r.Reopen(t)}
	}
	return []storage.Store{s}
}

func put(t *testing.T, s storage.Store, b []byte) hashing.Digest {
	t.Helper()
	d, n, err := s.Put(t.Context(), bytes.NewReader(b))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if d != hashing.Of(b) || n != int64(len(b)) {
		t.Fatalf("put says %s, %d bytes; want %s, %d", d, n, hashing.Of(b), len(b))
	}
	return d
}

// wantObject reads d and fails unless it is b.
func wantObject(t *testing.T, s storage.Store, d hashing.Digest, b []byte) {
	t.Helper()
	r, n, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, b) || n != int64(len(b)) {
		t.Fatalf("object of %d bytes reads as %d (size says %d), %v", len(b), len(got), n, err)
	}
}

func wantNoObject(t *testing.T, s storage.Store, d hashing.Digest) {
	t.Helper()
	if ok, err := s.Has(t.Context(), d); ok || err != nil {
		t.Fatalf("has %s = %t, %v; want false", d, ok, err)
	}
}

func create(t *testing.T, s storage.Store, name, data string) {
	t.Helper()
	if err := s.Create(t.Context(), name, bytes.NewReader([]byte(data))); err != nil {
		t.Fatal(err)
	}
}

func wantName(t *testing.T, s storage.Store, name, data string) {
	t.Helper()
	got, err := s.ReadName(t.Context(), name, 1<<20)
	if err != nil || string(got) != data {
		t.Fatalf("read %q = %.40q, %v; want %.40q", name, got, err, data)
	}
}

// wantErr fails unless err wraps want.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want one that wraps %q", err, want)
	}
}

// noise yields n bytes that do not repeat, and calls at with what is read so far.
type noise struct {
	n    int64
	read int64
	src  *rand.ChaCha8
	at   func(read int64) error
}

func newNoise(n int64, at func(int64) error) *noise {
	return &noise{n: n, src: rand.NewChaCha8([32]byte{1}), at: at}
}

func (r *noise) Read(p []byte) (int, error) {
	if r.at != nil {
		if err := r.at(r.read); err != nil {
			return 0, err
		}
	}
	if r.read == r.n {
		return 0, io.EOF
	}
	n, _ := r.src.Read(p[:min(int64(len(p)), r.n-r.read)])
	r.read += int64(n)
	return n, nil
}

// heapPeak runs f and returns by how many bytes the live heap grew at most, as
// seen by probe, which f calls now and then.
func heapPeak(f func(probe func())) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base, peak := m.HeapAlloc, uint64(0)
	var calls atomic.Int64
	f(func() {
		if calls.Add(1)%64 != 0 {
			return
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > base {
			peak = max(peak, m.HeapAlloc-base)
		}
	})
	return peak
}

// cancelAfter returns a reader of n bytes that cancels ctx once half is read.
func cancelAfter(t *testing.T, n int64) (context.Context, *noise) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, newNoise(n, func(read int64) error {
		if read >= n/2 {
			cancel()
		}
		return nil
	})
}
