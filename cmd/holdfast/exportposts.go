package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/export"
	"holdfast/kept"
)

// What is exported of posts is chosen here: the Captures that observed them, and
// of each of these nothing but what is about them (exportonly.go). What is
// remembered grows with the number of posts and of Captures, some 100 bytes each,
// never with what they hold.

// postQuery says which posts are exported.
type postQuery struct {
	name         telegram.Name
	since, until holdfast.Time // of a channel: posted then, both included; zero: no bound
	caseName     string        // only Captures that belong to this Case; "": all
}

// newPostQuery reads SOURCE and its bounds.
func newPostQuery(source, since, until, caseName string) (q postQuery, err error) {
	if q.name, err = telegram.ParseName(source); err != nil {
		return q, usageError("export: %w", err)
	}
	if q.since, err = parseWhen("--since", since, false); err != nil {
		return q, err
	}
	if q.until, err = parseWhen("--until", until, true); err != nil {
		return q, err
	}
	q.caseName = caseName
	switch bounded := since != "" || until != ""; {
	case q.name.Post != 0 && bounded:
		return q, usageError("export: --since and --until are about the posts of a channel, and %s is one post", q.name.Source())
	case q.name.Post == 0 && !bounded:
		return q, usageError("export: %s is a whole channel: say with --since and --until of which time, or export its captures with --case", q.name.Source())
	case !q.since.IsZero() && !q.until.IsZero() && q.until.Before(q.since.Time):
		return q, usageError("export: --until is before --since")
	}
	return q, nil
}

// wants says whether a post is meant. What was posted is its time; of one of which
// only the deletion is known, when that became known.
func (q postQuery) wants(p catalog.Post) bool {
	if q.name.Post != 0 {
		return p.ID == int64(q.name.Post)
	}
	at := p.PostedAt()
	return (q.since.IsZero() || !at.Before(q.since.Time)) && (q.until.IsZero() || !at.After(q.until.Time))
}

// shownPosts is what of a node is shown of some posts.
type shownPosts struct {
	n     *node
	query postQuery
	read  *kept.Reader
	lines *kept.Lines

	site     publicSite
	channels []catalog.Channel
	names    map[string][]string       // of each channel: those under which it was captured
	posts    map[string]map[int64]bool // by channel
	seen     map[holdfast.ID]string    // Captures of answers, with their channel
	whole    map[holdfast.ID]bool      // Captures that are about these posts alone
	members  map[holdfast.ID]bool      // what belongs to the Case, if one is asked for
	asked    holdfast.ID               // that Case
	newest   catalog.Sight             // of all observations
}

