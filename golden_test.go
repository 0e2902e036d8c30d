package holdfast_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast"
	"holdfast/preserve/authority"
)

// update writes testdata/bundles anew, with new keys:
//
//	go test -run TestGolden -update .   good/ of the real command; needs a browser
//	go test -run TestTwins  -update .   the rest of good/, and bad/
//	go test -run TestErasedTwins -update .   of these, erased.zip and its twins alone
//	go test -run TestFlips  -update .   flips.txt
//	go test -run TestProof  -update .   the tables of docs/proof.md; needs HOLDFAST_JUDGES
var update = flag.Bool("update", false, "write testdata/bundles and the tables of docs/proof.md anew")

const (
	goodDir = "testdata/bundles/good/"
	badDir  = "testdata/bundles/bad/"
)

// goods are the untouched bundles and how each verifies under the Policy beside
// it. The first four come from the built command and a browser.
var goods = []struct {
	name    string
	what    string
	verdict holdfast.Verdict
}{
	{"page", "a page, captured, sealed and exported by the command", holdfast.VerdictProven},
	{"pair", "two exhibits in one Seal", holdfast.VerdictProven},
	{"restricted", "with restricted objects: requests, slice secrets, so that every slice is checked", holdfast.VerdictProven},
	{"unsealed", "no authority was in reach when it was exported", holdfast.VerdictUnsealed},
	{"pending", "no Seal yet", holdfast.VerdictUnsealed},
	{"world", "two Seals, two exhibits, a restricted object withheld; the twins that a liar signs are made from it", holdfast.VerdictProven},
	{"slice", "a slice without its object", holdfast.VerdictProven},
	{"whole", "an object with slices, and the secret of their salts", holdfast.VerdictProven},
	{"line-withheld", "a custody line of which only the digest is shown", holdfast.VerdictProven},
	{"expired-since", "all certificates have expired since; each was valid when it signed", holdfast.VerdictProven},
	{"key-retired-since", "the seal key's time has ended since", holdfast.VerdictProven},
	{"many-tokens", "64 tokens in one Seal", holdfast.VerdictProven},
	{"slim", "page, with the two unsigned texts compressed: the base of the twins", holdfast.VerdictProven},
	{"erased", "an object that was erased by order; the base of the twins that say so of others", holdfast.VerdictProven},
	{"deflated", "page, but compressed by an ordinary ZIP program", holdfast.VerdictProven},
}

func readPolicy(t testing.TB, path string) *holdfast.Policy {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := holdfast.ParsePolicy(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// judge is Verify on bytes; err is ErrNewer, ErrNotBundle or nil.
func judge(t testing.TB, b []byte, p *holdfast.Policy) (*holdfast.Report, error) {
	t.Helper()
	return holdfast.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), p, holdfast.VerifyOptions{})
}

// exitCode is what `holdfast verify` exits with.
func exitCode(t testing.TB, r *holdfast.Report, err error) int {
	t.Helper()
	if errors.Is(err, holdfast.ErrNewer) || errors.Is(err, holdfast.ErrNotBundle) {
		return 2
	}
	if err != nil {
		t.Fatal(err)
	}
	return map[holdfast.Verdict]int{holdfast.VerdictProven: 0, holdfast.VerdictContradicted: 1, holdfast.VerdictUnsealed: 3, holdfast.VerdictUnattributed: 4}[r.Verdict]
}

// sum lists what is not ok, for messages.
func sum(r *holdfast.Report) string {
	var s strings.Builder
	if r != nil {
		fmt.Fprintf(&s, "%s", r.Verdict)
		for _, f := range r.Findings {
			if f.Outcome != holdfast.OK {
				fmt.Fprintf(&s, "\n\t%s %s %s: %s", f.Outcome, f.Finding, f.Subject, f.Detail)
			}
		}
	}
	return s.String()
}

