package verifycmd

import (
	"encoding/json"
	"io"

	"holdfast"
)

// printJSON prints one object per Finding and a last one with the verdict. It is
// the same in every language.
func (c *check) printJSON(out io.Writer) {
	r := c.report
	enc := json.NewEncoder(out)
	for _, f := range r.Findings {
		enc.Encode(f)
	}
	type exhibit struct {
		Number    string           `json:"number"`
		Capture   holdfast.ID      `json:"capture"`
		Source    holdfast.Source  `json:"source"`
		Verdict   holdfast.Verdict `json:"verdict"`
		Seal      string           `json:"seal"`
		NotAfter  string           `json:"not_after"`
		NotBefore string           `json:"not_before"`
		Node      string           `json:"node"`
	}
	last := struct {
		Verdict  holdfast.Verdict `json:"verdict"`
		Training bool             `json:"training"`
		Unsigned []string         `json:"unsigned"`
		Exhibits []exhibit        `json:"exhibits"`
	}{r.Verdict, r.Training, append([]string{}, r.Unsigned...), []exhibit{}}
	for _, e := range r.Exhibits {
		last.Exhibits = append(last.Exhibits, exhibit{e.Number, e.Capture, e.Source, e.Verdict, e.Seal, when(e.T), when(e.After), e.Node})
	}
	enc.Encode(last)
}

func when(t holdfast.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}
