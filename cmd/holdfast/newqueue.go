package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/preserve/plans"
	"holdfast/wholefile"
)

// fileQueue holds the only copy of what is accepted and in no Seal yet.
const fileQueue = engineset.FileQueue

// fileCatalog is the index; it may be lost.
const fileCatalog = engineset.FileCatalog

// openQueue opens the node's queue. init makes it before node.json; so where it
// is missing it was lost, and a new one in its place would hide that.
func (n *node) openQueue(ctx context.Context) (err error) {
	n.engine, err = n.engines().OpenQueue(ctx)
	if err == nil {
		n.queue = n.metered(n.engine)
	}
	if errors.Is(err, pipeline.ErrNoQueue) {
		err = fmt.Errorf("%w: it held what was accepted and is in no Seal yet, and what waits to be captured. Put the newest copy of it back; if there is none, `holdfast init --new-queue` begins another and says what is lost", err)
	}
	return err
}

// queueLoss is what is known to be lost with a queue.
type queueLoss struct {
	queue    string        // the name of the new one
	captures []holdfast.ID // accepted, in no plan
}

// beginQueue makes a new queue where the old one is lost. Nobody seals or
// captures meanwhile. What it leaves to do (the lines of custody, and those that
// no Seal has) stands in node.json first, so a crash before the queue is made
// leaves a node that is refused as before, and one after it leaves the rest to
// whoever opens the node next.
func (c *cli) beginQueue(ctx context.Context, who func(holdfast.Agent) holdfast.Agent) error {
	if err := c.notHalfRestored(); err != nil {
		return err
	}
	set, err := nodedir.Read(c.data)
	if err == nil {
		err = set.URLs().Same(c.asked)
	}
	if err != nil {
		return err
	}
	n := &node{dir: c.data, set: set, log: c.log()}
	for _, lock := range []string{"preserve.lock", fileCollecting} {
		unlock, err := filelock.Wait(ctx, n.path(lock))
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := n.openKeys(ctx, c.vault()); err != nil {
		return err
	}
	if n.sharedQueue() {
		return n.adoptQueue(ctx, who)
	}
	err = n.openQueue(ctx)
	if err == nil {
		return errors.Join(errors.New("init --new-queue: queue.db is there: a new one would lose what only this one holds. If it is damaged, keep it, move it away and say this again"), n.queue.Close())
	}
	if !errors.Is(err, pipeline.ErrNoQueue) {
		return fmt.Errorf("init --new-queue: %w", err)
	}
	err = n.changeSettings(ctx, func(s *nodedir.Settings) error {
		s.Agent = who(s.Agent)
		s.Leave().Queue = true
		return nil
	})
	if err != nil {
		return err
	}
	// What is planned and not logged is finished by whoever seals next, from its
	// packs: with its queue gone, nobody else comes upon it.
	if err := wholefile.Replace(n.path(nodedir.FileCarry), nil, 0o600); err != nil {
		return err
	}
	if err := n.keepQueue(); err != nil {
		return err
	}
	return engineset.MakeQueueFile(ctx, n.engines().QueuePath())
}

// keepQueue moves away what is left of the old queue: SQLite would delete a -wal
// without its database, and it may hold the last messages.
func (n *node) keepQueue() error {
	path := n.engines().QueuePath()
	as := filepath.Join(filepath.Dir(path), "queue.lost-"+string(holdfast.NewID())[:8])
	for _, end := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+end, as+end); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("keep what is left of the queue: %w", err)
		}
	}
	return wholefile.SyncDir(filepath.Dir(path))
}

// tellQueue names in custody what the lost queue held, as far as the catalog
// knows it, and that another one has begun. Each line is written once, whatever
// crashes between. Then the catalog is made again: what is lost is in it no more.
func (n *node) tellQueue(ctx context.Context, begun bool) error {
	why := "the queue was lost before a Seal had taken what it held"
	if !begun {
		why = "an older copy of the queue was put back, which has it not, and no Seal had taken it"
		if q, ok := n.engine.(engineset.CopiedQueue); ok {
			if err := q.AgeTasks(ctx); err != nil {
				return err
			}
		}
	}
	if err := n.refresh(ctx); err != nil {
		return err
	}
	id, err := n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	loss := &queueLoss{queue: id.Queue}
	if len(id.Former) > 0 {
		loss.queue = id.Former[len(id.Former)-1]
	}
	planned, err := n.planned(ctx)
	if err != nil {
		return err
	}
	homes := map[holdfast.ID][]string{}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StatePending}) {
		if err != nil {
			return err
		}
		there, err := n.inQueue(ctx, cp)
		if err != nil {
			return err
		}
		if cp.Kind == holdfast.KindEvent || planned[cp.ID] || there || !n.sharedQueue() && !n.isMine(cp) {
			continue // a custody line was published again from its chain
		}
		loss.captures = append(loss.captures, cp.ID)
		homes[cp.Case] = append(homes[cp.Case], string(cp.ID))
	}
	for home, ids := range homes {
		if err := n.tellLost(ctx, home, ids, why, nil); err != nil {
			return err
		}
	}
	if !begun {
		n.log.WarnContext(ctx, "the queue is an older copy than what custody knows of it: what was accepted after it and is in no Seal is lost, and what was captured since may be captured again", "captures lost", len(loss.captures))
		return n.rejudge(ctx)
	}
	err = n.tellOnce(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "queue-begun", Agent: n.set.Agent, Objects: []string{loss.queue},
		Why: "the queue was lost: what was accepted and in no Seal yet is lost with it, and what waited to be captured"})
	if err != nil {
		return err
	}
	n.loss = loss
	n.log.WarnContext(ctx, "the queue was lost and another one has begun", "queue", loss.queue, "captures lost", len(loss.captures))
	return n.rejudge(ctx)
}

