//go:build unix

package file_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/storage"
	"holdfast/storage/file"
)

// TestListPages: a folder that does not fit into a page is listed as one that does:
// sorted by full names, each once, with whatever prefix.
func TestListPages(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	const letters = "ab-.0_"
	var want []string
	for range 400 {
		segs := make([]string, 1+rng.IntN(3))
		for i := range segs {
			segs[i] = "a"
			for range rng.IntN(4) {
				segs[i] += string(letters[rng.IntN(len(letters))])
			}
		}
		name := strings.Join(segs, "/")
		if os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700) != nil || storage.CheckName(name) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(dir, name), []byte(name), 0o400) == nil && !slices.Contains(want, name) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if len(want) < 150 {
		t.Fatalf("%d names only", len(want))
	}
	for _, page := range []int{1, 2, 3, 7, 50, 0} {
		s := open(t, dir, file.Options{Hooks: file.Hooks{Page: page}})
		for _, prefix := range []string{"", "a", "a/", "aa", "a/a", "a-", "ab/a", "b"} {
			var got, some []string
			for e, err := range s.List(t.Context(), prefix) {
				must(t, err)
				if e.Size != int64(len(e.Name)) {
					t.Errorf("%s has %d bytes", e.Name, e.Size)
				}
				got = append(got, e.Name)
			}
			for _, n := range want {
				if strings.HasPrefix(n, prefix) {
					some = append(some, n)
				}
			}
			if !slices.Equal(got, some) {
				t.Fatalf("pages of %d, prefix %q:\n%q, want\n%q", page, prefix, got, some)
			}
		}
		s.Close()
	}
}

// TestListWhileItChanges: what is there from begin to end is listed, once and in
// order, whatever comes and goes meanwhile, before and behind the place.
func TestListWhileItChanges(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, file.Options{Hooks: file.Hooks{Page: 16}})
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	stays := func(i int) string { return fmt.Sprintf("d/%04d", 2*i) }
	const count = 500
	for i := range count {
		must(t, os.WriteFile(filepath.Join(dir, stays(i)), nil, 0o400))
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			p := filepath.Join(dir, fmt.Sprintf("d/%04d", 2*rand.IntN(count)+1))
			if os.WriteFile(p, nil, 0o400) != nil {
				os.Remove(p)
			}
			if rand.IntN(2) == 0 {
				os.Remove(p)
			}
		}
	})
	for range 5 {
		last, seen := "", 0
		for e, err := range s.List(t.Context(), "d/") {
			must(t, err)
			if e.Name <= last {
				t.Fatalf("%s after %s", e.Name, last)
			}
			if last = e.Name; last[len(last)-1]%2 == 0 {
				if e.Name != stays(seen) {
					t.Fatalf("%s, want %s", e.Name, stays(seen))
				}
				seen++
			}
		}
		if seen != count {
			t.Fatalf("%d of %d", seen, count)
		}
	}
	close(end)
	wg.Wait()
}

// TestListHoldsLittle: a million names of one folder take less than 64 MB.
func TestListHoldsLittle(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") != "1" {
		t.Skip("HOLDFAST_LONG is not set")
	}
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-list-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const count = 1_000_000
	s := open(t, dir, file.Options{MinFree: -1})
	packs := filepath.Join(dir, "cases/0123456789abcdef0123456789abcdef/packs")
	must(t, os.MkdirAll(packs, 0o700))
	for i := range count {
		f, err := os.OpenFile(fmt.Sprintf("%s/%016x-%09d-%020d.zip", packs, i*7919%count, 0, i), os.O_CREATE|os.O_WRONLY, 0o400)
		if err != nil {
			t.Skip(err) // no room for so many
		}
		f.Close()
	}
	debug.FreeOSMemory()
	must(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // VmHWM begins anew
	began, n := time.Now(), 0
	for _, err := range s.List(t.Context(), "cases/") {
		must(t, err)
		n++
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	var kb int
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Sscan(line, &kb)
	t.Logf("%d names: %d MB resident, %v", n, kb/1000, time.Since(began).Round(100*time.Millisecond))
	if n != count || kb > 64_000 {
		t.Errorf("%d names, %d kB", n, kb)
	}
}
