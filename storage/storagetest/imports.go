package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"time"

	"holdfast/hashing"
	"holdfast/storage"
)

func importer(t *testing.T, s storage.Store) storage.Importer {
	t.Helper()
	i, ok := s.(storage.Importer)
	if !ok {
		t.Skip("the store under test imports nothing")
	}
	return i
}

// incoming is an Object where name is empty.
func incoming(name, data string) storage.Incoming {
	in := storage.Incoming{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(data))), nil }}
	if name == "" {
		d := hashing.Of([]byte(data))
		in.Digest = &d
	}
	return in
}

// testImport: Objects and names come in, many at once and again at no cost, and what
// is counted is what was written.
func testImport(t *testing.T, s storage.Store) {
	i := importer(t, s)
	var in []storage.Incoming
	var size int64
	for n := range 60 {
		data := fmt.Sprintf("%d of many", n)
		name := fmt.Sprintf("seals/%d/plan.json", n)
		if n%3 == 0 {
			name = ""
		}
		in, size = append(in, incoming(name, data)), size+int64(len(data))
	}
	d := hashing.Of([]byte("named and digested"))
	both := incoming("a/b", "named and digested")
	both.Digest = &d
	in, size = append(in, both, incoming("empty", "")), size+18
	for _, want := range []int64{size, 0} {
		if n, err := i.Import(t.Context(), in); n != want || err != nil {
			t.Fatalf("import: %d bytes, %v; want %d", n, err, want)
		}
	}
	for n := range 60 {
		data := fmt.Sprintf("%d of many", n)
		if n%3 == 0 {
			wantObject(t, s, hashing.Of([]byte(data)), []byte(data))
		} else {
			wantName(t, s, fmt.Sprintf("seals/%d/plan.json", n), data)
		}
	}
	wantName(t, s, "a/b", "named and digested")
	wantName(t, s, "empty", "")
	wantNoObject(t, s, d) // it is a name
	put(t, s, []byte("0 of many"))
	wantErr(t, s.Create(t.Context(), "a/b", bytes.NewReader(nil)), storage.ErrExists)
	if n, err := i.Import(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("import nothing: %d, %v", n, err)
	}
}

// testImportRefuses: a name is never replaced, and wrong bytes never get one.
func testImportRefuses(t *testing.T, s storage.Store) {
	i := importer(t, s)
	create(t, s, "a", "1")
	create(t, s, "f/g", "1")
	wrong, other := incoming("w", "1"), hashing.Of([]byte("2"))
	wrong.Digest = &other
	lying := incoming("", "1")
	lying.Digest = &other
	for what, c := range map[string]struct {
		in storage.Incoming
		is error
	}{
		"taken with other bytes":       {incoming("a", "2"), storage.ErrExists},
		"taken with more bytes":        {incoming("a", "12"), storage.ErrExists},
		"a name of another digest":     {wrong, hashing.ErrMismatch},
		"an Object of another digest":  {lying, hashing.ErrMismatch},
		"a name that leaves the store": {incoming("../x", "1"), storage.ErrName},
		"a folder":                     {incoming("f", "1"), storage.ErrName},
		"below a name":                 {incoming("a/x", "1"), storage.ErrName},
		"no name at all":               {storage.Incoming{Open: incoming("a", "1").Open}, storage.ErrName},
		"a source that fails":          {storage.Incoming{Name: "s", Open: func() (io.ReadCloser, error) { return nil, errSource }}, errSource},
		"a source that breaks": {storage.Incoming{Name: "s", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(newNoise(9, func(int64) error { return errSource })), nil
		}}, errSource},
	} {
		if _, err := i.Import(t.Context(), []storage.Incoming{c.in}); err == nil {
			t.Errorf("%s: taken", what)
		} else {
			wantErr(t, err, c.is)
		}
	}
	wantName(t, s, "a", "1")
	wantNoObject(t, s, other)
	for _, n := range []string{"w", "s"} {
		_, err := s.OpenName(t.Context(), n)
		wantErr(t, err, fs.ErrNotExist)
	}
	if _, err := i.Import(t.Context(), make([]storage.Incoming, storage.MaxImport+1)); err == nil {
		t.Error("more than MaxImport were taken")
	}
}

// testImportOrder: a name is not seen before all that was given before it, so who
// finds the last finds all.
func testImportOrder(t *testing.T, s storage.Store) {
	i := importer(t, s)
	name := func(n int) string { return fmt.Sprintf("n/%02d", n) }
	var in []storage.Incoming
	for n := range 20 {
		in = append(in, incoming("", "object of "+name(n)), incoming(name(n), "x"))
	}
	gate, begun := make(chan struct{}), make(chan struct{})
	open := in[5].Open // of name(2)
	in[5].Open = func() (io.ReadCloser, error) { close(begun); <-gate; return open() }
	done := make(chan error)
	go func() { _, err := i.Import(t.Context(), in); done <- err }()
	<-begun
	for range 10 {
		time.Sleep(20 * time.Millisecond)
		for n := 2; n < 20; n++ {
			if _, err := s.ReadName(t.Context(), name(n), 9); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there before %s: %v", name(n), name(2), err)
			}
		}
	}
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		wantName(t, s, name(n), "x")
		wantObject(t, s, hashing.Of([]byte("object of "+name(n))), []byte("object of "+name(n)))
	}
}

// testImportStops: where one cannot be taken, some first ones may have been, each
// whole, and none behind it.
func testImportStops(t *testing.T, s storage.Store) {
	i := importer(t, s)
	var in []storage.Incoming
	for n := range 20 {
		in = append(in, incoming(fmt.Sprintf("n/%02d", n), "x"))
	}
	in[10].Open = func() (io.ReadCloser, error) { return nil, errSource }
	_, err := i.Import(t.Context(), in)
	wantErr(t, err, errSource)
	n := 0
	for e, err := range s.List(t.Context(), "") {
		if err != nil || e.Name != fmt.Sprintf("n/%02d", n) || e.Size != 1 {
			t.Errorf("after an import that broke: %v, %v", e, err)
		}
		n++
	}
	if n > 10 {
		t.Errorf("%d were taken", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in[10].Open = func() (io.ReadCloser, error) { cancel(); return incoming("x", "x").Open() }
	_, err = i.Import(ctx, in)
	wantErr(t, err, context.Canceled)
	_, err = s.OpenName(t.Context(), "n/19")
	wantErr(t, err, fs.ErrNotExist)
}
