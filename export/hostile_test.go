package export_test

import (
	"archive/zip"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
)

// zipWith packs files and one more entry that no bundle may have.
func zipWith(t *testing.T, f files, name string, mode fs.FileMode, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.zip")
	out := must(os.Create(path))
	defer out.Close()
	z := zip.NewWriter(out)
	put := func(name string, mode fs.FileMode, b []byte) {
		h := &zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE(b), CompressedSize64: uint64(len(b)), UncompressedSize64: uint64(len(b))}
		h.SetMode(mode)
		must(z.CreateRaw(h)).Write(b)
	}
	for p, b := range f {
		put(p, 0o644, b)
	}
	put(name, mode, []byte(body))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Names of a hostile bundle never reach a command, and nothing is unpacked
// beside the folder made for it.
func TestVerifyScriptOnHostileArchives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(2, id)
	path, _ := write(t, w.options(id))
	good := files(entries(t, path))
	sh, trust := script(t, w)
	canary := filepath.Join(t.TempDir(), "canary")
	for name, tc := range map[string]struct {
		entry   string
		mode    fs.FileMode
		body    string
		finding string
	}{
		"substitution": {"data/$(touch " + canary + ")", 0o644, "x", "entry-name"},
		"backticks":    {"data/`touch " + canary + "`", 0o644, "x", "entry-name"},
		"newline":      {"data/a\nb", 0o644, "x", "entry-name"},
		"option":       {"data/--help", 0o644, "x", "entry-name"},
		"dots":         {"data/../../x", 0o644, "x", "entry-name"},
		"absolute":     {"/tmp/x", 0o644, "x", "entry-name"},
		"capital":      {"DATA/x", 0o644, "x", "entry-name"},
		"twice":        {"data/exhibits/1/page.wacz", 0o644, "x", "entry-duplicate"},
		"link":         {"data/exhibits/1/link", fs.ModeSymlink | 0o777, "/etc/passwd", "entry-type"},
		"folder":       {"data/exhibits/2/", fs.ModeDir | 0o755, "", "CONTRADICTED"},
	} {
		out, code := offline(t, "/", "bash", sh, "--trust", trust, zipWith(t, good, tc.entry, tc.mode, tc.body))
		if code != 1 || !strings.Contains(out, tc.finding) || strings.Contains(out, "line ") {
			t.Errorf("%s: exit %d, want 1 and %s\n%s", name, code, tc.finding, out)
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a name was run as a command")
	}
	dir := good.unpacked(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "data", "exhibits", "1", "link")); err != nil {
		t.Fatal(err)
	}
	if out, code := offline(t, "/", "bash", sh, dir); code != 1 || !strings.Contains(out, "entry-type") {
		t.Errorf("link in a folder: %d %s", code, out)
	}
	cut := filepath.Join(t.TempDir(), "cut.zip")
	b := must(os.ReadFile(path))
	os.WriteFile(cut, b[:len(b)-30], 0o600)
	if out, code := offline(t, "/", "bash", sh, "--trust", trust, cut); code != 1 || !strings.Contains(out, "zip:") {
		t.Errorf("cut short: %d %s", code, out)
	}
	text := filepath.Join(t.TempDir(), "x.zip")
	os.WriteFile(text, []byte("hello"), 0o600)
	for _, args := range [][]string{{text}, {"--trust"}, {"--trust", dir, path}, {"--nonsense"}, {filepath.Dir(text)}, {"/nonexistent"}} {
		if out, code := offline(t, "/", append([]string{"bash", sh}, args...)...); code != 2 {
			t.Errorf("%v: exit %d, want 2\n%s", args, code, out)
		}
	}
}

// A script that was cut short must not end well.
func TestTruncatedScriptRunsNothing(t *testing.T) {
	t.Parallel()
	whole := export.VerifyScript()
	for _, part := range []int{2, 3, 5, 10} {
		path := filepath.Join(t.TempDir(), "verify.sh")
		os.WriteFile(path, whole[:len(whole)*(part-1)/part], 0o600)
		if out, code := offline(t, t.TempDir(), "bash", path); code == 0 {
			t.Errorf("%d/%d of the script ends with 0:\n%s", part-1, part, out)
		}
	}
}

// An interrupt in the middle of an Object leaves nothing behind.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(2, id)
	ctx, cancel := context.WithCancel(t.Context())
	w.opened["page.wacz"] = func() io.Reader { cancel(); return strings.NewReader("never read") }
	dir := t.TempDir()
	_, err := export.WriteFile(ctx, filepath.Join(dir, "b.zip"), w.options(id))
	if left, _ := os.ReadDir(dir); !errors.Is(err, context.Canceled) || len(left) > 0 {
		t.Errorf("%v, left %v", err, left)
	}
}

func TestPolicyDir(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "p")
	if err := export.WritePolicyDir(dir, w.policy, nil); !errors.Is(err, export.ErrOptions) {
		t.Errorf("without roots: %v", err)
	}
	until := holdfast.At(time.UnixMilli(1_800_000_000_123))
	w.policy.Nodes[0].Keys[0].Until = &until
	w.policy.Authorities[0].Operator = "a\nquorum 1"
	theirs := filepath.Join(dir+".part", "letter.txt") // of somebody's, under a name that we might take
	if err := errors.Join(os.Mkdir(filepath.Dir(theirs), 0o755), os.WriteFile(theirs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := export.WritePolicyDir(dir, w.policy, w.options().Certificates)
		if err != nil && !errors.Is(err, export.ErrExists) {
			t.Fatal(err)
		}
	}
	text := string(must(os.ReadFile(filepath.Join(dir, "policy.txt"))))
	if strings.Count(text, "\nquorum ") != 1 || !strings.Contains(text, " 1800000000123\n") || !strings.Contains(text, "operator o1 a⟨U+000A⟩quorum 1\n") {
		t.Error(text)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 2 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}
