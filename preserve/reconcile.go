package preserve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"holdfast"
)

// publicPace is the time between two Seals that are brought to public
// authorities; one of them asks scripts to wait 15 s between two requests.
const publicPace = 15 * time.Second

// Reconciler brings signed Seals to sealed: it finds those without a quorum in
// the store, asks the authorities that are missing, and publishes what has
// become sealed. It needs no key, so any node can do it for all. It writes
// nothing but tokens, so a crash leaves nothing to repair. One goroutine runs
// it; [Reconciler.Add] may be called by others.
type Reconciler struct {
	Store  Store
	Quorum *Quorum
	// Publish tells queue and catalog that a Seal is sealed (after replies that
	// came as files, also why it is not). It may be told
	// again of the same Seal after a restart. An error is tried again.
	Publish func(ctx context.Context, o Outcome) error
	// Pace is the least time between two Seals. Optional, default 15 s if an
	// authority is public, else none.
	Pace time.Duration
	// Retry and MaxRetry bound the back-off between two passes. Optional,
	// defaults 2 s and 5 min.
	Retry, MaxRetry time.Duration
	// Rescan is how often the whole store is listed for Seals that other nodes
	// left. Optional, default 1 h.
	Rescan time.Duration
	Log    *slog.Logger // Optional.

	asked time.Time         // when authorities were asked last
	whole time.Time         // when a scan looked at all Seals last
	begun map[string]string // where the next one begins, by partition

	mu   sync.Mutex
	todo map[string]bool // Seals that are not sealed, or are to be judged again
	late map[string]bool // those that were added since somebody began to look at them
	past map[string]bool // Seals that are done with, until the next listing
	wake chan struct{}
}

// Pass is what one walk over the Seals that are not sealed has done.
type Pass struct {
	Sealed     []string // published now
	Signed     []string // still without a quorum
	Unfinished []string // planned, but not in the log: they need their items, or a Sealer
	Bad        []string // contradicted, or they could not be read; the log says why
}

// Add tells the Reconciler of a Seal that is only signed, or whose T may have become
// earlier, so that it need not wait for the next listing.
func (r *Reconciler) Add(seal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.init()
	r.todo[seal], r.late[seal] = true, true
	r.stir()
}

// Wake has the next pass come at once: there is somebody else to ask.
func (r *Reconciler) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.init()
	r.stir()
}

func (r *Reconciler) stir() {
	signal(r.wake)
}

func (r *Reconciler) init() {
	if r.todo == nil {
		r.todo, r.late, r.past, r.wake = make(map[string]bool), make(map[string]bool), make(map[string]bool), make(chan struct{}, 1)
	}
}

// Run reconciles until ctx is done, and returns its error. Passes that help
// nothing come ever more rarely, but for one at once when an authority that was down
// answers again: it is asked within its own back-off ([QuorumOptions]).
func (r *Reconciler) Run(ctx context.Context) error {
	r.mu.Lock()
	r.init()
	r.mu.Unlock()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = or(r.Retry, 2*time.Second), or(r.MaxRetry, 5*time.Minute), 2
	var scanned time.Time
	for {
		if time.Since(scanned) >= or(r.Rescan, time.Hour) {
			if err := r.Scan(ctx); err != nil {
				r.logger().WarnContext(ctx, "seals not listed", "err", err)
			} else {
				scanned = time.Now()
			}
		}
		p, err := r.Pass(ctx)
		if err != nil && ctx.Err() == nil {
			r.logger().WarnContext(ctx, "seals not reconciled", "err", err)
		}
		if len(p.Sealed) > 0 {
			wait.Reset()
		}
		if err := r.idle(ctx, wait.NextBackOff(), p.Signed); err != nil {
			return err
		}
	}
}

