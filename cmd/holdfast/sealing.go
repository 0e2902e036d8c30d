package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/seams"
	"holdfast/filelock"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/authority"
)

// sealing is what only the holder of preserve.lock has open.
type sealing struct {
	unlock func()
	tlog   *preserve.Tlog
	quorum *preserve.Quorum
	sealer *preserve.Sealer
	recon  *preserve.Reconciler
	public atomic.Bool // any authority is
	asOf   time.Time   // of the list of authorities that is in use
}

func newClient() *preserve.Client { return &preserve.Client{HTTP: &http.Client{}} }

// work runs the stages until ctx ends: normalise and index in any case, preserve
// and the reconciler whenever this process gets the lock.
func (n *node) work(ctx context.Context) error {
	if n.sharedQueue() { // the processes of `holdfast node` do it: to join them for a moment would stop all of them
		<-ctx.Done()
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return (&pipeline.Normalise{Queue: n.queue, By: n.normalisers(), Log: n.log}).Run(gctx) })
	g.Go(func() error { return n.index.Run(gctx) })
	g.Go(func() error { return n.sealWhenFree(gctx) })
	g.Go(func() error { return n.alertLoop(gctx) })
	if err := g.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err // nobody has stopped it: whatever it is, it is told
	}
	return nil
}

// sealWhenFree waits for preserve.lock, which its holder's death frees too.
func (n *node) sealWhenFree(ctx context.Context) error {
	unlock, err := n.preserveLock(ctx)
	if err != nil || unlock == nil {
		return err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.run(ctx, n)
}

// preserveLock waits for the lock; nil, nil means that the process is to stop.
func (n *node) preserveLock(ctx context.Context) (unlock func(), err error) {
	waits, cancel := n.untilStopping(ctx)
	defer cancel()
	unlock, err = filelock.Wait(waits, n.path("preserve.lock"))
	if err != nil && n.isStopping() {
		return nil, nil
	}
	return unlock, err
}

// startSealing opens what sealing needs; the lock is freed if that fails.
func (n *node) startSealing(ctx context.Context, unlock func()) (*sealing, error) {
	s := &sealing{unlock: unlock}
	if err := s.open(ctx, n); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *sealing) open(ctx context.Context, n *node) error {
	if err := n.still(); err != nil {
		return err
	}
	signer, err := n.sealSigner(ctx) // it may be long since n was opened
	if err != nil {
		return err
	}
	if err := n.reloadTrust(); err != nil {
		return err
	}
	s.asOf = changed(n.path(nodedir.FileAuthorities)) // before it is read: what is added from here on is seen by follow
	as, public, err := n.asked()
	if err != nil {
		return err
	}
	s.public.Store(public)
	own, err := n.ownAuthority()
	if err != nil {
		return err
	}
	if err := s.openLog(ctx, n); err != nil {
		return err
	}
	s.quorum, err = preserve.NewQuorum(preserve.QuorumOptions{Authorities: as, Own: own, Client: newClient(), Trust: n.trust, Store: n.store,
		Offline: n.offline, Clock: n.noteClock, Newest: n.path("newest.tst"), Log: n.log,
		Late: func(seal string) { s.recon.Add(seal) }}) // nothing asks before it is there
	if err != nil {
		return err
	}
	s.sealer = preserve.NewSealer(preserve.Options{Node: n.set.Name, Training: n.set.Training, Config: n.facts.Config, Software: n.facts.Software,
		Signer: signer, Tlog: s.tlog, Store: n.store, Quorum: s.quorum, Log: n.log})
	s.recon = &preserve.Reconciler{Store: n.store, Quorum: s.quorum, Log: n.log, Publish: n.announce}
	return nil
}

func (s *sealing) openLog(ctx context.Context, n *node) error {
	if err := n.mirrored().NotBehind(ctx); err != nil {
		return err
	}
	text, err := n.vault.Read(n.set.LogKey)
	if err != nil {
		return fmt.Errorf("open log key: %w", err)
	}
	if err := os.MkdirAll(n.path("log"), 0o700); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	s.tlog, err = preserve.OpenTlog(ctx, preserve.TlogOptions{Dir: n.path("log/" + n.set.Name), Key: preserve.ParseLogKey(text), Store: n.store, Log: n.log,
		Birth: holdfast.Birth{Keys: []holdfast.SPKI{{SPKI: n.keys.Newest().SPKI}}, Training: n.set.Training, Previous: n.set.Previous}})
	return err
}

// ownAuthority is the node's own clock as a token: beside the others, never
// counted.
func (n *node) ownAuthority() (*preserve.Authority, error) {
	operator := n.set.FirstName()
	operator = operator[:min(len(operator), 50)]
	a, err := authority.Open(n.path("own"), authority.Options{Operator: operator, Training: n.set.Training, Log: n.log, Secrets: n.vault})
	if err != nil {
		return nil, fmt.Errorf("open the node's own authority: %w", err)
	}
	return &preserve.Authority{Name: "own", Operator: operator, Roots: []*certificate{a.Root()}, Issue: a.Issue}, nil
}

// Close frees the lock last.
func (s *sealing) Close() {
	if s.quorum != nil {
		s.quorum.Close()
	}
	if s.tlog != nil {
		s.tlog.Close()
	}
	s.unlock()
}

func (s *sealing) run(ctx context.Context, n *node) error {
	if err := n.finishKeys(ctx); err != nil {
		return err
	}
	if err := s.carry(ctx, n, n.problem); err != nil {
		n.log.WarnContext(ctx, "what the node was restored with is not finished yet", "err", err)
	}
	if err := s.knownSigned(ctx, n); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := n.share(ctx, pipeline.StagePreserve, func(ctx context.Context, p int) error {
			k := s.preserve(n)
			k.Partition = p
			return k.Run(ctx)
		})
		if err == nil { // the others have no end of their own, and begin anew without loss
			err = errDrained
		}
		return err
	})
	g.Go(func() error { return s.recon.Run(ctx) })
	g.Go(func() error { return s.follow(ctx, n) })
	g.Go(func() error { return n.watchKeys(ctx) })
	if err := g.Wait(); !errors.Is(err, errDrained) {
		return err
	}
	return nil
}

