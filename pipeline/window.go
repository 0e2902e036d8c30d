package pipeline

import (
	"context"
	"errors"
	"time"
)

// collect waits for the first message, and for more as long as the window says. It
// returns nothing where the stage is to stop.
func (r *runner) collect(ctx context.Context) ([]Message, error) {
	waits, cancel := untilStop(ctx, r.Stop)
	defer cancel()
	got, err := r.gather(waits)
	if stopped(r.Stop) && ctx.Err() == nil {
		return nil, nil
	}
	return got, err
}

func (r *runner) gather(ctx context.Context) (got []Message, err error) {
	for size, last := 0, false; !last && len(got) < MaxBatch && size < MaxBytes; {
		var more []Message
		more, last, err = r.receive(ctx, r.at+int64(len(got)), Bounds{Count: MaxBatch - len(got), Bytes: MaxBytes - size}, len(got) > 0)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			break // the window has ended
		}
		before := len(got)
		for _, m := range more {
			if size += len(m.Body) + len(m.Note); size > MaxBytes && len(got) > 0 {
				break // it begins the next batch
			}
			got = append(got, m)
		}
		if len(got) == before {
			break
		}
	}
	if len(got) > 0 {
		r.window.close()
	}
	return got, nil
}

// receive is Receive that ends with the window, once there is something. What is there
// when the window has ended costs no wait and is taken along, in one last call: where
// more comes than is sealed a batch is then full, and each Seal costs the same.
func (r *runner) receive(ctx context.Context, after int64, b Bounds, some bool) (got []Message, last bool, err error) {
	if r.drain || !some {
		b.NoWait = r.drain
		got, err = r.Queue.Receive(ctx, StagePreserve, r.Partition, after, b)
		return got, false, err
	}
	if r.WindowNow != nil {
		r.window.length = r.WindowNow()
	}
	left := r.window.left()
	if left <= 0 {
		b.NoWait = true
		if got, err = r.Queue.Receive(ctx, StagePreserve, r.Partition, after, b); ctx.Err() == nil {
			err = nil // what was received before is a batch all the same
		}
		return got, true, err
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	got, err = r.Queue.Receive(limited, StagePreserve, r.Partition, after, b)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return nil, true, nil
	}
	return got, false, err
}

// window says when a batch closes: at once if the last one closed longer than
// length ago, else when that time is over. So a lone capture does not wait, and
// a busy node asks the authorities once per window.
type window struct {
	length time.Duration
	closed time.Time
}

func (w *window) left() time.Duration { return time.Until(w.closed.Add(w.length)) }
func (w *window) close()              { w.closed = time.Now() }
