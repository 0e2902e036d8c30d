package authority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/rfc3161"
	"holdfast/wholefile"

	"github.com/digitorus/timestamp"
)

func open(t testing.TB, dir string, opt Options) *Authority {
	t.Helper()
	if opt.Operator == "" {
		opt.Operator = "Prüfamt Nord"
	}
	a, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func draw(t testing.TB) (imprint [32]byte, nonce *big.Int) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	b[0] |= 0x80
	return sha256.Sum256(b), new(big.Int).SetBytes(b)
}

func ask(t testing.TB, a *Authority, policy string) (*rfc3161.Token, [32]byte, error) {
	t.Helper()
	imprint, nonce := draw(t)
	req, err := rfc3161.NewRequest(imprint[:], nonce, policy)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := rfc3161.ParseResponse(a.Issue(context.Background(), req))
	if err == nil && tok.Nonce.Cmp(nonce) != 0 {
		t.Errorf("nonce %v, want %v", tok.Nonce, nonce)
	}
	return tok, imprint, err
}

func TestIssue(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	for _, policy := range []string{"", Policy} {
		tok, imprint, err := ask(t, a, policy)
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Check(imprint[:]); err != nil {
			t.Fatal(err)
		}
		chains, err := tok.Chains([]*x509.Certificate{a.Root()}, nil)
		if err != nil || !chains[0].Issuer.Equal(a.Root()) || !chains[0].Leaf.Equal(a.Unit()) {
			t.Fatalf("%v %v", chains, err)
		}
		if tok.Policy != Policy || a.PolicyOID() != Policy || len(tok.Serial) != 32 || !tok.HasAccuracy || tok.Accuracy != time.Second || len(tok.Certificates) != 1 {
			t.Errorf("token %+v", tok)
		}
		if d := time.Since(tok.GenTime); d < 0 || d > 5*time.Second || time.Now().After(tok.Latest().Add(4*time.Second)) {
			t.Errorf("genTime %v", tok.GenTime)
		}
	}
	first, _, _ := ask(t, a, "")
	second, _, _ := ask(t, a, "")
	if first.Serial == second.Serial {
		t.Error("one serial twice")
	}
}

