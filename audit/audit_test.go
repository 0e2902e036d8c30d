package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/audit"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

func auditor(t *testing.T, n *sealtest.Node, found *[]audit.Problem) *audit.Auditor {
	return &audit.Auditor{Store: n.Files, Judge: &preserve.Judge{Store: n.Files, Trust: n.Trust}, Logs: []audit.Log{{Origin: n.Name, VKey: n.Tlog.VKey()}},
		Problem: func(p audit.Problem) { *found = append(*found, p) }}
}

// TestStopped guards that an audit which is stopped after any step, and taken up again
// as often as it has steps, reads everything once and finds what one that is not
// stopped finds.
func TestStopped(t *testing.T) {
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	for i := range 4 {
		n.MustSeal(n.Batch(int64(i+1), 1, 100))
	}
	for _, s := range []string{"one", "two"} {
		if _, _, err := n.Files.Put(t.Context(), strings.NewReader(s)); err != nil {
			t.Fatal(err)
		}
	}
	plans, err := filepath.Glob(filepath.Join(n.Dir, "store/seals/*/plan.json"))
	if err != nil || len(plans) != 4 {
		t.Fatal(plans, err)
	}
	if err := os.RemoveAll(filepath.Dir(plans[1])); err != nil {
		t.Fatal(err)
	}
	var once, often []audit.Problem
	var want, got audit.State
	if err := auditor(t, n, &once).Run(t.Context(), &want); err != nil {
		t.Fatal(err)
	}
	if want.Counts.Seals != 3 || want.Counts.Objects != 2 || want.Counts.Problems == 0 {
		t.Errorf("%+v", want)
	}
	for range 100 {
		ctx, stop := context.WithCancel(t.Context())
		a := auditor(t, n, &often)
		was := got.Phase + got.After
		a.Told = func(at *audit.State) {
			if at.Phase+at.After != was {
				stop()
			}
		}
		err := a.Run(ctx, &got)
		stop()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	got.Counts.Bytes, want.Counts.Bytes = 0, 0 // what was stopped within is read twice
	got.Counts.Logs, want.Counts.Logs = 0, 0
	if got != want {
		t.Errorf("stopped: %+v\nin one go: %+v", got, want)
	}
	if len(often) != len(once) {
		t.Errorf("stopped it finds %v, in one go %v", often, once)
	}
}

// TestLogWithoutMirror guards that a log in which nothing is sealed yet is no fault,
// however much others have sealed, and that the mirror of any log that a Seal is in is
// missed, this node's or another's.
func TestLogWithoutMirror(t *testing.T) {
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	n.MustSeal(n.Batch(1, 1, 100))
	other := sealtest.NewNode(t, sealtest.NodeOptions{})
	run := func() (found []audit.Problem) {
		a := auditor(t, n, &found)
		a.Logs = append(a.Logs, audit.Log{Origin: other.Name, VKey: other.Tlog.VKey()})
		var at audit.State
		if err := a.Run(t.Context(), &at); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := run(); len(found) > 0 {
		t.Errorf("nothing is wrong, and it finds %v", found)
	}
	if err := os.RemoveAll(filepath.Join(n.Dir, "store/tlog", n.Name)); err != nil {
		t.Fatal(err)
	}
	for _, p := range run() {
		if p.Kind == audit.Missing && p.Name == "tlog/"+n.Name {
			return
		}
	}
	t.Error("the mirror of the log is gone, and nobody missed it")
}
