package storagetest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/hashing"
	"holdfast/storage"
)

func testPutOpenHas(t *testing.T, s storage.Store) {
	for _, b := range [][]byte{[]byte("a"), bytes.Repeat([]byte("xyz"), 100_000), {0}, []byte(strings.Repeat("\n", 4096))} {
		wantNoObject(t, s, hashing.Of(b))
		d := put(t, s, b)
		wantObject(t, s, d, b)
		if ok, err := s.Has(t.Context(), d); !ok || err != nil {
			t.Fatalf("has = %t, %v", ok, err)
		}
	}
	b := []byte("named")
	for _, size := range []int64{5, -1, 5} {
		if err := s.PutDigest(t.Context(), hashing.Of(b), size, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		wantObject(t, s, hashing.Of(b), b)
	}
}

func testEmptyObject(t *testing.T, s storage.Store) {
	d := put(t, s, nil)
	wantObject(t, s, d, nil)
	if err := s.PutDigest(t.Context(), d, 0, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
}

func testMissingObject(t *testing.T, s storage.Store) {
	put(t, s, []byte("another"))
	_, _, err := s.Open(t.Context(), hashing.Of([]byte("absent")))
	wantErr(t, err, fs.ErrNotExist)
	wantNoObject(t, s, hashing.Digest{})
}

func testWrongDigest(t *testing.T, s storage.Store) {
	good, d := []byte("the good bytes"), hashing.Of([]byte("the good bytes"))
	for name, c := range map[string]struct {
		size int64
		data string
	}{
		"other bytes":    {14, "the evil bytes"},
		"too short":      {14, "the good byte"},
		"too long":       {14, "the good bytes!"},
		"size not known": {-1, "the evil bytes"},
		"size wrong":     {13, "the good bytes"},
		"nothing":        {14, ""},
	} {
		err := s.PutDigest(t.Context(), d, c.size, strings.NewReader(c.data))
		if err == nil {
			t.Fatalf("%s: kept", name)
		}
		wantErr(t, err, hashing.ErrMismatch)
		wantNoObject(t, s, d)
		wantNoObject(t, s, hashing.Of([]byte(c.data)))
	}
	endless := newNoise(1<<20, nil)
	wantErr(t, s.PutDigest(t.Context(), d, 14, endless), hashing.ErrMismatch)
	if endless.read > 64<<10 {
		t.Errorf("%d bytes were read of a stream that should have 14", endless.read)
	}
	put(t, s, good)
	// Bytes are refused also when the good ones are there already.
	wantErr(t, s.PutDigest(t.Context(), d, 14, strings.NewReader("the evil bytes")), hashing.ErrMismatch)
	wantObject(t, s, d, good)
}

func corrupter(t *testing.T, s storage.Store) Corrupter {
	c, ok := s.(Corrupter)
	if !ok {
		t.Skip("the store under test has no Corrupt")
	}
	return c
}

func testCorruptRead(t *testing.T, s storage.Store) {
	c := corrupter(t, s)
	d := put(t, s, bytes.Repeat([]byte("0123456789"), 50_000))
	c.Corrupt(t, d)
	r, _, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err == nil {
		t.Fatalf("%d corrupted bytes were read without an error", n)
	}
	wantErr(t, err, hashing.ErrMismatch)
}

// Bytes that come again must not be dropped for a copy that has decayed.
func testCorruptPut(t *testing.T, s storage.Store) {
	c := corrupter(t, s)
	b := bytes.Repeat([]byte("0123456789"), 50_000)
	c.Corrupt(t, put(t, s, b))
	_, _, err := s.Put(t.Context(), bytes.NewReader(b))
	wantErr(t, err, hashing.ErrMismatch)
	wantErr(t, err, storage.ErrForeign)
}

func testIdempotentPut(t *testing.T, s storage.Store) {
	b := []byte("twice")
	for range 3 {
		wantObject(t, s, put(t, s, b), b)
	}
}

func testConcurrentPut(t *testing.T, s storage.Store) {
	b := bytes.Repeat([]byte("same"), 70_000)
	var wg sync.WaitGroup
	handles := handles(t, s)
	for i := range 16 {
		wg.Go(func() {
			if d, _, err := handles[i%len(handles)].Put(t.Context(), bytes.NewReader(b)); err != nil || d != hashing.Of(b) {
				t.Errorf("put: %s, %v", d, err)
			}
		})
	}
	wg.Wait()
	wantObject(t, s, hashing.Of(b), b)
}

func testPutSourceFails(t *testing.T, s storage.Store) {
	whole, _ := io.ReadAll(newNoise(1<<20, nil))
	for _, at := range []int64{0, 300_000, 1 << 20} {
		_, _, err := s.Put(t.Context(), newNoise(1<<20, func(read int64) error {
			if read >= at {
				return errSource
			}
			return nil
		}))
		wantErr(t, err, errSource)
	}
	wantNoObject(t, s, hashing.Of(whole))
	wantNoObject(t, s, hashing.Of(nil))
}

func testPutCancel(t *testing.T, s storage.Store) {
	whole, _ := io.ReadAll(newNoise(1<<20, nil))
	ctx, r := cancelAfter(t, 1<<20)
	_, _, err := s.Put(ctx, r)
	wantErr(t, err, context.Canceled)
	if r.read == 1<<20 {
		t.Error("a cancelled Put read its source to the end")
	}
	_, _, err = s.Put(ctx, bytes.NewReader(whole))
	wantErr(t, err, context.Canceled)
	wantNoObject(t, s, hashing.Of(whole))
	put(t, s, whole) // the store itself is well
}

func testStreaming(t *testing.T, s storage.Store) {
	const size = 50 << 20
	var d hashing.Digest
	grown := heapPeak(func(probe func()) {
		var err error
		d, _, err = s.Put(t.Context(), newNoise(size, func(int64) error { probe(); return nil }))
		if err != nil {
			t.Fatal(err)
		}
		r, n, err := s.Open(t.Context(), d)
		if err != nil || n != size {
			t.Fatalf("open: %d bytes, %v", n, err)
		}
		defer r.Close()
		if _, err := io.CopyBuffer(probed{probe}, struct{ io.Reader }{r}, make([]byte, 32<<10)); err != nil {
			t.Fatal(err)
		}
	})
	if grown > 8<<20 {
		t.Errorf("the heap grew by %d MB over an Object of 50 MB", grown>>20)
	}
}

type probed struct{ probe func() }

func (p probed) Write(b []byte) (int, error) { p.probe(); return len(b), nil }

func testObjects(t *testing.T, s storage.Store) {
	l, ok := s.(storage.ObjectLister)
	if !ok {
		t.Skip("the store under test does not list Objects")
	}
	var want []storage.ObjectEntry
	for i := range 20 {
		b := bytes.Repeat([]byte{byte(i)}, i)
		want = append(want, storage.ObjectEntry{Digest: put(t, s, b), Size: int64(i)})
	}
	create(t, s, "a/name", "is no Object")
	slices.SortFunc(want, func(a, b storage.ObjectEntry) int { return a.Digest.Compare(b.Digest) })
	var got []storage.ObjectEntry
	for e, err := range l.Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("objects: %v, want %v", got, want)
	}
}
