package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/doctor"
	"holdfast/metrics"
	"holdfast/storage/s3"
)

// fileLocks keeps one process of one node at work on the locks of a bucket. Two would
// do no harm: they would ask for the same.
const fileLocks = "locks.lock"

// bucket is the store where it is one, else nil.
func (n *node) bucket() *s3.Store {
	s, _ := n.store.(*s3.Store)
	return s
}

func (c *cli) locksCmd() *cobra.Command {
	cmd := command("locks", "Make longer for how long nobody can remove what lies in the bucket", "holdfast locks", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.locks(cmd.Context(), n)
	})
	cmd.Long = `In a bucket with object lock everything is written so that nobody can remove it, its
owner included, before a time that is not far off: 30 days, or "retention" of the
store's URL. This goes through all of it and makes that time longer, as "holdfast
node preserve" does by itself each 7 days ("interval" of the URL). What an erasure
has been ordered of is left to lapse. Where a lock would end within two intervals,
or something could not be kept, somebody has to look: that is exit 1, and a fault
of "holdfast doctor".

exit status: 0 all is kept  1 could not, or an alert  2 usage`
	return cmd
}

func (c *cli) locks(ctx context.Context, n *node) error {
	s := n.bucket()
	if s == nil {
		return errors.New("the store of this node is a directory, which locks nothing: its mirrors keep it")
	}
	e := &s3.Extender{Store: s}
	p, err := e.Pass(ctx)
	if err != nil {
		return err
	}
	if err := n.lockHeld(ctx); err != nil {
		return err
	}
	st := e.State(time.Now())
	c.say(map[string]any{"event": "locks", "kept": p.Kept, "extended": p.Extended, "lapsing": p.Skipped, "lost": p.Lost, "earliest": stamp(p.Least), "alert": st.Alert},
		"locks    %d kept, %d of them for longer now; %d to be erased; %d could not be kept; nothing can be removed before %s", p.Kept, p.Extended, p.Skipped, p.Lost, stamp(p.Least))
	if st.Alert != "" {
		return errors.New(st.Alert)
	}
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// lockLoop makes a pass each interval, in one process of all nodes at a time. Where
// the store locks nothing it waits for its end.
func (n *node) lockLoop(ctx context.Context) error {
	ctx, cancel := n.untilStopping(ctx) // a pass that is cut off is made anew by whoever is next
	defer cancel()
	s := n.bucket()
	if s == nil || !s.Locks() {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		unlock, err := n.tryOfficeLock(ctx, fileLocks)
		if err != nil {
			return err
		}
		if unlock != nil {
			err := (&s3.Extender{Store: s}).Run(ctx)
			unlock()
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.Interval() / 10): // whoever makes the passes may die
		}
	}
}

// measureLocks has Prometheus told of them.
func (n *node) measureLocks(m *metrics.Metrics) {
	s := n.bucket()
	if s == nil || !s.Locks() {
		return
	}
	m.Locks(func(ctx context.Context) (time.Duration, bool, error) {
		st, err := s.Marked(ctx, time.Now())
		return st.Left, st.Alert != "", err
	})
}

// doctorLocks looks whether passes are made.
func (n *node) doctorLocks(ctx context.Context, d *doctor.Report) {
	s := n.bucket()
	if s == nil {
		return
	}
	faults, err := s.BucketFaults(ctx)
	for _, f := range faults {
		d.Check("bucket", "", fmt.Errorf("%s: until that is mended what is written can be hidden or lost", f.Detail))
	}
	if err != nil {
		d.Check("bucket", "", err)
	}
	st, err := s.Marked(ctx, time.Now())
	switch {
	case err != nil:
		d.Check("locks", "", err)
	case !s.Locks():
		d.Note("locks", st.Alert)
	case st.Alert != "":
		d.Check("locks", "", fmt.Errorf("%s: run `holdfast locks`, and let `holdfast node preserve` run", st.Alert))
	default:
		d.Check("locks", fmt.Sprintf("nobody can remove what lies in the bucket for %v", st.Left.Round(time.Minute)), nil)
	}
}
