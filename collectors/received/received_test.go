package received_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/received"
	"holdfast/hashing"
	"holdfast/storage/file"
)

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func store(t *testing.T) *file.Store {
	t.Helper()
	s, err := file.Open(filepath.Join(t.TempDir(), "store"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func handover(t *testing.T, a *collectors.Acquired) *collectors.Handover {
	t.Helper()
	for _, o := range a.Objects {
		if o.Name == collectors.NameHandover {
			h, err := collectors.ParseHandover(o.Inline)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
	}
	t.Fatal("no received.json")
	return nil
}

// TestNames: whatever a file is called, its Object has a name that a Manifest
// and every file system take, and the exact one is kept.
func TestNames(t *testing.T) {
	names := []string{"a", ".bashrc", "..a", "CON", "Übung.JPG", "документ.docx", "\u202egpj.exe", "x\xff\xfe.bin", "a b  c.tar.gz", "-rf", "slices", "manifest.json", "received.json", "giver.json",
		strings.Repeat("n", 240), "x." + strings.Repeat("e", 200), "日本.pdf", "İ.txt", "a\nb", "'\"$(x)"}
	dir := t.TempDir()
	var paths []string
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.WriteFile(p, []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	a, err := received.Take(t.Context(), received.Options{Files: paths, Giver: "G"}, store(t))
	if err != nil {
		t.Fatal(err)
	}
	h, seen := handover(t, a), map[string]bool{}
	for i, f := range h.Files {
		if string(f.Name) != names[i] {
			t.Errorf("name %q became %q", names[i], f.Name)
		}
		if !holdfast.ValidObjectName(f.Object) || len(f.Object) > 100 || seen[f.Object] || strings.HasSuffix(f.Object, ".") {
			t.Errorf("%q: object name %q", names[i], f.Object)
		}
		seen[f.Object] = true
	}
	for i, want := range map[int]string{2: "03-file.a", 4: "05-ubung.jpg", 5: "06-file.docx", 8: "09-a-b-c-tar.gz", 11: "12-manifest.json"} {
		if h.Files[i].Object != want {
			t.Errorf("%q became %q, want %q", names[i], h.Files[i].Object, want)
		}
	}
}

// grows yields its file's bytes and then changes it, as a program does that
// still writes a chat export.
type grows struct {
	collectors.Keeper
	path string
}

func (g grows) Put(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
	d, n, err := g.Keeper.Put(ctx, r)
	f, ferr := os.OpenFile(g.path, os.O_APPEND|os.O_WRONLY, 0)
	if ferr == nil {
		_, ferr = f.WriteString("more")
		f.Close()
	}
	return d, n, errors.Join(err, ferr)
}

func TestChangedWhileRead(t *testing.T) {
	path := write(t, "chat.txt", make([]byte, 1<<20))
	if _, err := received.Take(t.Context(), received.Options{Files: []string{path}, Giver: "G"}, grows{store(t), path}); !errors.Is(err, received.ErrChanged) {
		t.Errorf("a file that grew: %v", err)
	}
	old := write(t, "same-size.txt", make([]byte, 1<<20))
	replace := keeperFunc(func(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
		d, n, err := store(t).Put(ctx, r)
		return d, n, errors.Join(err, os.Rename(path, old))
	})
	if _, err := received.Take(t.Context(), received.Options{Files: []string{old}, Giver: "G"}, replace); !errors.Is(err, received.ErrChanged) {
		t.Errorf("a file that another took the place of: %v", err)
	}
}

type keeperFunc func(context.Context, io.Reader) (hashing.Digest, int64, error)

func (f keeperFunc) Put(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
	return f(ctx, r)
}

// TestFullDisk: the keeper's error comes through, and there is no Acquired.
func TestFullDisk(t *testing.T) {
	full := errors.New("no space")
	a, err := received.Take(t.Context(), received.Options{Files: []string{write(t, "a", make([]byte, 1<<20))}, Giver: "G"},
		keeperFunc(func(context.Context, io.Reader) (hashing.Digest, int64, error) { return hashing.Digest{}, 0, full }))
	if a != nil || !errors.Is(err, full) {
		t.Errorf("%v, %v", a, err)
	}
}

func known(t *testing.T, b []byte) *collectors.KnownList {
	t.Helper()
	k, err := collectors.ReadKnownList(strings.NewReader(fmt.Sprintf("%x\n", sha1.Sum(b))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestNeverKeep: no byte of what is on the list reaches the keeper, its name is
// nowhere, and the other files are taken.
func TestNeverKeep(t *testing.T) {
	bad, good := bytes.Repeat([]byte("forbidden"), 50_000), bytes.Repeat([]byte("fine"), 50_000)
	k := known(t, bad)
	s := store(t)
	a, err := received.Take(t.Context(), received.Options{Files: []string{write(t, "its-name.jpg", bad), write(t, "good.jpg", good)}, Giver: "G", Known: []*collectors.KnownList{k}},
		keeperFunc(func(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
			var b bytes.Buffer
			d, n, err := s.Put(ctx, io.TeeReader(r, &b))
			if bytes.Contains(b.Bytes(), []byte("forbidden")) {
				t.Error("bytes of the list reached the keeper")
			}
			return d, n, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	if has, err := s.Has(t.Context(), hashing.Of(bad)); has || err != nil {
		t.Error("kept", err)
	}
	all, _ := json.Marshal(a)
	h := handover(t, a)
	if a.Outcome != collectors.Partial || len(h.NotKept) != 1 || h.NotKept[0].Digest != hashing.Of(bad).String() || h.NotKept[0].Size != int64(len(bad)) || len(h.Files) != 1 || bytes.Contains(all, []byte("its-name")) {
		t.Errorf("%+v %+v", a.Outcome, h)
	}
	a, err = received.Take(t.Context(), received.Options{Files: []string{write(t, "x", bad)}, Giver: "G", Known: []*collectors.KnownList{k}}, s)
	if err != nil || a.Outcome != collectors.Failed {
		t.Errorf("nothing but the forbidden: %v, %v", a, err)
	}
}

// TestNeverKeepSwapped: a file that becomes one of the list after it was
// compared is in no store, though its bytes went to the keeper.
func TestNeverKeepSwapped(t *testing.T) {
	bad, good := bytes.Repeat([]byte("forbidden"), 50_000), bytes.Repeat([]byte("harmless!"), 50_000)
	path, s := write(t, "x.jpg", good), store(t)
	_, err := received.Take(t.Context(), received.Options{Files: []string{path}, Giver: "G", Known: []*collectors.KnownList{known(t, bad)}},
		keeperFunc(func(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
			var first [3072]byte // what was read to guess the type
			if _, err := io.ReadFull(r, first[:]); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			return s.Put(ctx, r)
		}))
	if !errors.Is(err, received.ErrChanged) {
		t.Errorf("%v", err)
	}
	if has, err := s.Has(t.Context(), hashing.Of(bad[3072:])); has || err != nil {
		t.Error("the rest of it is kept", err)
	}
}

// TestGiver: the commitment is the SHA-256 of the restricted Object, two of one
// giver differ, and the giver is in no other Object.
func TestGiver(t *testing.T) {
	path := write(t, "a", []byte("a"))
	var last hashing.Digest
	for range 2 {
		a, err := received.Take(t.Context(), received.Options{Files: []string{path}, Giver: "Maria \u202e\"K"}, store(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range a.Objects {
			if o.Name != received.NameGiver {
				if bytes.Contains(o.Inline, []byte("Maria")) {
					t.Errorf("%s names the giver", o.Name)
				}
				continue
			}
			who, err := received.ReadGiver(o.Inline)
			if err != nil || who != "Maria \u202e\"K" || !o.Restricted || len(a.Commitments) != 1 || a.Commitments[0].Digest != hashing.Of(o.Inline) || o.Digest == last {
				t.Errorf("%q, %v, %+v", who, err, o)
			}
			last = o.Digest
		}
	}
}

func TestNotFiles(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write(t, "a", nil), link); err != nil {
		t.Skip(err)
	}
	for path, want := range map[string]error{dir: received.ErrNotFile, link: received.ErrNotFile, "/dev/zero": received.ErrNotFile, filepath.Join(dir, "none"): fs.ErrNotExist} {
		if _, err := received.Take(t.Context(), received.Options{Files: []string{path}, Giver: "G"}, store(t)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if err := received.Check([]string{path}); !errors.Is(err, want) {
			t.Errorf("check %s: %v, want %v", path, err, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := received.Take(ctx, received.Options{Files: []string{write(t, "b", nil)}, Giver: "G"}, store(t)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHugeFile: 5 GB stream through with a few hundred KB. HOLDFAST_LONG, since
// the store writes them out.
func TestHugeFile(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("HOLDFAST_LONG is not set")
	}
	path := write(t, "disk.img", nil)
	if err := os.Truncate(path, 5<<30); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	a, err := received.Take(t.Context(), received.Options{Files: []string{path}, Giver: "G", Known: []*collectors.KnownList{known(t, nil)}}, store(t))
	if err != nil {
		t.Fatal(err)
	}
	if o := a.Objects[0]; o.Size != 5<<30 || !o.Kept {
		t.Errorf("%+v", o)
	}
	t.Logf("5 GiB in %v, peak %s", time.Since(start), peak())
}

func peak() string {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func FuzzHandover(f *testing.F) {
	b, err := collectors.Handover{How: "by hand", Received: "2026-11-25", Files: []collectors.Handed{{Name: "\xff", Object: "1-file", Type: "text/plain"}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := collectors.ParseHandover(b)
		if err != nil {
			return
		}
		if c, err := h.Encode(); err != nil || !bytes.Equal(b, c) {
			t.Fatalf("accepted %q, encodes as %q (%v)", b, c, err)
		}
	})
}
