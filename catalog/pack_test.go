package catalog_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/hashing"
)

// memory is a storage.File of bytes.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func pack(n int) (z []byte, objects map[hashing.Digest][]byte) {
	objects = make(map[hashing.Digest][]byte)
	for i := range n {
		b := fmt.Appendf(nil, "object %d", i)
		objects[hashing.Of(b)] = b
	}
	return catalogtest.Pack(objects), objects
}

func readPack(z []byte) ([]catalog.Placed, error) {
	return catalog.ReadPack(memory{bytes.NewReader(z)}, "p.zip")
}

// TestReadPack: what archive/zip has written is found where it lies, ZIP64
// directories (above 65,534 entries) too.
func TestReadPack(t *testing.T) {
	for _, n := range []int{0, 1, 3, 1000, 65534, 65536} {
		z, objects := pack(n)
		ps, err := readPack(z)
		if err != nil || len(ps) != n {
			t.Fatalf("pack of %d: %d entries, %v", n, len(ps), err)
		}
		for _, p := range ps {
			if got := z[p.Ref.Offset : p.Ref.Offset+p.Ref.Size]; !bytes.Equal(got, objects[p.Digest]) || p.Ref.Name != "p.zip" {
				t.Fatalf("pack of %d: entry %s holds %q", n, p.Digest, got)
			}
		}
	}
}

// TestReadPackRefuses: no other ZIP passes, and no cut or single changed bit of
// the directory yields the place of other bytes unnoticed.
func TestReadPackRefuses(t *testing.T) {
	z, objects := pack(6)
	for n := range z {
		if ps, err := readPack(z[:n]); !errors.Is(err, catalog.ErrPack) {
			t.Fatalf("cut to %d bytes: %v, %v", n, ps, err)
		}
	}
	if ps, err := readPack(append(bytes.Clone(z), 0)); !errors.Is(err, catalog.ErrPack) {
		t.Errorf("with a byte behind it: %v, %v", ps, err)
	}
	if ps, err := readPack(append([]byte{0}, z...)); !errors.Is(err, catalog.ErrPack) {
		t.Errorf("with a byte before it: %v, %v", ps, err)
	}
	for i := range 8 * len(z) {
		bad := bytes.Clone(z)
		bad[i/8] ^= 1 << (i % 8)
		ps, err := readPack(bad)
		if err != nil {
			continue
		}
		for _, p := range ps { // then it is an entry's bytes, or a field that places nothing
			got := bad[p.Ref.Offset : p.Ref.Offset+p.Ref.Size]
			if hashing.Of(got) == p.Digest && !bytes.Equal(got, objects[p.Digest]) {
				t.Fatalf("bit %d: %s is %q", i, p.Digest, got)
			}
		}
	}
	for name, h := range map[string]zip.FileHeader{
		"deflated": {Name: hashing.Digest{1}.Hex(), Method: zip.Deflate}, "other name": {Name: "manifest.json"},
		"upper case": {Name: "A" + hashing.Digest{1}.Hex()[1:]}, "extra": {Name: hashing.Digest{1}.Hex(), Extra: []byte{1, 0, 0, 0}},
		"comment": {Name: hashing.Digest{1}.Hex(), Comment: "c"},
	} {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		if _, err := w.CreateRaw(&h); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if ps, err := readPack(buf.Bytes()); !errors.Is(err, catalog.ErrPack) {
			t.Errorf("%s: %v, %v", name, ps, err)
		}
	}
}

// TestReadPackGaps: no byte of a pack lies outside an entry.
func TestReadPackGaps(t *testing.T) {
	z, _ := pack(1)
	end := len(z) - 22
	dir := int(binary.LittleEndian.Uint32(z[end+16:]))
	behind := slices.Insert(bytes.Clone(z), end, 1, 2, 3)
	between := slices.Insert(bytes.Clone(z), dir, 1, 2, 3)
	binary.LittleEndian.PutUint32(between[len(between)-6:], uint32(dir+3))
	for name, bad := range map[string][]byte{"behind the directory": behind, "between entry and directory": between} {
		if ps, err := readPack(bad); !errors.Is(err, catalog.ErrPack) {
			t.Errorf("bytes %s: %v, %v", name, ps, err)
		}
	}
}

