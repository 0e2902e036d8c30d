package preserve

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/hashing"
)

func testItem(n int, small ...[]byte) item {
	m := binary.BigEndian.AppendUint64([]byte("manifest "), uint64(n))
	it := Item{Position: int64(n), Case: "0123456789abcdef0123456789abcdef", Manifest: m}
	for _, b := range small {
		it.Small = append(it.Small, Small{hashing.Of(b), b})
	}
	return item{it, hashing.Of(m)}
}

func onePack(t *testing.T, items ...item) []byte {
	t.Helper()
	ps, err := packsOf(items)
	if err != nil || len(ps) != 1 {
		t.Fatalf("%d packs, %v", len(ps), err)
	}
	var b bytes.Buffer
	if err := ps[0].write(&b); err != nil {
		t.Fatal(err)
	}
	if d, err := ps[0].digest(); err != nil || d != hashing.Of(b.Bytes()) {
		t.Errorf("digest %s, bytes %s, %v", d, hashing.Of(b.Bytes()), err)
	}
	return b.Bytes()
}

// The bytes of a pack stay the same for good: plans name their digest. This one
// was computed by another program (Python's zipfile).
func TestPackBytes(t *testing.T) {
	b := onePack(t, testItem(1, []byte("small"), []byte("")), testItem(2, []byte("small")))
	const want = "sha256:f74a0b15e9ede2cff7915cea38afc3595c6e50e9484ac2e183bc59b2e6c38d7e"
	if got := hashing.Of(b).String(); got != want {
		t.Errorf("pack is %s, want %s", got, want)
	}
}

func TestPackIsAPlainZIP(t *testing.T) {
	for _, n := range []int{1, 5, 70000} { // the last one needs ZIP64's end record
		if n > 5 && testing.Short() {
			continue
		}
		items := make([]item, n)
		for i := range items {
			items[i] = testItem(i)
		}
		b := onePack(t, items...)
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.File) != n || r.Comment != "" {
			t.Fatalf("%d entries, comment %q", len(r.File), r.Comment)
		}
		var names []string
		for _, f := range r.File {
			names = append(names, f.Name)
			if f.Method != zip.Store || f.Flags != 0 || len(f.Extra) > 0 || !f.Mode().IsRegular() || !f.Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Fatalf("%s: %+v", f.Name, f.FileHeader)
			}
			if n < 100 {
				rc, _ := f.Open()
				body, err := io.ReadAll(rc)
				if err != nil || hashing.Of(body).Hex() != f.Name {
					t.Errorf("%s holds %s: %v", f.Name, hashing.Of(body), err)
				}
			}
		}
		if !slices.IsSorted(names) {
			t.Error("entries are not sorted")
		}
		if binary.LittleEndian.Uint32(b) != 0x04034b50 || b[len(b)-1] != 0 || b[len(b)-2] != 0 {
			t.Error("it does not begin with an entry, or end with an empty comment")
		}
		unzip(t, b)
	}
}

func unzip(t *testing.T, b []byte) {
	path := filepath.Join(t.TempDir(), "p.zip")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("unzip", "-tqq", path).CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("unzip -t: %v: %s", err, out)
	}
}

func TestPackKeepsOnceSortsAndRefuses(t *testing.T) {
	a := onePack(t, testItem(1, []byte("same")), testItem(2, []byte("same")))
	b := onePack(t, testItem(2, []byte("same")), testItem(1, []byte("same")))
	if !bytes.Equal(a, b) {
		t.Error("the order of items changes the bytes")
	}
	bad := testItem(1, []byte("one"))
	bad.Small[0].Bytes = []byte("two")
	if _, err := packsOf([]item{bad}); !errors.Is(err, hashing.ErrMismatch) {
		t.Errorf("a small object that is not its digest: %v", err)
	}
	other := testItem(3)
	other.Case = "ffffffffffffffffffffffffffffffff"
	ps, err := packsOf([]item{other, testItem(1)})
	if err != nil || len(ps) != 2 || ps[0].home > ps[1].home {
		t.Errorf("%d packs in order of case: %v", len(ps), err)
	}
}
