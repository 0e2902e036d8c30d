package export_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

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
	t.Parallel()
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
	quick := os.Getenv("HOLDFAST_LONG") == ""
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
		if quick && (name == "several" || name == "stranger" || name == "no node") {
			continue // a second each
		}
		path, _ := write(t, tc.o)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := offline(t, "/", append(append([]string{"bash", sh}, tc.args...), path)...)
			if code != tc.code || !strings.Contains(out, tc.says) || strings.Contains(out, "syntax error") || strings.Contains(out, "verify.sh: line") {
				t.Errorf("exit %d, want %d and %q\n%s", code, tc.code, tc.says, out)
			}
		})
	}
}

// judge is the path of a stranger's program (deploy/judges).
func judge(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir == "" {
		t.Skip("HOLDFAST_JUDGES is not set: see deploy/judges/README.md")
	}
	path := filepath.Join(dir, "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// tools are programs that every Linux has.
func TestSystemTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.page("https://example.org/a"), w.page("https://example.org/b")
	w.seal(3, a, b)
	path, sum := write(t, w.options(a, b))
	if out, code := offline(t, "/", "unzip", "-tqq", path); code != 0 {
		t.Errorf("unzip -t: %d\n%s", code, out)
	}
	out, code := offline(t, "/", "zipinfo", "-v", path)
	out = regexp.MustCompile(`(?m)^ +| {2,}`).ReplaceAllString(out, "")
	for line, want := range map[string]int{
		"compression method:none (stored)": sum.Entries, "file security status:not encrypted": sum.Entries,
		"extended local header:no": sum.Entries, "Unix file attributes (100644 octal):-rw-r--r--": sum.Entries,
		"length of extra field:0 bytes": sum.Entries, "minimum software version required to extract:2.0": sum.Entries,
		"There is no zipfile comment.": 1, "length of file comment:0 characters": sum.Entries,
	} {
		if got := strings.Count(out, line+"\n"); got != want || code != 0 {
			t.Errorf("zipinfo says %d times %q, want %d (exit %d)", got, line, want, code)
		}
	}
	dir := t.TempDir()
	if out, code := offline(t, "/", "unzip", "-qq", path, "-d", dir); code != 0 {
		t.Errorf("unzip: %d\n%s", code, out)
	}
	for _, list := range []string{"manifest-sha256.txt", "tagmanifest-sha256.txt"} {
		if out, code := offline(t, dir, "sha256sum", "-c", "--strict", "--quiet", list); code != 0 {
			t.Errorf("sha256sum -c %s: %d\n%s", list, code, out)
		}
	}
}

// The single commands of the page are good ones.
func TestCommandsOfThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	doc, err := html.Parse(bytes.NewReader(entries(t, path)[holdfast.ReadMe]))
	if err != nil {
		t.Fatal(err)
	}
	var commands string
	for n := range doc.Descendants() {
		if n.Data == "pre" {
			commands = n.FirstChild.Data
		}
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "ROOT.pem")
	os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.operators[0].Root().Raw}), 0o600)
	commands, _, _ = strings.Cut(strings.NewReplacer("BUNDLE.zip", path, "ROOT.pem", root, "unzip", "unzip -qq").Replace(commands), "cosign")
	if out, code := offline(t, dir, "bash", "-e", "-c", commands); code != 0 || !strings.Contains(out, "Verification: OK") {
		t.Errorf("exit %d\n%s\n%s", code, commands, out)
	}
}

func TestBagItsOwnValidator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	f := files(entries(t, path))
	if out, code := offline(t, "/", judge(t, "bagit.py"), "--validate", f.unpacked(t)); code != 0 {
		t.Errorf("bagit: %d\n%s", code, out)
	}
	f.flip("data/exhibits/1/page.wacz", 7)
	if _, code := offline(t, "/", judge(t, "bagit.py"), "--validate", f.unpacked(t)); code != 1 {
		t.Errorf("bagit passes a changed file: %d", code)
	}
}

// Sigstore's own verifiers, with a Seal of 1 and of 1,024 Manifests, with and
// without the tokens of a third operator.
func TestSigstoreJudges(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, holdfast.MaxSubjects} {
		w := newWorld(t)
		var ids []holdfast.ID
		for i := range n {
			ids = append(ids, w.capture(fmt.Sprintf("https://example.org/%d", i), nil))
		}
		w.seal(3, ids...)
		path, _ := write(t, w.options(ids[0]))
		f := files(entries(t, path))
		seal := f.find(t, "data/seals/", "/seal.sigstore.json")
		args := []string{seal, "data/trust/trusted_root.json", "data/trust/nodes/" + holdfast.KeyID(w.SPKI()) + ".pem", "data/exhibits/1/manifest.json"}
		judges := map[string][]string{
			"sigstore-verify": args, "sigstorego": args,
			"cosign": {"verify-blob-attestation", "--bundle", args[0], "--trusted-root", args[1], "--key", args[2], "--use-signed-timestamps", "--type", holdfast.PredicateType, args[3]},
		}
		good, bad := f.unpacked(t), maps.Clone(f)
		bad["data/exhibits/1/manifest.json"] = w.captures[w.capture("https://example.org/other", nil)].manifest
		other := bad.unpacked(t)
		for name, argv := range judges {
			argv = append([]string{judge(t, name)}, argv...)
			if out, code := offline(t, good, argv...); code != 0 {
				t.Errorf("%s refuses a seal of %d: %d\n%s", name, n, code, out)
			}
			if _, code := offline(t, other, argv...); code != 1 {
				t.Errorf("%s passes another manifest: %d", name, code)
			}
		}
	}
}
