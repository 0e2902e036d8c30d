package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const bundles = "../../testdata/bundles/"

// TestWindows runs the program for Windows under Debian's wine and wants of it,
// byte for byte, what the one for this system says of every good bundle and of
// each third bad one (HOLDFAST_LONG: of all).
func TestWindows(t *testing.T) {
	if os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("needs the judges: ./test")
	}
	if _, err := exec.LookPath("wine"); err != nil {
		t.Skip("NOT RUN: wine is not installed, so the Windows program was built and vetted but not run")
	}
	w := newWine(t)
	good, _ := filepath.Glob(bundles + "good/*.zip")
	bad, _ := filepath.Glob(bundles + "bad/*.zip")
	if len(good) < 10 || len(bad) < 100 {
		t.Fatalf("found %d good and %d bad bundles", len(good), len(bad))
	}
	n := 0
	for i, f := range append(good, bad...) {
		if i < len(good) || i%3 == 0 || os.Getenv("HOLDFAST_LONG") != "" {
			n++
			w.same(t, f, policyOf(f))
		}
	}
	w.drop(t, bundles+"good/page.zip", bundles+"good/page.policy.json")
	t.Logf("%d bundles: the same exit status, JSON and page on both systems", n)
}

// policyOf is the Policy that the table of twins judges a bundle under.
func policyOf(file string) string {
	stem := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(file, ".zip"), ".mended"), ".raw")
	if _, err := os.Stat(stem + ".policy.json"); err == nil {
		return stem + ".policy.json"
	}
	return bundles + "good/page.policy.json"
}

type wine struct {
	env      []string
	exe, own string
	dir      string
}

