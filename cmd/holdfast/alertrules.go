package main

import (
	"context"
	"fmt"

	"holdfast/alert"
	"holdfast/alert/rules"
	"holdfast/egress"
	"holdfast/kept"
	"holdfast/wholefile"
)

// Files of alerts in the node's directory. What waits to be told lies in alerts.db.
const (
	fileAlerts = rules.FileName
	alertsDB   = "alerts.db"
	alertsLock = "alerts.lock" // of who finds and tells; of an office, who tells

	alertRulesLock = "alertrules.lock"
)

// alerts reads the rules; a node without a file has none.
func (n *node) alerts(ctx context.Context) ([]*rules.Rule, error) {
	if n.sharedQueue() {
		return n.officeAlerts(ctx)
	}
	return rules.Read(n.path(fileAlerts))
}

// changeAlerts edits the rules under their lock. A crash leaves the old or the new.
func (n *node) changeAlerts(ctx context.Context, edit func([]*rules.Rule) ([]*rules.Rule, error)) error {
	unlock, err := n.officeLock(ctx, alertRulesLock)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := n.alerts(ctx)
	if err != nil {
		return err
	}
	if all, err = edit(all); err != nil || n.sharedQueue() { // of an office edit has done it
		return err
	}
	if len(all) > rules.Max {
		return fmt.Errorf("%d alerts: one node has %d at most", len(all), rules.Max)
	}
	b, err := rules.Encode(all)
	if err != nil {
		return err
	}
	return wholefile.Replace(n.path(fileAlerts), b, 0o600)
}

// newFinder looks for what rules are about, with the catalog and the store of the node.
func newFinder(n *node, all []*rules.Rule) *rules.Finder {
	return rules.NewFinder(rules.Options{Rules: all, Posts: n.cat, Captures: n.cat, Texts: kept.NewTexts(n.kept()), Node: n.set.Name, Training: n.set.Training, Log: n.log})
}

// target is a destination with its secrets and its way out, each time anew. What was
// to go through an egress that is gone goes no other way; where nobody said anything
// the node's own egress counts, whichever it is by then.
func (n *node) target(r *rules.Rule, to string) (alert.Target, error) {
	t, err := r.Target(to)
	if err != nil {
		return t, err
	}
	if err := rules.Here(to); err != nil {
		return t, err
	}
	way := r.Via
	if way == "" {
		way = n.set.Via
	}
	via, err := n.via(way)
	if err == nil && via != nil {
		t.Dial, err = egress.Dial(via)
	}
	return t, err
}
