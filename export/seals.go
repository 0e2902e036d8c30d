package export

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/rfc3161"
)

const (
	partStatement = "statement.dsse.json"
	partNotBefore = "notbefore.tst"
	partSigstore  = "seal.sigstore.json"
	partPlan      = "plan.json"
	dirTimestamps = "timestamps/"

	// maxSigstore is the most timestamps that other readers of a Sigstore
	// bundle take.
	maxSigstore = 32
)

// seal is what is remembered of a Seal that was written.
type seal struct {
	state     State
	subjects  []hashing.Digest
	node      string
	operators []string
	t         time.Time
	why       string // not sealed: what is lacking
	lacks     string // the Finding that says so
	key       string // key ID

	// For the page: a token that counts, and its genTime in Unix seconds.
	example     string
	exampleTime int64
}

// useSeal writes a Seal's parts at its first use. A Seal without a statement
// was only planned: its Captures are pending.
func (w *writer) useSeal(ctx context.Context, id string) (*seal, error) {
	if s := w.seals[id]; s != nil {
		return s, nil
	}
	if !holdfast.ValidSealID(id) {
		return nil, fmt.Errorf("%.80q is no seal id", id)
	}
	parts, err := w.readParts(ctx, id)
	if err != nil {
		return nil, err
	}
	s := &seal{state: Pending}
	w.seals[id] = s
	if parts[partStatement] == nil {
		return s, nil
	}
	r := holdfast.CheckSeal(id, parts, w.Policy, holdfast.Material{Certs: w.Certificates})
	if err := contradiction(r); err != nil {
		return nil, err
	}
	if err := s.fill(r); err != nil {
		return nil, err
	}
	if _, err := w.node(s.node); err != nil {
		return nil, err
	}
	for _, t := range r.Trees {
		w.tree(t)
	}
	tokens, err := w.tokens(parts)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		if t.operator != "" && s.example == "" {
			s.example, s.exampleTime = t.name, t.at
		}
	}
	if r.Logged {
		if parts[partSigstore], err = w.sigstore(parts, r, tokens); err != nil {
			return nil, err
		}
	}
	for _, name := range sortedNames(parts) {
		if err := w.zip.add(dirSeals+id+"/"+name, parts[name]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// contradiction refuses to pass on a Seal whose parts are damaged: the reader
// would see a forgery where there is a broken disk. What only the Policy says
// against sound parts (a key past its time) is for the reader to judge.
func contradiction(r *holdfast.SealResult) error {
	for _, f := range r.Findings {
		if f.Outcome == holdfast.Contradicted && !judged(f) {
			return fmt.Errorf("its parts are damaged or the policy lacks its maker (%s: %s): repair them from a copy of the store", f.Finding, f.Detail)
		}
	}
	if r.Statement == nil {
		return fmt.Errorf("its statement cannot be read")
	}
	return nil
}

func judged(f holdfast.Finding) bool { return f.Finding == "key-period" || f.Finding == "not-before" }

func (s *seal) fill(r *holdfast.SealResult) error {
	s.state, s.t, s.node, s.operators, s.key = Signed, r.T, r.Statement.Predicate.Node, r.Operators, holdfast.KeyID(r.SPKI)
	if r.Sealed() {
		s.state = Sealed
	}
	for _, f := range r.Findings {
		if f.Outcome == holdfast.Absent || f.Outcome == holdfast.Contradicted {
			s.why, s.lacks = f.Detail, f.Finding
		}
	}
	s.subjects = make([]hashing.Digest, len(r.Statement.Subject))
	for i, sub := range r.Statement.Subject {
		d, err := hashing.ParseHex(sub.Digest.SHA256)
		if err != nil {
			return err
		}
		s.subjects[i] = d // sorted: ParseStatement refuses another order
	}
	return nil
}

// readParts reads what belongs into a Bundle. Names that this version does not
// know stay in the store, and so does a checkpoint whose inclusion proof is not
// written yet: a crash or another process may be between the two.
func (w *writer) readParts(ctx context.Context, id string) (holdfast.SealParts, error) {
	parts, tokens := holdfast.SealParts{}, 0
	prefix := "seals/" + id + "/"
	for e, err := range w.Parts.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list parts: %w", err)
		}
		name := strings.TrimPrefix(e.Name, prefix)
		dir, _, _ := strings.Cut(name, "/")
		limit := int64(holdfast.MaxDocument)
		switch {
		case name == partStatement:
		case name == partNotBefore, dir+"/" == dirTimestamps:
			limit = rfc3161.MaxSize
			if tokens++; tokens > holdfast.MaxTokens+1 {
				return nil, fmt.Errorf("more than %d timestamps", holdfast.MaxTokens)
			}
		case dir == "checkpoint", dir == "inclusion":
			limit = 64 << 10
		default:
			continue
		}
		if parts[name], err = w.Parts.ReadName(ctx, e.Name, limit); err != nil {
			return nil, fmt.Errorf("read part %s: %w", name, err)
		}
	}
	pair(parts)
	return parts, nil
}

