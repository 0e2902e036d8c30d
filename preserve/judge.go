package preserve

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

const (
	partPlan      = "plan.json"
	partStatement = "statement.dsse.json"
	partNotBefore = "notbefore.tst"

	maxParts     = 1024     // files below seals/<id>/ that are looked at
	maxEnvelope  = 32 << 20 // holdfast.MaxDocument in base64, and its frame
	maxSmallPart = 64 << 10
)

func partName(seal, part string) string { return "seals/" + seal + "/" + part }

// Judge says how far a Seal has come, from the stored parts alone, under the
// node's own Policy. It needs no key and may be called concurrently.
type Judge struct {
	Store PartReader
	Trust *Trust
}

// State judges one Seal. A Seal that was only planned, or whose entry is not in
// the log yet, is pending; one that is contradicted is never more than that,
// with the finding as reason. An error means that the judge could not look; an
// unknown Seal wraps [fs.ErrNotExist].
func (j *Judge) State(ctx context.Context, seal string) (Outcome, error) {
	p, err := readPlan(ctx, j.Store, seal)
	if err != nil {
		return Outcome{}, fmt.Errorf("judge seal %s: %w", seal, err)
	}
	o, _, err := j.judge(ctx, p)
	return o, err
}

// judge also returns the parts that it looked at.
func (j *Judge) judge(ctx context.Context, p *holdfast.Plan) (Outcome, holdfast.SealParts, error) {
	parts, err := Parts(ctx, j.Store, p.Seal)
	if err != nil {
		return Outcome{}, nil, fmt.Errorf("judge seal %s: %w", p.Seal, err)
	}
	o := Outcome{Seal: p.Seal, State: StatePending, Captures: make([]holdfast.ID, len(p.Captures))}
	for i, c := range p.Captures {
		o.Captures[i] = c.ID
	}
	if parts[partStatement] == nil {
		o.Reason = "not signed yet"
		return o, parts, nil
	}
	r := holdfast.CheckSeal(p.Seal, parts, j.Trust.Policy(), j.Trust.Material())
	o.operators, o.twins = r.Operators, twins(parts)
	switch missing := findings(r, holdfast.Absent); {
	case r.Contradicted() && r.Logged && onlyPeriod(r):
		o.State, o.Reason = StateSigned, ReasonContradicted+findings(r, holdfast.Contradicted)
	case r.Contradicted():
		o.Reason = ReasonContradicted + findings(r, holdfast.Contradicted)
	case r.Newer:
		o.Reason = "a part of it has a larger format version: use a newer holdfast"
	case !covers(r.Statement, p):
		o.Reason = ReasonContradicted + "the statement does not name the manifests of the plan"
	case !r.Logged:
		o.Reason = missing
	case !r.Known:
		o.State, o.Reason = StateSigned, "its maker is not in the policy"
	case !r.Sealed():
		o.State, o.Reason = StateSigned, missing+tooLate(r, j.Trust.Policy())
	default:
		o.State, o.T = StateSealed, holdfast.At(r.T)
	}
	return o, parts, nil
}

// ReasonContradicted begins the reason of a Seal that is disproved.
const ReasonContradicted = "contradicted: "

// onlyPeriod reports whether nothing speaks against a Seal but that its key had
// ended at T: the key was compromised. The parts are whole, and no retry helps;
// so it is done with, and must not stop what is sealed behind it.
func onlyPeriod(r *holdfast.SealResult) bool {
	for _, f := range r.Findings {
		if f.Outcome == holdfast.Contradicted && f.Finding != "key-period" {
			return false
		}
	}
	return true
}

// tooLate says of a Seal without a quorum that none can come in time: its key
// was compromised, and every token from now on is later.
func tooLate(r *holdfast.SealResult, p *holdfast.Policy) string {
	for _, n := range p.Nodes {
		for _, k := range n.Keys {
			if k.Until != nil && r.SPKI != nil && bytes.Equal(k.SPKI, r.SPKI) && n.Name == r.Statement.Predicate.Node {
				return "; its key is good until " + k.Until.String() + " only, and a timestamp after that contradicts it"
			}
		}
	}
	return ""
}

