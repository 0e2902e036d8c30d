package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"holdfast/hashing"
)

// VerifyOptions are the few things that a person may say besides the Policy.
type VerifyOptions struct {
	// Node is the fingerprint (64 hex digits) of a node entry in the Bundle that
	// the person got by another way; that entry joins the Policy.
	Node string
	// Progress, if not nil, is told the bytes hashed so far and in all. It is
	// called from several goroutines.
	Progress func(done, total int64)
}

// Verify judges a Bundle under a Policy. It uses nothing else: no network, no
// clock, no file, nothing that the Bundle says about whom to trust.
//
// The error says that Verify could not run: [ErrNotBundle], [ErrNewer], that of
// the disk or of a file that changed meanwhile, ctx's. Everything that is wrong
// with the Bundle is a Finding. Memory grows with the number of entries, not with
// their size; several cores hash at once.
func Verify(ctx context.Context, r io.ReaderAt, size int64, p *Policy, o VerifyOptions) (*Report, error) {
	v := &verifier{report: &Report{}, bad: map[string]bool{}, withheld: map[string]WithheldObject{}, orders: map[string]map[string]bool{}, counted: map[ID][]hashing.Digest{}, seals: map[string]*sealFacts{}, heads: map[ID][]anchor{}, captures: map[ID]hashing.Digest{}}
	pc := *p
	pc.Nodes = slices.Clone(p.Nodes)
	v.p = &pc
	in := &faults{r: r, size: size}
	b, err := openBundle(in, size)
	if fault := in.first(); fault != nil {
		return nil, fault
	}
	if errors.Is(err, ErrNotBundle) {
		return nil, err
	}
	if err != nil {
		v.zipFinding(err)
		v.report.Verdict = VerdictContradicted
		return v.report, nil
	}
	v.b = b
	if err := v.run(ctx, o); err != nil {
		return nil, err
	}
	if err := in.first(); err != nil {
		return nil, err
	}
	if v.newer && !v.global && len(v.bad) == 0 {
		return nil, ErrNewer
	}
	v.verdict()
	return v.report, nil
}

type verifier struct {
	b           *bundle
	sorted      []*entry // by name; see under
	p           *Policy
	m           Material
	report      *Report
	x           *Export
	seals       map[string]*sealFacts
	trees       []Tree
	heads       map[ID][]anchor // that Manifests in a signed Seal name
	captures    map[ID]hashing.Digest
	withheld    map[string]WithheldObject  // by exhibit/name
	orders      map[string]map[string]bool // of erasure: by the reason that names a line, what that says
	counted     map[ID][]hashing.Digest    // of each Case, as the exporter states
	global      bool                       // a contradiction that concerns the whole file
	bad         map[string]bool            // exhibits with a contradiction of their own
	exportKnown bool                       // the exporter's key is in the Policy
	newer       bool                       // a document has a larger version: no verdict but contradicted
}

// isNewer notes that a document is for a newer program. Whoever only changed
// the file has contradicted its digest too, so no refusal becomes this.
func (v *verifier) isNewer(err error) bool {
	v.newer = v.newer || errors.Is(err, ErrNewer)
	return errors.Is(err, ErrNewer)
}

func (v *verifier) find(finding string, o Outcome, b Basis, subject, format string, a ...any) {
	v.report.Findings = append(v.report.Findings, Finding{finding, o, b, subject, fmt.Sprintf(format, a...)})
	if o != Contradicted {
		return
	}
	if n, ok := strings.CutPrefix(subject, "exhibit "); ok {
		n, _, _ = strings.Cut(n, "/")
		v.bad[n] = true
		return
	}
	v.global = true
}

func (v *verifier) zipFinding(err error) {
	name := "zip"
	if z := (*zipError)(nil); errors.As(err, &z) {
		name = z.finding
	}
	v.find(name, Contradicted, Proven, "bundle", "%v", err)
}

