package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
)

// TestNewerRecord guards a Case whose record a newer holdfast wrote: it can be
// read, says so, is not edited, and loses nothing where a new log copies it.
func TestNewerRecord(t *testing.T) {
	ctx := t.Context()
	w := &keyWorld{t, t.TempDir()}
	n, id := w.open(), holdfast.NewID()
	if err := n.openCase(ctx, id, "one", catalog.Record{Mandate: "m"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: "changed", X: []byte(`{"mandate":"m","zones":["a",1]}`)}); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"case", "edit", "one", "--data", w.dir, "--purpose", "p"}, strings.NewReader(""), &out, &errs); code != exitCould || !strings.Contains(errs.String(), "newer holdfast wrote (zones)") {
		t.Errorf("edit: %d, %s", code, &errs)
	}
	out.Reset()
	if code := run(ctx, []string{"case", "show", "one", "--data", w.dir}, strings.NewReader(""), &out, io.Discard); code != exitDone || !strings.Contains(out.String(), "zones") || !strings.Contains(out.String(), "mandate      m") {
		t.Errorf("show: %d, %s", code, &out)
	}
	cs, err := w.open().findCase(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := cs.Record.Encode("one"); err != nil || string(x) != `{"mandate":"m","name":"one","zones":["a",1]}` {
		t.Errorf("a new chain says %s, %v", x, err)
	}
}
