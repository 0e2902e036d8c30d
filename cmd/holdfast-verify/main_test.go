package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExit guards the exit status for what is no Bundle; what a Bundle can be
// is tested with the root and with `holdfast verify`, which is the same code.
func TestExit(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "plain.txt")
	const policy = "../../testdata/bundles/good/page.policy.json"
	cut := filepath.Join(dir, "cut.zip")
	for name, b := range map[string]string{text: "text", cut: "PK\x03\x04 and no more"} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--help", 0, "Examples:"},
		{"", 2, "usage:"},
		{"a b", 2, "give one"},
		{"--frob " + text, 2, "frob"},
		{filepath.Join(dir, "none.zip"), 2, "none.zip"},
		{text, 2, "not a bundle"},
		{dir, 2, "not a regular file"},
		{"--node 12 " + cut, 2, "fingerprint"},
		{"--policy " + text + " " + cut, 2, "policy export"},
		{cut, 1, "CONTRADICTED"},
		{"--drop --json " + cut, 2, "--drop"},
		{"--drop --report r.html " + cut, 2, "--drop"},
		{"--drop --policy " + policy + " " + cut + " " + policy, 2, "two policies"},
		{"--json " + cut, 1, `"verdict":"contradicted"`},
	} {
		var out, errs strings.Builder
		code := run(strings.Fields(c.args), os.Stdin, &out, &errs)
		if all := out.String() + errs.String(); code != c.code || !strings.Contains(all, c.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", c.args, code, c.code, c.says, all)
		}
	}
}

// TestFullDisk: whoever pipes the result into a full disk learns it.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	const good = "../../testdata/bundles/good/page"
	for _, args := range []string{"", "--json ", "--version "} {
		var errs strings.Builder
		args += "--policy " + good + ".policy.json " + good + ".zip"
		if code := run(strings.Fields(args), os.Stdin, full, &errs); code != 2 || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit %d\n%s", args, code, errs.String())
		}
	}
}
