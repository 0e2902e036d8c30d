package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Index is the stage that tells a catalog what was accepted and what became of
// it, in that order. It has its own two positions, so a slow or lost catalog
// holds nobody up; a catalog that was lost is folded again from the store, not
// from here.
//
// A crash between the Indexer's return and the ack tells it the same again.
type Index struct {
	Queue interface {
		Consumer
		Identifier
	}
	Partition int
	Indexer   Indexer
	Prune     Pruner       // Optional: frees payloads that are preserved and indexed.
	Log       *slog.Logger // Optional.
	// Window is how long after one step the next begins, at least: what comes meanwhile
	// is told together, for one fsync of each kind. Drain does not wait. Optional.
	Window time.Duration
	Stop   <-chan struct{} // Optional: closed, it ends Run with nil behind the step that is under way.
}

// Run works until ctx ends, and returns its error, or the queue's or Indexer's.
func (x *Index) Run(ctx context.Context) error {
	waits, cancel := untilStop(ctx, x.Stop)
	defer cancel()
	for {
		w := window{length: x.Window, closed: time.Now()}
		if _, err := x.Drain(ctx); err != nil {
			return err
		}
		err := x.wait(waits)
		if stopped(x.Stop) && ctx.Err() == nil {
			return nil
		}
		if err != nil {
			return err
		}
		if left := w.left(); left > 0 { // a message that comes alone does not wait
			select {
			case <-time.After(left):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// Drain indexes what is there, and returns how many messages that were.
func (x *Index) Drain(ctx context.Context) (total int, err error) {
	for {
		n, err := x.step(ctx)
		if total += n; err != nil || n == 0 || stopped(x.Stop) {
			return total, err
		}
		if x.Prune != nil {
			if _, err := x.Prune.Prune(ctx, 0, StagePreserve, StageIndex, StageResults); err != nil {
				return total, err
			}
		}
	}
}

// step reads results first and tells them last: a result is written after its
// captures were normalised, so all of these are told before it. What comes
// after the results were read is not waited for: on a busy node that has no end.
func (x *Index) step(ctx context.Context) (n int, err error) {
	from, results, err := receive(ctx, x.Queue, StageResults, x.Partition, Bounds{NoWait: true})
	if err != nil {
		return 0, err
	}
	end, err := x.Queue.End(ctx, StageIndex, x.Partition)
	if err != nil {
		return 0, err
	}
	for at := int64(-1); at < end; {
		m, to, err := x.accepted(ctx)
		if n += m; err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		at = to
	}
	if len(results) == 0 {
		return n, nil
	}
	if err := x.Indexer.Sealed(ctx, x.outcomes(ctx, results)); err != nil {
		return n, err
	}
	return n + len(results), x.advance(ctx, StageResults, from, len(results))
}

// accepted tells what is normalised, as far as position to.
func (x *Index) accepted(ctx context.Context) (n int, to int64, err error) {
	from, got, err := receive(ctx, x.Queue, StageIndex, x.Partition, Bounds{NoWait: true})
	if err != nil || len(got) == 0 {
		return 0, from, err
	}
	items := make([]Item, 0, len(got))
	for _, m := range got {
		it, err := m.Item()
		if err != nil {
			orDiscard(x.Log).WarnContext(ctx, "message is not indexed", "position", m.Position, "error", err)
			continue
		}
		items = append(items, it)
	}
	if err := x.Indexer.Accepted(ctx, items); err != nil {
		return 0, from, err
	}
	to = from + int64(len(got))
	return len(got), to, x.advance(ctx, StageIndex, from, len(got))
}

func (x *Index) outcomes(ctx context.Context, results []Message) []Outcome {
	out := make([]Outcome, 0, len(results))
	for _, m := range results {
		o, err := ParseOutcome(m.Body)
		if err != nil || m.Damaged {
			// The Seal itself is in the store; `rebuild` shows it.
			orDiscard(x.Log).WarnContext(ctx, "result cannot be read", "position", m.Position, "error", err)
			continue
		}
		out = append(out, o)
	}
	return out
}

// advance takes being overtaken for done: the other one told it too.
func (x *Index) advance(ctx context.Context, s Stage, from int64, n int) error {
	err := x.Queue.Advance(ctx, Ack{Stage: s, Partition: x.Partition, From: from, To: from + int64(n)})
	if errors.Is(err, ErrStale) {
		return nil
	}
	return err
}

// wait returns nil as soon as there is something to read for either position.
func (x *Index) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stages := []Stage{StageIndex, StageResults}
	first := make(chan error, len(stages))
	for _, s := range stages {
		go func() {
			_, _, err := receive(ctx, x.Queue, s, x.Partition, Bounds{Count: 1})
			first <- err
		}()
	}
	err := <-first
	cancel()
	<-first // nobody is left behind
	return err
}