func newWine(t *testing.T) *wine {
	dir, err := os.MkdirTemp("", "wine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gone(t, dir) })
	prefix := filepath.Join(dir, "prefix")
	w := &wine{dir: dir, exe: filepath.Join(dir, "holdfast-verify.exe"), own: filepath.Join(dir, "holdfast-verify"),
		env: append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "DISPLAY=", "LC_ALL=C.UTF-8")}
	for system, out := range map[string]string{"windows": w.exe, "linux": w.own} {
		cmd := exec.Command("go", "build", "-o", out, ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", system, err, b)
		}
	}
	t.Cleanup(func() { w.wine("wine", "wineboot", "-k").Run() })
	if said, err := ends(t, w.wine("wine", "wineboot", "-i")); err != nil {
		t.Skipf("NOT RUN: wine does not start here: %v\n%s", err, said)
	}
	dll := filepath.Join(prefix, "drive_c/windows/system32/bcryptprimitives.dll")
	if _, err := os.Stat(dll); err != nil {
		t.Log("this wine lacks bcryptprimitives.dll of Windows 10, which every Go program needs: one that forwards to RtlGenRandom is put there")
		if err := os.WriteFile(dll, forwarder("bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// gone removes the prefix. Wine's server writes its registry a while after the
// last program ended: what it still writes is removed again.
func gone(t *testing.T, dir string) {
	err := os.RemoveAll(dir)
	for range 60 {
		if err == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
		err = os.RemoveAll(dir)
	}
	t.Error(err)
}

func (w *wine) wine(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = w.env
	return cmd
}

// ends runs a command for two minutes at most. Its output goes to a file: wine
// leaves servers running that would keep a pipe open.
func ends(t *testing.T, cmd *exec.Cmd) (out string, err error) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	err = cmd.Wait()
	b, _ := os.ReadFile(f.Name())
	return string(b), err
}

// output is what a command prints and exits with.
func output(t *testing.T, cmd *exec.Cmd) (out string, code int) {
	t.Helper()
	out, err := ends(t, cmd)
	if x := (*exec.ExitError)(nil); err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	return out, cmd.ProcessState.ExitCode()
}

// run runs the program for Windows. Wine's own server drops a client now and then
// on a busy machine, and wine's own threads fall, outside of what Go guards; it says
// so in lines of its own. Then nothing is to be learnt, and the program is run again:
// three times, so what always happens is found.
func (w *wine) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	for range 4 {
		out, code = output(t, w.wine(append([]string{"wine", w.exe}, args...)...))
		if !strings.Contains(out, "wine client error") && !strings.Contains(out, "wine: Unhandled ") {
			break
		}
		t.Log("wine itself failed; once more")
	}
	return out, code
}

// same compares exit status, JSON, text and page.
func (w *wine) same(t *testing.T, file, policy string) {
	t.Helper()
	for _, args := range [][]string{{"--json", "--policy", policy, file}, {"--lang", "en", "--policy", policy, "--replace", "--report", "", file}} {
		page := make([]string, 2)
		said := make([]string, 2)
		for i := range 2 {
			report := filepath.Join(w.dir, fmt.Sprintf("report-%d.html", i))
			for j := range args {
				if args[j] == "" || strings.HasSuffix(args[j], ".html") {
					args[j] = report
				}
			}
			os.Remove(report)
			var out string
			var code int
			if i == 0 {
				out, code = output(t, exec.Command(w.own, args...))
			} else {
				out, code = w.run(t, args...)
			}
			said[i] = fmt.Sprintf("exit %d\n%s", code, out)
			b, _ := os.ReadFile(report)
			page[i] = neutral(string(b))
		}
		if said[0] != said[1] {
			t.Errorf("%s: here it says\n%s\nand under Windows\n%s", file, said[0], said[1])
		}
		if page[0] != page[1] {
			t.Errorf("%s: the pages differ", file)
		}
	}
}

// neutral takes out of a page what must differ: the time and the program's digest.
func neutral(page string) string {
	page = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`).ReplaceAllString(page, "TIME")
	return regexp.MustCompile(`(by its own account</dt><dd><code dir="ltr">)[0-9a-f]{64}`).ReplaceAllString(page, "${1}SELF")
}

// drop: as Explorer does, with a policy beside; the report is beside the bundle.
func (w *wine) drop(t *testing.T, bundle, policy string) {
	t.Helper()
	file := filepath.Join(w.dir, "Fälle 2026.zip") // Windows names are UTF-16
	b, err := os.ReadFile(bundle)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, code := w.run(t, "--lang", "en", "--drop", policy, file)
	page, err := os.ReadFile(filepath.Join(w.dir, "Fälle 2026.report.html"))
	if code != 0 || err != nil || !strings.Contains(out, "report.html") || !strings.Contains(string(page), "Fälle 2026.zip") {
		t.Errorf("dropped under Windows: exit %d, %v\n%s", code, err, out)
	}
}

// forwarder is a DLL for x86-64 without code: a call of its one function goes to
// the one of another DLL, given as `dll.function`.
func forwarder(name, function, to string) []byte {
	const rva, raw = 0x1000, 0x200
	var data bytes.Buffer
	put := func(b *bytes.Buffer, v any) { binary.Write(b, binary.LittleEndian, v) }
	const table = 40 // export directory, then function, name, ordinal, then texts
	texts := uint32(rva + table + 4 + 4 + 4)
	nameAt := texts
	functionAt := nameAt + uint32(len(name)) + 1
	toAt := functionAt + uint32(len(function)) + 1
	put(&data, [10]uint32{0, 0, 0, nameAt, 1, 1, 1, rva + table, rva + table + 4, rva + table + 8})
	put(&data, [3]uint32{toAt, functionAt, 0})
	data.WriteString(name + "\x00" + function + "\x00" + to + "\x00")
	size := uint32(data.Len())

	var b bytes.Buffer
	b.WriteString("MZ" + strings.Repeat("\x00", 58))
	put(&b, uint32(64))
	b.WriteString("PE\x00\x00")
	put(&b, []uint16{0x8664, 1, 0, 0, 0, 0, 0, 0, 240, 0x2022})              // x86-64, one section, DLL
	put(&b, []uint32{0x020b, 0, 0x200, 0, 0, rva})                           // PE32+, no entry
	put(&b, uint64(0x180000000))                                             // preferred base
	put(&b, []uint32{0x1000, 0x200, 6, 0, 6, 0, 0x2000, raw, 0, 0x01000003}) // alignment, versions, sizes, subsystem
	put(&b, []uint64{0x100000, 0x1000, 0x100000, 0x1000})                    // stack, heap
	put(&b, []uint32{0, 16, rva, size})                                      // first directory: exports
	put(&b, make([]uint32, 30))                                              // no others
	b.WriteString(".edata\x00\x00")
	put(&b, []uint32{size, rva, 0x200, raw, 0, 0, 0, 0x40000040})
	b.Write(make([]byte, raw-b.Len()))
	b.Write(data.Bytes())
	b.Write(make([]byte, raw+0x200-b.Len()))
	return b.Bytes()
}
