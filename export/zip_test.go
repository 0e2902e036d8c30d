package export

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

type target struct{ b []byte }

func (m *target) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// Sizes around the buffer's make the header lie before, across and behind the
// end of what is written already.
func TestPatchedHeaders(t *testing.T) {
	for _, first := range []int{0, 1, bufferSize - 60, bufferSize - 50, bufferSize - 40, bufferSize - 35, bufferSize - 31, bufferSize, 3*bufferSize + 5} {
		var dst target
		a := newArchive(&dst, time.Date(2026, 11, 25, 8, 30, 59, 0, time.UTC))
		want := map[string][]byte{"a": bytes.Repeat([]byte{'x'}, first), "b/c.d_e-f": []byte("second"), "z": bytes.Repeat([]byte{7}, bufferSize+3)}
		for _, name := range []string{"a", "b/c.d_e-f", "z"} {
			if err := a.add(name, want[name]); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.close(); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(dst.b), int64(len(dst.b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r) // checks the CRC of the directory
			if err != nil || !bytes.Equal(got, want[f.Name]) {
				t.Errorf("first of %d: %s: %d bytes, %v", first, f.Name, len(got), err)
			}
			at, err := f.DataOffset()
			local := at - int64(len(f.Name)) - 16
			if err != nil || !bytes.Equal(dst.b[local:local+4], []byte{byte(f.CRC32), byte(f.CRC32 >> 8), byte(f.CRC32 >> 16), byte(f.CRC32 >> 24)}) {
				t.Errorf("first of %d: %s: local header has another CRC", first, f.Name)
			}
			if f.Modified.UTC().Format("2006-01-02 15:04:05") != "2026-11-25 08:30:58" {
				t.Errorf("time %s", f.Modified)
			}
		}
	}
}

func TestArchiveRefuses(t *testing.T) {
	a := newArchive(new(target), time.Unix(0, 0))
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "..", "a/../b", "./a", "A", "a b", "-a", "a/-b", "a\nb", "ä", "00-read-me-first.HTML", string(bytes.Repeat([]byte("a"), 513))} {
		if a.add(name, nil) == nil {
			t.Errorf("took the name %q", name)
		}
	}
	if err := a.add("a", nil); err != nil {
		t.Fatal(err)
	}
	if a.add("a", nil) == nil {
		t.Error("took a name twice")
	}
	err := a.stream("b", 5, func(w io.Writer) error { _, err := w.Write([]byte("four")); return err })
	if !errors.Is(err, errSize) {
		t.Errorf("a wrong size: %v", err)
	}
	if d, c := dosTime(time.Unix(0, 0)); d != 1<<5|1 || c != 0 {
		t.Errorf("1970 became %x %x", d, c)
	}
}

// sparse keeps zeros out of the disk.
type sparse struct{ f *os.File }

func (s sparse) WriteAt(p []byte, off int64) (int, error) {
	if len(bytes.Trim(p, "\x00")) == 0 {
		return len(p), nil
	}
	return s.f.WriteAt(p, off)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Entries beyond 4 GiB, in size and in place, are read by others.
func TestZIP64(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("HOLDFAST_LONG is not set")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "big.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := newArchive(sparse{f}, time.Now())
	const size = 1<<32 + 100
	for _, e := range []struct {
		name string
		size int64
	}{{"small", 10}, {"exact", max32}, {"large", size}, {"behind", 10}} {
		if err := a.stream(e.name, e.size, func(w io.Writer) error { _, err := io.CopyN(w, zeros{}, e.size); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unzip", "-tqq", f.Name()).CombinedOutput(); err != nil {
		t.Errorf("unzip: %v %s", err, out)
	}
	z, err := zip.OpenReader(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for i, want := range []uint64{10, max32, size, 10} {
		if z.File[i].UncompressedSize64 != want {
			t.Errorf("entry %d has %d bytes", i, z.File[i].UncompressedSize64)
		}
	}
}