func TestGolden(t *testing.T) {
	if *update {
		goldenFromCommand(t)
	}
	for _, g := range goods {
		b, err := os.ReadFile(goodDir + g.name + ".zip")
		if err != nil {
			t.Errorf("%v: make it with -update", err)
			continue
		}
		r, err := judge(t, b, readPolicy(t, goodDir+g.name+".policy.json"))
		if err != nil || r.Verdict != g.verdict {
			t.Errorf("%s: want %s, got %v %s", g.name, g.verdict, err, sum(r))
		}
		if len(b) > 250_000 {
			t.Errorf("%s has %d bytes: keep it small", g.name, len(b))
		}
	}
}

// goldenFromCommand runs the built command against a site and three authorities
// on loopback. The node and its keys are thrown away.
func goldenFromCommand(t *testing.T) {
	bin := build(t, "holdfast")
	data := filepath.Join(t.TempDir(), "node")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>Page %s</title><p>Invented for a test.", r.URL.Path[1:])
	}))
	defer site.Close()
	run := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(bin, append(args, "--data", data)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Fatalf("holdfast %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
		}
		return out.String()
	}
	dir := t.TempDir()
	to := func(name string) string { return filepath.Join(dir, name) }
	keep := func(name string) {
		t.Helper()
		run(0, "policy", "export", to(name+".policy.json"))
		for _, ext := range []string{".zip", ".policy.json"} {
			b, err := os.ReadFile(to(name + ext))
			if err != nil {
				t.Fatal(err)
			}
			write(t, goodDir+name+ext, b)
		}
	}
	run(0, "init", "--training", "--label", "golden")
	stop := startAuthorities(t, run)
	run(0, "capture", site.URL+"/one", "--allow-private", "--case", "GOLDEN", "--export", to("page.zip"))
	keep("page")
	run(0, "export", "--restricted", firstCapture(t, run(0, "list", "--json")), to("restricted.zip"))
	keep("restricted")
	release := hold(t, filepath.Join(data, "preserve.lock")) // whoever holds it seals; now nobody does
	run(3, "capture", site.URL+"/left", site.URL+"/right", "--allow-private", "--case", "PAIR", "--wait", "1s", "--export", to("pending.zip"))
	keep("pending")
	release()
	run(0, "seal")
	run(0, "export", "--case", "PAIR", to("pair.zip"))
	if n := len(sealsIn(t, to("pair.zip"))); n != 1 {
		t.Fatalf("two captures that waited are in %d seals", n)
	}
	keep("pair")
	stop()
	run(3, "capture", site.URL+"/late", "--allow-private", "--case", "LATE", "--wait", "2s", "--export", to("unsealed.zip"))
	keep("unsealed")
}

// hold takes an advisory lock, as another process of the node would.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

func startAuthorities(t *testing.T, run func(int, ...string) string) (stop func()) {
	t.Helper()
	var servers []*httptest.Server
	for _, name := range []string{"alpha", "beta", "gamma"} {
		dir := t.TempDir()
		a, err := authority.Open(dir, authority.Options{Operator: "TRAINING " + name, Training: true})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(a.Handler())
		servers = append(servers, s)
		run(0, "authority", "add", name, s.URL+"/", "--operator", "TRAINING "+name, "--roots", filepath.Join(dir, "roots.pem"))
	}
	return func() {
		for _, s := range servers {
			s.Close()
		}
	}
}

// firstCapture reads the id of the first line of `list --json`.
func firstCapture(t *testing.T, lines string) string {
	t.Helper()
	var c struct{ ID string }
	first, _, _ := strings.Cut(lines, "\n")
	if err := json.Unmarshal([]byte(first), &c); err != nil || c.ID == "" {
		t.Fatalf("list --json says %q (%v)", first, err)
	}
	return c.ID
}

func sealsIn(t *testing.T, path string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seals := map[string]bool{}
	for _, f := range readZip(t, b) {
		if s := strings.Split(f.name, "/"); len(s) > 3 && s[1] == "seals" {
			seals[s[2]] = true
		}
	}
	return seals
}

// build builds a command of this module once for a test.
func build(t testing.TB, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	if b, err := exec.Command("go", "build", "-o", out, "./cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, b)
	}
	return out
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
