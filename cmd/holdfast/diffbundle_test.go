package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodBundles = "../../testdata/bundles/good/"

// askDiff is `diff` of a machine without a node, which must not get one by it.
func askDiff(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "none")
	var o, e strings.Builder
	code = run(t.Context(), append([]string{"diff", "--data", dir}, args...), strings.NewReader(""), &o, &e)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%v: a data directory was made", args)
	}
	return code, o.String(), e.String()
}

// TestDiffOfBundles: an expert who has files alone names captures in them by exhibit or
// id, and is told what verify says of the file before what differs.
func TestDiffOfBundles(t *testing.T) {
	const pair, page = goodBundles + "pair.zip", goodBundles + "page.zip"
	policy := []string{"--policy", goodBundles + "pair.policy.json"}
	out := filepath.Join(t.TempDir(), "d.html")
	code, said, errs := askDiff(t, append(policy, "--json", "--out", out, pair+"#1", pair+"#2")...)
	if code != exitDiffers || !strings.Contains(said, `"verdict":"proven"`) || !strings.Contains(said, `"exhibit":"2"`) || strings.Count(said, `"event":"bundle"`) != 2 {
		t.Fatalf("exit %d\n%s%s", code, said, errs)
	}
	shown, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(shown), "pair.zip, exhibit 1: proven") || !strings.Contains(string(shown), "data:image/png;base64,") {
		t.Errorf("the page does not say where it was read, or has no picture: %v\n%.3000s", err, shown)
	}
	var one struct{ Capture string }
	if err := json.Unmarshal([]byte(strings.SplitN(said, "\n", 2)[0]), &one); err != nil {
		t.Fatal(err)
	}
	again, same, _ := askDiff(t, append(policy, "--json", pair+"#"+one.Capture, pair+"#2")...)
	if again != code || same != said {
		t.Errorf("by the capture's id: exit %d\n%s", again, same)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{page + " " + page, 0, "the same"},
		{page + " " + page, 0, "page.zip, exhibit 1: unsealed (training: not evidence) under the built-in policy"},
		{page + "#1 " + pair + "#1", 1, "they differ"},
		{pair + " " + page, 2, "say which capture"},
		{pair + "#9 " + page, 2, "pair.zip#2"},
		{pair + "# " + page, 2, "FILE.zip#EXHIBIT"},
		{"none.zip " + page, 2, "none.zip"},
		{"none.zip#1 " + page, 2, "none.zip"},
		{goodBundles + "page.policy.json " + page, 2, "not a bundle"},
		{goodBundles + " " + page, 2, "not a regular file"},
		{"--seal " + page + " " + page, 2, "--seal"},
		{"--why x " + page + " " + page, 2, "--why"},
		{"--node 12 " + page + " " + page, 2, "fingerprint"},
		{"--node 12 00000000000000000000000000000000 00000000000000000000000000000000", 2, "none is compared"},
		{page + " 00000000000000000000000000000000", 2, "holdfast init"},
	} {
		code, said, errs := askDiff(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(said+errs, c.says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.args, code, c.code, c.says, said, errs)
		}
	}
}

// TestDiffRefuses: of every Bundle that verify calls contradicted nothing is compared, and
// the first Finding is named.
func TestDiffRefuses(t *testing.T) {
	const dir = "../../testdata/bundles/bad/"
	var rows []struct {
		File, Finding, Policy, Base string
		Exit                        int
	}
	b, err := os.ReadFile(dir + "twins.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, row := range rows {
		policy := dir + row.Policy
		if _, err := os.Stat(policy); err != nil {
			policy = goodBundles + row.Policy
		}
		code, said, errs := askDiff(t, "--json", "--policy", policy, dir+row.File+"#1", goodBundles+"page.zip")
		if row.Exit != 1 {
			if code == exitRefused {
				t.Errorf("%s: refused as contradicted, which verify does not say\n%s", row.File, errs)
			}
			continue
		}
		refused++
		if code != exitRefused || said != "" || !strings.Contains(errs, "is contradicted, so nothing in it is read") {
			t.Errorf("%s: exit %d\n%s%s", row.File, code, said, errs)
		}
	}
	if refused < 200 {
		t.Errorf("only %d bundles were tried", refused)
	}
}
