package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/coverage"
	"holdfast/export"
)

// madePages are those of some posts.
type madePages struct {
	sealed  []holdfast.ID
	left    int // that are not sealed yet
	outside int // posts that have none: see inside
}

// pages makes post.html and post.json of each post, and has them sealed. One post
// is in memory at a time.
func (s *shownPosts) pages(ctx context.Context, langs []string, wait time.Duration) (*madePages, error) {
	home, err := s.home(ctx)
	if err != nil {
		return nil, err
	}
	d, err := s.n.deriver()
	if err != nil {
		return nil, err
	}
	outside := 0
	for k, p := range s.all(ctx) {
		if err = k.err; err == nil && !s.inside(p) {
			outside++
		} else if err == nil {
			err = s.page(ctx, d, home, k.channel, p, langs)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = s.complete(ctx, d, home)
	}
	if eerr := d.end(ctx); err == nil {
		err = eerr
	}
	if err != nil {
		return nil, fmt.Errorf("make the pages of the posts: %w", err)
	}
	open, err := s.n.sealDerived(ctx, d.ids, wait)
	if err != nil {
		return nil, fmt.Errorf("seal the pages of the posts: %w", err)
	}
	pending := map[holdfast.ID]bool{}
	for _, id := range open {
		pending[id] = true
	}
	return &madePages{slices.DeleteFunc(d.ids, func(id holdfast.ID) bool { return pending[id] }), len(open), outside}, nil
}

// inside says whether all that is known of a post was captured for the Case that is
// exported. A page of it would else show what another Case has seen.
func (s *shownPosts) inside(p catalog.Post) bool {
	for _, o := range observations(p) {
		if s.asked != "" && !s.members[o.Capture] {
			return false
		}
	}
	return true
}

// complete adds what is known of the channel in that time, and what is not. Where
// one Case is exported it is not made: it counts what every Case has captured.
func (s *shownPosts) complete(ctx context.Context, d *deriver, home holdfast.ID) error {
	if s.query.name.Post != 0 || s.asked != "" {
		return nil
	}
	for _, k := range s.channels {
		doc, err := s.n.coverageFacts().Channel(ctx, holdfast.Source(s.query.name.Source()), k, coverage.Window{Since: s.query.since, Until: s.query.until})
		if err != nil {
			return err
		}
		x, err := s.n.derivedCoverage(ctx, doc)
		if err != nil {
			return err
		}
		x.home = home
		if err := d.add(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// home is the Case of the pages: the one that is exported, else that of the newest
// observation.
func (s *shownPosts) home(ctx context.Context) (holdfast.ID, error) {
	if s.asked != "" {
		return s.asked, nil
	}
	cp, err := s.n.cat.Capture(ctx, s.newest.Capture)
	return cp.Case, err
}

func (s *shownPosts) page(ctx context.Context, d *deriver, home holdfast.ID, k catalog.Channel, p catalog.Post, langs []string) error {
	view, err := s.view(ctx, k, p)
	if err != nil {
		return err
	}
	doc, err := view.Encode()
	if err != nil {
		return err
	}
	page, err := export.PostPage(view, langs...)
	if err != nil {
		return err
	}
	return d.add(ctx, derived{source: view.Source, home: home, why: "to be read with the exhibits of the post", objects: []derivedObject{
		{name: export.NamePostPage, role: export.RolePostPage, media: "text/html", from: export.NamePost, action: "page", b: page},
		{name: export.NamePost, role: export.RolePost, media: "application/json", action: "fold of the captures that it names", b: doc},
	}})
}

// view says what follows from what is known of a post.
func (s *shownPosts) view(ctx context.Context, k catalog.Channel, p catalog.Post) (*export.Post, error) {
	v := &export.Post{Channel: p.Channel, ID: p.ID, Source: holdfast.Source(telegram.Name{Channel: s.query.name.Channel, Post: int(p.ID)}.Source()), State: p.State,
		Title: canon.Text(k.Title), Training: s.n.set.Training}
	for i, x := range p.Versions {
		v.Versions = append(v.Versions, export.PostVersion{Content: x.Content, Edited: known(x.Edited), First: sightOf(x.First), Last: sightOf(x.Last),
			Line: s.lines.Of(ctx, p.ID, x), Posted: known(x.Posted), TextDigest: x.Text})
		if e, ok := editOf(p, i); ok {
			v.Edits = append(v.Edits, e)
		}
	}
	for _, c := range p.Series {
		v.Series = append(v.Series, export.PostCount{At: c.At, Capture: c.Capture, Forwards: c.Forwards, Poll: rawJSON(c.Poll), Reactions: c.Reactions, Replies: c.Replies, Views: c.Views})
	}
	for _, a := range p.Absences {
		v.Absences = append(v.Absences, export.PostAbsence{After: known(a.After), Back: known(a.Back), First: sightOf(a.First), Last: sightOf(a.Last), State: a.State, Told: a.Told})
	}
	for _, c := range observations(p) {
		if c.At.After(v.AsOf.Time) {
			v.AsOf = c.At
		}
	}
	var err error
	v.Captures, err = s.sources(ctx, p)
	return v, err
}

// sources are the Captures that a view follows from, oldest first.
func (s *shownPosts) sources(ctx context.Context, p catalog.Post) (out []export.PostCapture, err error) {
	done := map[holdfast.ID]bool{}
	var caps []catalog.Capture
	for _, o := range observations(p) {
		if done[o.Capture] {
			continue
		}
		done[o.Capture] = true
		cp, err := s.n.cat.Capture(ctx, o.Capture)
		if err != nil {
			return nil, err
		}
		caps = append(caps, cp)
	}
	slices.SortFunc(caps, func(a, b catalog.Capture) int {
		if n := a.Started.Compare(b.Started.Time); n != 0 {
			return n
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	for _, cp := range caps {
		c := export.PostCapture{Capture: cp.ID, Manifest: cp.Manifest, Seal: cp.Seal, Source: cp.Source, State: export.State(cp.State)}
		if cp.State == catalog.Sealed {
			t := holdfast.At(cp.T.Add(time.Millisecond - 1)) // nothing may lie behind it
			c.Time = &t
		}
		out = append(out, c)
	}
	return out, nil
}

// editOf is the change to version i: from the version of the same kind that was seen
// last before it, which need not be the one before it in the list. The first of its
// kind is none: what the web shows is another kind of content.
func editOf(p catalog.Post, i int) (e export.PostEdit, ok bool) {
	web := func(v catalog.Version) bool { return v.First.How == catalog.HowWeb }
	to := p.Versions[i]
	e = export.PostEdit{To: i + 1, Before: to.First.At, How: to.First.How, Stated: known(to.Edited)}
	for j, from := range p.Versions[:i] {
		at := from.First.At
		if !from.Last.At.After(to.First.At.Time) {
			at = from.Last.At
		}
		if web(from) == web(to) && (e.From == 0 || at.After(e.After.Time)) {
			e.From, e.After = j+1, at
		}
	}
	return e, e.From > 0
}

func sightOf(s catalog.Sight) export.PostSight {
	return export.PostSight{At: s.At, Capture: s.Capture, How: s.How}
}

// known is nil for a time that nobody stated.
func known(t holdfast.Time) *holdfast.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// rawJSON is nil for "".
func rawJSON(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}
