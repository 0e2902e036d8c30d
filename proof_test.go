package holdfast_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/rfc3161"
)

const proofPage = "docs/proof.md"

// columns of the table, ours first.
var columns = []string{"holdfast-verify", "verify.sh", "unzip", "sha256sum", "bagit", "openssl ts", "cosign", "sigstore-go", "@sigstore/verify", "gowarc", "warcio", "wacz"}

// A cell is an exit code for the first two columns; for the others `ok`, `no`,
// or `–` where the bundle has nothing for that program to look at.
const (
	passed  = "ok"
	refused = "no"
	nothing = "–"
)

// panel runs strangers' programs; equal input is judged once.
type panel struct {
	t     testing.TB
	dir   string // of the judges
	ours  string // holdfast-verify
	sh    string // verify.sh, from the repository
	certs []*x509.Certificate
	net   []string // prefix that takes the network away
	mu    sync.Mutex
	once  map[string]func() string
}

func newPanel(t testing.TB, dir string) *panel {
	j := &panel{t: t, dir: dir, ours: build(t, "holdfast-verify"), once: map[string]func() string{}}
	var err error
	if j.sh, err = filepath.Abs("export/verify.sh"); err != nil {
		t.Fatal(err)
	}
	if exec.Command("unshare", "-n", "true").Run() == nil {
		j.net = []string{"unshare", "-n"}
	} else {
		t.Log("unshare -n is not permitted here: the judges keep the network")
	}
	for _, z := range slices.Concat(must(filepath.Glob(goodDir+"*.zip")), must(filepath.Glob(badDir+"timestamp-expired*.zip")), must(filepath.Glob(badDir+"quorum*.zip"))) {
		for _, e := range readZip(t, must(os.ReadFile(z))) {
			if strings.HasPrefix(e.name, "data/trust/certs/") {
				block, _ := pem.Decode(e.content(t))
				j.certs = append(j.certs, must(x509.ParseCertificate(block.Bytes)))
			}
		}
	}
	return j
}

