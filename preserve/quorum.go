package preserve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"holdfast"
	"holdfast/hashing"
	"holdfast/rfc3161"
	"holdfast/storage"
)

// OwnName names the parts of the node's own tokens, which are never counted.
const OwnName = "own"

// maxAuthorities keeps a Seal's tokens well under [holdfast.MaxTokens], and is
// what other readers of a Sigstore bundle take.
const maxAuthorities = 32

// notBeforeSlack is how much earlier than notBefore a token may say it was
// made, docs/bundle.md section 9.
const notBeforeSlack = 60 * time.Second

// Stamper asks one authority. [Client] is one.
type Stamper interface {
	Stamp(ctx context.Context, a Authority, signature []byte) (*Timestamp, error)
}

// QuorumOptions say whom to ask, and where tokens go.
type QuorumOptions struct {
	Authorities []Authority
	Own         *Authority // the node's own, with Issue set. Optional.
	Client      Stamper
	Trust       *Trust
	Store       Store
	// Newest is a file that keeps the newest quorum token between runs, so that
	// the first Seal of a run has a notBefore too. A hint: it may be lost.
	// Optional.
	Newest string
	// Wait bounds the wait for the quorum. Optional, default [StampTimeout].
	Wait time.Duration
	// Offline asks nobody but Own: queries and replies travel as files.
	Offline bool
	// Clock is told how this node's clock compares with those of two or more
	// operators, after each token; calls may be concurrent. Optional.
	Clock func(Drift)
	// Pause is the least time between two questions to one public authority.
	// Optional, default 1 s.
	Pause time.Duration
	// Retry and MaxRetry bound the back-off of an authority that failed.
	// Optional, defaults 1 s and 1 min.
	Retry, MaxRetry time.Duration
	// Late is told of a Seal that got a token which may make its T earlier than was
	// told of it: [Reconciler.Add] has it judged and published once more. Calls may
	// be concurrent; it must not block. Optional.
	Late func(seal string)
	Log  *slog.Logger // Optional.
}

// Quorum asks the authorities for tokens and keeps them as parts. It remembers
// who is down, so that no Seal waits for them: an authority that failed is
// asked again only after a back-off, and then by a Seal that does not wait for
// the answer. One Quorum is shared by Sealer and Reconciler of a process. Safe
// for concurrent use.
type Quorum struct {
	o      QuorumOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	down   map[string]*outage
	newest *rfc3161.Token
	clocks []Sighting // the newest of each operator
	closed bool
	asked  []Authority
	turns  map[string]*turn // before each public authority
	back   chan struct{}    // has one once an authority that was down has answered
}

// outage is what is remembered of an authority that failed last time.
type outage struct {
	next time.Time
	why  string
	wait *backoff.ExponentialBackOff
}

