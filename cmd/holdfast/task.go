package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/collecting"
	"holdfast/egress"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) taskCmd() *cobra.Command {
	return group("task", "What waits to be captured, and how to give it up", "holdfast task list", c.taskListCmd(), c.taskDropCmd())
}

// waiting yields the Tasks by ID, a page at a time: there may be hundreds of
// thousands.
func (n *node) waiting(ctx context.Context) iter.Seq2[pipeline.Task, error] {
	return func(yield func(pipeline.Task, error) bool) {
		for after := holdfast.ID(""); ; {
			ts, err := n.queue.Tasks(ctx, after, 1000)
			if err != nil {
				yield(pipeline.Task{}, err)
				return
			}
			for _, t := range ts {
				if after = t.ID; !yield(t, nil) {
					return
				}
			}
			if len(ts) == 0 {
				return
			}
		}
	}
}

// errDamaged waits for a person: nobody else knows what the Task was to capture.
var errDamaged = errors.New("the queue has not kept this Task whole: what it was to capture is lost; `holdfast task drop` gives it up")

func (c *cli) taskListCmd() *cobra.Command {
	cmd := command("list", "List what waits to be captured", "holdfast task list --json", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		if err := n.refresh(cmd.Context()); err != nil {
			return err
		}
		signs := (&collectSigns{n: n}).now(cmd.Context())
		for t, err := range n.waiting(cmd.Context()) {
			if err != nil {
				return err
			}
			if err := c.sayTask(cmd.Context(), n, t, signs); err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Long = "`capture --resume` takes them up, `task drop` gives one up. One that is held is\nbeing captured, or was by a process that died a moment ago. Why one waits is what the\nprocesses say that capture now; where nothing is said, perhaps none is there."
	return cmd
}

func (c *cli) sayTask(ctx context.Context, n *node, t pipeline.Task, signs []collecting.Sign) error {
	cs, err := n.cat.Case(ctx, string(t.Case))
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	var o taskOptions
	_ = json.Unmarshal(t.Options, &o) // one that cannot be read is listed all the same: it can be dropped
	via := o.Via
	if via != "" {
		via = egress.Shown(via)
	}
	held, why := t.Lease.Until.After(time.Now()), whyWaits(signs, t, time.Now())
	row := map[string]any{"id": t.ID, "source": t.Source, "case": cs.Name, "case_id": t.Case, "agent": t.Agent, "attempts": t.Attempt, "via": via, "held": held, "due": nil, "why": why}
	state := "waits"
	if !t.Due.IsZero() {
		row["due"] = holdfast.At(t.Due)
		state = "due " + holdfast.At(t.Due).String()
	}
	if held {
		state = "held"
	}
	if t.Damaged {
		row["damaged"], state = true, "damaged"
	}
	if why != "" {
		why = "  (" + messages.Visible(why) + ")"
	}
	c.say(row, "%s  %s  %-16s  %s%s", t.ID, state, messages.Visible(cs.Name), messages.Visible(string(t.Source)), why)
	return nil
}

func (c *cli) taskDropCmd() *cobra.Command {
	var why string
	cmd := command("drop ID… --why TEXT", "Give up what waits to be captured", "holdfast task drop 0f3c… --why 'asked for twice'", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
		if err := checkReason("--why", why); err != nil {
			return err
		}
		if strings.TrimSpace(why) == "" {
			return usageError("no reason: say with --why TEXT why it is given up; it becomes a line of custody")
		}
		var ids []holdfast.ID
		for _, a := range args {
			id, err := holdfast.ParseID(a)
			if err != nil {
				return usageError("%w; `holdfast task list` shows the ids", err)
			}
			ids = append(ids, id)
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		for _, id := range ids {
			t, err := n.takeToDrop(cmd.Context(), id)
			if err == nil {
				err = n.dropTask(cmd.Context(), t, why)
			}
			if err != nil {
				return err
			}
			c.say(map[string]any{"event": "dropped", "id": t.ID, "source": t.Source, "case_id": t.Case}, "dropped   %s  %s", t.ID, messages.Visible(string(t.Source)))
		}
		return nil
	})
	cmd.Long = "That it was given up, and why, becomes a line of custody (`dropped`). What was\ncaptured of it before stays: each attempt is a capture of its own."
	cmd.Flags().StringVar(&why, "why", "", "why it is given up, for the custody")
	return cmd
}

// takeToDrop takes the Task whether it is due or not, so that nobody captures it
// meanwhile.
func (n *node) takeToDrop(ctx context.Context, id holdfast.ID) (t pipeline.Task, err error) {
	ts, err := n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{id}, Early: true, Lease: lease})
	if err != nil {
		return t, err
	}
	if len(ts) == 0 {
		return t, fmt.Errorf("drop task %s: no such Task waits, or it is being captured now: `holdfast task list` shows them", id)
	}
	return ts[0], nil
}

// dropTask writes the line and removes a Task that was taken. The line comes
// first: no wish is gone without one. A crash between them leaves the Task, which
// can be dropped again, or captured: then `collected` comes after the line.
func (n *node) dropTask(ctx context.Context, t pipeline.Task, why string) error {
	if t.Damaged { // whose Case it was is lost too
		t.Case = n.set.Unfiled
	}
	x, err := canon.Marshal(struct {
		Source string `json:"source"`
	}{string(t.Source)})
	if err != nil {
		return fmt.Errorf("drop task %s: %w", t.ID, err)
	}
	if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: t.Case, Action: "dropped", Agent: n.set.Agent, Objects: []string{string(t.ID)}, Why: why, X: x}); err != nil {
		return fmt.Errorf("drop task %s: write custody line: %w", t.ID, err)
	}
	if _, err := n.queue.Publish(ctx, t.Finish()); err != nil {
		return fmt.Errorf("drop task %s: %w", t.ID, err)
	}
	return nil
}
