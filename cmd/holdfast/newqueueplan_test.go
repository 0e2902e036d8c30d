package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/seams"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// TestLostQueueOfAPlan: a queue that is lost between a plan and its Seal. Where
// the packs are written the batch is sealed from them; else its captures are named
// as lost, and its lines of custody, which their chains hold, are sealed by the
// new queue. Each once.
func TestLostQueueOfAPlan(t *testing.T) {
	for name, packs := range map[string]bool{"packs written": true, "no packs": false} {
		t.Run(name, func(t *testing.T) {
			c, n := roundNode(t)
			id := holdfast.ID(acceptOnly(t, n, n.set.Unfiled, "https://planned.invalid/", pipeline.Outside{}))
			line, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: n.set.Unfiled, Action: "noted", Why: "beside it"})
			if err == nil {
				err = n.refresh(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			planOnly(t, n, packs)
			n.Close()
			for _, end := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(n.path("queue.db") + end)
			}
			for _, args := range [][]string{{"init", "--new-queue"}, {"seal", "--wait", "20s"}} {
				if out, errs, code := call(append(args, "--data", c.data)...); code != 0 {
					t.Fatalf("%v: exit %d: %s%s", args, code, out, errs)
				}
			}
			if n, err = c.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if all, naming := lineCount(t, n, "lost", string(id)); packs && all != 0 || !packs && (all != 1 || naming != 1) {
				t.Errorf("%d lines of loss, %d name the capture", all, naming)
			}
			cp, err := n.cat.Capture(t.Context(), id)
			if sealed := err == nil && cp.State == pipeline.StateSealed; sealed != packs {
				t.Errorf("the capture is %q, %v", cp.State, err)
			}
			for i := range line.Length {
				e, err := n.cat.Capture(t.Context(), holdfast.EventID(line.Chain, i+1))
				if err != nil || e.State != pipeline.StateSealed {
					t.Errorf("custody line %d is %q, %v", i+1, e.State, err)
				}
			}
			if exists(n.path(nodedir.FileCarry)) {
				t.Error("something is left to carry out")
			}
		})
	}
}

// planOnly is a process that seals and dies behind the plan, or behind the packs.
func planOnly(t *testing.T, n *node, packs bool) {
	t.Helper()
	unlock, err := filelock.Try(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		t.Fatal("no lock", err)
	}
	s, err := n.startSealing(t.Context(), unlock)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := s.preserve(n)
	p.Carrier = &dying{Carrier: seams.Carrier{Sealer: s.sealer}, packs: packs, n: n}
	if err := p.Drain(t.Context()); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
}

var errDied = errors.New("killed here")

type dying struct {
	seams.Carrier
	packs bool
	n     *node
}

// Carry does all, and undoes all behind the packs.
func (d *dying) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	if !d.packs {
		return pipeline.Outcome{}, errDied
	}
	if _, err := d.Sealer.Carry(ctx, p, seams.Items(b)); err != nil {
		return pipeline.Outcome{}, err
	}
	parts, err := filepath.Glob(d.n.path("store/seals/" + p.Seal + "/*"))
	for _, name := range parts {
		if err == nil && filepath.Base(name) != "plan.json" {
			err = os.RemoveAll(name)
		}
	}
	return pipeline.Outcome{}, errors.Join(err, errDied)
}
