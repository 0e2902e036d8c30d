package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/scope"
)

// canaryOptions are the flags of `watch canary`.
type canaryOptions struct {
	caseName, account string
	rounds            int
	every, within     time.Duration
}

func (c *cli) watchCanaryCmd() *cobra.Command {
	var o canaryOptions
	cmd := command("canary SOURCE [--case NAME] [--account NAME] [--rounds N] [--every D] [--within D]", "Write in a channel of one's own, and measure what is seen of it", "holdfast watch canary telegram:@own --rounds 5", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			switch {
			case o.rounds < 1 || o.rounds > 1000:
				return usageError("--rounds %d: 1 to 1000", o.rounds)
			case o.every < 0 || o.every > 24*time.Hour:
				return usageError("--every %s: up to 24h", o.every)
			case o.within < time.Second || o.within > time.Hour:
				return usageError("--within %s: 1s to 1h", o.within)
			}
			name, err := telegram.ParseName(args[0])
			if err == nil && name.Post > 0 {
				err = errors.New("that is one post: name the channel")
			}
			if err != nil {
				return usageError("watch canary: %w", err)
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if _, err := n.sealSigner(cmd.Context()); err != nil { // what could not be sealed is not done
				return err
			}
			return c.watchCanary(cmd.Context(), n, name, o)
		})
	cmd.Long = `Posts a post with a random word in it, edits it and deletes it again, in a channel of
the office's own that 'watch run' follows, and looks for what was accepted and sealed
of each of the three: how many were seen, and how long it took from the service's
answer until then. It is the only command that writes anything anywhere, so:
  - the channel must be watched, and 'watch run' be at work;
  - a Case must say that it may be: 'holdfast case edit NAME --canary telegram:@own'
    (the home of the watch, or --case), and its period and egress hold;
  - it has an account of its own, 'holdfast telegram login --canary', an administrator
    of that channel; never one that reads.
Each act is a line of custody before it is done, and what was measured is one after
it. A run that was stopped leaves a post at most: the next one looks for it and
deletes it. 'watch list' and 'watch run' show the last result, doctor too.

exit status: 0 all was seen  1 could not, or something was not seen within --within  2 usage, nothing was written`
	f := cmd.Flags()
	f.StringVar(&o.caseName, "case", "", "the Case that lets it write, and that has the lines of custody (default: the first of the watch)")
	f.StringVar(&o.account, "account", "", "the canary's account, where it has several")
	f.IntVar(&o.rounds, "rounds", 1, "how often")
	f.DurationVar(&o.every, "every", 0, "from the begin of one round to that of the next")
	f.DurationVar(&o.within, "within", time.Minute, "how long each act is waited for")
	return cmd
}

// canaryPlace is where a canary may write, and who says so.
type canaryPlace struct {
	source  holdfast.Source
	channel string
	id      int64
	home    holdfast.ID   // the Case that lets it
	cases   []holdfast.ID // that may have lines of it
}

// canaryPlace holds a channel against all that must be so before a byte is written
// in it.
func (n *node) canaryPlace(ctx context.Context, name telegram.Name, caseName string) (p canaryPlace, err error) {
	p.source = holdfast.Source(name.Source())
	list, err := n.watches(ctx)
	if err != nil {
		return p, err
	}
	w := findWatch(list, p.source)
	if w == nil || w.Paused != nil {
		return p, usageError("%s is not watched now, so nobody could see what is written there: `holdfast watch add %s`", p.source, p.source)
	}
	p.home, p.cases = w.home(), w.Cases
	if caseName != "" {
		cs, err := n.findCase(ctx, caseName)
		if err != nil {
			return p, &exitError{exitUsage, err}
		}
		p.home = cs.ID
	}
	if !slices.Contains(p.cases, p.home) {
		p.cases = append(slices.Clone(p.cases), p.home)
	}
	if err := n.canaryAllowed(ctx, p); err != nil {
		return p, err
	}
	if p.channel, err = n.channelOf(ctx, p.source); err != nil {
		return p, err
	}
	if _, err := fmt.Sscan(p.channel, &p.id); err != nil || p.id <= 0 {
		return p, fmt.Errorf("which channel %s is, no answer has said yet: let `holdfast watch run` work first", p.source)
	}
	nobody, err := n.nobodyWatches()
	runners, rerr := n.watchRunners(ctx)
	if err = errors.Join(err, rerr); err == nil && (nobody || runners != nil && runners.runner(w) == "") {
		err = errors.New("nobody runs the watches of this node, so nothing would be seen: `holdfast watch run` first; nothing was written")
	}
	return p, err
}

// canaryAllowed says whether the Case lets posts be written there, now.
func (n *node) canaryAllowed(ctx context.Context, p canaryPlace) error {
	cs, err := n.findCase(ctx, string(p.home))
	if err != nil {
		return err
	}
	if !slices.Contains(cs.Record.Canary, string(p.source)) {
		return usageError("case %.80q does not say that posts may be written in %s: `holdfast case edit %s --canary %s` says so; nothing was written", cs.Name, p.source, p.home, p.source)
	}
	if why := scope.Period(cs.Record, time.Now()); why != "" {
		return usageError("case %.80q: %s; nothing was written", cs.Name, why)
	}
	return nil
}

// watchCanary does the rounds over one connection. What ends it ends it behind a
// deletion, where one is needed and can be had.
func (c *cli) watchCanary(ctx context.Context, n *node, name telegram.Name, o canaryOptions) error {
	p, err := n.canaryPlace(ctx, name, o.caseName)
	if err != nil {
		return err
	}
	via, err := n.demandedEgress(ctx, p.home)
	if err != nil {
		return err
	}
	opts, err := n.telegramWay(via)
	if err != nil {
		return err
	}
	alone, err := filelock.Try(n.path("canary.lock"))
	if alone == nil && err == nil {
		err = errors.New("another canary of this node is at work")
	}
	if err != nil {
		return err
	}
	defer alone()
	a, unlock, err := n.canaryAccount(o.account, opts)
	if err != nil {
		return err
	}
	defer unlock()
	x := &canaryRun{c: c, n: n, canaryPlace: p, account: a.Name, within: o.within}
	line, stop := context.WithCancel(context.WithoutCancel(ctx)) // a post is deleted when somebody stops it
	defer stop()
	quit := context.AfterFunc(ctx, stop) // before there is one
	err = opts.RunCanary(line, *a, name, p.id, func(line context.Context, t *telegram.Canary) error {
		if !quit() {
			return context.Cause(ctx)
		}
		return x.rounds(ctx, line, t, o)
	})
	if err = n.accounts.Judged(ctx, a.Name, err); err != nil {
		return err
	}
	if m := x.last.Missed; len(m) > 0 {
		return fmt.Errorf("%s: %s", p.source, messages.Visible(x.last.finding()))
	}
	return nil
}
