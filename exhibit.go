package holdfast

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/hashing"
)

// ExhibitReport is the verdict on one exhibit and the facts it rests on.
type ExhibitReport struct {
	Number  string
	Verdict Verdict
	Capture ID
	Kind    string // "" if the Manifest could not be read
	// Manifest is the Digest of manifest.json as it was judged, zero if that could not be
	// read: whoever reads the file again holds it against this.
	Manifest hashing.Digest
	Source   Source
	Started  Time // by Clock, stated
	Ended    Time
	Result   string // complete, partial or failed
	Clock    string // the node whose clock it is, by the Manifest
	Seal     string // "" while pending
	T        Time   // zero: no quorum
	After    Time   // notBefore, zero: none
	Node     string // the maker, by the Seal
	Known    bool   // the maker is in the Policy
}

// exhibit judges one Capture: Manifest, Seal, Objects, slices.
func (v *verifier) exhibit(x Exhibit) {
	subject, dir := "exhibit "+x.Number, "data/exhibits/"+x.Number+"/"
	r := ExhibitReport{Number: x.Number, Verdict: VerdictUnsealed, Capture: x.Capture, Seal: x.Seal, Node: v.x.Node}
	defer func() { v.report.Exhibits = append(v.report.Exhibits, r) }()
	e := v.b.byName[dir+"manifest.json"]
	if e == nil {
		v.find("manifest-missing", Contradicted, Proven, subject, "manifest.json is not here")
		return
	}
	raw, err := e.read(MaxDocument)
	var m *Manifest
	if err == nil {
		m, err = ParseManifest(raw)
	}
	if v.isNewer(err) {
		v.subject(x, e.digest) // else anybody could call his own text a newer Manifest
		return
	}
	if err != nil {
		v.find("manifest-form", Contradicted, Proven, subject, "%v", err)
		return
	}
	r.Manifest, r.Kind, r.Source, r.Started, r.Ended, r.Result, r.Clock = e.digest, m.Kind, m.Source, m.Started, m.Ended, m.Completeness.Outcome, m.Collection.Node
	v.find("manifest-form", OK, Proven, subject, "capture %s of %s", m.ID, m.Source)
	if e.digest != x.Manifest || m.ID != x.Capture {
		v.find("manifest-digest", Contradicted, Stated, subject, "is %s, stated %s", e.digest, x.Manifest)
	}
	if old, ok := v.captures[m.ID]; ok && old != e.digest {
		v.find("capture-twice", Contradicted, Proven, subject, "capture %s has two manifests", m.ID)
	}
	v.captures[m.ID] = e.digest
	if _, ok := slices.BinarySearchFunc(v.counted[m.Case], e.digest, hashing.Digest.Compare); !ok { // sorted: Export.check saw it
		v.find("case-count", Contradicted, Stated, subject, "the export statement does not count this capture in its case %s", m.Case)
	}
	v.report.Training = v.report.Training || m.Training
	v.inSeal(x, e.digest, m, &r)
	v.objects(dir, x, m)
}

// subject finds a Manifest among its Seal's subjects; nil: no Seal that can be
// read has it, and a finding says so.
func (v *verifier) subject(x Exhibit, d hashing.Digest) *sealFacts {
	subject, s := "exhibit "+x.Number, v.seals[x.Seal]
	switch {
	case x.Seal == "":
		v.find("seal-missing", Absent, Stated, subject, "pending: not sealed when it was exported")
	case s == nil:
		v.find("seal-missing", Contradicted, Stated, subject, "seal %s is stated, but not here", x.Seal)
	case !s.read: // contradicted, or newer: what the Seal says of itself stands
	case !s.subjects[d]:
		v.find("subject-missing", Contradicted, Proven, subject, "seal %s is not of this manifest", x.Seal)
	default:
		return s
	}
	return nil
}

