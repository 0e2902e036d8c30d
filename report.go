package holdfast

import "slices"

// Outcome is what one check found.
type Outcome string

// The outcomes. Only Contradicted and Absent make a verdict worse.
const (
	OK           Outcome = "ok"
	Contradicted Outcome = "contradicted"
	Absent       Outcome = "missing"
	Note         Outcome = "note"
)

// Basis says how far a Finding reaches.
type Basis string

// Proven: a key signed exactly these bytes, not later than T. Stated: signed,
// so it was said; that it is true is not proven.
const (
	Proven Basis = "proven"
	Stated Basis = "stated"
)

// Finding is the result of one check (bundle.md, section 12, lists the names).
type Finding struct {
	Finding string  `json:"finding"`
	Outcome Outcome `json:"outcome"`
	Basis   Basis   `json:"basis"`
	Subject string  `json:"subject"`
	Detail  string  `json:"detail"`
}

// Verdict sums up a Bundle or an exhibit.
type Verdict string

// The verdicts, best first.
const (
	VerdictProven       Verdict = "proven"
	VerdictUnattributed Verdict = "unattributed"
	VerdictUnsealed     Verdict = "unsealed"
	VerdictContradicted Verdict = "contradicted"
)

func worse(a, b Verdict) Verdict {
	order := []Verdict{VerdictProven, VerdictUnattributed, VerdictUnsealed, VerdictContradicted}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// Report is the result of Verify.
type Report struct {
	Verdict  Verdict
	Findings []Finding
	Exhibits []ExhibitReport
	Unsigned []string // files of the Bundle under no signature
	Training bool     // a rehearsal: not evidence, whatever the verdict
}