// run returns a program's exit code, -1 if it did not end in time.
func (j *panel) run(dir, stdin string, argv ...string) (int, string) {
	ctx, stop := context.WithTimeout(j.t.Context(), 10*time.Minute)
	defer stop()
	argv = append(slices.Clone(j.net), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		j.t.Errorf("%s: %v", argv, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// cached runs f once for equal inputs.
func (j *panel) cached(judge string, inputs [][]byte, f func() string) string {
	h := sha256.New()
	for _, in := range inputs {
		d := hashing.Of(in)
		h.Write(d[:])
	}
	key := judge + hex.EncodeToString(h.Sum(nil))
	j.mu.Lock()
	if j.once[key] == nil {
		j.once[key] = sync.OnceValue(f)
	}
	g := j.once[key]
	j.mu.Unlock()
	return g()
}

func verdictOf(code int) string {
	if code == 0 {
		return passed
	}
	return refused
}

// all is the worst of several cells.
func all(cells ...string) string {
	worst := nothing
	for _, c := range cells {
		if c == refused || c == passed && worst == nothing {
			worst = c
		}
	}
	return worst
}

// row judges one file.
func (j *panel) row(file, policy string) []string {
	t := j.t
	cells := slices.Repeat([]string{nothing}, len(columns))
	abs := must(filepath.Abs(file))
	tmp := must(os.MkdirTemp("", "holdfast-proof-"))
	defer os.RemoveAll(tmp)
	code, _ := j.run(tmp, "", j.ours, "--policy", must(filepath.Abs(policy)), abs)
	cells[0] = fmt.Sprint(code)
	trust := filepath.Join(tmp, "trust")
	p := readPolicy(t, policy)
	if export.WritePolicyDir(trust, p, j.certs) == nil {
		code, _ = j.run(tmp, "", "bash", j.sh, "--trust", trust, abs)
		cells[1] = fmt.Sprint(code)
	}
	dir := filepath.Join(tmp, "b")
	if code, _ = j.run(tmp, "", "unzip", "-qq", "-o", "-d", dir, abs); code > 1 {
		cells[2] = refused
		return cells
	}
	cells[2] = verdictOf(code)
	if _, err := os.Stat(filepath.Join(dir, "manifest-sha256.txt")); err == nil {
		code, _ = j.run(dir, "", "sha256sum", "--strict", "--quiet", "-c", "manifest-sha256.txt")
		cells[3] = verdictOf(code)
		code, _ = j.run(dir, "", j.bin("bagit.py"), "--quiet", "--validate", ".")
		cells[4] = verdictOf(code)
	}
	cells[5] = j.tokens(dir, trust)
	copy(cells[6:9], j.sigstore(dir))
	copy(cells[9:12], j.wacz(dir))
	return cells
}

func (j *panel) bin(name string) string { return filepath.Join(j.dir, "bin", name) }

func readAll(paths ...string) (out [][]byte, err error) {
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// tokens gives each token of an authority to openssl, at its own genTime, with
// the roots of the Policy.
func (j *panel) tokens(dir, trust string) string {
	cells := []string{nothing}
	roots := filepath.Join(trust, "all.pem")
	var pems []byte
	for _, p := range must(filepath.Glob(filepath.Join(trust, "roots", "*.pem"))) {
		pems = append(pems, must(os.ReadFile(p))...)
	}
	if len(pems) == 0 || os.WriteFile(roots, pems, 0o600) != nil {
		return nothing
	}
	for _, statement := range must(filepath.Glob(filepath.Join(dir, "data/seals/*/statement.dsse.json"))) {
		var env struct{ Signatures []struct{ Sig []byte } }
		raw := must(os.ReadFile(statement))
		if json.Unmarshal(raw, &env) != nil || len(env.Signatures) == 0 {
			continue
		}
		imprint := sha256.Sum256(env.Signatures[0].Sig)
		for _, token := range must(filepath.Glob(filepath.Join(filepath.Dir(statement), "timestamps/*/*.tst"))) {
			if strings.Contains(token, "/own/") {
				continue // its root is the node's, and in no Policy
			}
			b := must(os.ReadFile(token))
			at := time.Now()
			if parsed, err := rfc3161.Parse(b); err == nil {
				at = parsed.GenTime
			}
			cells = append(cells, j.cached("openssl", [][]byte{imprint[:], b, pems}, func() string {
				code, _ := j.run(dir, "", "openssl", "ts", "-verify", "-token_in", "-in", token, "-digest", hex.EncodeToString(imprint[:]), "-CAfile", roots, "-attime", fmt.Sprint(at.Unix()))
				return verdictOf(code)
			}))
		}
	}
	return all(cells...)
}

// sigstore gives each exhibit with its Seal to three readers, with the key and
// the trusted root that lie in the bundle.
func (j *panel) sigstore(dir string) []string {
	out := []string{nothing, nothing, nothing}
	for number, seal := range exhibitsOf(dir) {
		bundle, root := filepath.Join(dir, "data/seals", seal, "seal.sigstore.json"), filepath.Join(dir, "data/trust/trusted_root.json")
		manifest := filepath.Join(dir, "data/exhibits", number, "manifest.json")
		var hint struct {
			VerificationMaterial struct{ PublicKey struct{ Hint string } }
		}
		raw, err := os.ReadFile(bundle)
		if err != nil {
			continue
		}
		key := filepath.Join(dir, "data/trust/nodes", filepath.Base(hint.VerificationMaterial.PublicKey.Hint)+".pem")
		if json.Unmarshal(raw, &hint) == nil {
			key = filepath.Join(dir, "data/trust/nodes", filepath.Base(hint.VerificationMaterial.PublicKey.Hint)+".pem")
		}
		if _, err := os.Stat(key); err != nil { // the hint names no key that is here
			if keys := must(filepath.Glob(filepath.Join(dir, "data/trust/nodes/*.pem"))); len(keys) == 1 {
				key = keys[0]
			}
		}
		in, err := readAll(bundle, root, key, manifest)
		if err != nil {
			continue
		}
		for i, argv := range [][]string{
			{j.bin("cosign"), "verify-blob-attestation", "--bundle", bundle, "--trusted-root", root, "--key", key, "--use-signed-timestamps", "--type", holdfast.PredicateType, manifest},
			{j.bin("sigstorego"), bundle, root, key, manifest}, {j.bin("sigstore-verify"), bundle, root, key, manifest},
		} {
			out[i] = all(out[i], j.cached(argv[0], in, func() string {
				code, _ := j.run(dir, "", argv...)
				return verdictOf(code)
			}))
		}
	}
	return out
}

// exhibitsOf reads, without any check, which Seal each exhibit is said to have.
func exhibitsOf(dir string) map[string]string {
	m := map[string]string{}
	raw, err := os.ReadFile(filepath.Join(dir, exportDSSE))
	var env struct{ Payload []byte }
	var x struct {
		Exhibits []struct{ Number, Seal string }
	}
	if err != nil || json.Unmarshal(raw, &env) != nil || json.Unmarshal(env.Payload, &x) != nil {
		return m
	}
	for _, e := range x.Exhibits {
		if e.Seal != "" {
			m[e.Number] = e.Seal
		}
	}
	return m
}

// wacz gives the archive and the WARCs in it to three readers.
func (j *panel) wacz(dir string) []string {
	out := []string{nothing, nothing, nothing}
	for _, w := range must(filepath.Glob(filepath.Join(dir, "data/exhibits/*/*.wacz"))) {
		in := [][]byte{must(os.ReadFile(w))}
		inside := w + ".d"
		unpacked := func() []string {
			j.run(dir, "", "unzip", "-qq", "-o", "-d", inside, w)
			return must(filepath.Glob(filepath.Join(inside, "archive/*.warc*")))
		}
		out[0] = all(out[0], j.cached("gowarc", in, func() string {
			code, _ := j.run(dir, "", append([]string{j.bin("gowarc")}, unpacked()...)...)
			return verdictOf(code)
		}))
		out[1] = all(out[1], j.cached("warcio", in, func() string {
			cells := []string{refused}
			for i, f := range unpacked() {
				code, said := j.run(dir, "", j.bin("warcio"), "check", "-v", f)
				if cells[min(i, 0)] = verdictOf(code); strings.Contains(said, "present but not checked") {
					return refused
				}
			}
			return all(cells...)
		}))
		out[2] = all(out[2], j.cached("wacz", in, func() string {
			code, _ := j.run(dir, "", j.bin("wacz"), "validate", "-f", w)
			return verdictOf(code)
		}))
	}
	return out
}

type proofRow struct {
	file, policy, why string
	cells             []string
}

func proofRows(t testing.TB) (rows []proofRow) {
	for _, g := range goods {
		rows = append(rows, proofRow{file: goodDir + g.name + ".zip", policy: goodDir + g.name + ".policy.json", why: g.what})
	}
	for _, w := range readTwins(t) {
		if name, form := cutForm(w.File); form == "raw" && paired(name) {
			continue // a CRC or the bag is wrong too, so whoever looks at these refuses
		}
		rows = append(rows, proofRow{file: badDir + w.File, policy: badDir + w.Policy, why: w.Why})
	}
	return rows
}

func paired(name string) bool {
	_, err := os.Stat(badDir + name + ".mended.zip")
	return err == nil
}

// TestProofMatrix lets strangers' programs judge the good bundles and the
// twins. What one of them refuses, ours must refuse; the table of docs/proof.md
// says what each said, and why ours refuses what others pass.
func TestProofMatrix(t *testing.T) {
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir == "" {
		t.Skip("HOLDFAST_JUDGES is not set: NO stranger's program judges our bundles in this run; ./test sets it")
	}
	rows := proofRows(t)
	if os.Getenv("HOLDFAST_LONG") == "" && !*update {
		kept := rows[:len(goods)]
		for i, r := range rows[len(goods):] {
			if i%7 == 0 {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	j := newPanel(t, dir)
	var wg sync.WaitGroup
	free := make(chan struct{}, 8)
	for i := range rows {
		wg.Go(func() {
			free <- struct{}{}
			rows[i].cells = j.row(rows[i].file, rows[i].policy)
			t.Log(rows[i].line())
			<-free
		})
	}
	wg.Wait()
	for _, r := range rows {
		if r.cells[0] == "0" && (slices.Contains(r.cells[1:], refused) || r.cells[1] != "0") {
			t.Errorf("%s: ours proves it, and another refuses it: %v", r.file, r.cells)
		}
		if r.cells[0] != "0" && r.why == "" {
			t.Errorf("%s: ours refuses it, and the table has no reason", r.file)
		}
	}
	if *update {
		writeProof(t, rows)
	}
	page, err := os.ReadFile(proofPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if name := strings.TrimSuffix(filepath.Base(r.file), ".zip"); r.cells[1] != r.cells[0] && r.cells[1] != nothing && !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("%s: ours exits %s, verify.sh %s, and %s does not say why", r.file, r.cells[0], r.cells[1], proofPage)
		}
		if !bytes.Contains(page, []byte(r.line())) {
			t.Errorf("%s lacks the line\n%s", proofPage, r.line())
		}
	}
}

func (r proofRow) line() string {
	return fmt.Sprintf("| %s | %s | %s |\n", strings.TrimSuffix(filepath.Base(r.file), ".zip"), strings.Join(r.cells, " | "), r.why)
}

func writeProof(t testing.TB, rows []proofRow) {
	const begin, end = "<!-- made by go test -run TestProofMatrix -update -->\n", "<!-- end -->\n"
	head := fmt.Sprintf("| bundle | %s | %s |\n|%s\n", strings.Join(columns, " | "), "what it is, or what sees it", strings.Repeat("---|", len(columns)+2))
	table := "\n**Good.**\n\n" + head
	for i, r := range rows {
		if i == len(goods) {
			table += "\n**Tampered.**\n\n" + head
		}
		table += r.line()
	}
	table += "\n**In numbers.**\n\n" + numbers(rows[len(goods):])
	page := string(must(os.ReadFile(proofPage)))
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks between which the table stands", proofPage)
	}
	write(t, proofPage, []byte(before+begin+table+"\n"+end+after))
}

// numbers counts, per program, the twins that ours contradicts.
func numbers(rows []proofRow) string {
	out := "| program | refuses | passes | has nothing to look at |\n|---|---|---|---|\n"
	for i, c := range columns {
		n := map[bool]int{}
		none := 0
		for _, r := range rows {
			if r.cells[0] != "1" && r.cells[0] != "2" {
				continue
			}
			if r.cells[i] == nothing {
				none++
				continue
			}
			n[r.cells[i] != "0" && r.cells[i] != passed]++
		}
		out += fmt.Sprintf("| %s | %d | %d | %d |\n", c, n[true], n[false], none)
	}
	return out
}

// TestScriptOnRawTwins: what was not mended verify.sh refuses throughout.
func TestScriptOnRawTwins(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("minutes: HOLDFAST_LONG is not set")
	}
	j := newPanel(t, "")
	for _, w := range readTwins(t) {
		name, form := cutForm(w.File)
		if form != "raw" || !paired(name) {
			continue
		}
		t.Run(w.File, func(t *testing.T) {
			t.Parallel()
			trust := filepath.Join(t.TempDir(), "trust")
			if err := export.WritePolicyDir(trust, readPolicy(t, badDir+w.Policy), j.certs); err != nil {
				t.Fatal(err)
			}
			if code, said := j.run(t.TempDir(), "", "bash", j.sh, "--trust", trust, must(filepath.Abs(badDir+w.File))); code != w.Exit {
				t.Errorf("verify.sh exits %d, want %d\n%s", code, w.Exit, said)
			}
		})
	}
}

// TestScriptOnTwins: a sample of what docs/proof.md says of verify.sh, for runs
// without the judges.
func TestScriptOnTwins(t *testing.T) {
	for _, tool := range []string{"bash", "openssl", "xxd", "unzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: verify.sh needs it; `./test` installs it", err)
		}
	}
	page := string(must(os.ReadFile(proofPage)))
	j := newPanel(t, "")
	for i, r := range proofRows(t) {
		if i%41 != 1 && i != 3 {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(r.file), ".zip")
		_, rest, ok := strings.Cut(page, "\n| "+name+" | ")
		cells := strings.SplitN(rest, " | ", 3)
		if !ok || len(cells) < 3 {
			t.Errorf("%s has no line for %s", proofPage, name)
			continue
		}
		trust := filepath.Join(t.TempDir(), "trust")
		if err := export.WritePolicyDir(trust, readPolicy(t, r.policy), j.certs); err != nil {
			continue // a root that is nowhere: the script cannot be asked
		}
		code, said := j.run(t.TempDir(), "", "bash", j.sh, "--trust", trust, must(filepath.Abs(r.file)))
		if fmt.Sprint(code) != cells[1] || strings.Contains(said, "verify.sh: line") {
			t.Errorf("%s: verify.sh exits %d, the page says %s\n%s", name, code, cells[1], said)
		}
	}
}
