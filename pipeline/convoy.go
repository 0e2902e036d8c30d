package pipeline

import (
	"context"
	"fmt"

	"holdfast"
)

// convoy carries planned batches out at the same time and acknowledges them in
// the order of their plans. After the first failure nothing more is launched or
// acknowledged: what went well behind it is found again, and is cheap to find.
type convoy struct {
	p      *Preserve
	ctx    context.Context // of what is carried; ends at the first failure
	cancel context.CancelCauseFunc
	slots  chan struct{}
	line   chan *carried
	home   chan error
}

// carried is one batch on its way; done is closed when outcome and err are set.
type carried struct {
	batch   Batch
	done    chan struct{}
	outcome Outcome
	err     error
}

func newConvoy(ctx context.Context, p *Preserve, at int64) *convoy {
	n := p.Flight
	if n <= 0 {
		n = Flight
	}
	c := &convoy{p: p, slots: make(chan struct{}, n), line: make(chan *carried, n), home: make(chan error, 1)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	go func() { c.home <- c.acknowledge(at) }()
	return c
}

// slot waits until fewer than Flight batches are on their way. Waiting before a
// batch is formed lets it grow meanwhile.
func (c *convoy) slot() error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// launch is called with a slot taken.
func (c *convoy) launch(b Batch, plan *holdfast.Plan) {
	k := &carried{batch: b, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		k.outcome, k.err = c.p.Carrier.Carry(c.ctx, plan, b)
	}()
	c.line <- k
}

// acknowledge takes the batches in order. The result is published, then the
// stage moves (here: in one transaction); a crash before leaves the batch to be
// carried out again under its plan, which finds everything there.
func (c *convoy) acknowledge(at int64) (failed error) {
	for k := range c.line {
		<-k.done
		if failed == nil {
			if failed = c.ack(k, at); failed != nil {
				c.cancel(failed)
			}
			at = k.batch.Last
		}
		<-c.slots
	}
	return failed
}

func (c *convoy) ack(k *carried, at int64) error {
	if k.err != nil {
		return fmt.Errorf("seal %s: %w", k.batch.Seal(), k.err)
	}
	a := Ack{Stage: StagePreserve, Partition: c.p.Partition, From: at, To: k.batch.Last}
	for _, s := range k.batch.Skipped {
		if s.Reason == "poison" {
			a.Poison = append(a.Poison, s.Position)
		}
	}
	var out []Message
	if k.outcome.Seal != "" {
		body, err := k.outcome.Encode()
		if err != nil {
			return fmt.Errorf("publish result of %s: %w", k.batch.Seal(), err)
		}
		out = append(out, Message{Body: body})
	}
	// It is sealed: that ctx ends now is no reason to forget it.
	ctx := context.WithoutCancel(c.ctx)
	if c.p.Poison != nil && len(k.batch.Poisoned) > 0 {
		if err := c.p.Poison(ctx, k.batch.Poisoned); err != nil {
			return fmt.Errorf("tell of what %s does not seal: %w", k.batch.Seal(), err)
		}
	}
	if err := c.p.Queue.Advance(ctx, a, out...); err != nil {
		return fmt.Errorf("publish result of %s: %w", k.batch.Seal(), err)
	}
	if c.p.Sealed != nil && len(out) > 0 {
		c.p.Sealed(k.outcome)
	}
	return nil
}

// finish waits for all that was launched and returns the first failure, or err.
func (c *convoy) finish(err error) error {
	close(c.line)
	failed := <-c.home
	c.cancel(nil)
	if failed != nil {
		return failed
	}
	return err
}
