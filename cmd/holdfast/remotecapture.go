package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/api"
	"holdfast/catalog"
	"holdfast/collectors"
)

// Pauses and bounds of follower asks.
const (
	followWait = 20 * time.Second // that one call waits for a change
	followMany = time.Second      // between two rounds of looks, for each of several asks: each look is a line of custody there
	followMost = 10 * time.Minute // at most
	lastLook   = 3 * time.Second  // for the last one, after Ctrl-C
)

// follower is what is known of the asks of a call.
type follower struct {
	c      *cli
	k      *api.Client
	asks   []*followedAsk
	retry  bool
	sealed map[holdfast.ID]bool
	told   map[holdfast.ID]bool
	due    map[holdfast.ID]holdfast.Time // of Tasks, as told
}

type followedAsk struct {
	api.Asked
	tag   string
	quiet bool // nothing of it can go on before a person has seen to it
}

func (c *cli) captureRemote(cmd *cobra.Command, r remote, sources []holdfast.Source, o captureOptions) error {
	if strings.Contains(o.via, "://") {
		return usageError("--via: with --server it is the name of an egress of the node's, or direct")
	}
	for flag, d := range map[string]time.Duration{"timeout": o.timeout, "retry-for": o.retryFor} {
		if d%time.Second != 0 {
			return usageError("--%s %s: whole seconds, with --server", flag, d)
		}
	}
	k, err := r.client()
	if err != nil {
		return err
	}
	f := &follower{c: c, k: k, retry: o.retryFor > 0 || o.resume, sealed: map[holdfast.ID]bool{}, told: map[holdfast.ID]bool{}, due: map[holdfast.ID]holdfast.Time{}}
	ctx := cmd.Context()
	if o.resume {
		open, err := k.Open(ctx)
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		for _, a := range open {
			f.asks = append(f.asks, &followedAsk{Asked: a})
		}
	}
	err = f.ask(ctx, sources, o)
	if p := (*api.Problem)(nil); errors.As(err, &p) && p.Status < 500 && len(f.asks) == 0 {
		return &exitError{exitUsage, fmt.Errorf("capture: %w", err)} // nothing was accepted
	}
	if len(f.asks) == 0 {
		if err != nil {
			return fmt.Errorf("capture: %w; %s", err, f.goOn())
		}
		c.say(map[string]any{"event": "nothing-waits"}, "nothing waits to be captured")
		return nil
	}
	return f.finish(ctx, o, err)
}

// ask sends what is wanted, so many Sources at a time.
func (f *follower) ask(ctx context.Context, sources []holdfast.Source, o captureOptions) error {
	key, n := holdfast.NewID(), 0
	for some := range slices.Chunk(sources, api.MaxSources) {
		a := api.Ask{Case: o.caseName, Note: o.note, Reason: o.reason, Via: o.via, Timeout: int(o.timeout / time.Second), RetryFor: int(o.retryFor / time.Second), AllowPrivate: o.allowPrivate, Session: o.session, Decoded: o.decoded}
		if said, err := o.page.options(false); err == nil && said != nil { // an older node knows nothing of them
			a.Consent, a.More, a.Films = o.page.Consent, o.page.More, o.page.Films
		}
		for _, s := range some {
			a.Sources = append(a.Sources, string(s))
		}
		if slices.ContainsFunc(some, isTelegram) {
			t := o.telegram
			a.Telegram = &api.Telegram{Since: t.since, Limit: t.limit, Media: t.media, MaxSize: t.maxSize, Stories: t.stories, Comments: t.comments, OldestFirst: t.oldest, Links: t.links, Web: t.web}
		}
		n++
		asked, err := f.k.Ask(ctx, fmt.Sprintf("%s-%d", key, n), a)
		if err != nil {
			return err
		}
		f.asks = append(f.asks, &followedAsk{Asked: asked})
		for _, note := range asked.Notes {
			f.c.complain(errors.New(note))
		}
	}
	return nil
}

// finish follows the asks to their end, takes the bundle, and says how it went.
func (f *follower) finish(ctx context.Context, o captureOptions, failed error) error {
	err := f.follow(ctx, func() bool { return f.collected() }, time.Time{})
	if err == nil {
		err = f.follow(ctx, func() bool { return len(f.open()) == 0 }, time.Now().Add(o.wait))
	}
	if ctx.Err() != nil {
		err = nil // stopped: what waits is told below
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		_ = f.look(last, 0) // what is not known stays as it was told
		stop()
	}
	failed = errors.Join(failed, err, f.left(ctx))
	if o.export != "" && len(f.captures()) > 0 {
		failed = errors.Join(failed, f.export(ctx, o))
	}
	return f.verdict(failed)
}