// pair drops what a crash or a lost race left over: a checkpoint without its
// inclusion, and notbefore.tst where the statement that won names none.
func pair(parts holdfast.SealParts) {
	if e, err := holdfast.ParseEnvelope(parts[partStatement], holdfast.PayloadStatement, holdfast.MaxDocument); err == nil {
		if s, err := holdfast.ParseStatement(e.Payload); err == nil && s.Predicate.NotBefore == nil {
			delete(parts, partNotBefore)
		}
	}
	for name := range parts {
		if place, ok := strings.CutPrefix(name, "checkpoint/"); ok && parts["inclusion/"+place+".json"] == nil {
			delete(parts, name)
		}
		if place, ok := strings.CutPrefix(name, "inclusion/"); ok && parts["checkpoint/"+strings.TrimSuffix(place, ".json")] == nil {
			delete(parts, name)
		}
	}
}

func sortedNames(parts holdfast.SealParts) []string {
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sigstore assembles seal.sigstore.json: the smallest tree of the first origin
// by name, and the tokens that other readers can read.
func (w *writer) sigstore(parts holdfast.SealParts, r *holdfast.SealResult, tokens []token) ([]byte, error) {
	env, err := holdfast.ParseEnvelope(parts[partStatement], holdfast.PayloadStatement, holdfast.MaxDocument)
	if err != nil {
		return nil, err
	}
	// Trees[0] is the predicate's, which no checkpoint part need show.
	tree := slices.MinFunc(r.Trees[1:], func(a, b holdfast.Tree) int {
		if c := strings.Compare(a.Origin, b.Origin); c != 0 {
			return c
		}
		return int(min(max(a.Size-b.Size, -1), 1))
	})
	place := fmt.Sprintf("%s/%d", tree.Origin, tree.Size)
	proof, err := holdfast.ParseInclusion(parts["inclusion/"+place+".json"])
	if err != nil {
		return nil, err
	}
	n, err := w.node(tree.Origin)
	if err != nil {
		return nil, err
	}
	_, logKey, err := holdfast.VKeyEd25519(n.Log.Key)
	if err != nil {
		return nil, err
	}
	return holdfast.Sigstore(env, r.SPKI, parts["checkpoint/"+place], tree, logKey, proof, w.responses(tokens))
}

// responses wraps the tokens that go into seal.sigstore.json, and remembers the
// authorities that trusted_root.json must name for them. Of two tokens of one
// signer in one second the first goes in: @sigstore/verify takes the second for
// the same one, and refuses the whole.
func (w *writer) responses(tokens []token) (out [][]byte) {
	slices.SortFunc(tokens, func(a, b token) int { return a.digest.Compare(b.digest) })
	type moment struct {
		leaf hashing.Digest
		at   int64
	}
	seen := map[moment]bool{}
	for _, t := range tokens {
		if t.operator == "" || !t.readable || len(out) == maxSigstore {
			continue
		}
		leaf := hashing.Of(t.path[0].Raw)
		if seen[moment{leaf, t.at}] {
			continue
		}
		seen[moment{leaf, t.at}] = true
		w.tsas[leaf] = tsa{operator: t.operator, path: t.path}
		out = append(out, rfc3161.WrapResponse(t.raw))
	}
	return out
}
