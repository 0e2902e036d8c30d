package export_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
)

// splitWorld has sealed captures of the sizes given, some in one Seal.
func splitWorld(t *testing.T, sizes ...int) (*world, []holdfast.ID) {
	w := newWorld(t)
	var ids []holdfast.ID
	for i, n := range sizes {
		b := make([]byte, n)
		rand.Read(b)
		ids = append(ids, w.capture(fmt.Sprintf("https://example.org/%d/%s", i, strings.Repeat("<&\u202e>", i%40)), nil,
			object{name: "body.bin", role: "source", kind: "text/html", body: b},
			object{name: "screenshot.png", role: "screenshot", kind: "image/png", body: picture(i)}))
	}
	for some := range slices.Chunk(ids, 7) {
		w.seal(3, some...)
	}
	return w, ids
}

// writeParts writes what Split says, and holds every part to the size.
func writeParts(t *testing.T, o export.Options, size int64) (paths []string, sums []*export.Summary) {
	t.Helper()
	parts, err := export.Split(t.Context(), o, size)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, sel := range parts {
		o := o
		o.Cases, o.MaxBytes, o.Part = sel, size, &export.Part{Number: i + 1, Of: len(parts), Group: "g"}
		path := filepath.Join(dir, fmt.Sprint(i+1, ".zip"))
		sum, err := export.WriteFile(t.Context(), path, o)
		if err != nil {
			t.Fatalf("part %d of %d: %v", i+1, len(parts), err)
		}
		paths, sums = append(paths, path), append(sums, sum)
	}
	return paths, sums
}

// Every part is at most as large as asked, proven alone, counts the whole Case,
// and shows exhibits that no other part shows, under the numbers of one export.
func TestSplit(t *testing.T) {
	t.Parallel()
	sizes := make([]int, 60)
	for i := range sizes {
		sizes[i] = 1000 + i%9*40_000
	}
	w, ids := splitWorld(t, sizes...)
	const size = 2 << 20
	o := w.options(ids...)
	paths, sums := writeParts(t, o, size)
	next, total := 1, int64(0)
	for i, path := range paths {
		total += sums[i].Bytes
		if r := verify(t, path, w.policy); r.Verdict != holdfast.VerdictProven || len(r.Exhibits) != len(sums[i].Exhibits) {
			t.Errorf("part %d: %s", i+1, r.Verdict)
		}
		for _, e := range sums[i].Exhibits {
			if e.Number != fmt.Sprint(next) || e.Capture != ids[next-1] {
				t.Errorf("part %d has exhibit %s, want %d", i+1, e.Number, next)
			}
			next++
		}
		if i < len(paths)-1 && sums[i].Bytes < size*3/4 {
			t.Errorf("part %d has %d bytes of %d", i+1, sums[i].Bytes, size)
		}
		files := entries(t, path)
		text := string(files[holdfast.ReadMe])
		if !strings.Contains(text, fmt.Sprintf("%d of %d of one export", i+1, len(paths))) || !strings.Contains(string(files["bag-info.txt"]), fmt.Sprintf("\nBag-Count: %d of %d\nBag-Group-Identifier: g\n", i+1, len(paths))) {
			t.Errorf("part %d does not say so", i+1)
		}
		if !strings.Contains(text, fmt.Sprintf("%d of the 60 captures", len(sums[i].Exhibits))) {
			t.Errorf("part %d does not count the case", i+1)
		}
	}
	if next != 61 || len(paths) < 4 {
		t.Errorf("%d exhibits in %d parts", next-1, len(paths))
	}
	again, err := export.Split(t.Context(), o, size)
	if err != nil || len(again) != len(paths) {
		t.Errorf("the second time %d parts, first %d: %v", len(again), len(paths), err)
	}
	t.Logf("%d parts, %d bytes", len(paths), total)
}

// Small ones are many in a part: the guess must not be far off where what is
// said of an Object outweighs it.
func TestSplitSmall(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, make([]int, 300)...)
	paths, sums := writeParts(t, w.options(ids...), export.MinSize)
	for i := range paths {
		if i < len(paths)-1 && sums[i].Bytes < export.MinSize*2/3 {
			t.Errorf("part %d of %d has %d bytes", i+1, len(paths), sums[i].Bytes)
		}
	}
	if r := verify(t, paths[len(paths)-1], w.policy); r.Verdict != holdfast.VerdictProven {
		t.Error(r.Verdict)
	}
}

// unread fails the test when an Object is read that no page shows.
type unread struct {
	*world
	t *testing.T
}

func (u unread) OpenObject(ctx context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	if o.Role == "source" {
		u.t.Error("an object was read to be measured")
	}
	return u.world.OpenObject(ctx, id, o)
}

// What fits into no Bundle is refused before anything is written or numbered,
// and the size that is named is enough.
func TestSplitTooLarge(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, 10, 3<<20, 10)
	o := w.options(ids...)
	lines := len(w.custody)
	o.Captures = unread{w, t}
	_, err := export.Split(t.Context(), o, 2<<20)
	if !errors.Is(err, export.ErrSize) || !strings.Contains(err.Error(), string(ids[1])) {
		t.Fatalf("%v", err)
	}
	if len(w.custody) != lines || len(w.numbers) != 0 {
		t.Error("measuring wrote custody lines")
	}
	var need int64
	if _, serr := fmt.Sscanf(err.Error()[strings.Index(err.Error(), "bundle of "):], "bundle of %d bytes", &need); serr != nil {
		t.Fatal(serr)
	}
	o.Captures = w
	if _, sums := writeParts(t, o, need); len(sums) > 3 {
		t.Errorf("%d parts", len(sums))
	}
	if _, err := export.Split(t.Context(), o, need-1); !errors.Is(err, export.ErrSize) {
		t.Errorf("one byte less: %v", err)
	}
	if _, err := export.Split(t.Context(), o, export.MinSize-1); !errors.Is(err, export.ErrOptions) {
		t.Error(err)
	}
}

// A Bundle that became larger than asked does not appear.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, 100_000)
	o := w.options(ids...)
	o.MaxBytes = 100_000
	path := filepath.Join(t.TempDir(), "x.zip")
	if _, err := export.WriteFile(t.Context(), path, o); !errors.Is(err, export.ErrSize) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// A Case of 100,000 entries is divided and written in bounded memory.
func TestLargeSplit(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("HOLDFAST_LONG is not set")
	}
	b := newBig(t, 20_000, 4096)
	o := b.options()
	o.Captures, o.CaseFacts = b, b
	for i := range b.n {
		o.Cases[0].Captures = append(o.Cases[0].Captures, bigID(i))
	}
	top, start := peak(t), time.Now()
	const size = 100_000_000
	parts, err := export.Split(t.Context(), o, size)
	if err != nil {
		t.Fatal(err)
	}
	measured := time.Since(start)
	var sizes []int64
	path := filepath.Join(t.TempDir(), "part.zip")
	for i, sel := range parts {
		o.Cases, o.MaxBytes, o.Replace, o.Part = sel, size, true, &export.Part{Number: i + 1, Of: len(parts)}
		sum, err := export.WriteFile(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, sum.Bytes)
	}
	used := top()
	t.Logf("%d parts %d, measured in %.1f s, all in %.1f s, peak of the whole process %d MiB", len(parts), sizes, measured.Seconds(), time.Since(start).Seconds(), used)
	if used > 256 {
		t.Errorf("%d MiB, want at most 256", used)
	}
	wantVerdict(t, verify(t, path, b.policy), holdfast.VerdictProven)
}
