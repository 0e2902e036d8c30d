package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast"
)

// Defaults of Preserve.
const (
	WindowPublic = 15 * time.Second      // any authority is public: politeness
	WindowOwn    = 50 * time.Millisecond // all are the office's own
	Flight       = 4
)

// Preserve is the stage that makes batches of one partition and has them
// sealed. Only the holder of the node's preserve.lock (or, scaled, of the
// partition) runs it.
type Preserve struct {
	Queue interface {
		Consumer
		Identifier
		Announcer
	}
	Plans     Planner
	Carrier   Carrier
	Partition int
	Window    time.Duration // 0 means WindowPublic
	// WindowNow is the window as it is now, instead of Window: the
	// first public authority may be added while this runs. Optional.
	WindowNow func() time.Duration
	Flight    int           // batches in flight; 0 means Flight
	Sealed    func(Outcome) // Optional: told after each ack, in order.
	// Known returns those of the captures that are in a Seal with its place in a log, however long ago,
	// as far as can be told now. It is asked about what is in none of the plans that are
	// remembered; where it fails, those are all that is gone by. An error that wraps
	// ErrUnavailable was told of before. Nil where the queue keeps each ID once, for ever.
	Known func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error)
	// Poison is told of what a batch could not seal, before the batch is acknowledged,
	// and again after a crash. Its error stops the stage. Optional.
	Poison func(context.Context, []Poisoned) error
	// GivenUp is told of a plan of which the queue has lost a part, before what is left of
	// it is planned anew, and again after a crash. Its error stops the stage. Optional.
	GivenUp func(context.Context, GivenUp) error
	// Stop, when it is closed, ends Run with nil behind the batches that are planned:
	// they are carried out and acknowledged, so nobody finds a Seal half made. What was
	// only received is no batch yet, and stays where it is. Optional.
	Stop <-chan struct{}
	Log  *slog.Logger // Optional.
}

// Run works until ctx ends or something fails, and returns that error. What was
// in flight is then found again by its plan: to run it again is to recover.
func (p *Preserve) Run(ctx context.Context) error { return p.run(ctx, false) }

// Drain seals what is normalised already, without waiting for windows.
func (p *Preserve) Drain(ctx context.Context) error { return p.run(ctx, true) }

// run forms batches and plans them, one after the other; a convoy carries them
// out at once and acknowledges them in order.
func (p *Preserve) run(ctx context.Context, drain bool) error {
	r := &runner{Preserve: p, drain: drain}
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("start preserve: %w", err)
	}
	for {
		err := p.convoy(ctx, r)
		if lost := r.lapsed && errors.Is(err, ErrItems); err != nil && !lost || !r.lapsed {
			return err // where the queue lost a part of what was planned: see finish
		}
		// The convoy is home: had the queue changed its name before, a crash
		// would have left plans that nobody looks for under the new one.
		if err := r.redraw(ctx); err != nil {
			return err
		}
	}
}

// convoy runs until there is nothing more, something fails, or the queue lapsed,
// and returns when all that it launched is home.
func (p *Preserve) convoy(ctx context.Context, r *runner) error {
	c := newConvoy(ctx, p, r.at)
	for !r.lapsed && !stopped(p.Stop) {
		if err := c.slot(); err != nil {
			return c.finish(err)
		}
		b, plan, err := r.next(c.ctx)
		if err != nil || plan == nil {
			return c.finish(err)
		}
		if err := r.named(c.ctx); err != nil {
			return c.finish(fmt.Errorf("carry out plan %s: %w", plan.Seal, err))
		}
		c.launch(b, plan)
	}
	return c.finish(nil)
}

// named holds the queue's name against the one that plans are made under, between a plan
// and its carrying out. Who stood still while the partition went to another, and the queue
// got another name, would plan under the old one what the other plans under the new one:
// the store refuses the second plan of one name, and takes two of two. Where the name
// stands, the plan was durable before any other name was drawn, so whoever works under
// that finds it in [runner.remember]. Else it is left alone: [runner.finish] decides.
func (r *runner) named(ctx context.Context) error {
	id, err := r.Queue.Identity(ctx)
	if err == nil && id.Queue != r.id.Queue {
		err = fmt.Errorf("the queue has got another name, %s, meanwhile: %w", id.Queue, ErrStale)
	}
	return err
}

// runner knows how far batches were formed, which is ahead of the acks.
type runner struct {
	*Preserve
	drain  bool
	id     Identity
	at     int64 // the last position that is in a plan
	mem    *memory
	newest int64 // last position of the newest plan of this name when it was read
	window window
	lapsed bool // plans show that the queue is an older copy: it needs a new name
}

func (r *runner) start(ctx context.Context) (err error) {
	r.window.length = r.Window
	if r.Window == 0 {
		r.window.length = WindowPublic
	}
	if r.id, err = r.Queue.Identity(ctx); err != nil {
		return err
	}
	if r.at, err = r.Queue.Position(ctx, StagePreserve, r.Partition); err != nil {
		return err
	}
	if err = r.remember(ctx); err != nil {
		return err
	}
	return r.finish(ctx)
}

