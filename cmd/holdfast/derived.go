package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// What the node makes out of what it knows (a page of one post, a statement of
// completeness) is a Capture that asked for nothing: its Source is what it is about,
// its egress `none`, each Object of it derived. So it enters by the one intake, is
// sealed, counted, exported and verified like any other, and no format knows more
// than two names. An Event it cannot be: that is a custody line, which is no exhibit
// and bounded to a line. A file beside the sealed ones it cannot be either: a Bundle
// that takes unsigned files is one that anybody adds a false page to.
//
// Its ID follows from what it says, so what has not changed since is not made again,
// and what a crash has left without its custody line is named by the next start.

// derived is one to be made.
type derived struct {
	source  holdfast.Source
	home    holdfast.ID
	why     string
	objects []derivedObject
}

type derivedObject struct {
	name, role, media string
	from              string // the Object that it was made from; "": Captures that it names itself
	action            string
	b                 []byte
}

// task is the Task that it would ride in; the ID of the Capture follows from it: the same for the same bytes about the same Source in
// the same Case.
func (d derived) task() holdfast.ID {
	h := sha256.New()
	fmt.Fprintf(h, "holdfast derived\n%s\n%s\n", d.home, d.source)
	for _, o := range d.objects {
		fmt.Fprintf(h, "%s %s\n", o.name, hashing.Of(o.b))
	}
	return holdfast.ID(hex.EncodeToString(h.Sum(nil)[:16]))
}

func (d derived) acquired(now time.Time) *collectors.Acquired {
	tool := "holdfast " + version
	a := &collectors.Acquired{Started: now, Ended: now, Outcome: collectors.Complete,
		Collection: collectors.Collection{Software: tool + " derived", Egress: "none", Notes: []string{"made of other captures, which it names; nothing was asked for"}}}
	for _, o := range d.objects {
		a.Objects = append(a.Objects, collectors.Object{Name: o.name, Role: o.role, MediaType: o.media, Size: int64(len(o.b)), Digest: hashing.Of(o.b), Inline: o.b})
		t := collectors.Transformation{Output: o.name, Action: o.action, Tool: tool}
		if o.from != "" {
			t.Inputs = []string{o.from}
		}
		a.Transformations = append(a.Transformations, t)
	}
	return a
}

// deriver accepts them, some at a time.
type deriver struct {
	n     *node
	in    *pipeline.Intake
	names naming
	open  []pipeline.Step
	size  int
	ids   []holdfast.ID // of all, in the order given
	made  int           // that were not there before
}

func (n *node) deriver() (*deriver, error) {
	d := &deriver{n: n, in: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	if err := d.in.Ready(context.Background()); err != nil {
		return nil, err
	}
	return d, d.names.begin(n)
}

// add takes one more. It is accepted with the next ones, or by end.
func (d *deriver) add(ctx context.Context, x derived) error {
	t := pipeline.Task{ID: x.task(), Source: x.source, Case: x.home, Agent: d.n.set.Agent, Found: holdfast.Found{How: "made of other captures", Why: x.why}}
	d.ids = append(d.ids, t.Capture())
	_, err := d.n.cat.Capture(ctx, t.Capture())
	if err == nil {
		return nil
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	d.made++
	d.open = append(d.open, pipeline.Step{Task: t, Acquired: x.acquired(time.Now())})
	for _, o := range x.objects {
		d.size += len(o.b)
	}
	if len(d.open) < stepsCount && d.size < stepsBytes {
		return nil
	}
	return d.flush(ctx)
}

func (d *deriver) flush(ctx context.Context) error {
	if len(d.open) == 0 {
		return nil
	}
	accepted, err := d.in.AcceptAll(ctx, d.open, nil)
	if err != nil {
		return err
	}
	for i, s := range d.open {
		d.names.add(ctx, s.Task, accepted[i].ID)
	}
	d.open, d.size = d.open[:0], 0
	return nil
}

// end accepts the rest and writes the custody lines. It is called once, whatever
// happened before.
func (d *deriver) end(ctx context.Context) error {
	err := d.flush(ctx)
	d.names.end(ctx)
	return err
}

// sealDerived seals what waits, for at most so long, and returns those that are not
// sealed then.
func (n *node) sealDerived(ctx context.Context, ids []holdfast.ID, wait time.Duration) ([]holdfast.ID, error) {
	if err := n.refresh(ctx); err != nil {
		return nil, err
	}
	if ids = n.stillOpen(ctx, ids, len(ids), func(holdfast.ID) {}); len(ids) == 0 {
		return nil, nil
	}
	wctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- unlessStopped(wctx, n.work); stop() }()
	left := n.waitSealed(wctx, ids, func(holdfast.ID) {})
	stop()
	err := <-done
	if len(left) == 0 || ctx.Err() != nil {
		return left, ctx.Err()
	}
	return left, err
}
