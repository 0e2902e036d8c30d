package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Open opens a handle on the catalog that is kept under dir, making an empty one
// if there is none. The suite closes nothing: use t.Cleanup.
type Open func(t *testing.T, dir string) catalog.Catalog

// Test runs the suite.
func Test(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"answers": testAnswers, "order": testOrder, "monotone": testMonotone, "early seal": testEarlySeal, "unplaced": testUnplaced,
		"conflict": testConflict, "position": testPosition, "refs": testRefs, "two seals": testTwoSeals, "queries": testQueries, "cases": testCases,
		"record": testRecord, "members": testMembers, "refused": testRefused, "handles": testHandles, "canceled": testCanceled,
		"posts": testPosts, "second manifest": testSecondManifest, "late posts": testLatePosts, "beside posts": testBeside,
		"search": testSearch, "within": testWithin, "scripts": testScripts, "hashes": testHashes, "unread": testUnread, "hostile questions": testHostile, "looks": testLooks, "long": testLong,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

func give(t *testing.T, c catalog.Catalog, facts Facts) {
	t.Helper()
	if err := facts.Give(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// testAnswers compares with what the World knows without any catalog.
func testAnswers(t *testing.T, open Open) {
	w := New(1, 300, 64)
	c := open(t, t.TempDir())
	give(t, c, w.Straight(t))
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	captures, ids := 0, make(map[holdfast.ID]bool)
	for _, b := range w.Batches {
		for _, m := range b.Messages {
			if ids[m.ID] {
				continue
			}
			ids[m.ID] = true
			a, _ := m.Accepted()
			got, err := c.Capture(t.Context(), m.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := a.Capture
			want.State, want.Reason, want.Seal, want.T = b.Seal.State, b.Seal.Reason, b.Seal.Seal, b.Seal.T
			want.Exhibit, want.Conflicts = got.Exhibit, got.Conflicts
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Fatalf("capture is\n%+v, want\n%+v", got, want)
			}
			if m.Kind == holdfast.KindCapture {
				captures++
			}
		}
		for _, p := range b.Seal.Placed {
			if !slices.Contains(Collect(t, c.Refs(t.Context(), p.Digest)), p.Ref) {
				t.Fatalf("no ref %v of %s", p.Ref, p.Digest)
			}
		}
	}
	if n := len(Collect(t, c.Captures(t.Context(), catalog.Query{Kind: holdfast.KindCapture}))); n != captures || n != 300 {
		t.Errorf("%d captures are listed, the world has %d", n, captures)
	}
	if refs := Collect(t, c.Refs(t.Context(), hashing.Of([]byte("unknown")))); len(refs) != 0 {
		t.Errorf("an unknown digest has refs %v", refs)
	}
}

// testOrder: any order, repetition and split of the facts gives one catalog.
func testOrder(t *testing.T, open Open) {
	w := New(2, 150, 16)
	c := open(t, t.TempDir())
	give(t, c, w.Straight(t))
	want := Dump(t, c, w)
	for seed := range uint64(6) {
		c := open(t, t.TempDir())
		give(t, c, w.Facts(t, seed))
		if got := Dump(t, c, w); got != want {
			t.Fatalf("order %d: %s", seed, Diff(want, got))
		}
		give(t, c, w.Facts(t, seed+100)) // and all once more
		if got := Dump(t, c, w); got != want {
			t.Fatalf("order %d, given twice: %s", seed, Diff(want, got))
		}
	}
}

// Diff shows the first line in which two dumps differ.
func Diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, b[i], a[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(b), len(a))
}

func testMonotone(t *testing.T, open Open) {
	w := New(3, 5, 100)
	c := open(t, t.TempDir())
	give(t, c, w.Straight(t))
	st, id := w.Batches[0].Seal, w.Messages[0].ID
	t1 := st.T
	for _, step := range []struct {
		state, reason string
		at, t         time.Time
		want, why     string
		wantT         time.Time
	}{
		{catalog.Signed, "late news", t1.Add(time.Hour), time.Time{}, catalog.Sealed, "", t1},
		{catalog.Pending, "planned", t1.Add(2 * time.Hour), time.Time{}, catalog.Sealed, "", t1},
		{catalog.Sealed, "", time.Time{}, t1.Add(time.Second), catalog.Sealed, "", t1},
		{catalog.Sealed, "", time.Time{}, t1.Add(-time.Second), catalog.Sealed, "", t1.Add(-time.Second)},
	} {
		err := c.Sealed(t.Context(), []catalog.SealState{{Seal: st.Seal, State: step.state, Reason: step.reason, At: step.at, T: step.t}})
		got, gerr := c.Capture(t.Context(), id)
		if err != nil || gerr != nil || got.State != step.want || got.Reason != step.why || !got.T.Equal(step.wantT) {
			t.Errorf("after %v: state %s, reason %q, T %s, errors %v %v", step, got.State, got.Reason, got.T, err, gerr)
		}
	}
}

// testEarlySeal: what is said of a Seal may come before its captures.
func testEarlySeal(t *testing.T, open Open) {
	w := New(4, 20, 8)
	c := open(t, t.TempDir())
	b := w.Batches[0]
	give(t, c, Facts{func(ctx context.Context, c catalog.Writer) error { return c.Sealed(ctx, []catalog.SealState{b.Seal}) }})
	if _, err := c.Capture(t.Context(), b.Messages[0].ID); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a capture without a manifest: %v", err)
	}
	give(t, c, w.Straight(t)[:1])
	got, err := c.Capture(t.Context(), b.Messages[0].ID)
	if err != nil || got.State != catalog.Sealed || got.Seal != b.Seal.Seal {
		t.Errorf("capture %+v, %v", got, err)
	}
	late, err := c.Capture(t.Context(), w.Batches[1].Messages[0].ID)
	if err != nil || late.State != catalog.Pending || late.Reason != catalog.ReasonQueued || late.Seal != "" {
		t.Errorf("capture of no seal: %+v, %v", late, err)
	}
}

// testConflict: one ID with two Manifests is shown, in either order, as the
// first by position with the other one beside it.
func testConflict(t *testing.T, open Open) {
	w := New(5, 1, 100)
	home := w.caseOf(w.Messages[0].Case)
	first := w.Messages[len(w.Messages)-1]
	second := w.capture(home, first.ID)
	for _, order := range [][]Message{{first, second}, {second, first}, {second, first, second, first}} {
		c := open(t, t.TempDir())
		for _, m := range order {
			a, err := m.Accepted()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Accepted(t.Context(), []catalog.Accepted{a}); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range w.Batches {
			if err := c.Sealed(t.Context(), []catalog.SealState{b.Seal}); err != nil {
				t.Fatal(err)
			}
		}
		list := Collect(t, c.Captures(t.Context(), catalog.Query{}))
		want := catalog.Conflict{Manifest: hashing.Of(second.Manifest), Position: second.Position, State: catalog.Pending}
		if len(list) != 1 || list[0].Manifest != hashing.Of(first.Manifest) || list[0].State != catalog.Sealed || !slices.Equal(list[0].Conflicts, []catalog.Conflict{want}) {
			t.Errorf("listed %+v, want the first with conflict %+v", list, want)
		}
	}
}

// testPosition: a plan may know a smaller position than the message that was
// indexed (it was delivered twice). That decides which Manifest of an ID is shown.
func testPosition(t *testing.T, open Open) {
	w := New(10, 1, 100)
	m := w.Messages[len(w.Messages)-1]
	other := w.capture(w.caseOf(m.Case), m.ID)
	first, second := must(m.Accepted()), must(other.Accepted())
	late := first
	late.Position += 7
	again := open(t, t.TempDir())
	for _, a := range []catalog.Accepted{late, first, late} {
		if err := again.Accepted(t.Context(), []catalog.Accepted{a}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := again.Capture(t.Context(), m.ID); err != nil || got.Position != first.Position || len(got.Conflicts) != 0 {
		t.Errorf("delivered twice: %+v, %v", got, err)
	}
	second.Position = 9000
	st := catalog.SealState{Seal: w.Batches[0].Plan.Seal, State: catalog.Signed, Members: []catalog.Member{{ID: m.ID, Manifest: second.Manifest, Position: first.Position - 1}}}
	accepted := func(ctx context.Context, c catalog.Writer) error {
		return c.Accepted(ctx, []catalog.Accepted{first, second})
	}
	sealed := func(ctx context.Context, c catalog.Writer) error { return c.Sealed(ctx, []catalog.SealState{st}) }
	for _, order := range []Facts{{accepted, sealed}, {sealed, accepted}, {accepted, sealed, accepted}} {
		c := open(t, t.TempDir())
		give(t, c, order)
		got, err := c.Capture(t.Context(), m.ID)
		if err != nil || got.Manifest != second.Manifest || got.Position != first.Position-1 || got.State != catalog.Signed ||
			len(got.Conflicts) != 1 || got.Conflicts[0].Manifest != first.Manifest || got.Conflicts[0].State != catalog.Pending {
			t.Errorf("capture %+v, %v", got, err)
		}
	}
}

// testRefs: one small Object may lie in more packs than fit on a page.
func testRefs(t *testing.T, open Open) {
	c, d := open(t, t.TempDir()), hashing.Of([]byte("shared"))
	var want []catalog.Ref
	var batch []catalog.SealState
	for i := range int64(600) {
		seal := holdfast.SealID("00112233445566aa", 0, i)
		want = append(want, catalog.Ref{Name: holdfast.PackName("00000000000000000000000000000001", seal), Offset: 100 + i, Size: 6})
		batch = append(batch, catalog.SealState{Seal: seal, State: catalog.Pending, Placed: []catalog.Placed{{Digest: d, Ref: want[i]}}})
	}
	slices.Reverse(batch)
	for range 2 {
		if err := c.Sealed(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := Collect(t, c.Refs(t.Context(), d)); !slices.Equal(got, want) {
		t.Errorf("%d refs, want %d, sorted by pack", len(got), len(want))
	}
}

// testTwoSeals: a capture that two Seals hold shows the further one.
func testTwoSeals(t *testing.T, open Open) {
	w := New(6, 3, 100)
	b := w.Batches[0]
	other := b.Seal
	other.Seal, other.State, other.Reason, other.T = holdfast.SealID("00112233445566aa", 0, 5000), catalog.Signed, "quorum", time.Time{}
	for _, order := range [][]catalog.SealState{{b.Seal, other}, {other, b.Seal}} {
		c := open(t, t.TempDir())
		give(t, c, w.Straight(t)[:1])
		for _, st := range order {
			if err := c.Sealed(t.Context(), []catalog.SealState{st}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Capture(t.Context(), b.Messages[0].ID); err != nil || got.Seal != b.Seal.Seal || got.State != catalog.Sealed {
			t.Errorf("capture %+v, %v", got, err)
		}
	}
}

func testRefused(t *testing.T, open Open) {
	w, c := New(7, 2, 10), open(t, t.TempDir())
	give(t, c, w.Straight(t))
	want := Dump(t, c, w)
	good := catalog.SealState{Seal: holdfast.SealID("ffffffffffffffff", 0, 0), State: catalog.Signed, Members: w.Batches[0].Seal.Members}
	for name, bad := range map[string]catalog.SealState{
		"no id": {State: catalog.Signed}, "no state": {Seal: good.Seal}, "a made-up state": {Seal: good.Seal, State: "proven"},
		"sealed without T": {Seal: good.Seal, State: catalog.Sealed},
	} {
		if err := c.Sealed(t.Context(), []catalog.SealState{good, bad}); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := Dump(t, c, w); got != want {
		t.Errorf("a refused batch was kept in part: %s", Diff(want, got))
	}
	if _, err := c.Capture(t.Context(), "not-an-id"); err == nil {
		t.Error("not-an-id is a capture")
	}
	for _, q := range []catalog.Query{{State: "proven"}, {Case: "x"}, {After: catalog.Cursor{ID: "x"}}} {
		for _, err := range c.Captures(t.Context(), q) {
			if err == nil {
				t.Errorf("query %+v is answered", q)
			}
		}
	}
}

// testHandles: four writers on two handles and readers beside them.
func testHandles(t *testing.T, open Open) {
	w, dir := New(8, 200, 16), t.TempDir()
	ref := open(t, t.TempDir())
	give(t, ref, w.Straight(t))
	handles := []catalog.Catalog{open(t, dir), open(t, dir)}
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	for i := range 4 {
		facts := w.Facts(t, uint64(i))
		writers.Go(func() {
			if err := facts.Give(ctx, handles[i%2]); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	for i := range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				checkList(t, ctx, handles[i%2])
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	want := Dump(t, ref, w)
	for _, h := range handles {
		if got := Dump(t, h, w); got != want {
			t.Error(Diff(want, got))
		}
	}
}

// checkList reads a list that grows meanwhile: sorted, and nothing twice.
func checkList(t *testing.T, ctx context.Context, c catalog.Catalog) {
	var last catalog.Capture
	for k, err := range c.Captures(ctx, catalog.Query{}) {
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("list while writing: %v", err)
			}
			return
		}
		if last.ID != "" && !newer(last, k) {
			t.Errorf("%s of %s follows %s of %s", k.ID, k.Started, last.ID, last.Started)
		}
		last = k
	}
}

func newer(a, b catalog.Capture) bool {
	if !a.Started.Equal(b.Started.Time) {
		return a.Started.After(b.Started.Time)
	}
	return a.ID > b.ID
}

func testCanceled(t *testing.T, open Open) {
	w, c := New(9, 3, 10), open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Straight(t).Give(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("write with a canceled context: %v", err)
	}
	if got := Collect(t, c.Captures(t.Context(), catalog.Query{})); len(got) != 0 {
		t.Errorf("it wrote %d captures", len(got))
	}
}
