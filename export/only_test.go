package export_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/export"
)

// answer accepts a Capture like one answer of a channel: n lines, each a slice,
// and beside them how it was asked.
func (w *world) answer(n int) holdfast.ID {
	secret := make([]byte, 32)
	rand.Read(secret)
	var body []byte
	var all []holdfast.Slice
	for i := range n {
		name, line := fmt.Sprintf("m-%d", i+1), fmt.Appendf(nil, `{"text":"words of post number %d."}`, i+1)
		c := sha256.Sum256(append(holdfast.SliceSalt(secret, name), line...))
		all = append(all, holdfast.Slice{Commitment: c, Length: int64(len(line)), Name: name, Offset: int64(len(body))})
		body = append(append(body, line...), '\n')
	}
	return w.capture("telegram:@harbour", nil,
		object{name: "answer.tl", role: "answer", kind: "application/octet-stream", body: body},
		object{name: "exchange.json", role: "exchange", kind: "application/json", body: []byte(`{"method":"messages.getHistory"}`)},
		object{name: "posts.jsonl", role: "posts", kind: "application/jsonl", body: body, slices: all},
		object{name: "posts.jsonl.secret", role: "slice-secret", kind: "application/octet-stream", body: secret, restricted: true})
}

func inOrder(names []string) string {
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestOnly: what is chosen Capture by Capture is shown, in any order, each Object
// read once, and nothing else; of a Capture with nothing chosen, its Manifest.
func TestOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, whole := w.answer(300), w.answer(3), w.page("https://example.org/quay")
	w.seal(2, a, b, whole)
	opened := 0
	body := w.captures[a].objects["posts.jsonl"]
	w.opened["posts.jsonl"] = func() io.Reader { opened++; return bytes.NewReader(body) }
	o := w.options(a, b, whole)
	o.Only = func(_ context.Context, m *holdfast.Manifest) ([]export.SliceRef, bool, error) {
		switch m.ID {
		case a:
			return []export.SliceRef{{Object: "posts.jsonl", Slice: "m-200"}, {Object: "exchange.json"}, {Object: "posts.jsonl", Slice: "m-7"}, {Object: "posts.jsonl", Slice: "m-8"}}, true, nil
		case b:
			return nil, true, nil
		}
		return nil, false, nil
	}
	path, _ := write(t, o)
	var names []string
	got := entries(t, path)
	for name, b := range got {
		if f, ok := strings.CutPrefix(name, "data/exhibits/"); ok && f[0] != '3' {
			names = append(names, f)
		}
		for _, hidden := range []string{"number 6.", "number 9.", "number 1."} {
			if holds(b, []byte(hidden), 3) {
				t.Errorf("%s holds %q", name, hidden)
			}
		}
	}
	want := "1/exchange.json 1/manifest.json 1/slices/posts.jsonl/m-200 1/slices/posts.jsonl/m-200.salt 1/slices/posts.jsonl/m-7 1/slices/posts.jsonl/m-7.salt 1/slices/posts.jsonl/m-8 1/slices/posts.jsonl/m-8.salt 2/manifest.json"
	if inOrder(names) != want || !bytes.Contains(got["data/exhibits/1/slices/posts.jsonl/m-200"], []byte("number 200.")) || got["data/exhibits/3/text.txt"] == nil {
		t.Errorf("shown: %s", inOrder(names))
	}
	if opened != 1 {
		t.Errorf("the object of the slices was opened %d times", opened)
	}
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	for _, bad := range []export.SliceRef{{Object: "posts.jsonl.secret"}, {Object: "posts.jsonl", Slice: "m-301"}, {Object: "no.json"}} {
		o.Only = func(context.Context, *holdfast.Manifest) ([]export.SliceRef, bool, error) {
			return []export.SliceRef{bad}, true, nil
		}
		o.Restricted = true
		if _, err := export.Write(t.Context(), new(memory), o); err == nil {
			t.Errorf("%+v is shown", bad)
		}
	}
}

// TestOnlySplits: parts are measured with the slices that they will show.
func TestOnlySplits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []holdfast.ID
	for range 40 {
		ids = append(ids, w.answer(600))
	}
	w.seal(2, ids...)
	o := w.options(ids...)
	o.Only = func(_ context.Context, m *holdfast.Manifest) (refs []export.SliceRef, alone bool, err error) {
		for i := range 300 {
			refs = append(refs, export.SliceRef{Object: "posts.jsonl", Slice: fmt.Sprintf("m-%d", 2*i+1)})
		}
		return refs, true, nil
	}
	const size = 2 << 20
	parts, err := export.Split(t.Context(), o, size)
	if err != nil || len(parts) < 2 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	for i, p := range parts[:2] {
		o.Cases, o.MaxBytes, o.Part = p, size, &export.Part{Number: i + 1, Of: len(parts)}
		if _, err := export.Write(t.Context(), new(memory), o); err != nil {
			t.Errorf("part %d: %v", i+1, err)
		}
	}
}
