package export_test

import (
	"encoding/json"
	"strings"
	"testing"

	"holdfast"
	"holdfast/hashing"
)

// TestErased: an Object that is not there because it was erased by order is a note where
// the custody that is in the Bundle bears it out, and contradicts where a node, with its
// own key, only says so. The script decides the same.
func TestErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.page("https://example.org/a"), w.page("https://example.org/b")
	m := must(holdfast.ParseManifest(must(must2(w.Manifest(t.Context(), id)))))
	shot := *m.Object("screenshot.png")
	x := func(erased ...hashing.Digest) json.RawMessage {
		return must(json.Marshal(map[string]any{"erased": erased, "order": `Court 4 "],"objects":["` + string(id)}))
	}
	w.line("erasing", []string{string(other), string(id)}, x(hashing.Of(nil), shot.Digest))
	honest := int64(len(w.custody))
	w.line("erased", []string{string(id)}, x(shot.Digest))
	w.line("erasing", []string{string(other)}, x(shot.Digest))
	w.line("erasing", []string{string(id)}, x(hashing.Of(nil)))
	w.seal(3, id, other)
	chain := must(holdfast.ParseLine(w.custody[0])).Chain
	sh, trust := script(t, w)
	for name, tc := range map[string]struct {
		reason string
		sound  bool
	}{
		"as it is":                {holdfast.ErasedReason(chain, honest), true},
		"another action":          {holdfast.ErasedReason(chain, honest+1), false},
		"of another capture":      {holdfast.ErasedReason(chain, honest+2), false},
		"of another object":       {holdfast.ErasedReason(chain, honest+3), false},
		"a line that is no order": {holdfast.ErasedReason(chain, 1), false},
		"a line that is not":      {holdfast.ErasedReason(chain, honest+9), false},
		"a chain that is not":     {holdfast.ErasedReason(holdfast.NewID(), honest), false},
		"words behind it":         {holdfast.ErasedReason(chain, honest) + " of court 4", false},
		"a quote behind it":       {holdfast.ErasedReason(chain, honest) + `"`, false},
		"words alone":             {"erased by order", false},
	} {
		o := w.options(id, other)
		o.Erased = func(m *holdfast.Manifest, ob holdfast.Object) string {
			if m.ID == id && ob.Name == shot.Name {
				return tc.reason
			}
			return ""
		}
		path, _ := write(t, o)
		r := verify(t, path, w.policy)
		outcome, code, says := holdfast.Note, 0, "note          object-erased: exhibit 1: screenshot.png"
		if !tc.sound {
			outcome, code, says = holdfast.Contradicted, 1, "CONTRADICTED  object-erased: exhibit 1: screenshot.png"
		}
		found := 0
		for _, f := range r.Findings {
			if f.Finding == "object-erased" && f.Outcome == outcome && f.Subject == "exhibit 1/screenshot.png" {
				found++
			}
		}
		if found != 1 || (r.Verdict == holdfast.VerdictProven) != tc.sound {
			t.Errorf("%s: %s, %d findings: %v", name, r.Verdict, found, r.Findings)
		}
		if name == "a line that is no order" || name == "a line that is not" || name == "words alone" || name == "another action" {
			continue // the script takes seconds for each, and reads them as those beside them
		}
		out, got := offline(t, "/", "bash", sh, "--trust", trust, path)
		if got != code || !strings.Contains(out, says) {
			t.Errorf("%s: verify.sh exits %d, want %d and %q\n%s", name, got, code, says, out)
		}
	}
}

func must2(b []byte, _ string, err error) ([]byte, error) { return b, err }
