package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"holdfast/mirror"
	"holdfast/storage"
	"holdfast/storage/file"
	"holdfast/wholefile"
)

// shelves are both kinds; again opens the same one anew, as another process does.
func shelves(t *testing.T, each func(t *testing.T, again func() mirror.Shelf)) {
	t.Run("Dir", func(t *testing.T) {
		d := newDir(t)
		each(t, func() mirror.Shelf { return d })
	})
	t.Run("Versions", func(t *testing.T) {
		s := empty(t)
		each(t, func() mirror.Shelf { return versions(t, s) })
	})
}

func versions(t *testing.T, s storage.Store) *mirror.Versions {
	t.Helper()
	v, err := mirror.OpenVersions(t.Context(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestShelf guards what both kinds of a shelf promise: a file is what was written last,
// also for who opens the shelf anew; one that was taken away is gone; a chain is all
// that it ever was, read at once or in pieces; and bounds hold.
func TestShelf(t *testing.T) {
	shelves(t, func(t *testing.T, again func() mirror.Shelf) {
		s := again()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		is := func(name, want string) {
			t.Helper()
			for what, s := range map[string]mirror.Shelf{"here": s, "anew": again()} {
				b, err := mirror.Read(t.Context(), s, name, int64(len(want)))
				if err != nil || string(b) != want {
					t.Fatalf("%s of %d bytes, %s: %d bytes, %v", name, len(want), what, len(b), err)
				}
				if _, err := mirror.Read(t.Context(), s, name, int64(len(want))-1); !errors.Is(err, wholefile.ErrTooLarge) {
					t.Fatalf("%s, %s, more than the bound: %v", name, what, err)
				}
			}
		}
		gone := func(name string) {
			t.Helper()
			for _, s := range []mirror.Shelf{s, again()} {
				if _, err := s.Open(t.Context(), name, 9); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		gone("node/x.json")
		for _, text := range []string{"one", "two", "two", "a longer three"} {
			must(s.Update(t.Context(), "node/x.json", []byte(text)))
			is("node/x.json", text)
		}
		must(s.Update(t.Context(), "node/x.json", nil))
		gone("node/x.json")
		must(s.Update(t.Context(), "node/x.json", nil))
		must(s.Update(t.Context(), "node/x.json", []byte("again")))
		is("node/x.json", "again")

		gone("node/outbox/c.jsonl")
		var chain []byte
		for i := range 200 { // more than one process of pieces
			if i%50 == 49 {
				s = again()
			}
			chain = fmt.Appendf(chain, "line %d\n", i)
			must(s.Update(t.Context(), "node/outbox/c.jsonl", chain))
			must(s.Update(t.Context(), "node/outbox/c.jsonl", chain))
		}
		is("node/outbox/c.jsonl", string(chain))
		must(s.Update(t.Context(), "node/outbox/d.jsonl", []byte("d\n")))
		for _, s := range []mirror.Shelf{s, again()} {
			names, err := s.Chains(t.Context())
			if slices.Sort(names); err != nil || !slices.Equal(names, []string{"c.jsonl", "d.jsonl"}) {
				t.Errorf("chains %q, %v", names, err)
			}
		}
	})
}

// TestVersionsOnlyAdd guards what a bucket's shelf leaves behind: every state that it
// ever had stays there, and a chain of many small steps is read in few pieces.
func TestVersionsOnlyAdd(t *testing.T) {
	s := empty(t)
	v := versions(t, s)
	had := map[string][]byte{}
	var chain []byte
	for i := range 150 {
		chain = fmt.Appendf(chain, "%d\n", i)
		if err := errors.Join(v.Update(t.Context(), "node/mirror.json", fmt.Append(nil, i/2)), v.Update(t.Context(), "node/outbox/c.jsonl", chain)); err != nil {
			t.Fatal(err)
		}
		for e, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.ReadName(t.Context(), e.Name, 1<<20)
			if was, ok := had[e.Name]; err != nil || ok && !bytes.Equal(was, b) {
				t.Fatalf("%s has changed, %v", e.Name, err)
			}
			had[e.Name] = b
		}
	}
	if len(had) != 75+150 {
		t.Errorf("%d names for 75 states and 150 lines", len(had))
	}
	count := &counting{Store: s}
	got, err := mirror.Read(t.Context(), versions(t, count), "node/outbox/c.jsonl", 1<<20)
	if err != nil || !bytes.Equal(got, chain) || count.opened > 70 {
		t.Errorf("%d bytes of %d in %d pieces, %v", len(got), len(chain), count.opened, err)
	}
}

type counting struct {
	storage.Store
	opened int
}

func (c *counting) OpenName(ctx context.Context, name string) (storage.File, error) {
	c.opened++
	return c.Store.OpenName(ctx, name)
}

// TestVersionsTwo guards that of two that write to one shelf at once only one goes on.
func TestVersionsTwo(t *testing.T) {
	for _, name := range []string{"node/mirror.json", "node/outbox/c.jsonl"} {
		s := empty(t)
		a, b := versions(t, s), versions(t, s)
		if err := a.Update(t.Context(), name, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if err := b.Update(t.Context(), name, []byte("b")); !errors.Is(err, mirror.ErrAtWork) {
			t.Errorf("%s: the second: %v", name, err)
		}
		if got, err := mirror.Read(t.Context(), versions(t, s), name, 9); err != nil || string(got) != "a" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestVersionsForeign guards that a name which no mirror makes is no part of one.
func TestVersionsForeign(t *testing.T) {
	for _, name := range []string{
		"mirror/node/mirror.json/7",
		"mirror/node/outbox/c.jsonl/00000000000000000000-00000000000000000009", // it has 1
		"mirror/node/outbox/c.jsonl/00000000000000000000",
		"mirror/thesis.txt",
	} {
		s := empty(t)
		if err := s.Create(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := mirror.OpenVersions(t.Context(), s, ""); !errors.Is(err, storage.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVersionsCut guards that a shelf which is cut off at any write, and taken up again,
// has what was written to its end, and no file or chain that nobody wrote.
func TestVersionsCut(t *testing.T) {
	for cut := 1; cut < 12; cut++ {
		s := &cutStore{Store: empty(t), left: cut}
		states := map[string]bool{"": true}
		v := versions(t, s)
		var err error
		for i := 1; i <= 6 && err == nil; i++ {
			text := strings.Repeat("x\n", i)
			states[text] = true
			if err = v.Update(t.Context(), "node/outbox/c.jsonl", []byte(text)); err == nil {
				err = v.Update(t.Context(), "node/mirror.json", []byte(text))
			}
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		v = versions(t, s.Store)
		for _, name := range []string{"node/outbox/c.jsonl", "node/mirror.json"} {
			b, err := mirror.Read(t.Context(), v, name, 99)
			if err != nil && !errors.Is(err, fs.ErrNotExist) || !states[string(b)] {
				t.Errorf("cut at %d: %s is %q, %v", cut, name, b, err)
			}
		}
		mark, _ := mirror.Read(t.Context(), v, "node/mirror.json", 99)
		if chain, _ := mirror.Read(t.Context(), v, "node/outbox/c.jsonl", 99); len(chain) < len(mark) {
			t.Errorf("cut at %d: a chain of %d bytes beside a later mark of %d", cut, len(chain), len(mark))
		}
	}
}

type cutStore struct {
	*file.Store
	left int
}

func (c *cutStore) Create(ctx context.Context, name string, r io.Reader) error {
	if c.left--; c.left < 0 {
		return errCut
	}
	return c.Store.Create(ctx, name, r)
}