// inSeal takes over what the Seal says of the Manifest, T before all.
func (v *verifier) inSeal(x Exhibit, d hashing.Digest, m *Manifest, r *ExhibitReport) {
	subject := "exhibit " + x.Number
	s := v.subject(x, d)
	if s == nil {
		return
	}
	if m.Training != s.training {
		v.find("subject-missing", Contradicted, Proven, subject, "training in one of manifest and seal, not in both")
		return
	}
	v.find("subject-missing", OK, Proven, subject, "one of the %d subjects of seal %s", s.count, x.Seal)
	h := anchor{m.Custody, s.sealed}
	if hs := v.heads[m.Custody.Chain]; len(hs) == 0 || hs[len(hs)-1] != h { // most neighbours share one
		v.heads[m.Custody.Chain] = append(hs, h)
	}
	r.Node, r.Known = s.node, s.known
	if !s.notBefore.IsZero() {
		r.After = At(s.notBefore)
	}
	if !s.sealed {
		return
	}
	r.T = At(s.t)
	r.Verdict = VerdictUnattributed
	if s.known {
		r.Verdict = VerdictProven
	}
	switch late := s.t.Sub(m.Ended.Time); {
	case late > time.Hour:
		v.find("sealed-late", Note, Proven, subject, "sealed %s after the capture ended by the node's clock", late.Round(time.Second))
	case late < -5*time.Minute:
		v.find("clock-ahead", Note, Proven, subject, "the node's clock said %s later than the authorities: its stated times are unreliable", -late.Round(time.Second))
	}
}

// objects holds every Object against the Manifest; what is not here must be
// stated as withheld, with a reason.
func (v *verifier) objects(dir string, x Exhibit, m *Manifest) {
	subject := "exhibit " + x.Number
	here := 0
	for i := range m.Objects {
		o := &m.Objects[i]
		e := v.b.byName[dir+o.Name]
		w, withheld := v.withheld[x.Number+"/"+o.Name]
		switch {
		case e == nil && !withheld:
			v.find("object-missing", Contradicted, Proven, subject+"/"+o.Name, "the manifest names it, and nothing says why it is not here")
		case e == nil && w.Digest != o.Digest:
			v.find("object-digest", Contradicted, Stated, subject+"/"+o.Name, "withheld under another digest")
		case e == nil && !strings.HasPrefix(w.Reason, "erased by order"):
			v.find("object-withheld", Note, Stated, subject+"/"+o.Name, "%s", w.Reason)
		case e == nil && v.orders[w.Reason][string(m.ID)] && v.orders[w.Reason][o.Digest.String()]:
			v.find("object-erased", Note, Stated, subject+"/"+o.Name, "%s", w.Reason)
		case e == nil:
			v.find("object-erased", Contradicted, Stated, subject+"/"+o.Name, "said to be erased by order, and no line of custody here says so")
		case withheld:
			v.find("object-digest", Contradicted, Stated, subject+"/"+o.Name, "stated as withheld, yet here")
		case e.digest != o.Digest || e.size != o.Size:
			v.find("object-digest", Contradicted, Proven, subject+"/"+o.Name, "is %s, sealed %s", e.digest, o.Digest)
		default:
			here++
			v.slicesOf(dir, subject, m, o, e)
		}
	}
	v.find("object-digest", OK, Proven, subject, "%d of %d objects are here and are the sealed ones", here, len(m.Objects))
	for _, e := range v.under(dir) {
		name := strings.TrimPrefix(e.name, dir)
		if rest, ok := strings.CutPrefix(name, "slices/"); ok {
			v.shownSlice(subject, rest, e, m)
		} else if name != "manifest.json" && m.Object(name) == nil {
			v.find("file-extra", Contradicted, Proven, subject+"/"+name, "the manifest names no such object")
		}
	}
}

// slicesOf checks the slices of an Object that is here whole: those that are
// shown too must be its bytes, and all must open their commitments if the secret
// is here. One pass, however many slices.
func (v *verifier) slicesOf(dir, subject string, m *Manifest, o *Object, e *entry) {
	h := &sliceHasher{o: o, shown: map[string]hashing.Digest{}}
	for _, sl := range o.Slices {
		if s := v.b.byName[dir+"slices/"+o.Name+"/"+sl.Name]; s != nil {
			h.shown[sl.Name] = s.digest
		}
	}
	var err error
	if s := v.b.byName[dir+o.Name+".secret"]; s != nil && m.Object(o.Name+".secret") != nil && len(o.Slices) > 0 {
		if h.secret, err = s.read(32); err == nil && len(h.secret) != 32 {
			err = malformed("the secret has %d bytes, not 32", len(h.secret))
		}
	}
	if err == nil && h.secret == nil && len(h.shown) == 0 {
		return
	}
	if err == nil {
		err = e.again(h, make([]byte, 64<<10))
	}
	if err == nil {
		err = h.close()
	}
	if err != nil {
		v.find("slice-commitment", Contradicted, Proven, subject+"/"+o.Name, "%v", err)
		return
	}
	v.find("slice-commitment", OK, Proven, subject+"/"+o.Name, "%d slices", len(o.Slices))
}

