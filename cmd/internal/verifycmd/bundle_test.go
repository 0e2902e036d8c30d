package verifycmd

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/hashing"
)

func opened(t *testing.T, file, policy string) *Bundle {
	t.Helper()
	b, err := Open(t.Context(), Options{File: file, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// TestBundleGivesWhatWasJudged: every Object of every good Bundle is given with its bytes,
// or is said to be withheld and why.
func TestBundleGivesWhatWasJudged(t *testing.T) {
	files, _ := filepath.Glob(good + "*.zip")
	here, gone := 0, 0
	for _, file := range files {
		b := opened(t, file, strings.TrimSuffix(file, ".zip")+".policy.json")
		for _, x := range b.Report.Exhibits {
			m, err := b.Manifest(x)
			if err != nil || m.ID != x.Capture {
				t.Fatalf("%s exhibit %s: %v", file, x.Number, err)
			}
			for _, o := range m.Objects {
				r, err := b.Open(x, o)
				if errors.Is(err, fs.ErrNotExist) {
					if gone++; strings.Contains(err.Error(), "nothing says why") {
						t.Errorf("%s: %v", file, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if d, n, err := hashing.Copy(io.Discard, r); err != nil || d != o.Digest || n != o.Size {
					t.Errorf("%s %s: %v", file, o.Name, err)
				}
				r.Close()
			}
			here += len(m.Objects)
		}
		if err := b.Unchanged(); err != nil {
			t.Error(err)
		}
	}
	if here < 20 || gone == 0 {
		t.Errorf("%d Objects, %d of them withheld", here, gone)
	}
}

// TestBundleThatBecomesAnother: what is not what was judged is given as an error, also
// where the ZIP itself is sound.
func TestBundleThatBecomesAnother(t *testing.T) {
	b := opened(t, good+"page.zip", good+"page.policy.json")
	x := b.Report.Exhibits[0]
	m, err := b.Manifest(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"manifest.json", nameOf} {
		b.zip = rezipped(t, good+"page.zip", name)
		_, merr := b.Manifest(x)
		_, rerr := readAll(b.Open(x, *m.Object(nameOf)))
		if got := errors.Join(merr, rerr); !errors.Is(got, hashing.ErrMismatch) || (merr == nil) == (rerr == nil) {
			t.Errorf("with another %s: %v and %v", name, merr, rerr)
		}
	}
}

const nameOf = "dom.html"

func readAll(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// rezipped is a ZIP of the same entries in which one has one other byte.
func rezipped(t *testing.T, file, name string) *zip.Reader {
	t.Helper()
	in, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name, "/1/"+name) {
			body[bytes.IndexByte(body, 'a')] = 'e'
		}
		to, err := w.Create(f.Name)
		if err == nil {
			_, err = to.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestBundleChanged: a file that was touched since is said to be, and a contradicted one
// gives nothing.
func TestBundleChanged(t *testing.T) {
	whole, err := os.ReadFile(good + "page.zip")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.zip")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	b := opened(t, path, good+"page.policy.json")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := b.Unchanged(); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("touched: %v", err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	bad := (*ContradictedError)(nil)
	if _, err := Open(t.Context(), Options{File: path}); !errors.As(err, &bad) || bad.Findings[0].Finding != "zip" {
		t.Errorf("cut short: %v", err)
	}
}
