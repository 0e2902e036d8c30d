package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast"
	"holdfast/api"
)

// AddWatches implements api.WatchBook.
func (d *apiDoor) AddWatches(ctx context.Context, who api.Token, a api.WatchAsk) (done api.WatchesAdded, err error) {
	var all []wanted
	var bad []error
	for i, k := range a.Watches {
		w, err := d.n.wantedWatch(ctx, watchRow{name: k.Source, cases: k.Cases, lang: k.Lang, note: k.Note, media: k.Media, links: k.Links, since: k.Since, web: k.Web,
			maxSize: k.MaxSize, priority: k.Priority, allowPrivate: k.AllowPrivate, every: k.Every, cron: k.Cron, zone: k.Zone, decaying: k.Decaying,
			how: howFlags{session: k.Session, consent: k.Consent, more: k.More, decoded: k.Decoded, films: k.Films}})
		if err != nil {
			bad = append(bad, fmt.Errorf("row %d: %w", i+1, err))
		}
		if len(bad) > 20 {
			break
		}
		all = append(all, w)
	}
	if err := errors.Join(bad...); err != nil {
		return done, api.Refuse(fmt.Errorf("watch add: nothing was added: %w", err))
	}
	added, err := d.n.addWatches(ctx, all, who.Agent, func(k *watch, w wanted) error {
		if !who.Uses(k.Session) { // what its visits bring would be seen by who may not look with it
			return api.Forbid("%.300s is watched with a login that the token %s may not use: `holdfast watch` on a node changes it, and `holdfast case add` adds what was captured to a case", w.Source, who.Name)
		}
		more := w.given
		more.name, more.cases, more.line = "", nil, 0
		if changes(more) && slices.ContainsFunc(k.Cases, func(id holdfast.ID) bool { return !who.For(id) }) {
			return api.Forbid("%.300s is watched for other cases too, for which the token %s is not: it gets the case, and nothing else of it can be changed", w.Source, who.Name)
		}
		return nil
	})
	if err != nil {
		return done, officeAway(refusal(err))
	}
	done.Watches, done.Notes = []api.WatchAdded{}, []string{}
	for _, k := range added {
		done.Watches = append(done.Watches, api.WatchAdded{Event: k.event, Source: k.source, Cases: ofToken(who, k.cases)})
	}
	done.Notes = append(done.Notes, d.n.sessionNotes(all)...)
	channels := slices.ContainsFunc(all, func(w wanted) bool { return !w.isPage() })
	text, err := d.n.watchNote(ctx, channels)
	if text != "" {
		done.Notes = append(done.Notes, text)
	}
	return done, officeAway(err)
}

// changes says whether a row gives anything besides its Source and Cases.
func changes(r watchRow) bool {
	return r.lang != "" || r.note != "" || r.media != "" || r.links != "" || r.since != "" || r.web != "" || r.maxSize != "" || r.priority != "" || r.allowPrivate ||
		r.every != "" || r.cron != "" || r.decaying || r.how != (howFlags{})
}

func ofToken(who api.Token, ids []holdfast.ID) []holdfast.ID {
	out := []holdfast.ID{}
	for _, id := range ids {
		if who.For(id) {
			out = append(out, id)
		}
	}
	return out
}

// Watches implements api.WatchBook: the rows of `watch list --json`, without what is
// not the token's, and the lines of `watch list`.
func (d *apiDoor) Watches(ctx context.Context, who api.Token) (all api.Watches, err error) {
	all.Watches = []json.RawMessage{}
	var bad error
	err = d.n.eachWatch(ctx, func(w *watch, s standing, names map[holdfast.ID]string) {
		own := *w
		if own.Cases = ofToken(who, w.Cases); len(own.Cases) == 0 {
			return
		}
		var raw, text bytes.Buffer
		(&cli{out: &raw, errs: io.Discard, json: true}).sayWatch(&own, s, names)
		(&cli{out: &text, errs: io.Discard}).sayWatch(&own, s, names)
		var row map[string]json.RawMessage
		err := json.Unmarshal(raw.Bytes(), &row)
		if err == nil {
			delete(row, "account") // the node's own affair
			row["text"], err = json.Marshal(strings.TrimSuffix(text.String(), "\n"))
		}
		b, merr := json.Marshal(row)
		bad = errors.Join(bad, err, merr)
		all.Watches = append(all.Watches, b)
	})
	return all, officeAway(errors.Join(err, bad))
}

// ChangeWatches implements api.WatchBook.
func (d *apiDoor) ChangeWatches(ctx context.Context, who api.Token, a api.WatchChange) (done api.WatchesChanged, err error) {
	if err := checkReason("why", a.Why); err != nil {
		return done, api.Refuse(err)
	}
	sources, err := d.n.watchNames(ctx, a.Sources)
	if err != nil {
		return done, officeAway(refusal(err))
	}
	k := changeOf(a.Change, a.Why)
	said, err := d.n.changeEach(ctx, sources, who.Agent, k, func(s holdfast.Source, w *watch) error {
		switch {
		case w == nil || len(ofToken(who, w.Cases)) == 0:
			return api.Missing("watch " + string(s))
		case slices.ContainsFunc(w.Cases, func(id holdfast.ID) bool { return !who.For(id) }):
			return api.Forbid("%.300s is watched for other cases too, for which the token %s is not: `holdfast watch` on a node changes it", s, who.Name)
		}
		return nil
	})
	if err == nil && k.remove { // what is held now `watch run` drops behind it
		_, err = d.n.dropOrphans(ctx)
	}
	done.Watches = []api.WatchChanged{}
	for _, s := range said {
		done.Watches = append(done.Watches, api.WatchChanged{Event: k.what, Source: s})
	}
	return done, officeAway(refusal(err))
}
