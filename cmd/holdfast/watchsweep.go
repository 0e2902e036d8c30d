package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/schedule"
)

// Posts of one sweep: the service answers a hundred, of which two are the control.
const (
	sweepPosts    = 98
	sweepControls = 2
	sweepsATurn   = 10 // channels whose posts are looked at in one turn
	sweepLate     = 10 // a post waits a tenth of its age for others to be asked for with
)

// defaultPagePace is the pause between two visits of one host.
const defaultPagePace = 2 * time.Second

// defaultSweep is when a post is asked for again.
const defaultSweep = "1m 5m 15m 1h 6h 1d 7d 30d"

// watchConf is what a person may set for the runner.
type watchConf struct {
	Sweep catalog.Schedule

	Every, Pace time.Duration // of public pages: between two of a channel, of any

	Least, PagePace time.Duration // of pages that are visited: between two visits of one, between two of one host
}

func (n *node) watchConf() (c watchConf, err error) {
	conf, err := n.config()
	if err != nil {
		return c, err
	}
	said := conf.Telegram.Sweep
	if said == "" {
		said = defaultSweep
	}
	if c.Sweep, err = parseSweep(said); err != nil {
		return c, err
	}
	if c.Every, err = parsePause("telegram.web_every", conf.Telegram.WebEvery, defaultWebEvery, time.Second); err != nil {
		return c, err
	}
	if c.Pace, err = parsePause("telegram.web_pace", conf.Telegram.WebPace, defaultWebPace, 10*time.Millisecond); err != nil {
		return c, err
	}
	if c.Least, err = parsePause("web.least", conf.Web.Least, schedule.DefaultLeast, time.Second); err != nil {
		return c, err
	}
	c.PagePace, err = parsePause("web.pace", conf.Web.Pace, defaultPagePace, 10*time.Millisecond)
	return c, err
}

func parsePause(what, s string, usual, least time.Duration) (time.Duration, error) {
	if s == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > 30*24*time.Hour {
		return 0, fmt.Errorf("%s %.40q: a length of time of at least %s, as %s", what, s, least, usual)
	}
	return d, nil
}

// parseSweep reads "1m 5m 1d", ascending, or "none".
func parseSweep(s string) (out catalog.Schedule, err error) {
	if strings.TrimSpace(s) == "none" {
		return nil, nil
	}
	for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == ',' }) {
		d, derr := time.ParseDuration(f)
		if days, ok := strings.CutSuffix(f, "d"); ok {
			n, nerr := strconv.ParseFloat(days, 64)
			d, derr = time.Duration(n*24*float64(time.Hour)), nerr
		}
		if derr != nil || d < time.Second || d > 10*365*24*time.Hour || len(out) > 0 && d <= out[len(out)-1] || len(out) == 64 {
			return nil, fmt.Errorf("telegram.sweep %.100q: ages of a post, ascending, as %q, or none", s, defaultSweep)
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("telegram.sweep %.100q: ages of a post, ascending, as %q, or none", s, defaultSweep)
	}
	return out, nil
}

// sweeps adds one sweep for each channel that has posts due, where none is under
// way. Which are due follows from the catalog, so a crash forgets none.
func (w *watchRun) sweeps(ctx context.Context, now time.Time) error {
	if w.byPages {
		return w.pageSweeps(ctx, now)
	}
	if len(w.conf.Sweep) == 0 {
		return nil
	}
	var add []pipeline.Task
	asked := 0
	for _, k := range w.list {
		if asked == sweepsATurn {
			break
		}
		if k.channel == "" || k.sweeping || k.lost || k.Paused != nil || now.Before(k.sweepAt) || w.tell.behind(k.Source) {
			continue
		}
		asked++
		ids, next, err := w.n.dueOf(ctx, k.channel, w.conf.Sweep, now)
		if errors.Is(err, catalog.ErrRebuild) { // it is at work; the schedule waits
			k.sweepAt = now.Add(time.Minute)
			continue
		}
		if err != nil {
			return err
		}
		if k.sweepAt = next; len(ids) == 0 {
			continue
		}
		t, err := w.newTask(ctx, &k.watch, partSweep, holdfast.NewID(), map[string]any{"ids": ids})
		if err != nil {
			w.n.log.ErrorContext(ctx, "posts not asked for again now", "source", k.Source, "err", err)
			k.sweepAt = now.Add(lookNoMore)
			continue
		}
		k.sweeping, add = true, append(add, t)
	}
	return w.addTasks(ctx, add)
}

// dueOf returns which posts of a channel are to be asked for, with the control, and
// when to look again.
func (n *node) dueOf(ctx context.Context, channel string, s catalog.Schedule, now time.Time) (ids []int64, next time.Time, err error) {
	longest := s[len(s)-1]
	since := holdfast.At(now.Add(-longest - longest/sweepLate - 24*time.Hour))
	var looks []catalog.Look
	for l, err := range n.cat.Looks(ctx, channel, since) {
		if err != nil {
			return nil, next, err
		}
		looks = append(looks, l)
	}
	ids, next = pickDue(looks, s, now)
	return ids, next, nil
}

// pickDue picks the posts that are due, the newest first. They are asked for when
// the first of them has waited a tenth of its age, so that one question serves many.
// The control is posts that were there when they were last heard of.
func pickDue(looks []catalog.Look, s catalog.Schedule, now time.Time) (ids []int64, next time.Time) {
	var control []int64
	next, begin := now.Add(lookNoMore), false
	for _, l := range looks {
		at, again := s.Next(l)
		ready := at.Add(at.Sub(l.Posted.Time) / sweepLate)
		switch {
		case again && !at.After(now):
			begin = begin || !ready.After(now)
			if len(ids) < sweepPosts {
				ids = append(ids, l.ID)
			}
		case l.Kind == catalog.Seen && len(control) < sweepControls:
			control = append(control, l.ID)
		}
		if again && ready.After(now) && ready.Before(next) {
			next = ready
		}
	}
	if !begin {
		return nil, next
	}
	return append(ids, control...), next
}
