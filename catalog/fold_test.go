package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/sqlite"
	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

func newStore(t testing.TB) (*file.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := file.Open(dir, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dir
}

func newCatalog(t testing.TB) catalog.Catalog {
	t.Helper()
	c, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fold folds a store and returns what it met.
func fold(t *testing.T, s catalog.Store, w catalog.Writer, j catalog.Judge) (catalog.Folded, []catalog.Problem) {
	t.Helper()
	var ps []catalog.Problem
	n, err := catalog.Fold(t.Context(), s, w, j, catalog.Options{Problem: func(p catalog.Problem) { ps = append(ps, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if n.Problems != int64(len(ps)) {
		t.Errorf("%d problems counted, %d reported", n.Problems, len(ps))
	}
	return n, ps
}

// TestFoldIsIncremental: a fold of the store, twice over fresh catalogs, and the
// index stage's facts in any order give the same answers.
func TestFoldIsIncremental(t *testing.T) {
	for seed := range uint64(2) {
		w := catalogtest.New(seed, 250, 24)
		s, _ := newStore(t)
		if err := w.Write(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		a, b, c := newCatalog(t), newCatalog(t), newCatalog(t)
		n, ps := fold(t, s, a, w)
		fold(t, s, b, w)
		if err := w.Facts(t, seed).Give(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		want := catalogtest.Dump(t, a, w)
		if got := catalogtest.Dump(t, b, w); got != want {
			t.Errorf("a second fold differs: %s", catalogtest.Diff(want, got))
		}
		if got := catalogtest.Dump(t, c, w); got != want {
			t.Errorf("incremental differs from fold: %s", catalogtest.Diff(want, got))
		}
		fold(t, s, c, w)
		if got := catalogtest.Dump(t, c, w); got != want {
			t.Errorf("a fold on top changes answers: %s", catalogtest.Diff(want, got))
		}
		if len(ps) != 0 || n.Seals != int64(len(w.Batches)) || n.Captures+n.Events < 250 || n.Events < 4 {
			t.Errorf("met %+v, problems %v", n, ps)
		}
		checkRefs(t, s, a, w)
	}
}

// checkRefs reads every small Object by its Ref.
func checkRefs(t *testing.T, s *file.Store, c catalog.Catalog, w *catalogtest.World) {
	t.Helper()
	for _, m := range w.Messages {
		for _, b := range append([][]byte{m.Manifest}, m.Small...) {
			refs := catalogtest.Collect(t, c.Refs(t.Context(), hashing.Of(b)))
			if len(refs) == 0 {
				t.Fatalf("no ref of %s", hashing.Of(b))
			}
			got, err := refs[0].Read(t.Context(), s, hashing.Of(b), 1<<20)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("read %v: %v", refs[0], err)
			}
		}
	}
}

// TestLocate: what the index stage reads of a Seal is what the World has made.
func TestLocate(t *testing.T) {
	w := catalogtest.New(30, 100, 32)
	s, dir := newStore(t)
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c, want := newCatalog(t), newCatalog(t)
	if err := w.Straight(t).Give(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := w.Straight(t)[0](t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, b := range w.Batches {
		st, err := catalog.Locate(t.Context(), s, b.Plan.Seal)
		if err != nil {
			t.Fatal(err)
		}
		st.State, st.Reason, st.T = b.Seal.State, b.Seal.Reason, b.Seal.T
		if err := c.Sealed(t.Context(), []catalog.SealState{st}); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := catalogtest.Dump(t, want, w), catalogtest.Dump(t, c, w); a != b {
		t.Error(catalogtest.Diff(a, b))
	}
	k := w.Batches[1].Plan.Packs
	change(t, filepath.Join(dir, k[0].Name), func([]byte) []byte { return []byte("PK") })
	st, err := catalog.Locate(t.Context(), s, w.Batches[1].Plan.Seal)
	if !errors.Is(err, catalog.ErrPack) || !strings.Contains(err.Error(), k[0].Name) || len(st.Members) == 0 || len(k) > 1 && len(st.Placed) == 0 {
		t.Errorf("with a damaged pack: %d members, %d places, %v", len(st.Members), len(st.Placed), err)
	}
	if _, err := catalog.Locate(t.Context(), s, holdfast.SealID("ffffffffffffffff", 0, 1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a seal that is not there: %v", err)
	}
}

// change rewrites a file of the store behind its back; nil removes it.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b = f(b); b == nil {
		return
	}
	if err := os.WriteFile(path, b, 0o400); err != nil {
		t.Fatal(err)
	}
}

// TestFoldDamaged: each damage is a Problem that names the file, and costs no
// more than what it hit.
func TestFoldDamaged(t *testing.T) {
	lost := func(b []byte) []byte { return nil }
	flip := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	w := catalogtest.New(40, 120, 24)
	batch := w.Batches[2]
	plan, pack := catalog.PlanName(batch.Plan.Seal), batch.Plan.Packs[0].Name
	victim := batch.Messages[len(batch.Messages)-1]
	for i, m := range batch.Messages {
		if m.Case == batch.Plan.Packs[0].Case && m.Kind == holdfast.KindCapture {
			victim = batch.Messages[i]
		}
	}
	ids := make(map[holdfast.ID]bool)
	for _, m := range batch.Messages {
		ids[m.ID] = true
	}
	for name, d := range map[string]struct {
		path   string
		change func([]byte) []byte
		lost   int // captures and Events that the list then lacks, -1: some
		names  []string
	}{
		"plan lost":          {plan, lost, len(ids), []string{plan, pack}},
		"plan cut":           {plan, func(b []byte) []byte { return b[:len(b)-1] }, len(ids), []string{plan}},
		"plan of another":    {plan, func([]byte) []byte { b, _ := w.Batches[0].Plan.Encode(); return b }, len(ids), []string{plan}},
		"plan of a newer":    {plan, flip(`"version":1`, `"version":2`), len(ids), []string{plan}},
		"plan: another id":   {plan, flip(string(victim.ID), strings.Repeat("9", 32)), 1, []string{pack, plan}},
		"plan: another case": {plan, flip(`"packs":[{"case":"`+string(batch.Plan.Packs[0].Case), `"packs":[{"case":"`+strings.Repeat("9", 32)), -1, []string{plan}},
		"pack lost":          {pack, lost, -1, []string{pack, plan}},
		"pack cut":           {pack, func(b []byte) []byte { return b[:len(b)/2] }, -1, []string{pack, plan}},
		"manifest flipped":   {pack, flip(`"id":"`+string(victim.ID), `"id":"`+strings.Repeat("9", 32)), 1, []string{pack, plan}},
		"a byte flipped":     {pack, flip(`"office":"office"`, `"office":"Office"`), 1, []string{pack, plan}},
		"line flipped":       {pack, nil, 0, []string{"event "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newStore(t)
			if err := w.Write(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if name == "line flipped" { // the first Event's, which opens a Case
				m := w.Messages[0]
				d.path, d.change = holdfast.PackName(m.Case, w.Batches[0].Plan.Seal), flip(string(m.Line), strings.Replace(string(m.Line), "2026", "6202", 1))
			}
			c, whole := newCatalog(t), newCatalog(t)
			fold(t, s, whole, w)
			change(t, filepath.Join(dir, d.path), d.change)
			n, ps := fold(t, s, c, w)
			all := catalogtest.Collect(t, whole.Captures(t.Context(), catalog.Query{}))
			got := catalogtest.Collect(t, c.Captures(t.Context(), catalog.Query{}))
			if miss := len(all) - len(got); d.lost >= 0 && miss != d.lost || d.lost < 0 && (miss < 1 || miss >= len(batch.Messages)) {
				t.Errorf("%d captures of %d are missing, want %d; met %+v, problems %v", miss, len(all), d.lost, n, ps)
			}
			for _, want := range d.names {
				if !strings.Contains(fmt.Sprint(ps), want) {
					t.Errorf("no problem names %s: %v", want, ps)
				}
			}
		})
	}
}

// TestFoldForeignPack: a pack that a changed plan gives to another Case brings
// nothing into that Case.
func TestFoldForeignPack(t *testing.T) {
	w := catalogtest.New(44, 40, 200)
	s, _ := newStore(t)
	p, other := w.Batches[0].Plan, w.Cases[1]
	for i, k := range p.Packs {
		if k.Case == w.Cases[0] {
			w.Batches[0].Packs[holdfast.PackName(other, p.Seal)] = w.Batches[0].Packs[k.Name]
			p.Packs[i] = holdfast.Pack{Case: other, Digest: k.Digest, Name: holdfast.PackName(other, p.Seal)}
			p.Packs = p.Packs[i : i+1]
			break
		}
	}
	w.Batches[0].Plan = p
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t)
	n, ps := fold(t, s, c, w)
	if got := catalogtest.Collect(t, c.Captures(t.Context(), catalog.Query{})); len(got) != 0 || n.Captures != 0 || len(ps) == 0 {
		t.Errorf("%d captures, met %+v", len(got), n)
	}
}

// TestFoldForeign: what lies where only Seals and packs belong is reported.
func TestFoldForeign(t *testing.T) {
	w := catalogtest.New(41, 20, 24)
	s, dir := newStore(t)
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	orphan := holdfast.PackName(w.Cases[0], holdfast.SealID("ffffffffffffffff", 0, 7))
	parts := "seals/" + holdfast.SealID("ffffffffffffffff", 0, 9) + "/statement.dsse.json"
	for _, n := range []string{"seals/readme", orphan, parts, "cases/readme.txt"} {
		if err := s.Create(t.Context(), n, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "seals", "zlink")); err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t)
	n, ps := fold(t, s, c, w)
	for _, want := range []string{"seals/readme", orphan, catalog.PlanName(holdfast.SealID("ffffffffffffffff", 0, 9)), "cases/readme.txt", "zlink"} {
		if !strings.Contains(fmt.Sprint(ps), want) {
			t.Errorf("no problem names %s: %v", want, ps)
		}
	}
	if len(ps) != 5 || n.Captures != 21 { // 20 and a conflicting one
		t.Errorf("met %+v, problems %v", n, ps)
	}
}

type judge func(string) (catalog.Judgement, error)

func (j judge) State(_ context.Context, seal string) (catalog.Judgement, error) { return j(seal) }

// TestFoldFailsClosed: a Seal that cannot be judged is pending, and says why.
func TestFoldFailsClosed(t *testing.T) {
	w := catalogtest.New(42, 10, 24)
	s, _ := newStore(t)
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t)
	_, ps := fold(t, s, c, judge(func(string) (catalog.Judgement, error) { return catalog.Judgement{}, errors.New("policy is gone") }))
	for _, k := range catalogtest.Collect(t, c.Captures(t.Context(), catalog.Query{})) {
		if k.State != catalog.Pending || !strings.Contains(k.Reason, "policy is gone") || k.Seal == "" {
			t.Fatalf("capture %+v", k)
		}
	}
	if len(ps) != len(w.Batches) {
		t.Errorf("problems %v", ps)
	}
	bad := judge(func(string) (catalog.Judgement, error) { return catalog.Judgement{State: catalog.Sealed}, nil })
	if _, err := catalog.Fold(t.Context(), s, c, bad, catalog.Options{}); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("sealed without T: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := catalog.Fold(ctx, s, c, w, catalog.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestFoldLargeLine: a custody line above 256 KiB is an Object of the store.
func TestFoldLargeLine(t *testing.T) {
	w := catalogtest.New(43, 10, 24)
	m := w.Enlarge(9000)
	s, _ := newStore(t)
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t)
	if _, ps := fold(t, s, c, w); len(ps) != 1 || !errors.Is(ps[0].Err, fs.ErrNotExist) {
		t.Errorf("without the line: %v", ps)
	}
	if _, _, err := s.Put(t.Context(), bytes.NewReader(m.Line)); err != nil {
		t.Fatal(err)
	}
	if _, ps := fold(t, s, c, w); len(ps) != 0 {
		t.Errorf("with the line: %v", ps)
	}
	if x := catalogtest.Collect(t, c.Exhibits(t.Context(), m.Case)); len(x) != 9000 {
		t.Errorf("%d exhibits", len(x))
	}
}

// TestFoldLargePosts: posts that fit into no message are an Object of the store;
// while they are not there the capture is, and what others say of posts.
func TestFoldLargePosts(t *testing.T) {
	w := catalogtest.New(44, 40, 24)
	m := w.Apart()
	s, _ := newStore(t)
	if err := w.Write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c, want := newCatalog(t), newCatalog(t)
	if err := w.Straight(t).Give(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if _, ps := fold(t, s, c, w); len(ps) != 1 || !errors.Is(ps[0].Err, fs.ErrNotExist) || ps[0].Name != "capture "+string(m.ID) {
		t.Errorf("without the posts: %v", ps)
	}
	if _, err := c.Capture(t.Context(), m.ID); err != nil || catalogtest.Dump(t, c, w) == catalogtest.Dump(t, want, w) {
		t.Errorf("without the posts: capture %v, or nothing is missing", err)
	}
	if _, _, err := s.Put(t.Context(), bytes.NewReader(m.Posts[0])); err != nil {
		t.Fatal(err)
	}
	if _, ps := fold(t, s, c, w); len(ps) != 0 {
		t.Errorf("with the posts: %v", ps)
	}
	if got := catalogtest.Dump(t, c, w); got != catalogtest.Dump(t, want, w) {
		t.Error(catalogtest.Diff(catalogtest.Dump(t, want, w), got))
	}
}

var _ catalog.Store = storage.Store(nil)
