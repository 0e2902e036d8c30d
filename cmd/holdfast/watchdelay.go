package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/pipeline"
)

const (
	delayPosts = 10 // posts of a channel that its delay is measured with
	delayLooks = 20 // that are looked at for them
)

// seenAfter is how long after they were posted the newest posts were received that
// became known by following: by the service's own word on the one side, this machine's
// clock on the other, in whole seconds as the service counts.
type seenAfter struct {
	Posts    int
	P50, Max time.Duration
}

// seenAfter of a channel, from the catalog. A history and a sweep show posts that were
// there before anybody looked, and measure nothing.
func (n *node) seenAfter(ctx context.Context, channel string, now time.Time) (s seenAfter, err error) {
	looked := 0
	var all []time.Duration
	for l, err := range n.cat.Looks(ctx, channel, holdfast.At(now.Add(-healthDays*24*time.Hour))) {
		if err != nil {
			return s, err
		}
		if looked++; looked > delayLooks || len(all) == delayPosts {
			break
		}
		for p, err := range n.cat.Posts(ctx, catalog.PostQuery{Channel: channel, Post: l.ID}) {
			if err != nil {
				return s, err
			}
			if d, ok := followedAfter(p); ok {
				all = append(all, d)
			}
		}
	}
	if s.Posts = len(all); s.Posts > 0 {
		slices.Sort(all)
		s.P50, s.Max = all[(len(all)-1)/2], all[len(all)-1]
	}
	return s, nil
}

// followedAfter is the delay of a post whose first observation came by following.
func followedAfter(p catalog.Post) (time.Duration, bool) {
	if len(p.Versions) == 0 {
		return 0, false
	}
	v := p.Versions[0]
	if h := v.First.How; v.Posted.IsZero() || h != catalog.HowDifference && h != catalog.HowUpdate {
		return 0, false
	}
	return max(v.First.At.Sub(v.Posted.Time), 0), true
}

// following is what is known of how a channel is followed.
type following struct {
	telegram.Follows
	Known bool // an answer has said whether the account has joined it
	// Unjoined is how many channels its account asks in turns, since the service tells
	// nothing of them by itself; Bound is how long what happens stays unknown at most, by
	// the service's own word: its pause, for each of them. 0: it tells of it by itself.
	Unjoined int
	Bound    time.Duration
}

// followings says of each watch how it is followed, from the Tasks.
func followings(list []*watch, tasks map[holdfast.ID]map[string]pipeline.Task) map[holdfast.ID]following {
	of, unjoined := map[holdfast.ID]following{}, map[string]int{}
	for _, w := range list {
		t, ok := tasks[w.ID][partFollow]
		cur, err := cursorOf(t)
		if !ok || err != nil {
			continue
		}
		f, known := telegram.FollowsOf(cur.At)
		of[w.ID] = following{Follows: f, Known: known}
		if !f.Joined && w.Paused == nil {
			unjoined[f.Account]++
		}
	}
	for id, f := range of {
		if f.Unjoined = unjoined[f.Account]; !f.Joined {
			f.Bound = f.Pause * time.Duration(max(f.Unjoined, 1))
		}
		of[id] = f
	}
	return of
}

func (f following) text() string {
	switch {
	case f.Pause == 0:
		return ""
	case f.Joined:
		return "joined: the service tells when something happens"
	case !f.Known:
		return fmt.Sprintf("whether it is joined is not known yet: up to %s", f.Bound)
	}
	return fmt.Sprintf("not joined: asked every %s, beside %d other such channels, so up to %s", f.Pause, max(f.Unjoined-1, 0), f.Bound)
}

func (s seenAfter) text() string {
	if s.Posts == 0 {
		return ""
	}
	return fmt.Sprintf("seen %s after they were posted (the middle of the newest %d), at most %s", s.P50.Round(time.Millisecond), s.Posts, s.Max.Round(time.Millisecond))
}

// row adds what is known of the delay to a row of `watch list`.
func (f following) row(row map[string]any, s seenAfter) {
	row["joined"], row["delay_bound"], row["delay"] = nil, nil, nil
	if f.Known {
		row["joined"] = f.Joined
	}
	if f.Bound > 0 {
		row["delay_bound"] = int(f.Bound.Seconds())
	}
	if s.Posts > 0 {
		row["delay"] = map[string]any{"posts": s.Posts, "p50_ms": s.P50.Milliseconds(), "max_ms": s.Max.Milliseconds()}
	}
}
