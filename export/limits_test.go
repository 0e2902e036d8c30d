package export_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/export"
)

// What no verifier would read is refused before anything is written, and with a
// size it becomes several Bundles.
func TestTooMuchForAVerifier(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, make([]int, 40)...)
	whole := w.options(ids...)
	path, _ := write(t, whole)
	statement := int64(len(entries(t, path)["data/export.dsse.json"]))
	for name, c := range map[string]struct {
		limit  int64
		survey int
		early  bool // no number is given, no custody line written
	}{
		"surveyed":  {statement / 2, 1, true},
		"on the go": {statement / 2, 1000, false},
		"custody":   {500, 1000, true},
	} {
		o := w.options(ids...)
		o.Limit(c.limit, c.survey)
		lines, opened := len(w.custody), false
		o.Progress = func(int, int64) { opened = true }
		dir := t.TempDir()
		_, err := export.WriteFile(t.Context(), filepath.Join(dir, "b.zip"), o)
		if left, _ := os.ReadDir(dir); !errors.Is(err, export.ErrUnread) || !strings.Contains(err.Error(), "--size") || len(left) > 0 {
			t.Errorf("%s: %v, left %v", name, err, left)
		}
		if c.early && (opened || len(w.custody) != lines) {
			t.Errorf("%s: something was written before it was refused", name)
		}
	}
	o := w.options(ids...)
	o.Limit(statement+1000, 1)
	if _, err := export.WriteFile(t.Context(), filepath.Join(t.TempDir(), "b.zip"), o); err != nil {
		t.Errorf("what a verifier reads is refused: %v", err)
	}
	o.Limit(statement/2, 1)
	parts, err := export.Split(t.Context(), o, 1<<40)
	if err != nil || len(parts) < 2 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	shown := 0
	for _, p := range parts {
		o.Cases = p
		path, sum := write(t, o)
		if shown += len(sum.Exhibits); int64(len(entries(t, path)["data/export.dsse.json"])) > statement/2 || verify(t, path, w.policy).Verdict != holdfast.VerdictProven {
			t.Error("a part that no verifier would read")
		}
	}
	if shown != len(ids) {
		t.Errorf("%d of %d captures", shown, len(ids))
	}
	o = w.options(ids[0])
	o.Limit(600, 1)
	if _, err := export.Split(t.Context(), o, 1<<40); !errors.Is(err, export.ErrUnread) {
		t.Errorf("one capture that is too much: %v", err)
	}
}

// The lines that parts add to the custody stand in the parts after them, each
// with its reason: however long it is, no part is larger than asked.
func TestSplitCountsTheReason(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, make([]int, 250)...)
	w.why = strings.Repeat("\u0001", 9_000) // six bytes each in a line
	o := w.options(ids...)
	o.Why = w.why
	paths, _ := writeParts(t, o, export.MinSize)
	if len(paths) < 4 {
		t.Errorf("%d parts", len(paths))
	}
}

// The statement is put together from pieces; text that looks like one of its
// lists does not come between them.
func TestStatementWithTextLikeLists(t *testing.T) {
	t.Parallel()
	w, ids := splitWorld(t, 10, 20, 30)
	const lists = `"captures":[],"exhibits":[{}],"files":[],"withheld":[]` + "\u2028<\x01>"
	o := w.options(ids...)
	o.Agent.Office = lists
	o.Software.Version = "1\u2028two\u0085"
	o.Withhold = func(_ *holdfast.Manifest, o holdfast.Object) string {
		if o.Role == "screenshot" {
			return lists
		}
		return ""
	}
	path, _ := write(t, o)
	if r := verify(t, path, w.policy); r.Verdict != holdfast.VerdictProven {
		t.Fatal(r.Verdict)
	}
	env := must(holdfast.ParseEnvelope(entries(t, path)["data/export.dsse.json"], holdfast.PayloadExport, holdfast.MaxExport))
	x := must(holdfast.ParseExport(env.Payload))
	if !bytes.Equal(must(x.Encode()), env.Payload) || len(x.Exhibits) != 3 || len(x.Withheld) != 3 || x.Withheld[2].Reason != lists || x.Agent.Office != lists || len(x.Cases[0].Captures) != 3 {
		t.Errorf("the statement is %+v", x)
	}
}