// knownSigned tells the reconciler of what the catalog knows to lack a quorum,
// so also of Seals whose tokens are there and count no more: names alone, which
// its listing goes by, do not show that. Where a rebuild was broken off the catalog
// refuses the question, and the sealing goes on all the same.
func (s *sealing) knownSigned(ctx context.Context, n *node) error {
	err := s.addSigned(ctx, n)
	if errors.Is(err, catalog.ErrRebuild) {
		n.log.WarnContext(ctx, "what the catalog knew to lack a quorum is looked for in the store only", "err", err)
		return nil
	}
	return err
}

func (s *sealing) addSigned(ctx context.Context, n *node) error {
	last := ""
	for cp, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StateSigned}) {
		if err != nil {
			return err
		}
		if cp.Seal != last && !strings.HasPrefix(cp.Reason, "contradicted: ") {
			last = cp.Seal
			s.recon.Add(cp.Seal)
		}
	}
	return nil
}

func (s *sealing) preserve(n *node) *pipeline.Preserve {
	window := func() time.Duration {
		if s.public.Load() {
			return pipeline.WindowPublic
		}
		return pipeline.WindowOwn
	}
	return &pipeline.Preserve{Queue: n.queue, Plans: &seams.Planner{Sealer: s.sealer, Store: n.store}, Carrier: &seams.Carrier{Sealer: s.sealer}, WindowNow: window, Log: n.log, Poison: n.tellPoison, GivenUp: n.tellGivenUp, Stop: n.stopping,
		Known: n.knownSealed(),
		Sealed: func(o pipeline.Outcome) {
			if o.State == pipeline.StateSigned {
				s.recon.Add(o.Seal)
			}
		}}
}

// announce publishes what the reconciler sealed.
func (n *node) announce(ctx context.Context, o preserve.Outcome) error {
	b, err := seams.Outcome(o).Encode()
	if err != nil {
		return err
	}
	return n.queue.Announce(ctx, pipeline.Message{Body: b})
}

// pollAtOnce bounds how many open captures one look at the catalog asks for.
const pollAtOnce = 64

// waitSealed polls until every capture is sealed, or ctx ends, and returns those
// that are not; told gets each one once, when it is sealed.
func (n *node) waitSealed(ctx context.Context, ids []holdfast.ID, told func(holdfast.ID)) []holdfast.ID {
	open := slices.Clone(ids)
	for {
		if open = n.stillOpen(ctx, open, pollAtOnce, told); len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done(): // a last look, at all of them
			return n.stillOpen(context.WithoutCancel(ctx), open, len(open), told)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stillOpen drops what is sealed from open. It stops looking after limit of
// them that are not: a long list is sealed from its front, and to ask for all
// of it at every look would cost more than sealing it.
func (n *node) stillOpen(ctx context.Context, open []holdfast.ID, limit int, told func(holdfast.ID)) []holdfast.ID {
	var rest []holdfast.ID
	for i, id := range open {
		if len(rest) == limit {
			return append(rest, open[i:]...)
		}
		c, err := n.cat.Capture(ctx, id)
		if err == nil && c.State == pipeline.StateSealed {
			told(id)
			continue
		}
		rest = append(rest, id) // an error too: another look may tell
	}
	return rest
}

// whyOpen says why a capture is not sealed, as far as the catalog knows.
func (n *node) whyOpen(id holdfast.ID, otherwise string) string {
	if cp, err := n.cat.Capture(context.Background(), id); err == nil && cp.Reason != "" {
		return cp.Reason
	}
	return otherwise
}

// knownSealed is nil where the queue keeps each ID once, for ever.
func (n *node) knownSealed() func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) {
	cat, ok := n.cat.(seams.InSeals)
	if !ok || !n.sharedQueue() {
		return nil
	}
	return (&seams.SealedBefore{Catalog: cat, Store: n.store}).Ask
}

// locked is what f returns, which nobody else is in meanwhile.
func locked[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}
