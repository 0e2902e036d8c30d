package export_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

// write exports and returns the file's path.
func write(t *testing.T, o export.Options) (string, *export.Summary) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.zip")
	sum, err := export.WriteFile(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return path, sum
}

func verify(t *testing.T, path string, p *holdfast.Policy) *holdfast.Report {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := holdfast.Verify(t.Context(), f, st.Size(), p, holdfast.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantVerdict(t *testing.T, r *holdfast.Report, want holdfast.Verdict) {
	t.Helper()
	if r.Verdict != want {
		t.Errorf("verdict %s, want %s", r.Verdict, want)
		for _, f := range r.Findings {
			if f.Outcome != holdfast.OK {
				t.Logf("%+v", f)
			}
		}
	}
}

func TestOneExhibitIsProven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	w.seal(3, id)
	path, sum := write(t, w.options(id))
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	if s := sum.Exhibits[0]; s.State != export.Sealed || s.Number != "1" || sum.Withheld != 2 || len(sum.Notes) > 0 {
		t.Errorf("summary %+v", sum)
	}
	st, _ := os.Stat(path)
	if st.Size() != sum.Bytes || st.Mode().Perm() != 0o644 {
		t.Errorf("file of %d bytes, mode %o; summary says %d", st.Size(), st.Mode(), sum.Bytes)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealed, signed, pending := w.page("https://example.org/a"), w.page("https://example.org/b"), w.page("https://example.org/c")
	w.seal(2, sealed)
	w.seal(1, signed)
	planned := holdfast.SealID("00112233445566aa", 0, 77)
	w.captures[pending].seal = planned
	w.put(planned, "plan.json", []byte("{}"))
	path, sum := write(t, w.options(sealed, signed, pending))
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictUnsealed)
	want := []export.State{export.Sealed, export.Signed, export.Pending}
	for i, e := range sum.Exhibits {
		if e.State != want[i] {
			t.Errorf("exhibit %s is %s, want %s", e.Number, e.State, want[i])
		}
	}
	path, _ = write(t, w.options(sealed))
	r := verify(t, path, w.policy)
	wantVerdict(t, r, holdfast.VerdictProven)
	if r.Exhibits[0].Number != "1" {
		t.Errorf("number %s changed", r.Exhibits[0].Number)
	}
}

func TestWithoutLogProofItIsNotSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	seal := w.seal(3, id)
	o := w.options(id)
	o.Parts = &without{o.Parts, "seals/" + seal + "/inclusion/"}
	path, sum := write(t, o)
	if sum.Exhibits[0].State != export.Signed {
		t.Errorf("state %s", sum.Exhibits[0].State)
	}
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictUnsealed)
}

func TestSlicesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	w.seal(2, id)
	o := w.options(id)
	o.Slices = []export.SliceRef{{Capture: id, Object: "source.html", Slice: "message-2"}}
	o.Restricted = true
	path, sum := write(t, o)
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	names := entries(t, path)
	for name, want := range map[string]bool{
		"data/exhibits/1/slices/source.html/message-2": true, "data/exhibits/1/slices/source.html/message-2.salt": true,
		"data/exhibits/1/source.html": false, "data/exhibits/1/source.html.secret": false, "data/exhibits/1/text.txt": false,
		"data/exhibits/1/requests.warc.gz": false, "data/exhibits/1/page.wacz": false, "data/exhibits/1/screenshot.png": false,
	} {
		if (names[name] != nil) != want {
			t.Errorf("%s: there is %v, want %v", name, names[name] != nil, want)
		}
	}
	if sum.Withheld != 6 || string(names["data/exhibits/1/slices/source.html/message-2"]) != "<p>second message</p>" {
		t.Errorf("withheld %d, slice %q", sum.Withheld, names["data/exhibits/1/slices/source.html/message-2"])
	}
	for _, bad := range []export.SliceRef{{id, "source.html", "x"}, {id, "x", "x"}, {holdfast.NewID(), "source.html", "message-1"}, {id, "text.txt", "message-1"}} {
		o.Slices = []export.SliceRef{bad}
		if _, err := export.Write(t.Context(), new(memory), o); !errors.Is(err, export.ErrOptions) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestRestrictedIsWithheldUnlessAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	w.seal(2, id)
	o := w.options(id)
	o.Restricted = true
	o.Withhold = func(m *holdfast.Manifest, o holdfast.Object) string {
		if o.Name == "source.html" {
			return "names a witness"
		}
		return ""
	}
	path, _ := write(t, o)
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	names := entries(t, path)
	if names["data/exhibits/1/source.html"] != nil || names["data/exhibits/1/source.html.secret"] != nil || names["data/exhibits/1/requests.warc.gz"] == nil {
		t.Error("a secret travels without its object, or a restricted object that was asked for does not")
	}
}

// Wrong bytes, wrong sizes and an interrupt leave no file.
func TestNothingIsMisnamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	w.seal(2, id)
	good := w.captures[id].objects["page.wacz"]
	for name, body := range map[string][]byte{"flipped": append([]byte("X"), good[1:]...), "short": good[1:], "long": append(bytes.Clone(good), 1)} {
		w.opened["page.wacz"] = func() io.Reader { return bytes.NewReader(body) }
		dir := t.TempDir()
		_, err := export.WriteFile(t.Context(), filepath.Join(dir, "b.zip"), w.options(id))
		if !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestExistingFileIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	path := filepath.Join(t.TempDir(), "b.zip")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := w.options(id)
	if _, err := export.WriteFile(t.Context(), path, o); !errors.Is(err, export.ErrExists) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Error("the file was changed")
	}
	o.Replace = true
	if _, err := export.WriteFile(t.Context(), path, o); err != nil {
		t.Error(err)
	}
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictUnsealed)
}

// A key that the node's own Policy has ended is no reason to keep evidence back,
// but what it sealed afterwards is not called sealed; damaged parts are.
func TestEndedKeyAndDamagedParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/quay")
	seal := w.seal(3, id)
	ended := holdfast.At(w.now.Add(-time.Minute))
	good := w.policy.Nodes[0].Keys
	w.policy.Nodes[0].Keys = []holdfast.PolicyKey{{From: good[0].From, SPKI: good[0].SPKI, Until: &ended}}
	path, sum := write(t, w.options(id))
	if sum.Exhibits[0].State != export.Signed {
		t.Errorf("state %s", sum.Exhibits[0].State)
	}
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictContradicted)
	w.policy.Nodes[0].Keys = good
	w.put(seal, "timestamps/alpha/"+hashing.Of([]byte("x")).Hex()+".tst", []byte("x"))
	if _, err := export.Write(t.Context(), new(memory), w.options(id)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged token: %v", err)
	}
}
