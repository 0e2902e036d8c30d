package storagetest

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"holdfast/hashing"
	"holdfast/storage"
)

// testOpenOutlivesContext: the context of Open is for the opening only.
func testOpenOutlivesContext(t *testing.T, s storage.Store) {
	b := bytes.Repeat([]byte("0123456789"), 300_000)
	d := put(t, s, b)
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := s.Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d of %d bytes after the context of the opening ended: %v", len(got), len(b), err)
	}
	_, _, err = s.Open(ctx, d)
	wantErr(t, err, context.Canceled)
}

// testOddReaders: what io.Reader allows is taken.
func testOddReaders(t *testing.T, s storage.Store) {
	b := bytes.Repeat([]byte("odd"), 3000)
	for name, odd := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
		"nothing first": func(r io.Reader) io.Reader { return io.MultiReader(&idle{n: 3}, r) },
	} {
		b := append([]byte(name), b...)
		if err := s.PutDigest(t.Context(), hashing.Of(b), int64(len(b)), odd(bytes.NewReader(b))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantObject(t, s, hashing.Of(b), b)
		n := "odd/" + hashing.Of(b).Hex()
		if err := s.Create(t.Context(), n, odd(bytes.NewReader(b))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantName(t, s, n, string(b))
	}
}

// idle reads as nothing n times, without an error, and then ends.
type idle struct{ n int }

func (i *idle) Read([]byte) (int, error) {
	if i.n--; i.n < 0 {
		return 0, io.EOF
	}
	return 0, nil
}

// testLiars: among those who bring one Object some bring other bytes; each is
// refused, and the Object is kept.
func testLiars(t *testing.T, s storage.Store) {
	b, handles := bytes.Repeat([]byte("true"), 50_000), handles(t, s)
	d := hashing.Of(b)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			mine := bytes.Clone(b)
			if i%2 == 1 {
				mine[i] ^= 1
			}
			err := handles[i/2%len(handles)].PutDigest(t.Context(), d, int64(len(b)), bytes.NewReader(mine))
			if (err != nil) != (i%2 == 1) {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	wantObject(t, s, d, b)
}

// testShorter: an Object that lost its end is never read as a shorter one, and
// the good bytes are not dropped for it.
func testShorter(t *testing.T, s storage.Store) {
	c, ok := s.(Shortener)
	if !ok {
		t.Skip("the store under test has no Shorten")
	}
	b := bytes.Repeat([]byte("0123456789"), 50_000)
	d := put(t, s, b)
	c.Shorten(t, d)
	r, _, err := s.Open(t.Context(), d)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	wantErr(t, err, hashing.ErrMismatch)
	_, _, err = s.Put(t.Context(), bytes.NewReader(b))
	wantErr(t, err, hashing.ErrMismatch)
	wantErr(t, err, storage.ErrForeign)
}

func testObjectsStop(t *testing.T, s storage.Store) {
	l, ok := s.(storage.ObjectLister)
	if !ok {
		t.Skip("the store under test does not list Objects")
	}
	for i := range 10 {
		put(t, s, []byte{byte(i)})
	}
	n := 0
	for range l.Objects(t.Context()) {
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range l.Objects(ctx) {
		last = err
	}
	wantErr(t, last, context.Canceled)
}

// testFoldersAll: no name is the folder of another, however many are created at
// once, and what such a call leaves is whole.
func testFoldersAll(t *testing.T, s storage.Store) {
	create(t, s, "a/b", "x")
	for _, bad := range []string{"a", "a/b/c"} {
		_, err := s.CreateAll(t.Context(), storage.Item{Name: "z/" + bad, Data: []byte("z")}, storage.Item{Name: bad, Data: []byte("y")})
		wantErr(t, err, storage.ErrName)
	}
	for _, both := range [][2]string{{"n", "n/o"}, {"p/q/r", "p"}} { // the clash lies in the call itself
		_, err := s.CreateAll(t.Context(), storage.Item{Name: both[0], Data: []byte("z")}, storage.Item{Name: both[1], Data: []byte("y")})
		wantErr(t, err, storage.ErrName)
	}
	for e, err := range s.List(t.Context(), "") {
		if err != nil || e.Size != 1 {
			t.Errorf("%v, %v", e, err)
		}
	}
	wantName(t, s, "a/b", "x")
}

// testReadAtOnce: an open name is read at many places at once.
func testReadAtOnce(t *testing.T, s storage.Store) {
	b, _ := io.ReadAll(newNoise(300_000, nil))
	create(t, s, "pack.zip", string(b))
	f, err := s.OpenName(t.Context(), "pack.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			off, got := i*18_000, make([]byte, 20_000)
			if _, err := f.ReadAt(got, int64(off)); err != nil && err != io.EOF || !bytes.Equal(got, b[off:off+len(got)]) {
				t.Errorf("at %d: wrong bytes, %v", off, err)
			}
		})
	}
	wg.Wait()
}

// testLarge: whatever a store does with many bytes, at the seams of it too, gives the
// same bytes. The sizes are around those of which parts are made (5 MiB is the least
// that S3 takes).
func testLarge(t *testing.T, s storage.Store) {
	const part = 5 << 20
	all, _ := io.ReadAll(newNoise(2*part+part/2, nil))
	for _, size := range []int{part - 1, part, part + 1, 2 * part, len(all)} {
		b := all[:size]
		d := hashing.Of(b)
		if err := s.PutDigest(t.Context(), d, int64(size), iotest.HalfReader(bytes.NewReader(b))); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		wantObject(t, s, d, b)
		wantObject(t, s, put(t, s, b), b) // there already
	}
	create(t, s, "large.zip", string(all))
	f, err := s.OpenName(t.Context(), "large.zip")
	if err != nil || f.Size() != int64(len(all)) {
		t.Fatalf("open name: %v", err)
	}
	defer f.Close()
	got := make([]byte, 200_000)
	for _, off := range []int{0, part - 100_000, 2*part - 1, len(all) - len(got)} {
		if _, err := f.ReadAt(got, int64(off)); err != nil && err != io.EOF || !bytes.Equal(got, all[off:off+len(got)]) {
			t.Errorf("at %d: wrong bytes, %v", off, err)
		}
	}
	bad := bytes.Clone(all)
	bad[part+1] ^= 1
	wantErr(t, s.PutDigest(t.Context(), hashing.Of(all[:len(all)-1]), int64(len(all)-1), bytes.NewReader(bad[:len(all)-1])), hashing.ErrMismatch)
	wantNoObject(t, s, hashing.Of(all[:len(all)-1]))
}

// testAccept: a store that nothing is wrong with takes more.
func testAccept(t *testing.T, s storage.Store) {
	a, ok := s.(storage.Accepter)
	if !ok {
		t.Skip("the store under test has no Accept")
	}
	if err := a.Accept(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, a.Accept(ctx), context.Canceled)
}
