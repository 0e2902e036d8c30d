package holdfast_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

// twinRow is a line of testdata/bundles/bad/twins.json: what a verifier must say
// of a file. `raw` is the change alone; in `mended` everything that no signature
// covers (CRCs, the bag, names that are digests) was made to fit again.
type twinRow struct {
	File    string `json:"file"`
	Finding string `json:"finding"`
	Exit    int    `json:"exit"`
	Policy  string `json:"policy"`  // beside it, or in ../good
	Base    string `json:"base"`    // the untouched twin, in ../good
	Covered bool   `json:"covered"` // a signature covers what was changed
	Why     string `json:"why"`     // what sees it, that others do not look at
}

const twinTable = badDir + "twins.json"

func readFile(name string) ([]byte, error) { return os.ReadFile(name) }

func readTwins(t testing.TB) []twinRow {
	t.Helper()
	b, err := os.ReadFile(twinTable)
	if err != nil {
		t.Fatalf("%v: make it with go test -run TestTwins -update", err)
	}
	var rows []twinRow
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestTwins: every tampered twin is refused, with its Finding named.
func TestTwins(t *testing.T) {
	if *update {
		writeTwins(t)
	}
	rows := readTwins(t)
	files := map[string]bool{}
	pairs := map[string]int{}
	for _, row := range rows {
		files[row.File] = true
		if name, form := cutForm(row.File); form == "raw" && row.Covered && row.Exit == 1 {
			pairs[name]++
		}
		t.Run(row.File, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(badDir + row.File)
			if err != nil {
				t.Fatal(err)
			}
			r, err := judge(t, b, readPolicy(t, badDir+row.Policy))
			if got := exitCode(t, r, err); got != row.Exit {
				t.Errorf("exit %d, want %d: %v %s", got, row.Exit, err, sum(r))
			}
			if r != nil && row.Exit != 2 && !slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool { return f.Finding == row.Finding && f.Outcome != holdfast.OK }) {
				t.Errorf("no finding %s: %s", row.Finding, sum(r))
			}
			if r == nil && !errors.Is(err, holdfast.ErrNewer) && !errors.Is(err, holdfast.ErrNotBundle) {
				t.Error(err)
			}
		})
	}
	if len(pairs) < 36 {
		t.Errorf("%d twins in two forms, want 36", len(pairs))
	}
	zips, _ := filepath.Glob(badDir + "*.zip")
	for _, z := range zips {
		if !files[filepath.Base(z)] {
			t.Errorf("%s is not in %s", z, twinTable)
		}
	}
	t.Logf("%d files, %d twins in two forms", len(rows), len(pairs))
}

func cutForm(file string) (name, form string) {
	file = strings.TrimSuffix(file, ".zip")
	i := strings.LastIndexByte(file, '.')
	return file[:i], file[i+1:]
}

// TestTwinsByCommand: the built verifier says what the package says.
func TestTwinsByCommand(t *testing.T) {
	bin := build(t, "holdfast-verify")
	check := func(file, policy string, exit int, finding string) {
		t.Helper()
		out, err := exec.Command(bin, "--json", "--policy", policy, file).CombinedOutput()
		var ee *exec.ExitError
		if err != nil && !errors.As(err, &ee) {
			t.Fatal(err)
		}
		if got := exitOf(err); got != exit || exit != 2 && !strings.Contains(string(out), `"finding":"`+finding+`"`) || strings.Contains(string(out), "panic") {
			t.Errorf("%s: exit %d, want %d and %s\n%s", file, got, exit, finding, out)
		}
	}
	for i, row := range readTwins(t) {
		if i%5 == 0 || row.Exit != 1 || os.Getenv("HOLDFAST_LONG") != "" {
			check(badDir+row.File, badDir+row.Policy, row.Exit, row.Finding)
		}
	}
	for _, g := range goods {
		exit := map[holdfast.Verdict]int{holdfast.VerdictUnsealed: 3}[g.verdict]
		check(goodDir+g.name+".zip", goodDir+g.name+".policy.json", exit, "zip")
	}
}

func exitOf(err error) int {
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.ExitCode()
	}
	return 0
}

// writeTwins draws new keys and writes every twin, and the good worlds.
func writeTwins(t *testing.T) {
	c := newCast(t)
	for name, b := range c.bundles {
		write(t, goodDir+name+".zip", b)
		write(t, goodDir+name+".policy.json", must(c.policy[name].Encode()))
	}
	for _, old := range must(filepath.Glob(badDir + "*")) {
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
	}
	var rows []twinRow
	for _, w := range slices.Concat(outsiders(), c.liars(), c.unproven()) {
		rows = append(rows, c.forms(w)...)
	}
	writeTwinRows(t, rows)
	writeErased(t)
}

func writeTwinRows(t testing.TB, rows []twinRow) {
	t.Helper()
	slices.SortFunc(rows, func(a, b twinRow) int { return strings.Compare(a.File, b.File) })
	b, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, twinTable, append(b, '\n'))
}

// forms writes the raw and the mended form of a twin.
func (c *cast) forms(w twin) (rows []twinRow) {
	finding, _, ok := strings.Cut(w.name, "--")
	if !ok {
		c.t.Fatalf("twin %s", w.name)
	}
	if w.exit == 0 {
		w.exit = 1
	}
	row := twinRow{Finding: finding, Exit: w.exit, Policy: "../good/" + w.base + ".policy.json", Base: w.base, Covered: !w.pass && finding != "bag", Why: w.why}
	if w.policy != nil {
		p := clonePolicy(c.policy[w.base])
		w.policy(p)
		row.Policy = w.name + ".policy.json"
		write(c.t, badDir+row.Policy, must(p.Encode()))
	}
	for _, form := range []string{"raw", "mended"} {
		if w.once && (form == "raw") != (finding == "bag") {
			continue
		}
		r := row
		r.File = fmt.Sprintf("%s.%s.zip", w.name, form)
		if form == "mended" && w.pass {
			r.Exit = 0
		}
		if form == "raw" && w.liar != nil && w.exit == 2 {
			r.Exit, r.Finding = 1, "bag" // a list that does not fit is a contradiction, whatever the version
		}
		if form == "mended" && w.mended != "" {
			r.Finding = w.mended
		}
		write(c.t, badDir+r.File, c.form(w, form == "mended"))
		rows = append(rows, r)
	}
	return rows
}

func (c *cast) form(w twin, mended bool) []byte {
	if w.whole != nil {
		return w.whole()
	}
	b := open(c.t, c.bundles[w.base])
	if w.change != nil {
		w.change(b)
	}
	if w.liar != nil {
		b.resign(w.liar, w.restate)
	}
	if mended {
		b.mend()
	}
	out := b.pack()
	if w.bytes != nil {
		out = w.bytes(out)
	}
	return out
}

// TestNothingShown: a Bundle of nothing is refused, and says why.
func TestNothingShown(t *testing.T) {
	c := newCast(t)
	b := open(t, c.bundles["world"])
	b.entries = slices.DeleteFunc(b.entries, func(e zipEntry) bool {
		return strings.HasPrefix(e.name, "data/exhibits/") || strings.HasPrefix(e.name, "data/seals/")
	})
	out := c.finish(b, c.w.key, func(x *holdfast.Export) { x.Exhibits, x.Withheld = []holdfast.Exhibit{}, []holdfast.WithheldObject{} })
	r, err := judge(t, out, c.policy["world"])
	if exitCode(t, r, err) != 1 || !slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool { return f.Outcome == holdfast.Contradicted }) {
		t.Errorf("%v %s", err, sum(r))
	}
}
