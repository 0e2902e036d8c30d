package main

import (
	"context"
	"errors"
	"sort"
	"time"

	"holdfast/alert"
	"holdfast/alert/rules"
	"holdfast/cmd/internal/seams"
	"holdfast/messages"
	"holdfast/pipeline"
)

// alertEvery is how long the stage rests.
const alertEvery = 2 * time.Second

// alertBatch is how many messages are looked at before their events are durable.
const alertBatch = 256

type alertPassed struct {
	found        int64
	told, failed int
}

// alertLoop looks and tells until ctx ends. What goes wrong is told on the log: alerts
// hold up nothing.
func (n *node) alertLoop(ctx context.Context) error {
	if n.sharedQueue() {
		return n.officeAlertLoop(ctx)
	}
	return n.tellAlerts(ctx)
}

func (n *node) tellAlerts(ctx context.Context) error {
	for {
		if _, err := n.alertPass(ctx, false); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "alerts were not looked for", "err", err)
		}
		if over, err := n.alertPause(ctx); over {
			return err
		}
	}
}

// alertPass looks at what was accepted since the last look, and tells what is due; with
// now also what waits after a failure. Where another process is at it, it does nothing,
// but with now it waits for it.
func (n *node) alertPass(ctx context.Context, now bool) (p alertPassed, err error) {
	all, err := n.alerts(ctx)
	if err != nil {
		return p, err
	}
	started, err := n.queue.Started(ctx, pipeline.StageAlerts)
	if err != nil || len(all) == 0 && !started {
		return p, err
	}
	unlock, err := n.alertLock(ctx, now)
	if err != nil || unlock == nil {
		return p, err
	}
	defer unlock()
	if len(all) == 0 {
		return p, n.endAlerts(ctx)
	}
	if !started { // a queue that was begun anew
		if err := n.queue.Start(ctx, pipeline.StageAlerts); err != nil {
			return p, err
		}
	}
	out, err := n.alertBox(ctx)
	if err != nil {
		return p, err
	}
	defer out.Close()
	if p.found, err = n.findAlerts(ctx, newFinder(n, all), out, now); err != nil {
		return p, err
	}
	for _, r := range all {
		for _, to := range r.To {
			if n.isStopping() {
				return p, nil
			}
			told, err := n.tell(ctx, out, r, to, now)
			if err != nil {
				return p, err
			}
			if p.told += max(told, 0); told < 0 {
				p.failed++
			}
		}
	}
	return p, nil
}

func (n *node) alertLock(ctx context.Context, wait bool) (func(), error) {
	if wait {
		return n.officeLock(ctx, alertsLock)
	}
	return n.tryOfficeLock(ctx, alertsLock)
}

// endAlerts lets the queue free what only alerts waited for. The rules are read under
// their lock, so that none is added meanwhile.
func (n *node) endAlerts(ctx context.Context) error {
	unlock, err := n.officeLock(ctx, alertRulesLock)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := n.alerts(ctx)
	if err != nil || len(all) > 0 {
		return err
	}
	return n.queue.Finish(ctx, pipeline.StageAlerts)
}

// findAlerts looks at the messages that the index has seen: so what is asked of the
// catalog about them is there. Events are durable before the stage moves; a crash in
// between finds them again, under the same IDs.
func (n *node) findAlerts(ctx context.Context, f *rules.Finder, out rules.Box, now bool) (found int64, err error) {
	switch {
	case !n.sharedQueue():
		found, err = n.findHere(ctx, f, out)
	case now:
		err = n.alertsFound(ctx)
	}
	if err != nil {
		return found, err
	}
	silent, err := f.Silent(ctx, time.Now())
	if err != nil {
		return found, err
	}
	k, err := f.Add(ctx, out, silent)
	return found + k, err
}

// findHere looks through the node's own queue.
func (n *node) findHere(ctx context.Context, f *rules.Finder, out rules.Box) (found int64, err error) {
	if err := n.refresh(ctx); err != nil {
		return 0, err
	}
	for more := true; more; {
		var k int64
		if k, more, err = n.findBatch(ctx, f, out, 0); err != nil {
			return found, err
		}
		found += k
	}
	return found, nil
}

func (n *node) findBatch(ctx context.Context, f *rules.Finder, out rules.Box, partition int) (found int64, more bool, err error) {
	from, err := n.queue.Position(ctx, pipeline.StageAlerts, partition)
	if err != nil {
		return 0, false, err
	}
	indexed, err := n.queue.Position(ctx, pipeline.StageIndex, partition)
	if err != nil || indexed <= from {
		return 0, false, err
	}
	ms, err := n.queue.Receive(ctx, pipeline.StageAlerts, partition, from, pipeline.Bounds{Count: int(min(alertBatch, indexed-from)), NoWait: true})
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrStale) { // an older program, which knows no alerts, has freed them
		to := n.firstKept(ctx, partition, from, indexed)
		n.log.ErrorContext(ctx, "messages are gone that alerts have not seen: what they hold is not told", "from", from+1, "to", to, "err", err)
		return 0, true, n.queue.Advance(ctx, pipeline.Ack{Stage: pipeline.StageAlerts, Partition: partition, From: from, To: to})
	}
	if err != nil || len(ms) == 0 {
		return 0, false, err
	}
	items := make([]pipeline.Item, 0, len(ms))
	for _, m := range ms {
		if it, err := m.Item(); err == nil { // else the index has said so
			items = append(items, it)
		}
	}
	f.Found() // of a batch that failed
	if err := seams.Accepted(ctx, items, f, n.store, n.log); err != nil {
		return 0, false, err
	}
	if found, err = f.Add(ctx, out, f.Found()); err != nil {
		return 0, false, err
	}
	err = n.queue.Advance(ctx, pipeline.Ack{Stage: pipeline.StageAlerts, Partition: partition, From: from, To: from + int64(len(ms))})
	if errors.Is(err, pipeline.ErrStale) {
		err = nil
	}
	return found, true, err
}

// firstKept is the position before the first message that is still there: what is freed
// is freed from the front.
func (n *node) firstKept(ctx context.Context, partition int, from, to int64) int64 {
	return from + int64(sort.Search(int(to-from), func(k int) bool {
		_, err := n.queue.Receive(ctx, pipeline.StageAlerts, partition, from+int64(k), pipeline.Bounds{Count: 1, NoWait: true})
		return err == nil
	}))
}

// tell makes one attempt at one destination. It returns how many events it has taken;
// -1: it failed, which is noted.
func (n *node) tell(ctx context.Context, out alertTeller, r *rules.Rule, to string, now bool) (int, error) {
	at := time.Now()
	if now {
		at = at.Add(24 * time.Hour) // whatever is waited for is over
	}
	due, err := out.Due(ctx, r.Name, to, at)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	last, err := out.Last(ctx, r.Name, to, alert.MaxBatch)
	if err != nil {
		return 0, err
	}
	t, err := n.target(r, to)
	if office, ok := out.(unableTeller); ok && err != nil {
		return n.cannotTell(ctx, office, r.Name, to, due[0].At, err)
	}
	if err == nil {
		err = t.Tell(ctx, alert.NewBatch(due), last)
	}
	if err != nil && ctx.Err() != nil {
		return 0, ctx.Err() // stopped, not failed
	}
	if err != nil {
		n.log.WarnContext(ctx, "an alert was not told; it is tried again", "alert", r.Name, "to", messages.Visible(to), "err", err)
		return -1, out.Failed(ctx, r.Name, to, err, time.Now())
	}
	return len(due), out.Told(ctx, r.Name, to, due, time.Now())
}