// sliceHasher walks an Object once and checks each slice as it ends.
type sliceHasher struct {
	o      *Object
	secret []byte                    // nil: commitments stay closed
	shown  map[string]hashing.Digest // of the files that show a slice
	at     int64
	i      int
	err    error // the first; the rest is read all the same
	salted hash.Hash
	plain  hash.Hash
}

func (s *sliceHasher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.i < len(s.o.Slices) {
		sl := s.o.Slices[s.i]
		if skip := sl.Offset - s.at; skip > 0 {
			skip = min(skip, int64(len(p)))
			s.at, p = s.at+skip, p[skip:]
			continue
		}
		s.begin(sl)
		k := min(sl.Offset+sl.Length-s.at, int64(len(p)))
		s.salted.Write(p[:k])
		s.plain.Write(p[:k])
		s.at, p = s.at+k, p[k:]
		s.err = cmp.Or(s.err, s.end())
	}
	s.at += int64(len(p))
	return n, nil
}

func (s *sliceHasher) begin(sl Slice) {
	if s.salted == nil {
		s.salted, s.plain = sha256.New(), sha256.New()
		s.salted.Write(SliceSalt(s.secret, sl.Name))
	}
}

// end closes the current slice if its last byte was seen.
func (s *sliceHasher) end() error {
	sl := s.o.Slices[s.i]
	if s.at < sl.Offset+sl.Length {
		return nil
	}
	s.begin(sl) // an empty one has no byte that did
	opens := s.secret == nil || bytes.Equal(s.salted.Sum(nil), sl.Commitment[:])
	d, shown := s.shown[sl.Name]
	same := !shown || bytes.Equal(s.plain.Sum(nil), d[:])
	s.i, s.salted, s.plain = s.i+1, nil, nil
	switch {
	case !opens:
		return malformed("slice %s does not open its commitment", sl.Name)
	case !same:
		return malformed("slice %s, as shown, is not what the object holds there", sl.Name)
	}
	return nil
}

// close checks that every slice was reached; only empty ones may be left.
func (s *sliceHasher) close() error {
	for s.i < len(s.o.Slices) {
		if sl := s.o.Slices[s.i]; sl.Length != 0 {
			return malformed("slice %s was not reached", sl.Name)
		}
		s.at = max(s.at, s.o.Slices[s.i].Offset)
		s.err = cmp.Or(s.err, s.end())
	}
	return s.err
}

// shownSlice checks `<object>/<slice>` with `<object>/<slice>.salt`.
func (v *verifier) shownSlice(subject, rest string, e *entry, m *Manifest) {
	object, name, _ := strings.Cut(rest, "/")
	subject += "/slices/" + rest
	slice, isSalt := strings.CutSuffix(name, ".salt")
	var sl *Slice
	o := m.Object(object)
	if o != nil {
		if i := slices.IndexFunc(o.Slices, func(s Slice) bool { return s.Name == slice }); i >= 0 {
			sl = &o.Slices[i]
		}
	}
	dir := strings.TrimSuffix(e.name, name)
	salt := v.b.byName[dir+slice+".salt"]
	if sl == nil || salt == nil || salt.size != 32 || v.b.byName[dir+slice] == nil {
		v.find("slice-form", Contradicted, Proven, subject, "no slice of the manifest, or its bytes or its 32-byte salt are missing")
		return
	}
	if isSalt {
		return
	}
	key, err := salt.read(32)
	h := sha256.New()
	h.Write(key)
	if err == nil {
		err = e.again(h, make([]byte, 64<<10))
	}
	if err != nil || e.size != sl.Length || !bytes.Equal(h.Sum(nil), sl.Commitment[:]) {
		v.find("slice-commitment", Contradicted, Proven, subject, "does not open its commitment")
		return
	}
	v.find("slice-commitment", OK, Proven, subject, "%d bytes", e.size)
	if v.b.byName[strings.TrimSuffix(dir, "slices/"+object+"/")+object] == nil {
		v.find("boundaries-stated", Note, Stated, subject, "the object is not here: where the slice lies in it is stated")
	}
}