// TestReadPackOrder: entries are sorted, once each, from byte 0.
func TestReadPackOrder(t *testing.T) {
	for name, d := range map[string]struct {
		first  int64
		digits []byte
	}{"repeated": {0, []byte{1, 1}}, "out of order": {0, []byte{2, 1}}, "behind other bytes": {5, []byte{1, 2}}} {
		var buf bytes.Buffer
		buf.Write(make([]byte, d.first))
		w := zip.NewWriter(&buf)
		w.SetOffset(d.first)
		for _, b := range d.digits {
			if _, err := w.CreateRaw(&zip.FileHeader{Name: hashing.Digest{b}.Hex()}); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		if ps, err := readPack(buf.Bytes()); !errors.Is(err, catalog.ErrPack) {
			t.Errorf("%s: %v, %v", name, ps, err)
		}
	}
}

// TestRefRead: bytes come out only if they are the named ones.
func TestRefRead(t *testing.T) {
	s, _ := newStore(t)
	z, objects := pack(3)
	if err := s.Create(t.Context(), "p.zip", bytes.NewReader(z)); err != nil {
		t.Fatal(err)
	}
	ps, err := readPack(z)
	if err != nil {
		t.Fatal(err)
	}
	ref, d := ps[1].Ref, ps[1].Digest
	if b, err := ref.Read(t.Context(), s, d, ref.Size); err != nil || !bytes.Equal(b, objects[d]) {
		t.Errorf("read %q, %v", b, err)
	}
	if b, err := ref.Read(t.Context(), s, ps[0].Digest, 100); !errors.Is(err, hashing.ErrMismatch) {
		t.Errorf("another digest: %q, %v", b, err)
	}
	for name, r := range map[string]catalog.Ref{
		"above the limit": ref, "behind the end": {Name: ref.Name, Offset: int64(len(z)), Size: 1}, "negative size": {Name: ref.Name, Size: -1},
		"negative offset": {Name: ref.Name, Offset: -1, Size: 1}, "offset that overflows": {Name: ref.Name, Offset: 1<<63 - 1, Size: 1},
	} {
		if b, err := r.Read(t.Context(), s, d, ref.Size-1); !errors.Is(err, catalog.ErrPack) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// FuzzReadPack: no panic, no more entries than bytes allow, places inside the
// file that do not overlap; and whatever passes is a ZIP to archive/zip, too.
func FuzzReadPack(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		z, _ := pack(n)
		f.Add(z)
	}
	f.Fuzz(func(t *testing.T, z []byte) {
		ps, err := readPack(z)
		if err != nil {
			return
		}
		r, err := zip.NewReader(bytes.NewReader(z), int64(len(z)))
		if err != nil || len(r.File) != len(ps) {
			t.Fatalf("archive/zip: %v", err)
		}
		end := int64(0)
		for i, p := range ps {
			if p.Ref.Offset < end || p.Ref.Size < 0 || p.Ref.Offset+p.Ref.Size > int64(len(z)) || r.File[i].Name != p.Digest.Hex() {
				t.Fatalf("entry %d: %+v", i, p)
			}
			end = p.Ref.Offset + p.Ref.Size
		}
	})
}

// FuzzRead: a Manifest and a line from anywhere give an error or a fact.
func FuzzRead(f *testing.F) {
	for _, m := range catalogtest.New(1, 20, 64).Messages {
		f.Add(m.Manifest, m.Line)
	}
	f.Fuzz(func(t *testing.T, manifest, line []byte) {
		a, err := catalog.Read(1, manifest)
		if err != nil {
			return
		}
		if a.Manifest != hashing.Of(manifest) || a.State != "" {
			t.Errorf("fact %+v", a)
		}
		if err := a.ReadLine(line); (err == nil) != (a.Line != nil) {
			t.Errorf("line %+v, error %v", a.Line, err)
		}
	})
}

var _ io.ReaderAt = memory{}