// idle waits for the next pass. One of the Seals without a quorum asks each time that an
// authority which is down may be asked again, however long ago the passes began to help
// nothing: where captures no longer flow nobody else would. The first answer after an
// outage ends the wait.
func (r *Reconciler) idle(ctx context.Context, d time.Duration, signed []string) error {
	over := time.After(d)
	var asked time.Time // for whom the Seal had no question, the next pass has
	for {
		var ask <-chan time.Time
		at, down := r.Quorum.due(asked)
		if down && len(signed) > 0 {
			ask = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.wake:
			return nil
		case <-r.Quorum.back:
			return nil
		case <-over:
			return nil
		case <-ask:
			asked = at
			var p Pass
			if err := r.step(ctx, signed[0], &p); err != nil {
				return err
			}
			if len(p.Signed) == 0 {
				return nil
			}
		}
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Pass looks at every Seal that is known not to be sealed, once.
func (r *Reconciler) Pass(ctx context.Context) (p Pass, err error) {
	r.mu.Lock()
	r.init()
	seals := slices.Sorted(maps.Keys(r.todo))
	r.mu.Unlock()
	for _, seal := range seals {
		if err := r.step(ctx, seal, &p); err != nil {
			return p, err
		}
	}
	return p, nil
}

// step looks at one Seal. An error means that ctx is done.
func (r *Reconciler) step(ctx context.Context, seal string, p *Pass) error {
	r.begin(seal)
	o, err := r.one(ctx, seal)
	if err != nil && ctx.Err() != nil {
		return err
	}
	switch {
	case err != nil:
		p.Bad = append(p.Bad, seal)
		r.logger().ErrorContext(ctx, "seal not reconciled", "seal", seal, "err", err)
	case o.State == StateSealed:
		p.Sealed = append(p.Sealed, seal)
		r.done(seal)
	case o.State == StateSigned && o.void(): // published as that; nothing helps
		r.done(seal)
	case o.State == StateSigned:
		p.Signed = append(p.Signed, seal)
	case o.Seal == "": // every position was skipped: there is nothing to seal
		r.done(seal)
	default:
		p.Unfinished = append(p.Unfinished, seal)
	}
	return nil
}

func (r *Reconciler) begin(seal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.late, seal)
}

// done leaves a Seal alone, unless it was added again after it was looked at.
func (r *Reconciler) done(seal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past[seal] = true
	if !r.late[seal] {
		delete(r.todo, seal)
	}
}

// one asks for what a Seal lacks, and publishes it if that was enough.
func (r *Reconciler) one(ctx context.Context, seal string) (Outcome, error) {
	plan, err := readPlan(ctx, r.Store, seal)
	if err != nil || len(plan.Captures) == 0 {
		return Outcome{}, err
	}
	j := &Judge{Store: r.Store, Trust: r.Quorum.o.Trust}
	o, parts, err := j.judge(ctx, plan)
	if err != nil {
		return o, err
	}
	if o.State == StateSigned && !o.void() {
		names, err := partNames(ctx, r.Store, seal)
		if err != nil {
			return o, err
		}
		k, err := r.Quorum.question(o, parts, names)
		if err != nil {
			return o, err
		}
		if err := sleep(ctx, r.pace()-time.Since(r.asked)); err != nil {
			return o, err
		}
		_, err = r.Quorum.collect(ctx, k)
		if r.asked = time.Now(); err != nil {
			return o, err
		}
		if o, parts, err = j.judge(ctx, plan); err != nil {
			return o, err
		}
	}
	return r.settle(ctx, o, parts)
}

// settle publishes a Seal that is sealed, and complains of one that is
// contradicted.
func (r *Reconciler) settle(ctx context.Context, o Outcome, parts holdfast.SealParts) (Outcome, error) {
	if o.State == StatePending && parts[partStatement] != nil && o.void() {
		return o, fmt.Errorf("seal %s: %w: %s", o.Seal, ErrContradicted, o.Reason)
	}
	void := o.State == StateSigned && o.void()
	if o.State != StateSealed && !void {
		return o, nil
	}
	if !void {
		r.Quorum.remember(parts, o.T)
	}
	if err := r.Publish(ctx, o); err != nil {
		return o, fmt.Errorf("publish seal %s: %w", o.Seal, err)
	}
	return o, nil
}

// maxStale bounds an authority's tokens in one Seal that do not count.
const maxStale = 4

// question asks for what a Seal that was judged still lacks. An authority whose
// token is there and does not count any more (policy.json was lost, and what was
// pinned anew begins later) is asked for a further one; the old one stays, as a
// part of its own.
func (q *Quorum) question(o Outcome, parts holdfast.SealParts, names map[string]bool) (ask, error) {
	k, err := questionOf(o.Seal, parts, names)
	if err != nil {
		return k, err
	}
	stored := make(map[string]int)
	for part := range names {
		stored[stampedBy(part)]++
	}
	for _, a := range q.authorities() {
		if k.have[a.Name] && !slices.Contains(o.operators, a.Operator) && stored[a.Name] < maxStale {
			delete(k.have, a.Name)
		}
	}
	return k, nil
}

func questionOf(seal string, parts holdfast.SealParts, names map[string]bool) (ask, error) {
	e, err := holdfast.ParseEnvelope(parts[partStatement], holdfast.PayloadStatement, maxEnvelope)
	if err != nil {
		return ask{}, fmt.Errorf("read statement of seal %s: %w", seal, err)
	}
	st, err := holdfast.ParseStatement(e.Payload)
	if err != nil {
		return ask{}, fmt.Errorf("read statement of seal %s: %w", seal, err)
	}
	k := (&signed{envelope: e, statement: st}).ask(seal, names)
	k.patient = true
	return k, nil
}

func (r *Reconciler) pace() time.Duration {
	if r.Quorum.o.Offline {
		return 0
	}
	if r.Pace == 0 && slices.ContainsFunc(r.Quorum.authorities(), func(a Authority) bool { return a.Public }) {
		return publicPace
	}
	return r.Pace
}

func (r *Reconciler) logger() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
