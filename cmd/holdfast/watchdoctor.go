package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/cmd/internal/doctor"
	"holdfast/filelock"
)

// doctorWatches says how what is watched is, by what is known: nobody is asked.
func (n *node) doctorWatches(ctx context.Context, d *doctor.Report) {
	list, err := n.watches(ctx)
	if len(list) == 0 && err == nil {
		return
	}
	if err != nil {
		d.Check("watch", "", err)
		return
	}
	tasks, err := n.watchTasks(ctx)
	if err != nil {
		d.Check("watch", "", err)
		return
	}
	nobody, err := n.nobodyWatches()
	text, uerr := n.unrun(ctx)
	if err = errors.Join(err, uerr); err != nil {
		d.Check("watch", "", err)
		return
	}
	if text != "" {
		d.Check("watch", "", fmt.Errorf("%s; `holdfast watch list` shows all of them", text))
	}
	if text := n.sessionsWait(list); text != "" {
		d.Check("watch", "", errors.New(text))
	}
	states, now := map[string]int{}, time.Now()
	canaries, slow, slowest := n.canaryLasts(), time.Duration(0), holdfast.Source("")
	for _, w := range list {
		s, err := n.standing(ctx, w, tasks[w.ID], now)
		if err != nil {
			d.Check("watch", "", err)
			return
		}
		if states[s.State]++; s.State == "failed" {
			d.Note("watch", fmt.Sprintf("%s is not followed: %s", w.Source, short(fmt.Errorf("%s", w.Failed))))
		}
		if s.Page != nil && s.Page.Failures > 0 && w.Paused == nil {
			d.Note("watch", fmt.Sprintf("%s did not come %d times in a row: it is asked for more rarely, up to once a day; `holdfast watch show` has the captures of it", w.Source, s.Page.Failures))
		}
		if s.Seen.Posts > 0 && s.Seen.P50 >= slow {
			slow, slowest = s.Seen.P50, w.Source
		}
		if f := canaries[w.Source].finding(); f != "" && w.Paused == nil {
			d.Check("canary", "", fmt.Errorf("%s: %s; `holdfast watch list` shows how it is followed, `holdfast watch canary %s` measures again", w.Source, f, w.Source))
		}
		if f := s.Health.finding(); f != "" && w.Paused == nil {
			d.Note("watch", fmt.Sprintf("%s: %s", w.Source, f))
		}
	}
	text = fmt.Sprintf("%d sources are watched", len(list))
	if p := states["paused"]; p > 0 {
		text += fmt.Sprintf(", %d of them paused", p)
	}
	if slowest != "" {
		text += fmt.Sprintf("; the newest posts of %s were seen %s after they were posted, of all others sooner", slowest, slow.Round(time.Millisecond))
	}
	switch late := states["waiting"]; {
	case nobody && states["paused"] < len(list):
		d.Note("watch", text+", and nobody is at it: `holdfast watch run`")
	case late > 0:
		d.Note("watch", fmt.Sprintf("%s; %d are due for more than a minute: `holdfast watch list` says for how long, `holdfast telegram accounts` whether the accounts wait", text, late))
	default:
		d.Check("watch", text, nil)
	}
}

// nobodyWatches says that no process of this node runs its watches, where they are its own.
func (n *node) nobodyWatches() (bool, error) {
	if n.sharedQueue() {
		return false, nil
	}
	unlock, err := filelock.Try(n.path("watch.lock"))
	if unlock == nil || err != nil {
		return false, err
	}
	unlock()
	return true, nil
}
