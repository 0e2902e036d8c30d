package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/alert/rules"
	officedb "holdfast/office"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// Alerts of nodes that share a queue. What is looked for is looked for once: the stage
// has a position in each partition, and a partition is given to one process of `node
// index` or `node all`. What is found lies in the office's database under an ID that
// follows from rule and facts, so what a second process finds again, after a kill or a
// change of partitions, is no second event. One process at a time tells; where it is
// killed before it has noted that, the next one tells the same IDs again.

// officeAlerts reads the rules of all nodes.
func (n *node) officeAlerts(ctx context.Context) (all []*rules.Rule, err error) {
	b, err := n.book(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := b.List(ctx, officedb.RulePrefix, "", rules.Max+1)
	if err != nil {
		return nil, err
	}
	for _, d := range rows {
		r := new(rules.Rule)
		if err := wholefile.DecodeJSON(d.Name, d.Body, r); err != nil {
			return nil, fmt.Errorf("%w; was it added by a newer holdfast?", err)
		}
		if r.Kind() == "" || len(r.To) == 0 || officedb.RulePrefix+r.Name != d.Name {
			return nil, fmt.Errorf("read %s: an alert about nothing, or to nobody: somebody has changed it", d.Name)
		}
		all = append(all, r)
	}
	return all, nil
}

// alertFile are the rules as alerts.json has them, for who restores a node without the
// office.
func (n *node) alertFile(ctx context.Context) ([]byte, error) {
	all, err := n.alerts(ctx)
	if err != nil {
		return nil, err
	}
	return rules.Encode(all)
}

func (n *node) keepOfficeAlert(ctx context.Context, r *rules.Rule) error {
	b, err := n.book(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.Create(ctx, officedb.RulePrefix+r.Name, body)
}

// addAlert begins an alert. From the start of the stage on the queue keeps what is
// accepted until it was looked at. A crash behind that leaves a stage without rules,
// which whoever works next ends.
func (n *node) addAlert(ctx context.Context, r *rules.Rule) error {
	return n.changeAlerts(ctx, func(all []*rules.Rule) ([]*rules.Rule, error) {
		if slices.ContainsFunc(all, func(o *rules.Rule) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("alert: there is one called %s: `holdfast alert remove %s` first, or take another name", r.Name, r.Name)
		}
		if len(all) >= rules.Max {
			return nil, fmt.Errorf("alert: there are %d, which is the most: remove one first", rules.Max)
		}
		if err := n.queue.Start(ctx, pipeline.StageAlerts); err != nil {
			return nil, err
		}
		if n.sharedQueue() {
			return nil, n.keepOfficeAlert(ctx, r)
		}
		return append(all, r), nil
	})
}

// removeAlert ends one, when nobody tells it.
func (n *node) removeAlert(ctx context.Context, name string) error {
	unlock, err := n.officeLock(ctx, alertsLock)
	if err != nil {
		return err
	}
	defer unlock()
	err = n.changeAlerts(ctx, func(all []*rules.Rule) ([]*rules.Rule, error) {
		rest := slices.DeleteFunc(slices.Clone(all), func(r *rules.Rule) bool { return r.Name == name })
		if len(rest) == len(all) {
			return nil, fmt.Errorf("alert: there is none called %.60q; `holdfast alert list` shows them", name)
		}
		return rest, nil
	})
	if err != nil {
		return err
	}
	out, err := n.alertBox(ctx)
	if err != nil {
		return err
	}
	defer out.Close()
	return out.Drop(ctx, name) // of an office: the rule too, at once with what waits for it
}

// officeAlertLoop looks and tells, beside the other processes that do.
func (n *node) officeAlertLoop(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.shareAlerts(ctx) })
	g.Go(func() error { return n.tellAlerts(ctx) })
	return g.Wait()
}

// shareAlerts takes part in the stage while it is there.
func (n *node) shareAlerts(ctx context.Context) error {
	for {
		started, err := n.queue.Started(ctx, pipeline.StageAlerts)
		if err == nil && started {
			err = n.share(ctx, pipeline.StageAlerts, n.lookForAlerts)
		}
		if err != nil && ctx.Err() == nil {
			return err // begun again, and until then the process is not ready
		}
		if over, err := n.alertPause(ctx); over {
			return err
		}
	}
}

// lookForAlerts looks through one partition until it is taken away, and returns nil when
// the stage has ended.
func (n *node) lookForAlerts(ctx context.Context, partition int) error {
	out, err := n.alertBox(ctx)
	if err != nil {
		return err
	}
	defer out.Close()
	for {
		started, err := n.queue.Started(ctx, pipeline.StageAlerts)
		if err != nil || !started {
			return err
		}
		all, err := n.alerts(ctx)
		if err != nil {
			return err
		}
		f := newFinder(n, all)
		for more := len(all) > 0; more; { // without rules the stage is about to end
			if _, more, err = n.findBatch(ctx, f, out, partition); err != nil {
				return err
			}
			more = more && !n.isStopping()
		}
		if over, err := n.alertPause(ctx); over {
			return err
		}
	}
}

// alertPause waits for the next look; over where there is none.
func (n *node) alertPause(ctx context.Context) (over bool, err error) {
	select {
	case <-ctx.Done():
		return true, context.Cause(ctx)
	case <-n.stopping:
		return true, nil
	case <-time.After(alertEvery):
		return false, nil
	}
}

// alertsFound waits until the processes that look have seen all that was accepted before
// it was called.
func (n *node) alertsFound(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	id, err := n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	err = n.reached(ctx, pipeline.StageAlerts, id.Partitions, catchUpTime)
	if behind := (errBehind{}); errors.As(err, &behind) {
		return fmt.Errorf("alert: %d messages are not looked at yet, and nothing happens: is `holdfast node index` at work?", behind.left)
	}
	return err
}

// lateAlert is how long an event waits for a node that can tell it before one that cannot
// says so.
const lateAlert = 2 * time.Minute

// cannotTell notes that this node lacks what it needs to tell a destination, once others
// have had the time to do it.
func (n *node) cannotTell(ctx context.Context, out unableTeller, rule, to, found string, why error) (int, error) {
	at, err := time.Parse(time.RFC3339, found)
	if err == nil && time.Since(at) < lateAlert {
		return 0, nil
	}
	n.log.WarnContext(ctx, "this node cannot tell an alert", "alert", rule, "err", why)
	return -1, out.Unable(ctx, rule, to, fmt.Errorf("node %s cannot: %w", n.set.Name, why), time.Now())
}
