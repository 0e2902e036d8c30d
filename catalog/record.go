package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"

	"holdfast"
	"holdfast/canon"
)

// Limits of a Record. Text is counted in bytes of UTF-8.
const (
	MaxRecordText   = 2000      // Reference, Mandate, LegalBasis, Purpose: each
	MaxRecordList   = 256       // Sources, Keywords, Canary: entries of each
	MaxRecordSource = 1024      // one of Sources, or of Canary
	MaxKeyword      = 200       // one of Keywords
	MaxDepth        = 1000      // of links
	maxRecord       = 128 << 10 // all of it, as JSON: a custody line must fit into a message
)

// Record is what an office has recorded of a Case: on what ground it is worked
// at, and what lies in its scope. Every field may be empty, which is "not
// recorded". It is stated, by the newest custody line that holds one: of a chain
// its last such line; of several chains that of the latest time, then of the
// greatest chain ID.
type Record struct {
	// Reference is the office's own file number.
	Reference string
	// Mandate says who has ordered or allowed it.
	Mandate string
	// LegalBasis is the law that allows it.
	LegalBasis string
	// Purpose says what it is collected for.
	Purpose string
	// Sources are patterns `[scheme://]host[:port][/path]`, the host perhaps
	// with `*.` before it; none: every Source is in scope.
	Sources []string
	// Keywords are words of which a page should have one.
	Keywords []string
	// Depth is how many links away from a Source may be gone; nil: not recorded.
	Depth *int
	// Since and Until bound when may be captured, both included; zero: not
	// recorded.
	Since, Until holdfast.Time
	// Egress is the network exit that captures must take; "" is any.
	Egress string
	// Canary are channels of the office's own in which posts may be written, edited and
	// deleted to see whether that is seen; none: nothing is written anywhere.
	Canary []string
	// Comments lets what people answered to posts be captured.
	Comments bool
	// Hold forbids to erase what belongs to the Case, by whatever order.
	Hold bool
	// Newer are members that this program does not know, of a newer one: kept as
	// they are. Who does not know what they say must not change the Record.
	Newer map[string]json.RawMessage
}

// record is the form of Record in `x`; members in canonical order.
type record struct {
	Canary     []string      `json:"canary,omitempty"`
	Comments   bool          `json:"comments,omitempty"`
	Depth      *int          `json:"depth,omitempty"`
	Egress     string        `json:"egress,omitempty"`
	Hold       bool          `json:"hold,omitempty"`
	Keywords   []string      `json:"keywords,omitempty"`
	LegalBasis string        `json:"legal_basis,omitempty"`
	Mandate    string        `json:"mandate,omitempty"`
	Name       string        `json:"name,omitempty"` // of the Case, in `opened`
	Purpose    string        `json:"purpose,omitempty"`
	Reference  string        `json:"reference,omitempty"`
	Since      holdfast.Time `json:"since,omitzero"`
	Sources    []string      `json:"sources,omitempty"`
	Until      holdfast.Time `json:"until,omitzero"`
}

// IsZero reports whether nothing is recorded.
func (r Record) IsZero() bool {
	return r.Reference == "" && r.Mandate == "" && r.LegalBasis == "" && r.Purpose == "" && r.Egress == "" &&
		len(r.Sources) == 0 && len(r.Keywords) == 0 && len(r.Canary) == 0 && !r.Comments && !r.Hold && r.Depth == nil && len(r.Newer) == 0 && r.Since.IsZero() && r.Until.IsZero()
}

// String is the Record as one line of JSON.
func (r Record) String() string {
	b, err := r.encode("")
	if err != nil {
		return fmt.Sprintf("%%!(%v)", err)
	}
	return string(b)
}

// Encode returns the `x` of an `opened` line (with the Case's name) or of a
// `changed` line (without): canonical, what is not recorded left out, nil for
// nothing at all. Errors wrap holdfast.ErrForm and say which limit is not kept.
func (r Record) Encode(name string) (json.RawMessage, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if name == "" && r.IsZero() {
		return nil, nil
	}
	return r.encode(name)
}

