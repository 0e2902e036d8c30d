package export_test

import (
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/export"
)

// TestSharedKeyByScript: verify.sh takes a key of two nodes as Verify does.
func TestSharedKeyByScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	sh, _ := script(t, w)
	before := holdfast.At(w.now)
	for name, x := range map[string]struct {
		nodes   int // of the Policy that stay
		until   *holdfast.Time
		verdict holdfast.Verdict
		code    int
		says    string
	}{
		"both have it":          {1, nil, holdfast.VerdictProven, 0, "PROVEN"},
		"only the other has it": {0, nil, holdfast.VerdictUnattributed, 4, "key-unknown: seal"},
		"ended under the other": {1, &before, holdfast.VerdictUnattributed, 4, "key-period: seal"},
	} {
		other := newWorld(t).policy.Nodes[0]
		other.Keys = []holdfast.PolicyKey{{SPKI: w.SPKI(), From: w.policy.Nodes[0].Keys[0].From, Until: x.until}}
		p := *w.policy
		p.Nodes = append(p.Nodes[:x.nodes:x.nodes], other)
		wantVerdict(t, verify(t, path, &p), x.verdict)
		trust := filepath.Join(t.TempDir(), "trust")
		if err := export.WritePolicyDir(trust, &p, w.options().Certificates); err != nil {
			t.Fatal(err)
		}
		out, code := offline(t, "/", "bash", sh, "--trust", trust, path)
		if code != x.code || !strings.Contains(out, x.says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", name, code, x.code, x.says, out)
		}
	}
}