func (v *verifier) run(ctx context.Context, o VerifyOptions) error {
	if err := v.hashAll(ctx, o.Progress); err != nil {
		return err
	}
	v.find("zip", OK, Proven, "bundle", "%d entries", len(v.b.entries))
	v.bag()
	v.trust(o.Node)
	if v.export(); v.x == nil {
		return nil
	}
	v.files()
	v.x.Files = nil // they have been compared, and may be a million
	for _, c := range v.x.Cases {
		v.counted[c.Case] = c.Captures
	}
	for _, w := range v.x.Withheld {
		v.withheld[w.Exhibit+"/"+w.Name] = w
	}
	lines, err := v.custodyLines()
	if err := v.checkSeals(ctx); err != nil {
		return err
	}
	for _, e := range v.x.Exhibits {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.exhibit(e)
	}
	v.custody(lines, err)
	v.consistency()
	v.statedFacts()
	return nil
}

// hashAll reads every entry once, largest share first to whoever is free.
func (v *verifier) hashAll(ctx context.Context, progress func(done, total int64)) error {
	var next, done atomic.Int64
	var total int64
	for _, e := range v.b.entries {
		total += e.size
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			buf := make([]byte, 256<<10)
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(v.b.entries)) {
					return
				}
				e := v.b.entries[i]
				if err := e.hash(buf); err != nil {
					mu.Lock()
					v.zipFinding(err)
					mu.Unlock()
				}
				if n := done.Add(e.size); progress != nil {
					progress(n, total)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// unsigned are the files that no signature covers: the bag and the help.
func unsigned(name string) bool {
	return slices.Contains([]string{ReadMe, "verify.sh", "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"}, name)
}

// validBagInfo accepts what every bag validator reads in one way: UTF-8, one
// label and value a line, and the one Payload-Oxum that is right.
func validBagInfo(e *entry, oxum string) bool {
	raw, err := e.read(1 << 20)
	form := regexp.MustCompile(`^([A-Za-z-]+: [^\p{Cc}\p{Zl}\p{Zp}]+\n)+$`)
	labels := regexp.MustCompile(`(?im)^payload-oxum:`) // of lines; a value may have the word
	return err == nil && utf8.Valid(raw) && form.Match(raw) && strings.Contains(string(raw), oxum) && len(labels.FindAll(raw, 2)) == 1
}

// bag checks the BagIt 1.0 files against the entries (RFC 8493).
func (v *verifier) bag() {
	payload, tags := hashing.NewWriter(io.Discard), hashing.NewWriter(io.Discard)
	var octets, count int64
	for _, e := range v.under("") {
		switch {
		case strings.HasPrefix(e.name, "data/"):
			fmt.Fprintf(payload, "%s  %s\n", e.digest.Hex(), e.name)
			octets, count = octets+e.size, count+1
		case !unsigned(e.name):
			v.find("file-extra", Contradicted, Proven, e.name, "no file of this name belongs here")
		default:
			v.report.Unsigned = append(v.report.Unsigned, e.name)
			if e.name != "tagmanifest-sha256.txt" {
				fmt.Fprintf(tags, "%s  %s\n", e.digest.Hex(), e.name)
			}
		}
	}
	v.bagFile("manifest-sha256.txt", payload.Digest())
	v.bagFile("tagmanifest-sha256.txt", tags.Digest())
	v.bagFile("bagit.txt", hashing.Of([]byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")))
	if e := v.b.byName["bag-info.txt"]; e == nil || !validBagInfo(e, fmt.Sprintf("\nPayload-Oxum: %d.%d\n", octets, count)) {
		v.find("bag", Contradicted, Stated, "bag-info.txt", "is missing, not of lines `Label: value`, or has not the one right Payload-Oxum")
	}
	v.find("unsigned", Note, Stated, "bundle", "under no signature: %s", strings.Join(v.report.Unsigned, ", "))
}

// bagFile: the files of a bag have one right content each, so a Digest decides.
func (v *verifier) bagFile(name string, want hashing.Digest) {
	if e := v.b.byName[name]; e == nil || e.digest != want {
		v.find("bag", Contradicted, Stated, name, "does not list exactly the files that are here")
	}
}

// under returns the entries below a prefix, in the order of their names.
func (v *verifier) under(prefix string) []*entry {
	if v.sorted == nil {
		v.sorted = slices.SortedFunc(slices.Values(v.b.entries), func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	}
	from, _ := slices.BinarySearchFunc(v.sorted, prefix, func(e *entry, p string) int { return strings.Compare(e.name, p) })
	n := slices.IndexFunc(v.sorted[from:], func(e *entry) bool { return !strings.HasPrefix(e.name, prefix) })
	if n < 0 {
		return v.sorted[from:]
	}
	return v.sorted[from : from+n]
}

const exportName = "data/export.dsse.json"

func (v *verifier) export() {
	e := v.b.byName[exportName]
	if e == nil {
		v.find("export-missing", Contradicted, Stated, exportName, "nothing says what this bundle holds")
		return
	}
	raw, err := e.read(MaxExport)
	var env *Envelope
	var x *Export
	if err == nil {
		env, err = ParseEnvelope(raw, PayloadExport, MaxExport)
	}
	if err == nil {
		x, err = ParseExport(env.Payload)
	}
	if v.isNewer(err) {
		if _, _, signed := v.signer(env, ""); !signed {
			v.find("export-signature", Contradicted, Stated, exportName, "a newer version that no key here signed")
		}
		return
	}
	if err != nil {
		v.find("export-form", Contradicted, Stated, exportName, "%v", err)
		return
	}
	v.x = x
	v.report.Training = x.Training
	v.exporter(env)
}

// exporter checks who signed the export statement. By a node that the Policy
// does not name it can be nobody's word, so no exhibit is then `proven`.
func (v *verifier) exporter(env *Envelope) {
	k, known, ok := v.signer(env, v.x.Node)
	if !ok {
		v.find("export-signature", Contradicted, Stated, exportName, "no key of node %s signed it", v.x.Node)
		return
	}
	v.find("export-signature", OK, Stated, exportName, "exported %s by node %s", v.x.Exported, v.x.Node)
	if v.exportKnown = known; !known {
		v.find("key-unknown", Note, Stated, exportName, "node %s or its key is not in the policy: who exported this is not checked", v.x.Node)
	} else if !within(v.x.Exported.Time, k.From, k.Until) {
		v.find("key-period", Contradicted, Stated, exportName, "key %s was not valid at the stated time %s", KeyID(k.SPKI), v.x.Exported)
	} else if other := v.p.ended(k.SPKI, v.x.Exported.Time); other != "" {
		v.exportKnown = false
		v.find("key-period", Note, Stated, exportName, "key %s had ended as one of node %s: who exports with it since is not checked", KeyID(k.SPKI), other)
	}
}

// signer finds the key that made the signature, of the node of that name or, for
// "", of any; known says that the Policy has it.
func (v *verifier) signer(env *Envelope, node string) (k PolicyKey, known, ok bool) {
	digest := env.digest()
	for i, n := range append(slices.Clone(v.p.Nodes), v.m.Nodes...) {
		for _, k := range n.Keys {
			if (node == "" || n.Name == node) && env.verify(digest, k.SPKI) == nil {
				return k, i < len(v.p.Nodes), true
			}
		}
	}
	return k, false, false
}

// files holds every file under data/ against the export statement.
func (v *verifier) files() {
	stated, numbers := make(map[string]bool, len(v.x.Files)), make(map[string]bool, len(v.x.Exhibits))
	for _, e := range v.x.Exhibits {
		numbers[e.Number] = true
	}
	for _, f := range v.x.Files {
		stated[f.Path] = true
		switch e := v.b.byName[f.Path]; {
		case e == nil:
			v.find("file-missing", Contradicted, Stated, f.Path, "stated, but not here")
		case e.digest != f.Digest || e.size != f.Size:
			v.find("file-digest", Contradicted, Stated, f.Path, "is %s, stated %s", e.digest, f.Digest)
		}
	}
	for _, e := range v.b.entries {
		switch {
		case !strings.HasPrefix(e.name, "data/"):
		case !stated[e.name] && e.name != exportName:
			v.find("file-extra", Contradicted, Stated, e.name, "not in the export statement")
		case !belongs(e.name, numbers):
			v.find("file-extra", Contradicted, Stated, e.name, "no file of this name belongs here")
		}
	}
}

// belongs knows the places of bundle.md section 11, so that nothing rides along
// beside the exhibits. Seals, trust and each exhibit look at their own folders.
func belongs(name string, numbers map[string]bool) bool {
	s := strings.Split(name, "/")
	switch s[1] {
	case "seals", "trust":
		return len(s) > 2
	case "tlog":
		return len(s) == 4
	case "exhibits":
		return len(s) > 3 && numbers[s[2]]
	}
	return name == exportName || name == "data/custody.jsonl"
}

// maxPart bounds a part of a Seal that is neither statement nor its Sigstore form.
const maxPart = 64 << 10

// maxParts bounds their number: MaxTokens and what a few logs give.
const maxParts = 256

// sealFacts are what the exhibits need of a Seal that was checked. The rest of it
// is let go: a Bundle may have a hundred thousand Seals of 1,024 subjects each.
type sealFacts struct {
	read      bool // statement and signature
	sealed    bool
	known     bool
	training  bool
	node      string
	count     int
	t         time.Time
	notBefore time.Time
	subjects  map[hashing.Digest]bool // those that exhibits of this Bundle state
}

// checkSeals runs CheckSeal on each folder under data/seals/, one at a time, so
// that what is in memory is one Seal's.
func (v *verifier) checkSeals(ctx context.Context) error {
	used := map[string][]hashing.Digest{}
	for _, e := range v.x.Exhibits {
		used[e.Seal] = append(used[e.Seal], e.Manifest)
	}
	last, parts := "", SealParts{}
	for _, e := range v.under("data/seals/") {
		id, part, _ := strings.Cut(strings.TrimPrefix(e.name, "data/seals/"), "/")
		if id != last {
			if err := ctx.Err(); err != nil {
				return err
			}
			v.checkSeal(last, parts, used[last])
			last, parts = id, SealParts{}
		}
		limit := int64(maxPart)
		if part == "statement.dsse.json" || part == "seal.sigstore.json" {
			limit = MaxDocument
		}
		if len(parts) == maxParts {
			v.find("seal-parts", Contradicted, Proven, e.name, "more than %d parts", maxParts)
			continue
		}
		raw, err := e.read(limit)
		if err != nil || !ValidSealID(id) || part == "plan.json" {
			v.find("seal-parts", Contradicted, Proven, e.name, "not a part of a seal (%v)", err)
			continue
		}
		parts[part] = raw
	}
	v.checkSeal(last, parts, used[last])
	return nil
}

func (v *verifier) checkSeal(id string, parts SealParts, manifests []hashing.Digest) {
	if len(parts) == 0 {
		return
	}
	r := CheckSeal(id, parts, v.p, v.m)
	v.seals[id] = factsOf(r, manifests)
	v.trees = append(v.trees, r.Trees...)
	v.newer = v.newer || r.Newer
	for _, f := range r.Findings {
		v.find(f.Finding, f.Outcome, f.Basis, f.Subject, "%s", f.Detail)
	}
	if r.Logged && parts["seal.sigstore.json"] == nil {
		v.find("seal-parts", Contradicted, Proven, "seal "+id, "seal.sigstore.json is missing")
	}
	if len(manifests) == 0 {
		v.find("seal-parts", Contradicted, Proven, "seal "+id, "no exhibit has this seal")
	}
}

func factsOf(r *SealResult, manifests []hashing.Digest) *sealFacts {
	f := &sealFacts{sealed: r.Sealed(), known: r.Known, t: r.T, notBefore: r.NotBefore, subjects: map[hashing.Digest]bool{}}
	if r.Statement == nil {
		return f
	}
	p := r.Statement.Predicate
	f.read, f.node, f.training, f.count = true, p.Node, p.Training, p.Count
	for _, d := range manifests {
		f.subjects[d] = r.Statement.Has(d)
	}
	return f
}

// verdict takes the worst exhibit; a contradiction of the whole file is on all.
func (v *verifier) verdict() {
	v.report.Verdict = VerdictProven
	if len(v.report.Exhibits) == 0 || v.global {
		v.report.Verdict = VerdictContradicted
	}
	for i := range v.report.Exhibits {
		e := &v.report.Exhibits[i]
		if !v.exportKnown {
			e.Verdict = worse(e.Verdict, VerdictUnattributed)
		}
		if v.global || v.bad[e.Number] {
			e.Verdict = VerdictContradicted
		}
		v.report.Verdict = worse(v.report.Verdict, e.Verdict)
	}
}
