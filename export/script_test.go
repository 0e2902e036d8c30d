package export_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/hashing"
)

// reword lets a signer write any text as export statement, such as one that no
// encoder of ours gives.
func (f files) reword(w *world, old, to string) {
	const path = "data/export.dsse.json"
	env := must(holdfast.ParseEnvelope(f[path], holdfast.PayloadExport, 1<<30))
	if !bytes.Contains(env.Payload, []byte(old)) {
		panic("the statement lacks " + old)
	}
	env.Payload = bytes.Replace(env.Payload, []byte(old), []byte(to), 1)
	f[path] = sign(w.key, env)
	f.bag()
}

// What only the script's own reading of the documents decides: it must never
// say more than the verifier, and never "newer" to what is contradicted.
func TestVerifyScriptReadsDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	good := files(entries(t, path))
	sh, trust := script(t, w)
	stranger := newWorld(t)
	empty := func(f files, exhibits string) {
		for p := range f {
			if strings.HasPrefix(p, "data/exhibits/") || strings.HasPrefix(p, "data/seals/") {
				delete(f, p)
			}
		}
		f.resign(w, func(x *holdfast.Export) { x.Withheld = nil })
		env := must(holdfast.ParseEnvelope(f["data/export.dsse.json"], holdfast.PayloadExport, 1<<30))
		_, rest, _ := bytes.Cut(env.Payload, []byte(`"exhibits":[`))
		list, _, _ := bytes.Cut(rest, []byte(`]`))
		f.reword(w, `"exhibits":[`+string(list)+`],`, exhibits)
	}
	for name, tc := range map[string]struct {
		change func(f files)
		code   int
		says   string
	}{
		"no exhibit":      {func(f files) { empty(f, `"exhibits":[],`) }, 1, "export-form"},
		"no exhibits":     {func(f files) { empty(f, ``) }, 1, "export-form"},
		"exhibits twice":  {func(f files) { f.reword(w, `"exhibits":[`, `"exhibits":[],"exhibits":[`) }, 1, "export-form"},
		"no version":      {func(f files) { f.reword(w, `"version":1,`, ``) }, 1, "export-form"},
		"version nought":  {func(f files) { f.reword(w, `"version":1,`, `"version":0,`) }, 1, "export-form"},
		"newer":           {func(f files) { f.reword(w, `"version":1,`, `"verdict":"none","version":2,`) }, 2, "newer format"},
		"newer, unsigned": {func(f files) { f.reword(stranger, `"version":1,`, `"version":2,`) }, 1, "export-signature"},
		"newer, and a file changed": {func(f files) {
			f.reword(w, `"version":1,`, `"version":2,`)
			f.flip("data/exhibits/1/page.wacz", 9)
		}, 1, "bag"},
		"counted in another case": {func(f files) {
			f.resign(w, func(x *holdfast.Export) {
				x.Cases = append(x.Cases, holdfast.ExportCase{Case: holdfast.NewID(), Captures: x.Cases[0].Captures, Name: `],"case":"x" {"captures":["sha256:`})
				x.Cases[0].Captures = nil
			})
			f.bag()
		}, 1, "case-count"},
		"counted in the second case": {func(f files) {
			f.resign(w, func(x *holdfast.Export) {
				other := holdfast.ExportCase{Case: holdfast.NewID(), Captures: []hashing.Digest{hashing.Of(nil)}, Name: `"],"case":"x" {"captures":["sha256:`}
				x.Cases = []holdfast.ExportCase{other, x.Cases[0]}
			})
			f.bag()
		}, 0, "PROVEN"},
	} {
		f := maps.Clone(good)
		tc.change(f)
		if tc.code == 1 && !strings.HasPrefix(name, "newer") { // Verify says so too
			if r := verify(t, f.packed(t), w.policy); r.Verdict != holdfast.VerdictContradicted {
				t.Errorf("%s: Verify says %s", name, r.Verdict)
			}
		}
		out, code := offline(t, "/", "bash", sh, "--trust", trust, f.unpacked(t))
		if code != tc.code || !strings.Contains(out, tc.says) || strings.Contains(out, "verify.sh: line") {
			t.Errorf("%s: verify.sh exits %d, want %d and %q\n%s", name, code, tc.code, tc.says, out)
		}
	}
}

// The script claims to need little: without the tools of GNU alone, and with an
// sed that knows POSIX only, it says the same; without what it needs it says so.
func TestVerifyScriptNeedsLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.page("https://example.org/a"), w.page("https://example.org/b")
	w.seal(3, a, b)
	path, _ := write(t, w.options(a, b))
	sh, trust := script(t, w)
	tools := strings.Fields("openssl sha256sum xxd awk unzip sed sort find cmp comm cut grep head tail tr uniq wc xargs mktemp mkfifo bash cat dirname rm mkdir touch")
	bin := func(without string) string {
		dir := t.TempDir()
		for _, name := range tools {
			real, err := exec.LookPath(name)
			if err != nil {
				t.Skip(err)
			}
			body := "#!/bin/bash\nexec " + real + ` "$@"` + "\n"
			if name == "sed" {
				body = "#!/bin/bash\nexport POSIXLY_CORRECT=1\nexec " + real + ` --posix "$@"` + "\n"
			}
			if name != without {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		return dir
	}
	for without, want := range map[string]int{"": 0, "xxd": 2, "openssl": 2, "comm": 2} {
		cmd := exec.CommandContext(t.Context(), "/bin/bash", sh, "--trust", trust, path)
		cmd.Env = []string{"PATH=" + bin(without), "CDPATH=/", "ZIPINFO=-l", "UNZIP=-o"}
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want || want == 2 && !strings.Contains(string(out), without+" is not installed") {
			t.Errorf("without %q: exit %d, want %d\n%s", without, code, want, out)
		}
	}
}

// Many timestamps are refused before each of them costs a second.
func TestVerifyScriptCountsTokensFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	seal := w.seal(1, id)
	path, _ := write(t, w.options(id))
	f := files(entries(t, path))
	for i := range 200 {
		b := []byte(strings.Repeat("x", i+1))
		f["data/seals/"+seal+"/timestamps/alpha/"+hashing.Of(b).Hex()+".tst"] = b
	}
	f.resign(w, nil)
	f.bag()
	sh, _ := script(t, w)
	out, code := offline(t, "/", "bash", sh, f.unpacked(t))
	if code != 1 || !strings.Contains(out, "more than 64") || strings.Contains(out, "timestamp-form") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// Folders and files of people have spaces and worse in their names.
func TestVerifyScriptInOddPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	sh, trust := script(t, w)
	dir := filepath.Join(t.TempDir(), "My 'cases' [1] $(x) *")
	for _, d := range []string{dir, filepath.Join(dir, "-tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	odd := filepath.Join(dir, "a [b] *.zip")
	if err := errors.Join(os.CopyFS(filepath.Join(dir, "whom I trust"), os.DirFS(trust)), os.Link(path, odd)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--trust", filepath.Join(dir, "whom I trust"), odd}, {odd}} {
		cmd := exec.CommandContext(t.Context(), "bash", append([]string{sh}, args...)...)
		cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "-tmp"))
		out, _ := cmd.CombinedOutput()
		want := map[int]int{3: 0, 1: 3}[len(args)]
		if code := cmd.ProcessState.ExitCode(); code != want || strings.Contains(string(out), "No such file") {
			t.Errorf("%v: exit %d, want %d\n%s", args, code, want, out)
		}
	}
}
