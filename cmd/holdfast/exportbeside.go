package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/tme"
)

// beside finds what is about the post alone: its files, its public page where that
// said nothing of it, and the pages that were captured because it links to them.
func (s *shownPosts) beside(ctx context.Context, p catalog.Post) error {
	for _, name := range s.names[p.Channel] {
		err := s.captured(ctx, holdfast.Source(telegram.Name{Channel: name, Post: int(p.ID)}.Source()), func(m *holdfast.Manifest) (bool, error) {
			return s.fileOf(ctx, m, p)
		})
		if err == nil && s.site.base != "" {
			err = s.silentPage(ctx, name, p)
		}
		if err != nil {
			return err
		}
	}
	observed := map[holdfast.ID]bool{}
	for _, c := range observations(p) {
		observed[c.Capture] = true
	}
	for link := range s.linksOf(ctx, p) {
		page, err := parseURL(link, true)
		if err != nil || isTelegram(page) {
			continue
		}
		err = s.captured(ctx, page, func(m *holdfast.Manifest) (bool, error) {
			by, post := linkFrom(m.Found)
			return observed[by] && (post == 0 || post == p.ID), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// silentPage finds captures of the post's public page that say nothing of a post, as
// that there is none, or that it did not come. Such a page does not say of which
// channel it is either, so it is taken where the name was no other channel's. One that
// shows the post is an observation.
func (s *shownPosts) silentPage(ctx context.Context, name string, p catalog.Post) error {
	for k, err := range s.n.cat.Channels(ctx, name) {
		if err != nil {
			return err
		}
		if k.ID != p.Channel {
			return nil
		}
	}
	return s.captured(ctx, holdfast.Source(tme.PostPage(s.site.base, name, p.ID)), func(m *holdfast.Manifest) (bool, error) {
		_, ok := s.embed(m)
		return ok && !hasRole(m, catalog.RolePosts), nil
	})
}

// fileOf says whether a Capture is of a file of the post: the name alone may have been
// another channel's.
func (s *shownPosts) fileOf(ctx context.Context, m *holdfast.Manifest, p catalog.Post) (bool, error) {
	if !isMedia(m) {
		return false, nil
	}
	b, err := s.read.Bytes(ctx, m.ID, *m.Object(telegram.NameMedia), holdfast.MaxDocument)
	if err != nil {
		return false, err
	}
	var of struct {
		Channel string `json:"channel"`
		Post    int64  `json:"post"`
	}
	return json.Unmarshal(b, &of) == nil && of.Channel == p.Channel && of.Post == p.ID, nil
}

// captured notes the Captures of a Source that are taken.
func (s *shownPosts) captured(ctx context.Context, source holdfast.Source, take func(*holdfast.Manifest) (bool, error)) error {
	for cp, err := range s.n.cat.Captures(ctx, catalog.Query{Source: source, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		if _, seen := s.seen[cp.ID]; seen {
			continue
		}
		s.read.At.Add(cp)
		m, err := s.read.Parsed(ctx, cp.ID)
		if err != nil {
			return fmt.Errorf("capture %s: %w", cp.ID, err)
		}
		ok, err := take(m)
		if err != nil {
			return fmt.Errorf("capture %s: %w", cp.ID, err)
		}
		if ok {
			s.whole[cp.ID] = true
		}
	}
	return nil
}

// linksOf are the addresses that the versions of a post link to.
func (s *shownPosts) linksOf(ctx context.Context, p catalog.Post) map[string]bool {
	out := map[string]bool{}
	for _, v := range p.Versions {
		var line struct {
			Links []json.RawMessage `json:"links"`
		}
		_ = json.Unmarshal(s.lines.Of(ctx, p.ID, v), &line) // what cannot be read links to nothing
		for _, raw := range line.Links {
			var link string
			if json.Unmarshal(raw, &link) != nil {
				continue
			}
			if !strings.Contains(link, "://") {
				link = "https://" + link // as the collector takes it
			}
			out[link] = true
		}
	}
	return out
}

// embed is the post that a Capture's page is of, by where it came from in the end: an
// address that leads elsewhere may have led to a page with many posts.
func (s *shownPosts) embed(m *holdfast.Manifest) (at tme.Address, ok bool) {
	at, ok = tme.ParseAddress(address(m), s.site.hosts)
	return at, ok && at.Post > 0
}

// isEmbed says whether a Capture is of the page that shows one of the posts alone.
func (s *shownPosts) isEmbed(ctx context.Context, m *holdfast.Manifest, channel string) (bool, error) {
	at, ok := s.embed(m)
	if !ok || !s.posts[channel][at.Post] {
		return false, nil
	}
	for _, o := range m.Objects {
		if o.Role != catalog.RolePosts {
			continue
		}
		b, err := s.read.Bytes(ctx, m.ID, o, catalog.MaxAnswerBytes)
		if err != nil {
			return false, err
		}
		lines, err := catalog.Lines(b)
		if err != nil {
			return false, nil
		}
		for k := range lines {
			if !s.posts[channel][k.Post] {
				return false, nil
			}
		}
	}
	return true, nil
}