// inQueue reports whether the queue of now holds a capture.
func (n *node) inQueue(ctx context.Context, cp catalog.Capture) (bool, error) {
	at := pipeline.Place(cp.Position)
	ms, err := n.queue.Receive(ctx, pipeline.StageIndex, at.Partition(), at.Position()-1, pipeline.Bounds{Count: 1, NoWait: true})
	if errors.Is(err, pipeline.ErrStale) {
		return false, nil
	}
	return len(ms) > 0 && ms[0].ID == cp.ID, err
}

// tellLost names in custody what was accepted and comes into no Seal, each once,
// at most 100 in a line. x, which may be nil, goes with each line.
func (n *node) tellLost(ctx context.Context, home holdfast.ID, ids []string, why string, x []byte) error {
	told := map[string]bool{}
	err := n.outbox.Lines(home, func(raw []byte, _ holdfast.Head) error {
		l, err := holdfast.ParseLine(raw)
		if err == nil && l.Action == "lost" {
			for _, o := range l.Objects {
				told[o] = true
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	var open []string
	for _, id := range ids {
		if !told[id] {
			open = append(open, id)
		}
	}
	for len(open) > 0 {
		k := min(len(open), namesPerLine)
		if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "lost", Agent: n.set.Agent, Objects: open[:k], Why: why, X: x}); err != nil {
			return err
		}
		if n.meter != nil {
			n.meter.Lost(k)
		}
		open = open[k:]
	}
	return nil
}

// tellOnce writes a line of custody, unless a process that crashed has: one that
// says the same of the same.
func (n *node) tellOnce(ctx context.Context, e pipeline.Entry) error {
	told := errors.New("told")
	err := n.outbox.Lines(e.Case, func(raw []byte, _ holdfast.Head) error {
		l, err := holdfast.ParseLine(raw)
		if err == nil && l.Action == e.Action && slices.Equal(l.Objects, e.Objects) && bytes.Equal(l.X, e.X) {
			return told
		}
		return err
	})
	if errors.Is(err, told) {
		return nil
	}
	if err == nil {
		_, err = n.outbox.Append(ctx, e)
	}
	return err
}

// planned are the captures and Events that the store has plans for. Where a queue
// was lost, a plan counts only if it can be carried out without it: what its packs
// do not hold went with the queue.
func (n *node) planned(ctx context.Context) (map[holdfast.ID]bool, error) {
	var dead map[string]bool
	_, err := os.Lstat(n.path(nodedir.FileCarry))
	if err == nil || n.set.Open != nil && n.set.Open.Queue {
		if dead, err = plans.Dead(ctx, n.store); err != nil {
			return nil, err
		}
	}
	in := map[holdfast.ID]bool{}
	err = plans.Each(ctx, n.store, func(p *holdfast.Plan) error {
		for _, c := range p.Captures {
			if !dead[p.Seal] {
				in[c.ID] = true
			}
		}
		return nil
	})
	return in, err
}

// noteOlder writes down, before anything hides it, that an older copy of the queue
// was put back. What that leaves to do is done by finishOpen.
func (n *node) noteOlder(ctx context.Context) error {
	older, err := n.outbox.Older(ctx)
	if err != nil || !older {
		return err
	}
	if err := wholefile.Replace(n.path(nodedir.FileCarry), nil, 0o600); err != nil { // what only the newer one could have finished
		return err
	}
	n.set.Leave().Older = true
	return n.changeSettings(ctx, func(s *nodedir.Settings) error { s.Leave().Older = true; return nil })
}

// finishOpen does what a new log or queue has left to do, also for a process that
// was killed. Who opens the node meanwhile waits: until then a Case may have no
// chain to write to. Every step may be done twice.
func (n *node) finishOpen(ctx context.Context) error {
	if n.set.Open == nil {
		return nil
	}
	unlock, err := filelock.Wait(ctx, n.path("cases.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, err := nodedir.Read(n.dir)
	if err != nil || s.Open == nil {
		return err
	}
	if s.Open.Log {
		if err := n.beginChains(ctx); err != nil {
			return fmt.Errorf("begin the chains of the new log: %w", err)
		}
	}
	if s.Open.Queue || s.Open.Older {
		if err := n.tellQueue(ctx, s.Open.Queue); err != nil {
			return fmt.Errorf("say what was lost with the queue: %w", err)
		}
	}
	if s.Open.Tasks {
		if err := n.tellAdopted(ctx); err != nil {
			return fmt.Errorf("say that the queue's database was lost: %w", err)
		}
	}
	n.set.Open = nil
	return n.changeSettings(ctx, func(s *nodedir.Settings) error { s.Open = nil; return nil })
}

// sayLoss says on stderr, or as one object, what is lost; init alone does.
func (c *cli) sayLoss(l *queueLoss) {
	if l == nil {
		return
	}
	if c.json {
		c.say(map[string]any{"event": "queue-begun", "queue": l.queue, "lost": append([]holdfast.ID{}, l.captures...)}, "")
		return
	}
	fmt.Fprintf(c.errs, "holdfast: the queue %s begins. Lost with the old one: %d captures that were accepted and in no Seal yet, what else the catalog had not heard of, and everything that waited to be captured: ask for it again.\n", l.queue, len(l.captures))
	for _, id := range l.captures {
		fmt.Fprintf(c.errs, "holdfast: lost %s\n", messages.Visible(string(id)))
	}
}
