package holdfast

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"holdfast/canon"
	"holdfast/hashing"
)

// Line is one row of a Case's Custody chain: who did what, when and why.
type Line struct {
	Action   string          `json:"action"`
	Agent    Agent           `json:"agent"`
	At       Time            `json:"at"`
	Case     ID              `json:"case"`
	Chain    ID              `json:"chain"`
	Kind     string          `json:"kind"`
	N        int64           `json:"n"`
	Node     string          `json:"node"`
	Nonce    string          `json:"nonce"`
	Objects  []string        `json:"objects"`
	Training bool            `json:"training"`
	Version  int             `json:"version"`
	Why      string          `json:"why"`
	X        json.RawMessage `json:"x,omitempty"`
}

// Encode returns the canonical bytes, drawing a nonce if there is none.
func (l *Line) Encode() ([]byte, error) {
	c := *l
	c.Version, c.Kind = Version, "line"
	fill(&c.Objects)
	if c.Nonce == "" {
		c.Nonce = NewNonce()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return canon.Marshal(&c)
}

// ParseLine reads a line; errors wrap [ErrForm] or [ErrNewer].
func ParseLine(b []byte) (*Line, error) {
	return parse[Line](b, MaxDocument)
}

func (l *Line) check() error {
	if l.Version != Version {
		return wrongVersion("custody line", l.Version)
	}
	if l.Kind != "line" || l.N < 1 || !isHex(string(l.Case), 32) || !isHex(string(l.Chain), 32) ||
		!isHex(l.Nonce, 64) || !validNode(l.Node) || l.Action == "" || !validX(l.X) {
		return malformed("custody line %d: version, kind, ids, nonce, node, action or x", l.N)
	}
	return nil
}

// Next is h(n) = SHA-256(h(n-1) ‖ SHA-256(line n)); h(0) is the zero Digest.
func Next(prev hashing.Digest, line hashing.Digest) hashing.Digest {
	return sha256.Sum256(append(prev[:], line[:]...))
}

// Withheld stands in custody.jsonl for a line that is not shown.
type Withheld struct {
	Chain    ID             `json:"chain"`
	N        int64          `json:"n"`
	Withheld hashing.Digest `json:"withheld"`
}

// Export is the payload of the export statement (bundle.md, section 11).
type Export struct {
	Agent    Agent            `json:"agent"`
	Cases    []ExportCase     `json:"cases"`
	Custody  []Head           `json:"custody"`
	Exhibits []Exhibit        `json:"exhibits"`
	Exported Time             `json:"exported"`
	Files    []File           `json:"files"`
	Kind     string           `json:"kind"`
	Node     string           `json:"node"`
	Training bool             `json:"training"`
	Version  int              `json:"version"`
	Withheld []WithheldObject `json:"withheld"`
}

// ExportCase states every Capture that a Case holds, shown or not.
type ExportCase struct {
	Captures []hashing.Digest `json:"captures"`
	Case     ID               `json:"case"`
	Name     string           `json:"name"`
}

// Exhibit is a Capture with its number; Seal is "" while it is pending.
type Exhibit struct {
	Capture  ID             `json:"capture"`
	Manifest hashing.Digest `json:"manifest"`
	Number   string         `json:"number"`
	Seal     string         `json:"seal"`
}

// File is a file under data/.
type File struct {
	Digest hashing.Digest `json:"digest"`
	Path   string         `json:"path"`
	Size   int64          `json:"size"`
}

// WithheldObject is an Object that a Manifest names and the Bundle lacks.
type WithheldObject struct {
	Digest  hashing.Digest `json:"digest"`
	Exhibit string         `json:"exhibit"`
	Name    string         `json:"name"`
	Reason  string         `json:"reason"`
}

// Encode returns the canonical bytes; errors wrap [ErrForm].
func (x *Export) Encode() ([]byte, error) {
	c := *x
	c.Version, c.Kind = Version, "export"
	fill(&c.Cases)
	fill(&c.Custody)
	fill(&c.Exhibits)
	fill(&c.Files)
	fill(&c.Withheld)
	if err := c.check(); err != nil {
		return nil, err
	}
	return canon.Append(nil, &c)
}

// ParseExport reads the payload; errors wrap [ErrForm] or [ErrNewer].
func ParseExport(b []byte) (*Export, error) {
	return parse[Export](b, MaxExport)
}

func (x *Export) check() error {
	if x.Version != Version {
		return wrongVersion("export", x.Version)
	}
	if x.Kind != "export" || !validNode(x.Node) || len(x.Exhibits) == 0 {
		return malformed("export: version, kind, node, or no exhibit")
	}
	for i, f := range x.Files {
		if !validPath(f.Path) || f.Size < 0 || i > 0 && x.Files[i-1].Path >= f.Path {
			return malformed("export: file %.120q not allowed or out of order", f.Path)
		}
	}
	numbers := make(map[string]bool, len(x.Exhibits))
	for _, e := range x.Exhibits {
		if !validExhibit(e.Number) || numbers[e.Number] || !isHex(string(e.Capture), 32) || e.Seal != "" && !ValidSealID(e.Seal) {
			return malformed("export: exhibit %.40q", e.Number)
		}
		numbers[e.Number] = true
	}
	chains := make(map[ID]bool, len(x.Custody))
	for _, h := range x.Custody {
		if !isHex(string(h.Chain), 32) || h.Length < 1 || chains[h.Chain] {
			return malformed("export: custody head of %.40q at length %d", h.Chain, h.Length)
		}
		chains[h.Chain] = true
	}
	cases := make(map[ID]bool, len(x.Cases))
	for _, c := range x.Cases {
		if !isHex(string(c.Case), 32) || cases[c.Case] {
			return malformed("export: case %.40q is no id, or there twice", c.Case)
		}
		cases[c.Case] = true
		for i, d := range c.Captures {
			if i > 0 && c.Captures[i-1].Compare(d) >= 0 {
				return malformed("export: captures of case %s out of order", c.Case)
			}
		}
	}
	withheld := make(map[[2]string]bool, len(x.Withheld))
	for _, w := range x.Withheld {
		of := [2]string{w.Exhibit, w.Name}
		if withheld[of] || !numbers[w.Exhibit] || !ValidObjectName(w.Name) || w.Reason == "" {
			return malformed("export: withheld object %.80q of exhibit %.40q", w.Name, w.Exhibit)
		}
		withheld[of] = true
	}
	return nil
}

// ErasedReason is why an Object is not in a Bundle that was erased by order: the
// custody line that it names, which is there too, says of what and who ordered it.
func ErasedReason(chain ID, n int64) string {
	return fmt.Sprintf("erased by order, line %d of chain %s", n, chain)
}

// erases is what an `erasing` line names: captures, and Digests. One of another form
// names less, and an Object that nobody names is not erased by order.
func (l *Line) erases() map[string]bool {
	var x struct{ Erased []string }
	_ = json.Unmarshal(l.X, &x)
	all := map[string]bool{}
	for _, s := range append(x.Erased, l.Objects...) {
		all[s] = true
	}
	return all
}