func findings(r *holdfast.SealResult, o holdfast.Outcome) string {
	var all []string
	for _, f := range r.Findings {
		if f.Outcome == o {
			all = append(all, f.Finding+": "+f.Detail)
		}
	}
	return strings.Join(all, "; ")
}

// covers reports whether the subjects are exactly the plan's Manifests; subjects
// are sorted.
func covers(s *holdfast.Statement, p *holdfast.Plan) bool {
	if len(s.Subject) != len(p.Captures) {
		return false
	}
	planned := make([]hashing.Digest, len(p.Captures))
	for i, c := range p.Captures {
		planned[i] = c.Manifest
	}
	slices.SortFunc(planned, hashing.Digest.Compare)
	for i, sub := range s.Subject {
		if d, err := hashing.ParseHex(sub.Digest.SHA256); err != nil || d != planned[i] {
			return false
		}
	}
	return true
}

// readPlan reads the plan of a Seal.
func readPlan(ctx context.Context, store storage.Reader, seal string) (*holdfast.Plan, error) {
	b, err := store.ReadName(ctx, partName(seal, partPlan), holdfast.MaxDocument)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	p, err := holdfast.ParsePlan(b)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if p.Seal != seal {
		return nil, fmt.Errorf("read plan of seal %s: it is of %s: %w", seal, p.Seal, ErrPlan)
	}
	return p, nil
}

// Parts reads the parts of a Seal as [holdfast.CheckSeal] wants them, without
// the plan and without what a crash or a lost race left over:
//   - a checkpoint without its inclusion, or an inclusion without its checkpoint:
//     a disk may keep either of the two names alone,
//   - notbefore.tst, if the statement that won has none.
//
// Leftovers prove nothing and belong to nothing; write-once names keep them.
func Parts(ctx context.Context, store PartReader, seal string) (holdfast.SealParts, error) {
	names, err := partNames(ctx, store, seal)
	if err != nil {
		return nil, err
	}
	parts := make(holdfast.SealParts, len(names))
	for part := range names {
		if !wanted(part, names) {
			continue
		}
		limit := int64(maxSmallPart)
		if part == partStatement {
			limit = maxEnvelope
		}
		if parts[part], err = store.ReadName(ctx, partName(seal, part), limit); err != nil {
			return nil, fmt.Errorf("read part %s of seal %s: %w", part, seal, err)
		}
	}
	if parts[partNotBefore] != nil && namesNone(parts[partStatement]) {
		delete(parts, partNotBefore)
	}
	return parts, nil
}

// namesNone reports whether a statement says "notBefore":null. The quotes make
// it a member's name, for inside a string they would be escaped; whether the
// statement is sound at all is judged later.
func namesNone(envelope []byte) bool {
	_, rest, _ := bytes.Cut(envelope, []byte(`"payload":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	payload, err := base64.StdEncoding.AppendDecode(nil, text)
	return err == nil && bytes.Contains(payload, []byte(`"notBefore":null`))
}

func wanted(part string, names map[string]bool) bool {
	if rest, ok := strings.CutPrefix(part, "checkpoint/"); ok {
		return names["inclusion/"+rest+".json"]
	}
	if rest, ok := strings.CutPrefix(part, "inclusion/"); ok {
		return names["checkpoint/"+strings.TrimSuffix(rest, ".json")]
	}
	return part != partPlan
}

// partNames lists what lies below seals/<id>/.
func partNames(ctx context.Context, store PartReader, seal string) (map[string]bool, error) {
	prefix, names := partName(seal, ""), make(map[string]bool)
	for e, err := range store.List(ctx, prefix) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list parts of seal %s: %w", seal, err)
		}
		if names[strings.TrimPrefix(e.Name, prefix)] = true; len(names) > maxParts {
			return nil, fmt.Errorf("list parts of seal %s: more than %d", seal, maxParts)
		}
	}
	return names, nil
}
