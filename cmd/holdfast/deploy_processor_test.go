package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestDeployARM64: the package for arm64 is what the programs for arm64 are put into, and
// they, under qemu, make a node, seal what they are given under two authorities' tokens and
// say PROVEN of its Bundle, as the verifier for this machine does. Only the program is
// another machine's here: files, locks and network are this kernel's. To compile it
// takes ten minutes on two busy cores, so HOLDFAST_LONG has it.
func TestDeployARM64(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" || os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("HOLDFAST_LONG and HOLDFAST_JUDGES have the programs for arm64 tried: ./test long")
	}
	if runtime.GOARCH == "arm64" {
		t.Skip("every test here runs the programs for arm64")
	}
	p := packages{linters{t}, t.TempDir(), ""}
	p.find("dpkg-deb")
	p.must(40*time.Minute, []string{"GOARCH=arm64", "CGO_ENABLED=0"}, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", p.programs+"/", ".", "../holdfast-verify")
	deb, err := p.build(p.repository(), p.programs, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(deb, "_arm64.deb") {
		t.Errorf("the package for arm64 is %s", deb)
	}
	if of, err := p.command(time.Minute, nil, "dpkg-deb", "--field", deb, "Architecture"); err != nil || of != "arm64\n" {
		t.Errorf("the package is for %q (%v)", of, err)
	}
	root := t.TempDir()
	p.must(time.Minute, nil, "dpkg-deb", "--extract", deb, root)
	native := filepath.Join(t.TempDir(), "holdfast-verify")
	p.must(10*time.Minute, nil, "go", "build", "-o", native, "../holdfast-verify")

	cmd := exec.CommandContext(t.Context(), "bash", "testdata/package/arm64.sh", p.find("qemu-aarch64"), filepath.Join(root, "usr/bin"), native, t.TempDir())
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "== done\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
