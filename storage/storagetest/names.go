package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/storage"
)

func testCreate(t *testing.T, s storage.Store) {
	create(t, s, "seals/q-0-00000000000000000001/plan.json", `{"a":1}`)
	wantName(t, s, "seals/q-0-00000000000000000001/plan.json", `{"a":1}`)
	create(t, s, "one", "")
	wantName(t, s, "one", "")
	err := s.CreateFunc(t.Context(), "cases/x/packs/1.zip", func(w io.Writer) error {
		for i := range 10_000 {
			fmt.Fprintf(w, "%09d\n", i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.OpenName(t.Context(), "cases/x/packs/1.zip")
	if err != nil || f.Size() != 100_000 {
		t.Fatalf("open name: %v", err)
	}
	f.Close()
}

func testMissingName(t *testing.T, s storage.Store) {
	create(t, s, "a/b/c", "x")
	for _, n := range []string{"a", "a/b", "a/b/d", "a/x/y", "b", "a/b/c/d"} {
		_, err := s.OpenName(t.Context(), n)
		wantErr(t, err, fs.ErrNotExist)
		_, err = s.ReadName(t.Context(), n, 10)
		wantErr(t, err, fs.ErrNotExist)
	}
}

func testNeverOverwrites(t *testing.T, s storage.Store) {
	create(t, s, "a/plan", "first")
	for _, data := range []string{"second", "first", ""} {
		wantErr(t, s.Create(t.Context(), "a/plan", strings.NewReader(data)), storage.ErrExists)
	}
	err := s.CreateFunc(t.Context(), "a/plan", func(io.Writer) error { t.Error("write was called for a taken name"); return nil })
	wantErr(t, err, storage.ErrExists)
	wantName(t, s, "a/plan", "first")
}

func testConcurrentCreate(t *testing.T, s storage.Store) {
	handles := handles(t, s)
	for round := range 5 {
		name := fmt.Sprintf("seals/%d/statement", round)
		var winner atomic.Int64
		var wg sync.WaitGroup
		winner.Store(-1)
		for i := range 16 {
			wg.Go(func() {
				err := handles[i%len(handles)].Create(t.Context(), name, strings.NewReader(strings.Repeat(fmt.Sprint(i%10), 5000+i)))
				if err == nil && !winner.CompareAndSwap(-1, int64(i)) {
					t.Errorf("%d and %d both created %s", winner.Load(), i, name)
				}
				if err != nil && !errors.Is(err, storage.ErrExists) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		i := winner.Load()
		if i < 0 {
			t.Fatal("nobody created it")
		}
		wantName(t, s, name, strings.Repeat(fmt.Sprint(i%10), 5000+int(i)))
	}
}

func testCreateAll(t *testing.T, s storage.Store) {
	create(t, s, "s/2", "old")
	items := []storage.Item{{Name: "s/1", Data: []byte("one")}, {Name: "s/2", Data: []byte("new")}, {Name: "s/x/3", Data: nil}}
	for _, want := range [][]string{{"s/2"}, {"s/1", "s/2", "s/x/3"}} {
		taken, err := s.CreateAll(t.Context(), items...)
		if err != nil || !slices.Equal(taken, want) {
			t.Fatalf("create all: taken %v, %v; want %v", taken, err, want)
		}
	}
	wantName(t, s, "s/1", "one")
	wantName(t, s, "s/2", "old")
	wantName(t, s, "s/x/3", "")
	if _, err := s.CreateAll(t.Context()); err != nil {
		t.Fatalf("create nothing: %v", err)
	}
	for _, second := range []string{"t/1", "t//2"} { // twice, and bad
		_, err := s.CreateAll(t.Context(), storage.Item{Name: "t/1"}, storage.Item{Name: second})
		wantErr(t, err, storage.ErrName)
		_, err = s.OpenName(t.Context(), "t/1")
		wantErr(t, err, fs.ErrNotExist)
	}
	var many []storage.Item
	for i := range storage.MaxItems + 1 {
		many = append(many, storage.Item{Name: fmt.Sprintf("many/%d", i)})
	}
	if _, err := s.CreateAll(t.Context(), many...); err == nil {
		t.Fatal("more than MaxItems were taken")
	}
	if taken, err := s.CreateAll(t.Context(), many[1:]...); err != nil || len(taken) != 0 {
		t.Fatalf("create MaxItems: %d taken, %v", len(taken), err)
	}
}

// Two that carry out one plan write the same names: each is created once.
func testConcurrentCreateAll(t *testing.T, s storage.Store) {
	var items []storage.Item
	for i := range 10 {
		items = append(items, storage.Item{Name: fmt.Sprintf("seals/1/%d", i), Data: []byte(fmt.Sprint(i))})
	}
	var created atomic.Int64
	var wg sync.WaitGroup
	handles := handles(t, s)
	for i := range 8 {
		wg.Go(func() {
			taken, err := handles[i%len(handles)].CreateAll(t.Context(), items...)
			if err != nil {
				t.Error(err)
			}
			created.Add(int64(len(items) - len(taken)))
		})
	}
	wg.Wait()
	if created.Load() != 10 {
		t.Fatalf("10 names were created %d times", created.Load())
	}
	for _, it := range items {
		wantName(t, s, it.Name, string(it.Data))
	}
}

func testRange(t *testing.T, s storage.Store) {
	b, _ := io.ReadAll(newNoise(300_000, nil))
	create(t, s, "pack.zip", string(b))
	f, err := s.OpenName(t.Context(), "pack.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct{ off, n int64 }{{0, 1}, {299_999, 1}, {100_000, 100_000}, {0, 300_000}, {299_990, 10}} {
		got := make([]byte, c.n)
		if _, err := f.ReadAt(got, c.off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(got, b[c.off:c.off+c.n]) {
			t.Fatalf("range %d+%d is wrong", c.off, c.n)
		}
	}
	if n, err := f.ReadAt(make([]byte, 20), 299_990); n != 10 || err != io.EOF {
		t.Fatalf("read over the end: %d, %v; want 10, EOF", n, err)
	}
	if n, err := f.ReadAt(make([]byte, 1), 300_000); n != 0 || err != io.EOF {
		t.Fatalf("read at the end: %d, %v; want 0, EOF", n, err)
	}
}

func testReadLimit(t *testing.T, s storage.Store) {
	create(t, s, "ten", "0123456789")
	if b, err := s.ReadName(t.Context(), "ten", 10); err != nil || string(b) != "0123456789" {
		t.Fatalf("read at the limit: %q, %v", b, err)
	}
	if b, err := s.ReadName(t.Context(), "ten", 9); err == nil {
		t.Fatalf("read %q over the limit", b)
	}
}

func testWriterFails(t *testing.T, s storage.Store) {
	err := s.CreateFunc(t.Context(), "half", func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 200_000)); err != nil {
			t.Error(err)
		}
		return errSource
	})
	wantErr(t, err, errSource)
	wantErr(t, s.Create(t.Context(), "half", newNoise(1, func(int64) error { return errSource })), errSource)
	func() {
		defer func() { recover() }()
		s.CreateFunc(t.Context(), "half", func(io.Writer) error { panic("writer") })
		t.Error("the panic of a writer was swallowed")
	}()
	_, err = s.OpenName(t.Context(), "half")
	wantErr(t, err, fs.ErrNotExist)
	create(t, s, "half", "whole")
}

func testCreateCancel(t *testing.T, s storage.Store) {
	ctx, r := cancelAfter(t, 1<<20)
	wantErr(t, s.Create(ctx, "gone", r), context.Canceled)
	if r.read == 1<<20 {
		t.Error("a cancelled Create read its source to the end")
	}
	_, err := s.CreateAll(ctx, storage.Item{Name: "gone"})
	wantErr(t, err, context.Canceled)
	ctx, cancel := context.WithCancel(t.Context())
	wantErr(t, s.CreateFunc(ctx, "gone", func(io.Writer) error { cancel(); return nil }), context.Canceled)
	for e, err := range s.List(t.Context(), "") {
		t.Fatalf("after cancelled calls: %v, %v", e, err)
	}
}

func testBadNames(t *testing.T, s storage.Store) {
	for _, n := range []string{"", "/a", "a//b", "a/", "../a", "a/../../b", ".", "-rf", "A", "a b", "a\nb", "objects/x", "tmp/x", strings.Repeat("a/", 300) + "b"} {
		wantErr(t, s.Create(t.Context(), n, strings.NewReader("x")), storage.ErrName)
		_, err := s.OpenName(t.Context(), n)
		wantErr(t, err, storage.ErrName)
		_, err = s.ReadName(t.Context(), n, 10)
		wantErr(t, err, storage.ErrName)
	}
	for _, p := range []string{"/", "../", "a//", "A", "objects/", "tmp/"} {
		for e, err := range s.List(t.Context(), p) {
			if err == nil {
				t.Fatalf("list %q yields %v", p, e)
			}
			wantErr(t, err, storage.ErrName)
		}
	}
}

func testFolders(t *testing.T, s storage.Store) {
	create(t, s, "a/b", "x")
	wantErr(t, s.Create(t.Context(), "a", strings.NewReader("x")), storage.ErrName)
	wantErr(t, s.Create(t.Context(), "a/b/c", strings.NewReader("x")), storage.ErrName)
	wantName(t, s, "a/b", "x")
}

func testListOrder(t *testing.T, s storage.Store) {
	names := []string{"a/x", "a-b", "a.b/c", "a0", "a/x0", "a/b/c", "a/b-c", "b", "a_/z", "seals/01/p", "seals/0", "seals/012/p", "ab"}
	for _, n := range names {
		create(t, s, n, n)
	}
	put(t, s, []byte("an Object is no name"))
	slices.Sort(names)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/x", "seals/", "seals/0", "seals/01", "seals/01/", "z", "z/z", "b", "b/", "se", "a/b/c"} {
		var want, got []string
		for _, n := range names {
			if strings.HasPrefix(n, prefix) {
				want = append(want, n)
			}
		}
		for e, err := range s.List(t.Context(), prefix) {
			if err != nil || e.Size != int64(len(e.Name)) {
				t.Fatalf("list %q: %v, %v", prefix, e, err)
			}
			got = append(got, e.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("list %q = %q, want %q", prefix, got, want)
		}
		for _, after := range append([]string{"", "0", "a", "a/b", "a/b/", "a/b/c0", "a/", "a0/x", "seals/01", "seals/01/", "seals/02", "zz"}, names...) {
			wantAfter(t, s, prefix, after, want)
		}
	}
}

// wantAfter lists what comes after a name, of those that begin with prefix.
func wantAfter(t *testing.T, s storage.Store, prefix, after string, all []string) {
	t.Helper()
	var want, got []string
	for _, n := range all {
		if n > after {
			want = append(want, n)
		}
	}
	for e, err := range s.ListAfter(t.Context(), prefix, after) {
		if err != nil || e.Size != int64(len(e.Name)) {
			t.Fatalf("list %q after %q: %v, %v", prefix, after, e, err)
		}
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("list %q after %q = %q, want %q", prefix, after, got, want)
	}
}

func testListStops(t *testing.T, s storage.Store) {
	for i := range 10 {
		create(t, s, fmt.Sprintf("d/%d/x", i), "")
	}
	n := 0
	for range s.List(t.Context(), "d") {
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.List(ctx, "") {
		last = err
	}
	wantErr(t, last, context.Canceled)
}

func testReopen(t *testing.T, s storage.Store) {
	r, ok := s.(Reopener)
	if !ok {
		t.Skip("the store under test has no Reopen")
	}
	d := put(t, s, []byte("kept"))
	create(t, s, "a/b", "kept too")
	other := r.Reopen(t)
	wantObject(t, other, d, []byte("kept"))
	wantName(t, other, "a/b", "kept too")
	wantErr(t, other.Create(t.Context(), "a/b", strings.NewReader("x")), storage.ErrExists)
	create(t, other, "a/c", "by the other") // both handles are open
	wantName(t, s, "a/c", "by the other")
}
