package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// What counts as silence. A channel that posts forty times a day and sleeps at
// night is not silent in the night: so the silence must be longer than every one
// of the days before, and long enough that many posts were to be expected in it.
const (
	healthDays   = 14
	healthFirst  = 24 * time.Hour // before that nothing is usual
	silentLeast  = 6 * time.Hour
	silentExpect = 8.0 // posts that were to be expected in it
)

// health is how much a channel posts, and whether it has fallen silent.
type health struct {
	PerDay  float64       // over what is known of the last healthDays
	Last    holdfast.Time // when the newest post that is known was posted
	Heard   holdfast.Time // when the service was last heard of any post of it
	Silence time.Duration // since Last
	Longest time.Duration // the longest silence before, between two posts
	Silent  bool
}

// finding says that it is silent, in one sentence; "" if it is not.
func (h health) finding() string {
	if !h.Silent {
		return ""
	}
	return fmt.Sprintf("usually %.0f a day, none in %s", h.PerDay, hours(h.Silence))
}

// hours writes a duration as people say it.
func hours(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", math.Floor(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", math.Floor(d.Hours()))
	}
	return fmt.Sprintf("%.0f minutes", math.Floor(d.Minutes()))
}

func (n *node) health(ctx context.Context, channel string, now time.Time) (health, error) {
	var looks []catalog.Look
	for l, err := range n.cat.Looks(ctx, channel, holdfast.At(now.Add(-healthDays*24*time.Hour))) {
		if err != nil {
			return health{}, err
		}
		looks = append(looks, l)
	}
	if len(looks) == 0 { // its pages alone were ever looked at
		for l, err := range n.cat.PageLooks(ctx, channel, holdfast.At(now.Add(-healthDays*24*time.Hour))) {
			if err != nil {
				return health{}, err
			}
			looks = append(looks, l)
		}
	}
	return healthOf(looks, now), nil
}

// healthOf follows from when posts were posted. Those that are gone count: a purge
// is no silence.
func healthOf(looks []catalog.Look, now time.Time) (h health) {
	if len(looks) == 0 {
		return h
	}
	slices.SortFunc(looks, func(a, b catalog.Look) int { return a.Posted.Compare(b.Posted.Time) })
	first := looks[0].Posted
	for i, l := range looks {
		if l.At.After(h.Heard.Time) {
			h.Heard = l.At
		}
		if i > 0 {
			h.Longest = max(h.Longest, l.Posted.Sub(looks[i-1].Posted.Time))
		}
		h.Last = l.Posted
	}
	h.Silence = max(now.Sub(h.Last.Time), 0)
	known := h.Last.Sub(first.Time)
	if known < healthFirst {
		h.PerDay = float64(len(looks)) / max(now.Sub(first.Time).Hours()/24, 1)
		return h
	}
	h.PerDay = float64(len(looks)) / (known.Hours() / 24) // until it fell silent
	expected := h.PerDay * h.Silence.Hours() / 24
	h.Silent = h.Silence >= silentLeast && h.Silence > h.Longest && expected >= silentExpect
	return h
}