// openssl and Go's other parser judge tokens over each hash.
func TestJudges(t *testing.T) {
	dir := t.TempDir()
	a := open(t, filepath.Join(dir, "a"), Options{Training: true})
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, []byte("holdfast"), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("openssl", append([]string{"ts"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl ts %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	query, reply, roots := filepath.Join(dir, "q"), filepath.Join(dir, "r"), filepath.Join(dir, "a", "roots.pem")
	for _, hash := range []string{"-sha256", "-sha384", "-sha512"} {
		openssl("-query", "-data", data, hash, "-cert", "-out", query)
		q, err := os.ReadFile(query)
		if err != nil {
			t.Fatal(err)
		}
		r := a.Issue(context.Background(), q)
		if err := os.WriteFile(reply, r, 0o600); err != nil {
			t.Fatal(err)
		}
		openssl("-verify", "-queryfile", query, "-in", reply, "-CAfile", roots)
		if text := openssl("-reply", "-in", reply, "-text"); !strings.Contains(text, "TRAINING Pr") || !strings.Contains(text, "Policy OID: "+Policy) {
			t.Errorf("openssl reads\n%s", text)
		}
		if ts, err := timestamp.ParseResponse(r); err != nil || ts.Policy.String() != Policy {
			t.Errorf("digitorus reads %+v %v", ts, err)
		}
	}
}

func TestCertReqHonoured(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	imprint, _ := draw(t)
	for _, want := range []bool{true, false} {
		// No nonce either: RFC 3161 leaves both to the client.
		req, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Certificates: want}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		tok, err := rfc3161.ParseResponse(a.Issue(context.Background(), req))
		if err != nil || (len(tok.Certificates) == 1) != want || tok.Nonce != nil {
			t.Fatalf("%+v %v", tok, err)
		}
		if err := tok.Check(imprint[:], a.Unit()); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusals(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	imprint, nonce := draw(t)
	good, err := rfc3161.NewRequest(imprint[:], nonce, "")
	if err != nil {
		t.Fatal(err)
	}
	withPolicy := func(p string) []byte {
		b, err := rfc3161.NewRequest(imprint[:], nonce, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sha1, err := (&timestamp.Request{HashAlgorithm: crypto.SHA1, HashedMessage: imprint[:20]}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	short, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:31]}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ext := bytes.Clone(good)
	ext = append(ext, 0xa0, 2, 0x30, 0)
	ext[1] += 4
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"empty":         {nil, "badDataFormat"},
		"garbage":       {[]byte("GET / HTTP/1.1"), "badDataFormat"},
		"truncated":     {good[:len(good)-1], "badDataFormat"},
		"trailing":      {append(bytes.Clone(good), 0), "badDataFormat"},
		"short hash":    {short, "badDataFormat"},
		"huge":          {make([]byte, MaxRequest+1), "badDataFormat"},
		"SHA-1":         {sha1, "badAlg"},
		"version 2":     {bytes.Replace(good, []byte{2, 1, 1}, []byte{2, 1, 2}, 1), "badRequest"},
		"other policy":  {withPolicy("1.2.3"), "unacceptedPolicy"},
		"policy, large": {withPolicy("2.25.329800735698586629295641978511506172918"), "unacceptedPolicy"},
		"extension":     {ext, "unacceptedExtension"},
	} {
		reply := a.Issue(context.Background(), c.der)
		_, err := rfc3161.ParseResponse(reply)
		if !errors.Is(err, rfc3161.ErrRejected) || !strings.HasSuffix(err.Error(), " "+c.want) || !strings.Contains(err.Error(), "status 2") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		file := filepath.Join(t.TempDir(), "reply")
		if err := os.WriteFile(file, reply, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "ts", "-reply", "-in", file, "-text").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Status: Rejected.") {
			t.Errorf("%s: openssl: %v\n%s", name, err, out)
		}
	}
}

func TestHTTP(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	s := httptest.NewServer(a.Handler())
	defer s.Close()
	imprint, nonce := draw(t)
	good, err := rfc3161.NewRequest(imprint[:], nonce, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, kind string
		body               []byte
		want               int
	}{
		"right":      {"POST", "/", "application/timestamp-query", good, 200},
		"malformed":  {"POST", "/", "application/timestamp-query", []byte("x"), 200},
		"parameters": {"POST", "/", "Application/Timestamp-Query; x=y", good, 200},
		"no type":    {"POST", "/", "", good, 415},
		"other type": {"POST", "/", "application/octet-stream", good, 415},
		"method":     {"PUT", "/", "application/timestamp-query", good, 405},
		"path":       {"POST", "/x", "application/timestamp-query", good, 404},
		"huge":       {"POST", "/", "application/timestamp-query", make([]byte, MaxRequest+1), 413},
	} {
		req, err := http.NewRequest(c.method, s.URL+c.path, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want || c.want == 200 && resp.Header.Get("Content-Type") != "application/timestamp-reply" {
			t.Errorf("%s: %d %q, want %d", name, resp.StatusCode, resp.Header.Get("Content-Type"), c.want)
		}
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, Options{})
	b := open(t, dir, Options{})
	if !a.Root().Equal(b.Root()) || !a.Unit().Equal(b.Unit()) || !a.key.Equal(b.key) {
		t.Error("another authority after a restart")
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o600, "unit-1.pem": 0o600, "roots.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	roots, err := os.ReadFile(filepath.Join(dir, "roots.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if block, rest := pem.Decode(roots); len(rest) > 0 || !bytes.Equal(block.Bytes, a.Root().Raw) || bytes.Contains(roots, []byte("PRIVATE")) {
		t.Errorf("roots.pem is\n%s", roots)
	}
	for name, opt := range map[string]Options{"operator": {Operator: "Other"}, "training": {Operator: "Prüfamt Nord", Training: true}} {
		if _, err := Open(dir, opt); err == nil || !strings.Contains(err.Error(), "another directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{Operator: "Prüfamt Nord"}); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("damaged: %v", err)
	}
}

func TestUnitIsRenewed(t *testing.T) {
	dir, start := t.TempDir(), time.Now()
	in := func(years int) func() time.Time { return func() time.Time { return start.AddDate(years, 0, 1) } }
	first := open(t, dir, Options{})
	if a := open(t, dir, Options{Now: in(7)}); !a.Unit().Equal(first.Unit()) {
		t.Error("renewed too early")
	}
	renewed := open(t, dir, Options{Now: in(9)})
	if renewed.Unit().Equal(first.Unit()) || !renewed.Root().Equal(first.Root()) || renewed.key.Equal(first.key) {
		t.Error("not renewed")
	}
	tok, imprint, err := ask(t, renewed, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Check(imprint[:]); err != nil {
		t.Error(err)
	}
	if _, err := tok.Chains([]*x509.Certificate{first.Root()}, nil); err != nil {
		t.Error(err)
	}
	last := open(t, dir, Options{Now: in(18)})
	if again := open(t, dir, Options{Now: in(19)}); !again.Unit().Equal(last.Unit()) || !last.Unit().NotAfter.Equal(last.Root().NotAfter) {
		t.Error("the last unit must end with its root")
	}
	if _, err := Open(dir, Options{Operator: "Prüfamt Nord", Now: in(20)}); err == nil || !strings.Contains(err.Error(), "another directory") {
		t.Errorf("after the root: %v", err)
	}
	// A process that ran for ten years must not sign with what has run out.
	first.opt.Now = in(10)
	if _, _, err := ask(t, first, ""); !errors.Is(err, rfc3161.ErrRejected) || !strings.Contains(err.Error(), "timeNotAvailable") {
		t.Errorf("expired unit: %v", err)
	}
}

// A start with the clock years ahead leaves a unit of the future, which waits.
func TestUnitOfTheFuture(t *testing.T) {
	dir, start := t.TempDir(), time.Now()
	first := open(t, dir, Options{})
	ahead := open(t, dir, Options{Now: func() time.Time { return start.AddDate(9, 0, 0) }})
	if ahead.Unit().Equal(first.Unit()) {
		t.Fatal("no unit of the future")
	}
	back := open(t, dir, Options{})
	if !back.Unit().Equal(first.Unit()) {
		t.Errorf("the unit of %s is in use", back.Unit().NotBefore)
	}
	if _, _, err := ask(t, back, ""); err != nil {
		t.Error(err)
	}
	// Between the end of the first and the beginning of the other there is a third.
	again := func() time.Time { return start.AddDate(8, 6, 0) }
	third := open(t, dir, Options{Now: again})
	if third.Unit().Equal(first.Unit()) || third.Unit().Equal(ahead.Unit()) {
		t.Error("not renewed before the unit of the future begins")
	}
	if _, _, err := ask(t, third, ""); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "unit-*.pem")); err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
}

// A key that others can read is refused, and stays.
func TestKeyThatOthersCanRead(t *testing.T) {
	for _, name := range []string{"ca.pem", "unit-1.pem"} {
		dir := t.TempDir()
		open(t, dir, Options{})
		if err := os.Chmod(filepath.Join(dir, name), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{Operator: "Prüfamt Nord"}); err == nil || !strings.Contains(err.Error(), "chmod go=") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for name, opt := range map[string]Options{
		"no operator": {}, "long": {Operator: strings.Repeat("x", 51)}, "control": {Operator: "a\x1b[31m"}, "bidi": {Operator: "a\u202eb"},
		"policy": {Operator: "x", Policy: "abc"}, "large arc": {Operator: "x", Policy: "2.25.329800735698586629295641978511506172918"},
	} {
		if _, err := Open(t.TempDir(), opt); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	a := open(t, t.TempDir(), Options{Policy: "1.3.6.1.4.1.32473.1"})
	if tok, _, err := ask(t, a, "1.3.6.1.4.1.32473.1"); err != nil || tok.Policy != a.PolicyOID() {
		t.Errorf("%+v %v", tok, err)
	}
}

func TestConcurrentCreation(t *testing.T) {
	for range 10 {
		dir := filepath.Join(t.TempDir(), "a")
		var wg sync.WaitGroup
		all := make([]*Authority, 8)
		for i := range all {
			wg.Go(func() {
				a, err := Open(dir, Options{Operator: "x"})
				if err != nil {
					t.Error(err)
				}
				all[i] = a
			})
		}
		wg.Wait()
		for _, a := range all[1:] {
			if !a.Root().Equal(all[0].Root()) || !a.key.Equal(all[0].key) {
				t.Fatal("two authorities in one directory")
			}
		}
	}
}

// TestKilled kills a process that creates an authority, at random instants;
// the next one completes what is there, and a root once written stays.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("AUTHORITY_CHILD_DIR"); dir != "" {
		if _, err := Open(dir, Options{Operator: "x"}); err != nil {
			t.Fatal(err)
		}
		return
	}
	rounds := 25
	if os.Getenv("HOLDFAST_LONG") == "1" {
		rounds = 500
	}
	partial := 0
	for range rounds {
		dir := filepath.Join(t.TempDir(), "a")
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), "AUTHORITY_CHILD_DIR="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for range 10000 { // wait until it has begun
			if _, err := os.Stat(dir); err == nil {
				break
			}
			time.Sleep(20 * time.Microsecond)
		}
		time.Sleep(mathrand.N(4 * time.Millisecond))
		_ = child.Process.Kill()
		_ = child.Wait()
		before, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err == nil {
			partial++
		}
		a := open(t, dir, Options{Operator: "x"})
		after, readErr := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if readErr != nil || err == nil && !bytes.Equal(before, after) {
			t.Fatalf("the root was replaced: %v", readErr)
		}
		if tok, imprint, err := ask(t, a, ""); err != nil || tok.Check(imprint[:]) != nil {
			t.Fatal("after a kill:", err)
		}
	}
	t.Logf("killed %d times, %d of them after the root was written", rounds, partial)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".new-1": 2 * time.Hour, ".new-2": time.Minute} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, Options{})
	left, err := filepath.Glob(filepath.Join(dir, wholefile.Temp))
	if err != nil || fmt.Sprint(left) != fmt.Sprint([]string{filepath.Join(dir, ".new-2")}) {
		t.Errorf("left %v %v", left, err)
	}
}

func FuzzRequest(f *testing.F) {
	a := open(f, f.TempDir(), Options{})
	imprint, nonce := draw(f)
	good, err := rfc3161.NewRequest(imprint[:], nonce, Policy)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		reply := a.Issue(context.Background(), der)
		tok, err := rfc3161.ParseResponse(reply)
		if err != nil && !errors.Is(err, rfc3161.ErrRejected) {
			t.Fatalf("reply %x: %v", reply, err)
		}
		var q asn1.RawValue
		if rest, qerr := asn1.Unmarshal(der, &q); err == nil && (qerr != nil || len(rest) > 0) {
			t.Errorf("a token for %x: %+v", der, tok)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	a := open(b, b.TempDir(), Options{})
	imprint, nonce := draw(b)
	req, err := rfc3161.NewRequest(imprint[:], nonce, "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a.Issue(context.Background(), req)
	}
}
