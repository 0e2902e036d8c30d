package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/export"
	"holdfast/pipeline"
	"holdfast/rfc3161"
)

// judges runs strangers' programs, without a network, on bundles that the real
// commands made. HOLDFAST_JUDGES is where ./test has installed them.
type judges struct {
	t   *testing.T
	bin string
}

func newJudges(t *testing.T) *judges {
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir == "" {
		t.Skip("HOLDFAST_JUDGES is not set: the strangers' programs do not judge here; ./test installs them")
	}
	return &judges{t, filepath.Join(dir, "bin")}
}

func (j *judges) path(name string) string { return filepath.Join(j.bin, name) }

// run gives output and exit code of a program that has no network.
func (j *judges) run(dir string, argv ...string) (string, int) {
	j.t.Helper()
	unshare := []string{"unshare", "-n"}
	if os.Getuid() != 0 {
		unshare = []string{"unshare", "-rn"}
	}
	ctx, stop := context.WithTimeout(j.t.Context(), 3*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, unshare[0], append(unshare[1:], argv...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		j.t.Fatalf("%v: %v", argv, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (j *judges) accept(dir string, argv ...string) string {
	j.t.Helper()
	out, code := j.run(dir, argv...)
	if code != 0 {
		j.t.Errorf("%s refuses what we made, exit %d\n%s\n%s", filepath.Base(argv[0]), code, strings.Join(argv, " "), out)
	}
	return out
}

func (j *judges) refuse(dir string, argv ...string) {
	j.t.Helper()
	if out, code := j.run(dir, argv...); code == 0 {
		j.t.Errorf("%s accepts what was changed\n%s\n%s", filepath.Base(argv[0]), strings.Join(argv, " "), out)
	}
}

// judgeWorld is a node with a page captured by the real command (a batch of
// one) and a batch of 1,024 filled through the queue.
type judgeWorld struct {
	data, dir string
	page      string // unpacked bundle of the page
	full      string // unpacked bundle of one capture of the batch of 1,024
	zips      []string
	trust     string
}

func newJudgeWorld(t *testing.T) *judgeWorld {
	dir := t.TempDir()
	w := &judgeWorld{data: filepath.Join(dir, "node"), dir: dir, page: filepath.Join(dir, "page"), full: filepath.Join(dir, "full"), trust: filepath.Join(dir, "trust")}
	c := &cli{out: io.Discard, errs: io.Discard}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>Judged</title><h1>A page</h1><p>\u202e\u00e9`)
	}))
	t.Cleanup(site.Close)
	must(t, "--data", w.data, "capture", site.URL, "--allow-private", "--case", "J-1", "--export", w.page+".zip", "--wait", "60s")
	w.fill(t, ctx)
	must(t, "--data", w.data, "policy", "export", "--dir", w.trust)
	must(t, "--data", w.data, "policy", "export", filepath.Join(dir, "policy.json"))
	w.zips = []string{w.page + ".zip", w.full + ".zip"}
	for _, z := range w.zips {
		must(t, "verify", z, "--policy", filepath.Join(dir, "policy.json"))
		unpack(t, z, strings.TrimSuffix(z, ".zip"))
	}
	return w
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := call(args...)
	if code != 0 {
		t.Fatalf("holdfast %v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// fill seals exactly 1,024 captures in one Seal and exports one of them.
func (w *judgeWorld) fill(t *testing.T, ctx context.Context) {
	c := &cli{out: io.Discard, errs: io.Discard, data: w.data}
	n, err := c.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	must(t, "--data", w.data, "seal", "--wait", "60s") // the export line of before
	if err := n.fillQueue(ctx, holdfast.MaxSubjects, 1000); err != nil {
		t.Fatal(err)
	}
	must(t, "--data", w.data, "seal", "--wait", "60s")
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Kind: holdfast.KindCapture, State: pipeline.StateSealed, Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		must(t, "--data", w.data, "export", string(cp.ID), w.full+".zip")
		return
	}
	t.Fatal("nothing is sealed")
}

func unpack(t *testing.T, file, dir string) {
	if out, err := exec.Command("unzip", "-q", file, "-d", dir).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	m, err := filepath.Glob(pattern)
	if err != nil || len(m) == 0 {
		t.Fatalf("%s: nothing there (%v)", pattern, err)
	}
	return m[0]
}

func TestStrangersJudge(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser and a minute")
	}
	j := newJudges(t)
	w := newJudgeWorld(t)
	script := filepath.Join(w.dir, "verify.sh")
	if err := os.WriteFile(script, export.VerifyScript(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{w.page, w.full} {
		t.Run(filepath.Base(b), func(t *testing.T) {
			j := &judges{t, j.bin}
			j.bag(b)
			j.script(script, w.trust, b)
			j.tokens(b)
			j.sigstore(b)
		})
	}
	t.Run("archive", func(t *testing.T) { (&judges{t, j.bin}).archive(w.page) })
	t.Run("subjects", func(t *testing.T) {
		raw, err := os.ReadFile(one(t, w.full+"/data/seals/*/statement.dsse.json"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, holdfast.MaxDocument)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := holdfast.ParseStatement(e.Payload); err != nil || len(s.Subject) != holdfast.MaxSubjects {
			t.Errorf("the full batch has another number of subjects (%v)", err)
		}
	})
}

// bag: sha256sum and bagit's own validator.
func (j *judges) bag(dir string) {
	j.accept(dir, "sha256sum", "--quiet", "-c", "manifest-sha256.txt", "tagmanifest-sha256.txt")
	j.accept(dir, j.path("bagit.py"), "--validate", ".")
}

func (j *judges) script(script, trust, dir string) {
	j.accept(dir, "bash", script, "--trust", trust, dir)
	if out, code := j.run(dir, "bash", script, dir); code != 3 || !strings.Contains(out, "CONSISTENT, TRUST NOT JUDGED") {
		j.t.Errorf("verify.sh without --trust: exit %d\n%s", code, out)
	}
}

// tokens: openssl on each token, with its own root, at its genTime.
func (j *judges) tokens(dir string) {
	seal := filepath.Dir(one(j.t, dir+"/data/seals/*/statement.dsse.json"))
	raw, err := os.ReadFile(filepath.Join(seal, "statement.dsse.json"))
	if err != nil {
		j.t.Fatal(err)
	}
	e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, holdfast.MaxDocument)
	if err != nil {
		j.t.Fatal(err)
	}
	sig, roots := filepath.Join(j.t.TempDir(), "sig.bin"), filepath.Join(j.t.TempDir(), "roots.pem")
	if err := os.WriteFile(sig, e.Signatures[0].Sig, 0o644); err != nil {
		j.t.Fatal(err)
	}
	certs, _ := filepath.Glob(dir + "/data/trust/certs/*.pem")
	var all []byte
	for _, c := range certs {
		b, _ := os.ReadFile(c)
		all = append(all, b...)
	}
	if err := os.WriteFile(roots, all, 0o644); err != nil {
		j.t.Fatal(err)
	}
	tokens, _ := filepath.Glob(seal + "/timestamps/*/*.tst")
	if len(tokens) < 3 {
		j.t.Errorf("%d tokens, want two operators' and the node's own", len(tokens))
	}
	for _, file := range tokens {
		if strings.Contains(file, "/own/") {
			continue // its root is nobody's trust and not in the bundle
		}
		der, err := os.ReadFile(file)
		if err != nil {
			j.t.Fatal(err)
		}
		tok, err := rfc3161.Parse(der)
		if err != nil {
			j.t.Fatal(err)
		}
		at := fmt.Sprint(tok.GenTime.Unix())
		j.accept(dir, "openssl", "ts", "-verify", "-token_in", "-in", file, "-data", sig, "-CAfile", roots, "-attime", at)
		j.refuse(dir, "openssl", "ts", "-verify", "-token_in", "-in", file, "-data", roots, "-CAfile", roots, "-attime", at)
	}
}

// sigstore: cosign, sigstore-go and @sigstore/verify on the manifest, and on
// another file, which each must refuse.
func (j *judges) sigstore(dir string) {
	bundle, root := one(j.t, dir+"/data/seals/*/seal.sigstore.json"), dir+"/data/trust/trusted_root.json"
	key, manifest := one(j.t, dir+"/data/trust/nodes/*.pem"), one(j.t, dir+"/data/exhibits/*/manifest.json")
	other := dir + "/bagit.txt"
	cosign := []string{j.path("cosign"), "verify-blob-attestation", "--key", key, "--bundle", bundle, "--trusted-root", root, "--use-signed-timestamps", "--type", holdfast.PredicateType}
	j.accept(dir, append(cosign, manifest)...)
	j.refuse(dir, append(cosign, other)...)
	for _, judge := range []string{"sigstorego", "sigstore-verify"} {
		j.accept(dir, j.path(judge), bundle, root, key, manifest)
		j.refuse(dir, j.path(judge), bundle, root, key, other)
	}
}

// archive: the WARC by gowarc in strict mode and by warcio, with equal record
// counts, and the WACZ by py-wacz.
func (j *judges) archive(dir string) {
	wacz := one(j.t, dir+"/data/exhibits/*/page.wacz")
	j.accept(dir, j.path("wacz"), "validate", "-f", wacz)
	warc := filepath.Join(j.t.TempDir(), "data.warc.gz")
	if err := os.WriteFile(warc, fromZip(j.t, wacz, "archive/"), 0o644); err != nil {
		j.t.Fatal(err)
	}
	counted := j.accept(dir, "timeout", "60", j.path("gowarc"), warc)
	out := j.accept(dir, j.path("warcio"), "check", "-v", warc)
	for _, bad := range []string{"present but not checked", "no digest to check"} {
		if strings.Contains(out, bad) {
			j.t.Errorf("warcio says %q:\n%s", bad, out)
		}
	}
	shown := len(regexp.MustCompile(`(?m)^  offset \d+ WARC-Record-ID `).FindAllString(out, -1))
	if shown == 0 || !strings.HasSuffix(strings.TrimSpace(counted), fmt.Sprintf(": %d records", shown)) {
		j.t.Errorf("gowarc says %q, warcio shows %d records", counted, shown)
	}
}

func fromZip(t *testing.T, file, prefix string) []byte {
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasPrefix(f.Name, prefix) {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var b bytes.Buffer
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
	}
	t.Fatalf("%s holds nothing under %s", file, prefix)
	return nil
}