// follow looks until it is done, or until the time is over; zero is without end.
func (f *follower) follow(ctx context.Context, done func() bool, until time.Time) error {
	f.tell()
	for !done() && ctx.Err() == nil {
		wait, pause := followWait, time.Duration(0)
		if len(f.asks) > 1 {
			wait, pause = 0, min(time.Duration(len(f.asks))*followMany, followMost)
		}
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return nil
			}
			wait, pause = min(wait, left.Truncate(time.Second)+time.Second), min(pause, left)
		}
		if err := f.look(ctx, wait); err != nil {
			return err
		}
		if done() {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// look asks about each ask that may have changed, and tells what is new.
func (f *follower) look(ctx context.Context, wait time.Duration) error {
	for _, k := range f.asks {
		if k.Done && !slices.ContainsFunc(k.Captures, func(c api.Capture) bool { return c.State != catalog.Sealed }) {
			continue
		}
		a, tag, fresh, err := f.k.Asked(ctx, k.ID, k.tag, wait)
		if err != nil {
			return err
		}
		if k.tag = tag; fresh {
			k.Asked = a
			f.tell()
		}
	}
	return nil
}

// tell says what was not said yet, in the words of the command on the node's machine.
func (f *follower) tell() {
	for _, k := range f.asks {
		for _, row := range k.Captures {
			g := f.of(row)
			if !f.told[row.ID] {
				f.told[row.ID] = true
				f.c.sayAccepted(g)
			}
			if row.State == catalog.Sealed && !f.sealed[row.ID] {
				f.sealed[row.ID] = true
				if cp, err := rowOf(row); err == nil {
					f.c.sayIsSealed(cp)
				}
			}
		}
		k.quiet = !k.Done
		for _, t := range k.Tasks {
			if t.State != api.TaskGone && t.Why == "" {
				k.quiet = false
			}
			if t.State == api.TaskDue && t.Attempts > 0 && t.Due != nil && f.due[t.ID] != *t.Due {
				f.due[t.ID] = *t.Due
				f.c.sayWaits(captured{source: t.Source, attempt: uint32(t.Attempts - 1), due: t.Due.Time})
			}
		}
	}
}

func (f *follower) of(row api.Capture) captured {
	return captured{id: row.ID, source: row.Source, outcome: collectors.Outcome(row.Outcome), reasons: row.Reasons, outside: row.Outside, done: true}
}

// collected: nothing of it can become a capture now without a person.
func (f *follower) collected() bool {
	return !slices.ContainsFunc(f.asks, func(k *followedAsk) bool { return !k.Done && !k.quiet })
}

func (f *follower) captures() (all []api.Capture) {
	for _, k := range f.asks {
		all = append(all, k.Captures...)
	}
	return all
}

// open are those that are less than sealed.
func (f *follower) open() (open []api.Capture) {
	return slices.DeleteFunc(f.captures(), func(c api.Capture) bool { return c.State == catalog.Sealed })
}

// left says what has not become a capture, and why.
func (f *follower) left(ctx context.Context) error {
	waits, why, given := 0, "", error(nil)
	for _, k := range f.asks {
		for _, t := range k.Tasks {
			there := slices.ContainsFunc(k.Captures, func(c api.Capture) bool { return c.Source == t.Source })
			switch {
			case t.State != api.TaskGone:
				waits++
				why = t.Why
			case !there && t.Why != "":
				given = fmt.Errorf("capture %s: given up: %s", t.Source, t.Why)
			case !there:
				given = fmt.Errorf("capture %s: given up, and the custody of its case says why", t.Source)
			}
		}
	}
	switch {
	case waits > 0 && ctx.Err() != nil:
		return errors.Join(given, fmt.Errorf("stopped; %d captures wait at the node: %s", waits, f.goOn()))
	case waits > 0 && why != "":
		return errors.Join(given, fmt.Errorf("%s; %d captures wait at the node: %s", why, waits, f.goOn()))
	case waits > 0:
		return errors.Join(given, fmt.Errorf("%d captures wait at the node: %s", waits, f.goOn()))
	}
	return given
}

func (f *follower) goOn() string {
	return "`holdfast capture --resume --server " + f.k.Server() + "` shows what becomes of them"
}

func (f *follower) export(ctx context.Context, o captureOptions) error {
	a := api.BundleAsk{Lang: o.lang}
	for _, row := range f.captures() {
		a.Captures = append(a.Captures, row.ID)
	}
	if len(a.Captures) > api.MaxExport {
		return fmt.Errorf("%d captures are more than one bundle is asked for by id: `holdfast export --case NAME FILE --server URL` takes the case", len(a.Captures))
	}
	if ctx.Err() == nil {
		err := f.c.takeBundle(ctx, f.k, a, "", o.export, false)
		if err == nil || ctx.Err() == nil {
			return err
		}
	}
	return fmt.Errorf("stopped before the bundle was there: `holdfast export ID… %s --server %s` takes it", o.export, f.k.Server())
}

// verdict turns what happened into the exit code, as captureVerdict does.
func (f *follower) verdict(err error) error {
	all, open := f.captures(), f.open()
	if len(all) == 0 && err != nil {
		return &exitError{exitUsage, err}
	}
	if len(open) > 0 {
		why := open[0].Reason
		return &exitError{exitUnsealed, errors.Join(err, fmt.Errorf("%d of %d captures are not sealed yet: %s; the node goes on, and `holdfast list --server %s` shows it", len(open), len(all), why, f.k.Server()))}
	}
	if err != nil {
		return err
	}
	last := map[holdfast.Source]api.Capture{}
	for _, row := range all {
		if !f.retry && row.Outcome == string(collectors.Failed) {
			return f.failed(row)
		}
		last[row.Source] = row
	}
	for _, row := range last {
		if row.Outcome == string(collectors.Failed) {
			return f.failed(row)
		}
	}
	return nil
}

func (f *follower) failed(row api.Capture) error {
	return &exitError{exitCould, fmt.Errorf("capture %s of %s failed, and was sealed as such: %s", row.ID, row.Source, strings.Join(row.Reasons, "; "))}
}
