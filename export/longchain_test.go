package export_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

// TestScriptOnLongCustody: verify.sh goes through a long chain in seconds, by the
// same hashes as Verify, and sees one line of it that was changed. HOLDFAST_LINES
// says how many.
func TestScriptOnLongCustody(t *testing.T) {
	t.Parallel()
	n, _ := strconv.Atoi(os.Getenv("HOLDFAST_LINES"))
	n = max(n, 700)
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	for range n {
		w.line("noted", []string{string(id)}, nil)
	}
	o := w.options(id)
	o.CaseFacts = hiding{w, 5}
	path, _ := write(t, o)
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	sh, trust := script(t, w)
	begun := time.Now()
	out, code := offline(t, "/", "bash", sh, "--trust", trust, path)
	t.Logf("%d lines: %s", n, time.Since(begun).Round(10*time.Millisecond))
	if code != 0 || !strings.Contains(out, "custody: "+strconv.Itoa(len(w.custody))+" lines") {
		t.Errorf("exit %d\n%s", code, out)
	}
	f := files(entries(t, path))
	rows := strings.SplitAfter(string(f["data/custody.jsonl"]), "\n")
	rows[300] = strings.Replace(rows[300], `"test"`, `"tesT"`, 1)
	f["data/custody.jsonl"] = []byte(strings.Join(rows, ""))
	if out, code := offline(t, "/", "bash", sh, "--trust", trust, f.unpacked(t)); code != 1 || !strings.Contains(out, "CONTRADICTED  custody-head") {
		t.Errorf("changed: exit %d\n%s", code, out)
	}
}

// hiding withholds one line.
type hiding struct {
	*world
	n int64
}

func (h hiding) Custody(ctx context.Context, home holdfast.ID) iter.Seq2[export.CustodyRow, error] {
	return func(yield func(export.CustodyRow, error) bool) {
		n := int64(0)
		for row, err := range h.world.Custody(ctx, home) {
			if n++; n == h.n {
				row = export.CustodyRow{Chain: h.chain, N: n, Withheld: hashing.Of(row.Line)}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// TestScriptOnAFileThatMoves: what is written while it is read is no contradiction.
func TestScriptOnAFileThatMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	path, _ := write(t, w.options(id))
	sh, trust := script(t, w)
	moving := filepath.Join(t.TempDir(), "verify.sh") // somebody saves the file after the first look
	text, err := os.ReadFile(sh)
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range []string{`touch -d 2001-01-01 "$BUNDLE"`, `printf x >>"$BUNDLE"`} {
		changed := strings.Replace(string(text), "	names_of_zip \"$BUNDLE\"\n", "	"+move+"\n	names_of_zip \"$BUNDLE\"\n", 1)
		if err := os.WriteFile(moving, []byte(changed), 0o600); err != nil || changed == string(text) {
			t.Fatal(err)
		}
		if out, code := offline(t, "/", "bash", moving, "--trust", trust, path); code != 2 || !strings.Contains(out, "changed while it was read") {
			t.Errorf("%s: exit %d\n%s", move, code, out)
		}
	}
}