func (r Record) encode(name string) (json.RawMessage, error) {
	x, err := canon.Marshal(record{r.Canary, r.Comments, r.Depth, r.Egress, r.Hold, r.Keywords, r.LegalBasis, r.Mandate, name, r.Purpose, r.Reference, r.Since, r.Sources, r.Until})
	if err != nil || len(r.Newer) == 0 {
		return x, err
	}
	all := maps.Clone(r.Newer)
	if err := json.Unmarshal(x, &all); err != nil { // what is known stands above
		return nil, err
	}
	return canon.Marshal(all)
}

// Check refuses a Record over its limits; the error wraps holdfast.ErrForm.
func (r Record) Check() error {
	for name, s := range map[string]string{"reference": r.Reference, "mandate": r.Mandate, "legal basis": r.LegalBasis, "purpose": r.Purpose} {
		if err := checkText(name, s, MaxRecordText, true); err != nil {
			return err
		}
	}
	if err := checkList("source of the scope", r.Sources, MaxRecordSource); err != nil {
		return err
	}
	if err := checkList("keyword", r.Keywords, MaxKeyword); err != nil {
		return err
	}
	if err := checkList("channel of a canary", r.Canary, MaxRecordSource); err != nil {
		return err
	}
	switch {
	case r.Depth != nil && (*r.Depth < 0 || *r.Depth > MaxDepth):
		return fmt.Errorf("depth %d: it is 0 to %d: %w", *r.Depth, MaxDepth, holdfast.ErrForm)
	case !r.Since.IsZero() && !r.Until.IsZero() && r.Until.Before(r.Since.Time):
		return fmt.Errorf("the period ends %s, before it begins, %s: %w", r.Until, r.Since, holdfast.ErrForm)
	case r.Egress != "" && !holdfast.ValidAuthorityName(r.Egress):
		return fmt.Errorf("egress %.60q: its name is 1 to 40 of a-z, 0-9 and -: %w", r.Egress, holdfast.ErrForm)
	}
	for _, t := range []holdfast.Time{r.Since, r.Until} {
		if y := t.Year(); y < 1 || y > 9999 {
			return fmt.Errorf("year %d of the period: %w", y, holdfast.ErrForm)
		}
	}
	if b, err := r.encode(""); err != nil || len(b) > maxRecord {
		return fmt.Errorf("the record has more than %d bytes in all: %w", maxRecord, holdfast.ErrForm)
	}
	return nil
}

func checkText(name, s string, most int, empty bool) error {
	if len(s) > most || s == "" && !empty || !utf8.ValidString(s) {
		return fmt.Errorf("%s: it is UTF-8 of at most %d bytes: %w", name, most, holdfast.ErrForm)
	}
	return nil
}

func checkList(name string, list []string, most int) error {
	if len(list) > MaxRecordList {
		return fmt.Errorf("%s: %d are more than %d: %w", name, len(list), MaxRecordList, holdfast.ErrForm)
	}
	for _, s := range list {
		if err := checkText(name, s, most, false); err != nil {
			return err
		}
	}
	return nil
}

// newer returns the members of an `x` that record has not, by their exact names.
func newer(x json.RawMessage) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(x, &all); err != nil {
		return nil, err
	}
	for _, known := range []string{"canary", "comments", "depth", "egress", "hold", "keywords", "legal_basis", "mandate", "name", "purpose", "reference", "since", "sources", "until"} {
		delete(all, known)
	}
	return all, nil
}

// parseRecord reads an `x`. Members that it does not know are kept in Newer; what
// it knows must be of the form and within the limits.
func parseRecord(x json.RawMessage) (name string, r Record, err error) {
	var k record
	var rest map[string]json.RawMessage
	if len(x) > 0 {
		err := json.Unmarshal(x, &k)
		if err == nil {
			rest, err = newer(x)
		}
		if err != nil {
			return "", Record{}, fmt.Errorf("record of the case: %w: %w", holdfast.ErrForm, err)
		}
	}
	r = Record{k.Reference, k.Mandate, k.LegalBasis, k.Purpose, k.Sources, k.Keywords, k.Depth, k.Since, k.Until, k.Egress, k.Canary, k.Comments, k.Hold, rest}
	if err := r.Check(); err != nil {
		return "", Record{}, fmt.Errorf("record of the case: %w", err)
	}
	return k.Name, r, nil
}

// ParseRecord reads what Encode wrote without a name, as a catalog keeps it.
func ParseRecord(x json.RawMessage) (Record, error) {
	_, r, err := parseRecord(x)
	return r, err
}
