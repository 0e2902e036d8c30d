package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestARM64 runs the program for arm64 under qemu and wants of it, byte for byte, what the
// one for this machine says of every good bundle and of each twelfth bad one (HOLDFAST_LONG:
// of all).
func TestARM64(t *testing.T) {
	if os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("needs the judges: ./test")
	}
	if runtime.GOARCH == "arm64" {
		t.Skip("every test here runs the program for arm64")
	}
	qemu := filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "bin/qemu-aarch64")
	dir := t.TempDir()
	for _, arch := range []string{"arm64", runtime.GOARCH} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, arch), ".")
		cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", arch, err, b)
		}
	}
	good, _ := filepath.Glob(bundles + "good/*.zip")
	bad, _ := filepath.Glob(bundles + "bad/*.zip")
	if len(good) < 10 || len(bad) < 100 {
		t.Fatalf("found %d good and %d bad bundles", len(good), len(bad))
	}
	n := 0
	for i, f := range append(good, bad...) {
		if i >= len(good) && i%12 != 0 && os.Getenv("HOLDFAST_LONG") == "" {
			continue
		}
		n++
		args := []string{"--json", "--policy", policyOf(f), f}
		here, code := output(t, exec.Command(filepath.Join(dir, runtime.GOARCH), args...))
		there, armCode := output(t, exec.Command(qemu, append([]string{filepath.Join(dir, "arm64")}, args...)...))
		if here, there := fmt.Sprintf("exit %d\n%s", code, here), fmt.Sprintf("exit %d\n%s", armCode, there); here != there {
			t.Errorf("%s: here it says\n%s\nand on arm64\n%s", f, here, there)
		}
	}
	t.Logf("%d bundles: the same exit status and JSON on both", n)
}