// custody replays every chain and holds sealed heads and the export statement
// against it.
func (v *verifier) custody(lines []custodyLine, err error) {
	at := map[ID][]hashing.Digest{} // h(0), h(1), …
	last := ID("")
	if err != nil {
		if !v.isNewer(err) {
			v.find("custody-form", Contradicted, Stated, "data/custody.jsonl", "%v", err)
		}
		return
	}
	for _, l := range lines {
		hs := at[l.chain]
		if hs == nil {
			hs = []hashing.Digest{{}}
		}
		if l.n != int64(len(hs)) || l.n > 1 && last != l.chain {
			v.find("custody-chain", Contradicted, Proven, "custody "+string(l.chain), "line %d follows line %d", l.n, len(hs)-1)
			return
		}
		last = l.chain
		at[l.chain] = append(hs, Next(hs[len(hs)-1], l.digest))
	}
	v.sealedHeads(at)
	for _, h := range v.x.Custody {
		if hs := at[h.Chain]; int64(len(hs)-1) != h.Length || hs[len(hs)-1] != h.Head {
			v.find("custody-head", Contradicted, Stated, "custody "+string(h.Chain), "the export statement says another head")
		}
	}
	if len(v.x.Custody) != len(at) {
		v.find("custody-head", Contradicted, Stated, "data/custody.jsonl", "%d chains, stated %d", len(at), len(v.x.Custody))
	}
}

// anchor is the head that a Manifest in a signed Seal names; only one that is
// sealed, with its quorum, anchors the lines up to it in time.
type anchor struct {
	head   Head
	sealed bool
}

// sealedHeads holds all such heads against the chains; a signature is enough to
// contradict, a Seal is needed to anchor.
func (v *verifier) sealedHeads(at map[ID][]hashing.Digest) {
	for _, chain := range slices.Sorted(maps.Keys(v.heads)) {
		heads := v.heads[chain]
		anchored := int64(0)
		for _, h := range heads {
			hs := at[chain]
			if h.head.Length >= int64(len(hs)) || hs[h.head.Length] != h.head.Head {
				v.find("custody-head", Contradicted, Proven, "custody "+string(chain), "a signed manifest says that line %d leads to another head", h.head.Length)
				return
			}
			if h.sealed {
				anchored = max(anchored, h.head.Length)
			}
		}
		if anchored > 0 {
			v.find("custody-head", OK, Proven, "custody "+string(chain), "lines 1 to %d are anchored by a seal", anchored)
		}
		if n := int64(len(at[chain]) - 1); n > anchored {
			v.find("custody-unanchored", Note, Stated, "custody "+string(chain), "lines %d to %d are in no seal shown here yet", anchored+1, n)
		}
	}
}

type custodyLine struct {
	chain  ID
	n      int64
	digest hashing.Digest
}

func (v *verifier) custodyLines() (ls []custodyLine, err error) {
	e := v.b.byName["data/custody.jsonl"]
	if e == nil {
		return nil, malformed("is not here")
	}
	raw, err := e.read(MaxExport)
	if err != nil {
		return nil, err
	}
	for len(raw) > 0 {
		row, rest, ok := bytes.Cut(raw, []byte("\n"))
		if raw = rest; !ok {
			return nil, malformed("the last row does not end")
		}
		var w Withheld
		if decode(row, &w, MaxDocument) == nil {
			ls = append(ls, custodyLine{w.Chain, w.N, w.Withheld})
			continue
		}
		l, err := ParseLine(row)
		if err != nil {
			return nil, err
		}
		ls = append(ls, custodyLine{l.Chain, l.N, hashing.Of(row)})
		if l.Action == "lost" {
			v.find("captures-lost", Note, Stated, "custody "+string(l.Chain), "line %d names %d captures that were accepted and are lost", l.N, len(l.Objects))
		}
		if l.Action == "erasing" {
			v.orders[ErasedReason(l.Chain, l.N)] = l.erases()
		}
	}
	return ls, nil
}

// statedFacts reports what the export statement says and nothing proves.
func (v *verifier) statedFacts() {
	if v.report.Training {
		v.find("training", Note, Proven, "bundle", "TRAINING: a rehearsal, not evidence")
	}
	here := make(map[hashing.Digest]bool, len(v.x.Exhibits))
	for _, e := range v.x.Exhibits {
		here[e.Manifest] = true
	}
	for _, c := range v.x.Cases {
		shown := 0
		for _, d := range c.Captures {
			if here[d] {
				shown++
			}
		}
		v.find("case-count", Note, Stated, fmt.Sprintf("case %s", c.Case), "%d of the %d captures that the node says this case has", shown, len(c.Captures))
	}
}