// findPosts looks for the posts and the Captures that observed them.
func (n *node) findPosts(ctx context.Context, q postQuery) (*shownPosts, error) {
	at := n.keptAt(kept.Places{})
	s := &shownPosts{n: n, query: q, read: at, lines: kept.NewLines(at), names: map[string][]string{}, posts: map[string]map[int64]bool{}, seen: map[holdfast.ID]string{}, whole: map[holdfast.ID]bool{}}
	var err error
	if s.site, err = n.publicSite(); err != nil {
		return nil, err
	}
	if err := s.onlyMembers(ctx); err != nil {
		return nil, err
	}
	for k, err := range n.cat.Channels(ctx, q.name.Channel) {
		if err != nil {
			return nil, err
		}
		s.channels = append(s.channels, k)
	}
	if len(s.channels) == 0 {
		return nil, fmt.Errorf("export: no capture states what @%s is: `holdfast capture %s` asks the service", q.name.Channel, telegram.Name{Channel: q.name.Channel}.Source())
	}
	count := 0
	for k, p := range s.all(ctx) {
		if k.err != nil {
			return nil, k.err
		}
		count++
		s.observed(p)
	}
	if count == 0 && q.name.Post != 0 {
		return nil, fmt.Errorf("export: post %d of @%s was never seen; `holdfast capture %s` asks for it", q.name.Post, q.name.Channel, q.name.Source())
	}
	if count == 0 {
		return nil, fmt.Errorf("export: no post of @%s was posted in that time, as far as captures show it: `holdfast posts @%s` lists what they show", q.name.Channel, q.name.Channel)
	}
	if err := s.named(ctx); err != nil {
		return nil, err
	}
	for k, p := range s.all(ctx) {
		err := k.err
		if err == nil {
			err = s.beside(ctx, p)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// named notes under which names the channels were captured: what is beside a post lies
// under the name that the channel had then.
func (s *shownPosts) named(ctx context.Context) error {
	for id, channel := range s.seen {
		cp, err := s.n.cat.Capture(ctx, id)
		if err != nil {
			return err
		}
		name, err := telegram.ParseName(string(cp.Source))
		if err == nil && !slices.Contains(s.names[channel], name.Channel) {
			s.names[channel] = append(s.names[channel], name.Channel)
		}
	}
	for _, k := range s.channels {
		if !slices.Contains(s.names[k.ID], k.Name) {
			s.names[k.ID] = append(s.names[k.ID], k.Name)
		}
	}
	return nil
}

// found is the channel of a post, or the error that ends the list.
type found struct {
	channel catalog.Channel
	err     error
}

// all yields the posts that are meant, channel by channel.
func (s *shownPosts) all(ctx context.Context) func(yield func(found, catalog.Post) bool) {
	return func(yield func(found, catalog.Post) bool) {
		for _, k := range s.channels {
			for p, err := range s.n.cat.Posts(ctx, catalog.PostQuery{Channel: k.ID, Post: int64(s.query.name.Post)}) {
				if err == nil && !s.query.wants(p) {
					continue
				}
				if !yield(found{k, err}, p) || err != nil {
					return
				}
			}
		}
	}
}

// observed notes the Captures of every observation of a post.
func (s *shownPosts) observed(p catalog.Post) {
	if s.posts[p.Channel] == nil {
		s.posts[p.Channel] = map[int64]bool{}
	}
	s.posts[p.Channel][p.ID] = true
	for _, c := range observations(p) {
		s.seen[c.Capture] = p.Channel
		if c.At.After(s.newest.At.Time) {
			s.newest = c
		}
	}
}

// observations are the sights of a post: each time that it was shown, and the first
// and the last answer of each time that it was not.
func observations(p catalog.Post) (out []catalog.Sight) {
	for _, c := range p.Series {
		out = append(out, c.Sight)
	}
	for _, a := range p.Absences {
		out = append(out, a.First, a.Last)
	}
	return out
}

func hasRole(m *holdfast.Manifest, role string) bool {
	return slices.ContainsFunc(m.Objects, func(o holdfast.Object) bool { return o.Role == role })
}

// selection groups all of it by home Case, pages first, then oldest first.
func (s *shownPosts) selection(ctx context.Context, pages []holdfast.ID) (sel []export.Selection, at kept.Places, err error) {
	at, group := kept.Places{}, map[holdfast.ID]int{}
	if s.asked != "" {
		sel, group[s.asked] = []export.Selection{{Case: s.asked}}, 0
	}
	add := func(cp catalog.Capture) {
		k, ok := group[cp.Case]
		if !ok {
			k = len(sel)
			group[cp.Case], sel = k, append(sel, export.Selection{Case: cp.Case})
		}
		at.Add(cp)
		sel[k].Captures = append(sel[k].Captures, cp.ID)
	}
	for _, id := range pages {
		cp, err := s.n.cat.Capture(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		add(cp)
	}
	some, err := s.captures(ctx)
	for _, cp := range some {
		add(cp)
	}
	if err == nil && len(some) == 0 {
		err = fmt.Errorf("export: no capture that shows %s belongs to case %.80q: `holdfast case add` adds one", s.query.name.Source(), s.query.caseName)
	}
	return sel, at, err
}

// captures are those that observed, and those beside them, oldest first.
func (s *shownPosts) captures(ctx context.Context) (out []catalog.Capture, err error) {
	for _, ids := range [][]holdfast.ID{slices.Collect(maps.Keys(s.seen)), slices.Collect(maps.Keys(s.whole))} {
		for _, id := range ids {
			cp, err := s.n.cat.Capture(ctx, id)
			if err != nil {
				return nil, err
			}
			if s.asked == "" || s.members[cp.ID] {
				out = append(out, cp)
			}
		}
	}
	slices.SortFunc(out, func(a, b catalog.Capture) int {
		if n := a.Started.Compare(b.Started.Time); n != 0 {
			return n
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return out, nil
}

// onlyMembers notes what belongs to the Case that is asked for, at home there or
// added to it.
func (s *shownPosts) onlyMembers(ctx context.Context) error {
	if s.query.caseName == "" {
		return nil
	}
	cs, err := s.n.namedCase(ctx, s.query.caseName)
	if err != nil {
		return fmt.Errorf("export: case %.80q: %w; `holdfast case list` shows the cases", s.query.caseName, err)
	}
	s.asked, s.members = cs.ID, map[holdfast.ID]bool{}
	for cp, err := range s.n.cat.Captures(ctx, catalog.Query{Member: cs.ID, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		s.members[cp.ID] = true
	}
	return nil
}
