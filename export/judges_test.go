package export_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/export"
)

// offline runs a program of others without network, and returns what it said
// and its exit code.
func offline(t *testing.T, dir string, argv ...string) (string, int) {
	t.Helper()
	if exec.Command("unshare", "-n", "true").Run() == nil {
		argv = append([]string{"unshare", "-n"}, argv...)
	}
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("%s: %v", argv[0], err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// script writes verify.sh, and the Policy as a folder, outside of any Bundle.
func script(t *testing.T, w *world) (sh, trust string) {
	t.Helper()
	dir := t.TempDir()
	sh, trust = filepath.Join(dir, "verify.sh"), filepath.Join(dir, "trust")
	if err := os.WriteFile(sh, export.VerifyScript(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := export.WritePolicyDir(trust, w.policy, w.options().Certificates); err != nil {
		t.Fatal(err)
	}
	return sh, trust
}

func TestVerifyScriptOnGoodBundles(t *testing.T) {
	w := newWorld(t)
	a, b, c, d := w.page("https://example.org/a"), w.page("https://example.org/b"), w.page("https://example.org/c"), w.page("https://example.org/d")
	w.seal(3, a, b)
	w.seal(2, c)
	w.seal(1, d)
	pending := w.page("https://example.org/e")
	sh, trust := script(t, w)
	stranger := newWorld(t)
	_, other := script(t, stranger)
	half := *w.policy
	half.Nodes = nil
	noNode := filepath.Join(t.TempDir(), "trust")
	if err := export.WritePolicyDir(noNode, &half, w.options().Certificates); err != nil {
		t.Fatal(err)
	}
	sliced := w.options(a, b)
	sliced.Slices = []export.SliceRef{{Capture: a, Object: "source.html", Slice: "message-1"}}
	for name, tc := range map[string]struct {
		o    export.Options
		args []string
		code int
		says string
	}{
		"one":       {w.options(a), []string{"--trust", trust}, 0, "PROVEN"},
		"several":   {w.options(a, b, c), []string{"--trust", trust}, 0, "PROVEN"},
		"slices":    {sliced, []string{"--trust", trust}, 0, "part of source.html"},
		"signed":    {w.options(a, d), []string{"--trust", trust}, 3, "NOT SEALED"},
		"pending":   {w.options(pending), []string{"--trust", trust}, 3, "NOT SEALED"},
		"untrusted": {w.options(a), nil, 3, "CONSISTENT, TRUST NOT JUDGED"},
		"no node":   {w.options(a), []string{"--trust", noNode}, 4, "UNATTRIBUTED"},
		"stranger":  {w.options(a), []string{"--trust", other}, 3, "authority-unknown"},
	} {
		path, _ := write(t, tc.o)
		out, code := offline(t, "/", append(append([]string{"bash", sh}, tc.args...), path)...)
		if code != tc.code || !strings.Contains(out, tc.says) || strings.Contains(out, "syntax error") || strings.Contains(out, "verify.sh: line") {
			t.Errorf("%s: exit %d, want %d and %q\n%s", name, code, tc.code, tc.says, out)
		}
	}
}

var _ = holdfast.Version
