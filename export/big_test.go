package export_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

// large makes Captures up when asked, so that the memory measured is that of the
// export and not of the test.
type large struct {
	*world
	model   holdfast.Manifest
	n, size int
	digests []hashing.Digest
	seals   []string
}

const perCapture = 4 // Objects

func newBig(t *testing.T, n, size int) *large {
	w := newWorld(t)
	b := &large{world: w, model: *w.captures[w.capture("https://example.org/", nil)].m, n: n, size: size}
	for i := range n {
		b.digests = append(b.digests, hashing.Of(b.manifest(i)))
	}
	for i := 0; i < n; i += holdfast.MaxSubjects {
		b.seals = append(b.seals, w.sealDigests(2, append([]hashing.Digest{}, b.digests[i:min(n, i+holdfast.MaxSubjects)]...)))
	}
	return b
}

func bigID(i int) holdfast.ID { return holdfast.ID(fmt.Sprintf("%032x", i+1)) }

func index(id holdfast.ID) int {
	n, _ := strconv.ParseInt(string(id), 16, 64)
	return int(n) - 1
}

func (b *large) body(i, k int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "capture %d object %d\n", i, k), b.size/15+1)[:b.size]
}

func (b *large) manifest(i int) []byte {
	m := b.model
	m.ID, m.Nonce, m.Objects = bigID(i), hashing.Of(fmt.Appendf(nil, "nonce %d", i)).Hex(), nil
	for k := range perCapture {
		body := b.body(i, k)
		m.Objects = append(m.Objects, holdfast.Object{Digest: hashing.Of(body), Name: fmt.Sprintf("object-%d.bin", k), Role: "text", Size: int64(len(body)), Type: "text/plain"})
	}
	return must(m.Encode())
}

func (b *large) Manifest(_ context.Context, id holdfast.ID) ([]byte, string, error) {
	i := index(id)
	return b.manifest(i), b.seals[i/holdfast.MaxSubjects], nil
}

func (b *large) OpenObject(_ context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	k, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(o.Name, "object-"), ".bin"))
	return io.NopCloser(bytes.NewReader(b.body(index(id), k))), nil
}

func (b *large) Facts(context.Context, holdfast.ID) (export.Facts, error) {
	return export.Facts{Name: "Large", Captures: append([]hashing.Digest{}, b.digests...)}, nil
}

// peak resets the high-water mark of resident memory and returns a reader of it.
func peak(t *testing.T) func() int {
	t.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("the peak of memory can be measured on linux only")
	}
	return func() int {
		b, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(b), "VmHWM:")
		kib, _ := strconv.Atoi(strings.Fields(rest)[0])
		return kib >> 10
	}
}

// A Case of 100,000 entries is exported in bounded memory, and more than 65,535
// entries take the ZIP64 records that other programs read.
func TestLargeCase(t *testing.T) {
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
	path, sum := write(t, o)
	used, took := top(), time.Since(start)
	t.Logf("%d entries, %d MiB in %.1f s, peak of the whole process %d MiB", sum.Entries, sum.Bytes>>20, took.Seconds(), used)
	if sum.Entries < 100_000 || used > 256 {
		t.Errorf("%d entries in %d MiB, want 100,000 in 256", sum.Entries, used)
	}
	if out, code := offline(t, "/", "unzip", "-tqq", path); code != 0 {
		t.Errorf("unzip: %d %s", code, out)
	}
	top = peak(t)
	wantVerdict(t, verify(t, path, b.policy), holdfast.VerdictProven)
	t.Logf("verify: peak %d MiB", top())
}