// remember loads the IDs of the newest plans, of former names first.
func (r *runner) remember(ctx context.Context) error {
	r.mem, r.newest = newMemory(), 0
	names := append([]string{r.id.Queue}, r.id.Former...)
	for i := len(names) - 1; i >= 0; i-- {
		plans, err := r.Plans.Newest(ctx, names[i], r.Partition, r.at, memoryPlans)
		if err != nil {
			return err
		}
		if i == 0 && len(plans) > 0 {
			r.newest = plans[0].Last
		}
		for j := len(plans) - 1; j >= 0; j-- {
			r.mem.add(plans[j], time.Now())
		}
	}
	return nil
}

// next returns the next batch and the plan that stands for it. The plan is nil at
// the end of a drain, and where r.lapsed was set and nothing can be carried out.
// A plan that is there is carried out instead of an own one.
func (r *runner) next(ctx context.Context) (Batch, *holdfast.Plan, error) {
	plan, err := r.Plans.Find(ctx, r.id.Queue, r.Partition, r.at+1)
	switch {
	case err != nil:
		return Batch{}, nil, fmt.Errorf("find plan: %w", err)
	case plan != nil:
		b, err := r.adopt(ctx, plan)
		if err != nil || b.Last < b.First {
			r.lapsed = true
			return b, nil, err
		}
		return b, plan, nil
	case r.newest > r.at: // plans go in order, so this one is not of our positions
		r.lapsed = true
		return Batch{}, nil, nil
	}
	return r.fresh(ctx)
}

// fresh forms a batch, plans it, and adopts another plan if one stands there.
func (r *runner) fresh(ctx context.Context) (Batch, *holdfast.Plan, error) {
	got, err := r.collect(ctx)
	if err != nil || len(got) == 0 {
		return Batch{}, nil, err
	}
	b := r.form(ctx, got)
	plan, err := r.Plans.Plan(ctx, b)
	if err != nil {
		return b, nil, fmt.Errorf("plan %s: %w", b.Seal(), err)
	}
	if !matches(plan, b) {
		b, err = r.adopt(ctx, plan)
		if err == nil && b.Last < b.First {
			err = fmt.Errorf("plan %s: somebody else plans other captures under this name; is preserve.lock shared?", plan.Seal)
		}
		return b, plan, err
	}
	r.mem.add(plan, time.Now())
	r.at = b.Last
	return b, plan, nil
}

// form makes a batch of messages: what cannot be read, and what was planned
// before, is skipped and said.
func (r *runner) form(ctx context.Context, got []Message) Batch {
	b := Batch{Queue: r.id.Queue, Partition: r.Partition, First: got[0].Position, Last: got[len(got)-1].Position}
	known, _ := r.known(ctx, got) // said there; sealing does not wait for it
	within := make(map[holdfast.ID]bool, len(got))
	for _, m := range got {
		it, err := m.Item()
		switch {
		case err != nil:
			orDiscard(r.Log).ErrorContext(ctx, "message is poison: it is kept in the queue and not sealed", "position", m.Position, "capture", m.ID, "error", err)
			b.Skipped = append(b.Skipped, holdfast.Skipped{ID: m.ID, Position: m.Position, Reason: "poison"})
			b.Poisoned = append(b.Poisoned, poisoned(m, it, err))
		case r.mem.has(m.ID) || within[m.ID] || known[m.ID]:
			b.Skipped = append(b.Skipped, holdfast.Skipped{ID: m.ID, Position: m.Position, Reason: "duplicate"})
		default:
			within[m.ID] = true
			b.Items = append(b.Items, it)
		}
	}
	return b
}

// known are those of the messages that Known knows. What is published again may be
// much older than what the memory holds: a line of custody of a node that was off for a
// weekend, a Task that was put off under the ID of a capture that its last holder had
// published before he died, a process that was stopped before its write.
func (r *runner) known(ctx context.Context, got []Message) (map[holdfast.ID]bool, error) {
	if r.Known == nil {
		return nil, nil
	}
	ids := make([]holdfast.ID, len(got))
	for i, m := range got {
		ids[i] = m.ID
	}
	known, err := r.Known(ctx, ids)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		orDiscard(r.Log).WarnContext(ctx, "what was sealed more than an hour ago is not known now: of what is published again only that of the last hour is", "error", err)
	}
	return known, err
}

// matches reports whether the plan is of exactly this batch.
func matches(p *holdfast.Plan, b Batch) bool {
	if p.First != b.First || p.Last != b.Last || len(p.Captures) != len(b.Items) {
		return false
	}
	for i, c := range p.Captures {
		if c.ID != b.Items[i].ID || c.Position != b.Items[i].Position {
			return false
		}
	}
	return true
}
