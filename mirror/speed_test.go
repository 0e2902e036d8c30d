package mirror_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/storage"
	"holdfast/storage/file"
)

// TestMirrorSpeed compares the copying of many small files, verified and on the
// disk at the end, with `cp -a` of the same files, which waits for no disk, in one run. The
// budget is twice its time.
func TestMirrorSpeed(t *testing.T) {
	count, long := 10_000, os.Getenv("HOLDFAST_LONG") != ""
	if long {
		count = 100_000
	}
	dir := t.TempDir()
	from, err := file.Open(filepath.Join(dir, "from"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	var in []storage.Incoming
	for i := range count {
		text := make([]byte, 2048)
		copy(text, strconv.Itoa(i))
		d := hashing.Of(text)
		in = append(in, storage.Incoming{Digest: &d, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }})
		if len(in) == storage.MaxImport || i == count-1 {
			if _, err := from.Import(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			in = in[:0]
		}
	}
	begun := time.Now()
	if out, err := exec.Command("cp", "-a", filepath.Join(dir, "from"), filepath.Join(dir, "cp")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cp := time.Since(begun)
	if out, err := exec.Command("sync", "-f", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	synced := time.Since(begun)
	begun = time.Now()
	to, err := file.Open(filepath.Join(dir, "to"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	k := &mirror.Copier{From: from, To: to}
	if bad := copies(t, k); len(bad) > 0 {
		t.Error(bad)
	}
	took := time.Since(begun)
	files, size := k.Copied()
	if files != int64(count) {
		t.Errorf("%d of %d files", files, count)
	}
	t.Logf("%d files: mirror %v (%.1f MB/s), cp -a %v: %.2f times its time; with sync %v: %.2f times", count, took, float64(size)/1e6/took.Seconds(),
		cp, took.Seconds()/cp.Seconds(), synced, took.Seconds()/synced.Seconds())
	if long && took > 2*cp {
		t.Errorf("more than twice the time of cp -a")
	}
}