// NewQuorum checks the options. Names are unique; `own` is the node's.
func NewQuorum(o QuorumOptions) (*Quorum, error) {
	if err := checkAuthorities(o.Authorities); err != nil {
		return nil, err
	}
	if o.Wait == 0 {
		o.Wait = StampTimeout
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	if o.MaxRetry == 0 {
		o.MaxRetry = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	q := &Quorum{o: o, down: make(map[string]*outage), turns: make(map[string]*turn), asked: o.Authorities, back: make(chan struct{}, 1)}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.newest = q.readNewest()
	return q, nil
}

func checkAuthorities(as []Authority) error {
	if len(as) > maxAuthorities {
		return fmt.Errorf("ask authorities: %d of them, at most %d are asked", len(as), maxAuthorities)
	}
	seen := map[string]bool{OwnName: true}
	for _, a := range as {
		if !holdfast.ValidAuthorityName(a.Name) || seen[a.Name] {
			return fmt.Errorf("ask authorities: name %.60q is not of the form [a-z0-9-]{1,40}, or taken", a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

// SetAuthorities replaces whom it asks, from the next Seal on: an Agent has
// added one while this runs. Errors as of [NewQuorum], and then nothing changes.
func (q *Quorum) SetAuthorities(as []Authority) error {
	if err := checkAuthorities(as); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = as
	return nil
}

// authorities are those that are asked now; the list is read-only.
func (q *Quorum) authorities() []Authority {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asked
}

// Close stops what is still being asked and waits for it.
func (q *Quorum) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.cancel()
	q.tasks.Wait()
}

// ask is one Seal's question.
type ask struct {
	seal      string
	sig       []byte
	notBefore *holdfast.NotBefore
	have      map[string]bool // names of authorities whose token is a part already
	patient   bool            // wait for those who were down, too
	end       *ending
}

// answer is what came of asking one authority.
type answer struct {
	a     Authority
	why   error     // no token of it that counts
	fatal error     // the token could not be made durable
	at    time.Time // what the token says at the latest
}

// collect asks every authority that has no token in the Seal yet and returns
// once a quorum of operators has answered, or cannot be reached any more by
// waiting, or q.Wait is over. What is still on its way then becomes a later
// part. It returns why tokens are missing; whether the quorum is there, the
// parts say. An error means that a token could not be kept.
func (q *Quorum) collect(ctx context.Context, k ask) (why []string, err error) {
	asked := q.authorities()
	answers := make(chan answer, len(asked)+1)
	k.end = &ending{}
	got, hope := make(map[string]bool), make(map[string]string) // operators; operators by name of authority
	for _, a := range asked {
		if k.have[a.Name] {
			got[a.Operator] = true
			continue
		}
		if q.o.Offline {
			why = append(why, a.Name+": not asked over the network")
			continue
		}
		up, due, reason := q.state(a.Name)
		if !up {
			why = append(why, reason)
		}
		if due && q.begin(a, k, answers) && (up || k.patient) {
			hope[a.Name] = a.Operator
		}
	}
	own := q.o.Own != nil && !k.have[OwnName] && q.begin(*q.o.Own, k, answers)
	need, before := q.o.Trust.Policy().Quorum, len(got)
	defer func() { q.ended(k, before == 0 && len(got) >= need, err) }()
	timeout := time.NewTimer(q.o.Wait)
	defer timeout.Stop()
	for own || len(got) < need && reach(got, hope) >= need {
		select {
		case r := <-answers:
			if r.fatal != nil {
				return nil, r.fatal
			}
			own = own && r.a.Name != OwnName
			delete(hope, r.a.Name)
			if r.why != nil {
				why = append(why, reason(r.a.Name, r.why))
			} else if r.a.Name != OwnName {
				got[r.a.Operator] = true
				k.end.saw(r.at)
			}
		case <-timeout.C:
			for name := range hope {
				why = append(why, fmt.Sprintf("%s: no answer after %s", name, q.o.Wait))
				q.suspect(name)
			}
			slices.Sort(why)
			return why, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if len(got) < need {
		for name := range hope {
			why = append(why, name+": "+onItsWay)
		}
	}
	slices.Sort(why)
	return why, nil
}

// onItsWay is said of who could not have made a quorum any more; its token becomes a part later.
const onItsWay = "its answer is on its way, and was not waited for"

// reach counts the operators that have answered or may still.
func reach(got map[string]bool, hope map[string]string) int {
	n, seen := len(got), make(map[string]bool)
	for _, op := range hope {
		if !got[op] && !seen[op] {
			seen[op] = true
			n++
		}
	}
	return n
}

// begin asks one authority in a goroutine that Close waits for.
func (q *Quorum) begin(a Authority, k ask, answers chan<- answer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.tasks.Add(1)
	go func() {
		defer q.tasks.Done()
		ctx, cancel := context.WithTimeout(q.ctx, q.o.Wait)
		defer cancel()
		r := q.one(ctx, a, k)
		if r.fatal != nil && q.ctx.Err() == nil { // perhaps nobody waits for it any more
			q.o.Log.ErrorContext(ctx, "timestamp not kept", "seal", k.seal, "authority", a.Name, "err", r.fatal)
		}
		answers <- r // never blocks: one place for each
	}()
	return true
}

// one gets and keeps one token. Only a token that counts is kept: an unknown
// one would prove nothing and stay for good.
func (q *Quorum) one(ctx context.Context, a Authority, k ask) answer {
	if err := q.await(ctx, a); err != nil {
		return answer{a: a, why: fmt.Errorf("not asked: others were before it: %w", err)}
	}
	ts, err := q.o.Client.Stamp(ctx, a, k.sig)
	if a.Name != OwnName && q.ctx.Err() == nil {
		q.note(a.Name, err)
	}
	if a.Name != OwnName && err == nil {
		q.sight(a.Operator, ts) // whether it counts or not: a clock that is behind is told too
	}
	if err == nil {
		err = counts(ctx, q.o.Trust, a, k, ts)
	}
	if err != nil {
		q.o.Log.InfoContext(ctx, "timestamp missing", "seal", k.seal, "authority", a.Name, "err", err)
		return answer{a: a, why: err}
	}
	// A token that came in time is kept, however long the disk takes.
	if err := keep(q.ctx, q.o.Store, a, k.seal, ts); err != nil {
		return answer{a: a, fatal: err}
	}
	q.kept(a, k, ts.Token.Latest())
	return answer{a: a, at: ts.Token.Latest()}
}

// turn is the row before one public authority.
type turn struct {
	gate chan struct{} // one place: who stands in it is asked next
	next time.Time     // not before; only who stands in the gate touches it
}

// await waits until a public authority may be asked. Who gives up in the row
// takes nothing with him: the pause runs from one question to the next.
func (q *Quorum) await(ctx context.Context, a Authority) error {
	if !a.Public {
		return ctx.Err()
	}
	q.mu.Lock()
	t := q.turns[a.Name]
	if t == nil {
		t = &turn{gate: make(chan struct{}, 1)}
		q.turns[a.Name] = t
	}
	q.mu.Unlock()
	select {
	case t.gate <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-t.gate }()
	if err := sleep(ctx, time.Until(t.next)); err != nil {
		return err
	}
	t.next = time.Now().Add(q.o.Pause)
	return nil
}

// counts says why a token does not count for a Seal, and pins what is new.
func counts(ctx context.Context, t *Trust, a Authority, k ask, ts *Timestamp) error {
	if k.notBefore != nil && ts.Token.Latest().Before(k.notBefore.Time.Add(-notBeforeSlack)) {
		return fmt.Errorf("its clock is behind: it says %s, and what it stamped was signed after %s", holdfast.At(ts.Token.GenTime), k.notBefore.Time)
	}
	if a.Name == OwnName {
		return nil
	}
	return t.Pin(ctx, a, ts)
}

// keep makes a token a part of a Seal.
func keep(ctx context.Context, store Store, a Authority, seal string, ts *Timestamp) error {
	name := partName(seal, stampPart(a.Name, ts.Token.Raw))
	if _, err := store.CreateAll(ctx, storage.Item{Name: name, Data: ts.Token.Raw}); err != nil {
		return fmt.Errorf("keep timestamp of %s: %w", a.Name, err)
	}
	return nil
}

func stampPart(authority string, token []byte) string {
	return fmt.Sprintf("timestamps/%s/%s.tst", authority, hashing.Of(token).Hex())
}

// state says whether an authority answered last time, and whether it may be
// asked now.
func (q *Quorum) state(name string) (up, due bool, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.down[name]
	if o == nil {
		return true, true, ""
	}
	now := time.Now()
	if due = !now.Before(o.next); due {
		o.next = now.Add(q.o.Wait) // one question at a time while it is down
	}
	return false, due, "down: " + o.why
}

// suspect opens the circuit of an authority that has not answered in time, so
// that the next Seal does not wait for it even if the question itself is still
// on its way; an answer closes it again.
func (q *Quorum) suspect(name string) {
	q.mu.Lock()
	known := q.down[name] != nil
	q.mu.Unlock()
	if !known {
		q.note(name, fmt.Errorf("no answer after %s", q.o.Wait))
	}
}

// note opens or closes an authority's circuit.
func (q *Quorum) note(name string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		if q.down[name] != nil {
			delete(q.down, name)
			signal(q.back)
		}
		return
	}
	o := q.down[name]
	if o == nil {
		o = &outage{wait: backoff.NewExponentialBackOff()}
		o.wait.InitialInterval, o.wait.MaxInterval, o.wait.Multiplier = q.o.Retry, q.o.MaxRetry, 2
		q.down[name] = o
	}
	o.why, o.next = reason(name, err), time.Now().Add(o.wait.NextBackOff())
}

// due is when the first authority that is down may be asked again, of those that may be
// after the given time, and whether there is one.
func (q *Quorum) due(after time.Time) (at time.Time, down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.asked {
		if o := q.down[a.Name]; o != nil && o.next.After(after) && (!down || o.next.Before(at)) {
			at, down = o.next, true
		}
	}
	return at, down
}

// reason says why an authority's token is missing, with its name once.
func reason(name string, err error) string {
	return name + ": " + strings.TrimPrefix(err.Error(), "timestamp from "+name+": ")
}
