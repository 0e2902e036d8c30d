package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/collectors/telegram/accounts"
)

// watchRunners are the nodes of an office that run watches now. nil is a node with a queue
// of its own, whose one process runs all of them.
type watchRunners struct{ there map[string]aboutWatcher }

func (n *node) watchRunners(ctx context.Context) (*watchRunners, error) {
	if !n.sharedQueue() {
		return nil, nil
	}
	b, err := n.book(ctx)
	if err != nil {
		return nil, err
	}
	there, err := n.watchersNow(ctx, b.Watches())
	return &watchRunners{there}, err
}

// runner is the node that runs a watch now; "": none does.
func (r *watchRunners) runner(k *watch) string {
	if _, ok := r.there[k.by]; ok {
		return k.by
	}
	return ""
}

// pages says why a watch is looked at by its public pages; "": the service is asked.
func (r *watchRunners) pages(k *watch) string {
	if a := r.there[k.by]; a.Accounts == 0 {
		return a.Pages
	}
	return ""
}

// noWatcher is said where no node of the office runs watches.
const noWatcher = "no node of the office runs watches now: `holdfast watch run` on one that has an account for it"

// notRun says why nobody runs a watch; "": somebody does, or it is paused.
func (r *watchRunners) notRun(k *watch) string {
	if k.Paused != nil || r.runner(k) != "" {
		return ""
	}
	last := ""
	if k.by != "" {
		last = fmt.Sprintf("; the last was %s", k.by)
	}
	if len(r.there) == 0 {
		return noWatcher + last
	}
	var why []string
	for _, node := range slices.Sorted(maps.Keys(r.there)) {
		if text, unfit := r.there[node].Unfit[k.Source]; unfit {
			why = append(why, node+": "+text)
		}
	}
	if len(why) < len(r.there) {
		return "not taken up yet" + last
	}
	return "no node that is up can run it (" + strings.Join(why, "; ") + ")" + last
}

// unrun are the watches that nobody runs, in words of the first of them; "": none.
func (n *node) unrun(ctx context.Context) (string, error) {
	r, err := n.watchRunners(ctx)
	if r == nil || err != nil {
		return "", err
	}
	list, err := n.watches(ctx)
	if err != nil {
		return "", err
	}
	return r.unrun(list), nil
}

func (r *watchRunners) unrun(list []*watch) string {
	count, first := 0, ""
	for _, k := range list {
		if why := r.notRun(k); why != "" {
			if count++; count == 1 {
				first = fmt.Sprintf("%s: %s", k.Source, why)
			}
		}
	}
	switch count {
	case 0:
		return ""
	case 1:
		return "nobody runs " + first
	}
	return fmt.Sprintf("nobody runs %d of %d watches; %s", count, len(list), first)
}

// watchesStill is for /readyz: that nobody runs a watch makes no process less ready.
func (n *node) watchesStill(ctx context.Context) map[string]string {
	text, err := n.unrun(ctx)
	if err != nil || text == "" { // the catalog's own probe says that the database is away
		return nil
	}
	return map[string]string{"watches": text}
}

// watchNote is what who adds watches should know; channels: some of them are of
// channels, which accounts are needed for.
func (n *node) watchNote(ctx context.Context, channels bool) (string, error) {
	r, err := n.watchRunners(ctx)
	switch {
	case err != nil:
		return "", err
	case r == nil && channels:
		return n.withoutAccount(), nil
	case r == nil:
		return "", nil
	case len(r.there) == 0:
		return noWatcher + "; until then it is on the list, and not followed", nil
	case !channels:
		return "", nil
	}
	pages := ""
	for _, node := range slices.Sorted(maps.Keys(r.there)) {
		a := r.there[node]
		if a.Accounts > 0 {
			return "", nil
		}
		if pages == "" && a.Pages != "" {
			pages = node + ": " + a.Pages
		}
	}
	if pages == "" {
		return "no node that runs watches has an account: " + accounts.None, nil
	}
	conf, err := n.watchConf()
	return "no node that runs watches has an account that can ask (" + pages + "): " + conf.cannotFollow(), err
}

// standingIn says which node runs a watch, and how, where nodes share them.
func (r *watchRunners) standingIn(k *watch, s *standing) (pages string) {
	s.Shared, s.Node, s.NotRun = true, r.runner(k), r.notRun(k)
	return r.pages(k)
}

// officeRow adds it to what `watch list` says.
func (s standing) officeRow(row map[string]any) {
	if s.Shared {
		row["node"], row["not_run"] = s.Node, s.NotRun
	}
}

// cannotRead notes that a node could not read it with any of its accounts.
func (k *watch) cannotRead(node string, accounts []string) {
	if k.Cannot == nil {
		k.Cannot = map[string][]string{}
	}
	k.Cannot[node] = accounts
}

// readAgain forgets them: somebody has read it.
func (k *watch) readAgain(account string) {
	k.Cannot = nil
	k.Blind = slices.DeleteFunc(k.Blind, func(a string) bool { return a == account })
}
