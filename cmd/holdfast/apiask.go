package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/api"
	"holdfast/catalog"
	"holdfast/cmd/internal/collecting"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// Asks are swept after askAge; where they lie: askBook.
const (
	dirAsks   = "asks"
	askAge    = 30 * 24 * time.Hour
	maxAsk    = 4 << 20
	maxUndone = 100 // asks that are told as not done
	askSlack  = 10 * time.Minute
	maxKnown  = 200_000 // captures of which it is remembered what asked for them
)

// ask is what is kept of one.
type ask struct {
	Version int            `json:"version"`
	ID      holdfast.ID    `json:"id"`
	Body    hashing.Digest `json:"body"` // of what was asked for, so that a key is not taken for another ask
	At      holdfast.Time  `json:"at"`
	Case    holdfast.ID    `json:"case"`
	Notes   []string       `json:"notes"`
	Tasks   []askedTask    `json:"tasks"`
}

type askedTask struct {
	ID     holdfast.ID     `json:"id"`
	Source holdfast.Source `json:"source"`
}

// askedFor is what a Manifest says of the ask that it comes of.
type askedFor struct {
	ask              holdfast.ID
	reasons, outside []string
}

// foundByAsk is what a Manifest says of how its Source came up.
func foundByAsk(id holdfast.ID) string { return "api ask " + string(id) }

// Ask implements api.Asks.
func (d *apiDoor) Ask(ctx context.Context, who api.Token, id, home holdfast.ID, a api.Ask) (asked api.Asked, fresh bool, err error) {
	body, err := json.Marshal(struct {
		Home holdfast.ID
		Ask  api.Ask
	}{home, a})
	if err != nil {
		return asked, false, err
	}
	k := &ask{Version: 1, ID: id, Body: hashing.Of(body), At: holdfast.At(time.Now()), Case: home, Notes: []string{}}
	book, err := d.n.askBook(ctx)
	if err != nil {
		return asked, false, officeAway(err)
	}
	old, err := book.Read(ctx, who.ID, id)
	added := false
	if err == nil {
		added, err = book.Added(ctx, who.ID, id)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return asked, false, officeAway(err)
	case err == nil && old.Body != k.Body:
		return asked, false, api.KeyUsed()
	case err == nil && added:
		asked, err = d.asked(ctx, who, old)
		return asked, false, err
	}
	tasks, err := d.askTasks(ctx, k, a)
	if err != nil {
		return asked, false, err
	}
	for i := range tasks {
		t := &tasks[i]
		t.ID, t.Agent, t.Found.How = derivedID("holdfast ask %s %d", id, i), who.Agent, foundByAsk(id)
		k.Tasks = append(k.Tasks, askedTask{t.ID, t.Source})
	}
	if fresh = old == nil; fresh {
		if err := book.Keep(ctx, who.ID, k); errors.Is(err, fs.ErrExist) { // the same came twice at once
			return d.Ask(ctx, who, id, home, a)
		} else if err != nil {
			return asked, false, officeAway(err)
		}
	} else {
		k = old
	}
	if _, err := d.n.queue.AddTasks(ctx, tasks...); err != nil {
		return asked, false, err
	}
	if err := book.Mark(ctx, who.ID, id); err != nil {
		return asked, false, officeAway(err)
	}
	asked, err = d.asked(ctx, who, k)
	return asked, fresh, err
}

// askTasks checks all that is asked for, as `capture` does, before anything is kept.
func (d *apiDoor) askTasks(ctx context.Context, k *ask, a api.Ask) ([]pipeline.Task, error) {
	o := captureOptions{note: a.Note, reason: a.Reason, via: a.Via, timeout: time.Duration(a.Timeout) * time.Second, retryFor: time.Duration(a.RetryFor) * time.Second, allowPrivate: a.AllowPrivate,
		door: true, session: a.Session, decoded: a.Decoded, page: pageFlags{Consent: cmp.Or(a.Consent, "refuse"), More: cmp.Or(a.More, "buttons"), Films: a.Films},
		telegram: telegramFlags{maxSize: mediaSize, links: "yes", web: "yes"}}
	if t := a.Telegram; t != nil {
		o.telegram = telegramFlags{since: t.Since, limit: t.Limit, media: t.Media, maxSize: cmp.Or(t.MaxSize, mediaSize), links: cmp.Or(t.Links, "yes"), web: cmp.Or(t.Web, "yes"),
			stories: t.Stories, comments: t.Comments, oldest: t.OldestFirst}
	}
	if strings.Contains(a.Via, "://") {
		return nil, api.Refuse(errors.New("via: the name of an egress of the node's, or direct; an address is not taken here"))
	}
	_, err := o.telegram.wish()
	if err := errors.Join(o.checkTimes(), o.page.check(), checkReason("reason", a.Reason), checkReason("note", a.Note), err); err != nil {
		return nil, api.Refuse(err)
	}
	var sources []holdfast.Source
	for _, s := range a.Sources {
		src, err := parseURL(s, a.AllowPrivate)
		if err != nil {
			return nil, api.Refuse(err)
		}
		sources = append(sources, src)
	}
	if err := errors.Join(sessionAlone(sources, o), decodedAlone(sources, o), filmsAlone(sources, o)); err != nil {
		return nil, api.Refuse(err)
	}
	if d.n.lacksSession(taskOptions{Session: o.session}) {
		k.Notes = append(k.Notes, elsewhere(o.session))
	}
	if sources, o.pages, err = d.n.publicInstead(sources, o); err != nil {
		return nil, refusal(err)
	}
	if len(o.pages) > 0 {
		k.Notes = append(k.Notes, "no account: "+cannotSee)
	}
	tasks, err := d.n.makeTasks(ctx, k.Case, sources, o)
	if err != nil {
		return nil, refusal(err)
	}
	return tasks, nil
}

// Asked implements api.Asks.
func (d *apiDoor) Asked(ctx context.Context, who api.Token, id holdfast.ID) (api.Asked, error) {
	book, err := d.n.askBook(ctx)
	if err != nil {
		return api.Asked{}, officeAway(err)
	}
	k, err := book.Read(ctx, who.ID, id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !who.For(k.Case) {
		return api.Asked{}, api.Missing("ask " + string(id))
	}
	if err != nil {
		return api.Asked{}, officeAway(err)
	}
	return d.asked(ctx, who, k)
}

// Open implements api.Asks. What is older than askAge is swept on the way.
func (d *apiDoor) Open(ctx context.Context, who api.Token) (open []api.Asked, err error) {
	book, err := d.n.askBook(ctx)
	if err != nil {
		return nil, officeAway(err)
	}
	err = book.List(ctx, who.ID, func(k *ask) error {
		if time.Since(k.At.Time) > askAge {
			return book.Forget(ctx, who.ID, k.ID)
		}
		if !who.For(k.Case) {
			return nil
		}
		a, err := d.asked(ctx, who, k)
		if err != nil {
			return err
		}
		if sealed := !slices.ContainsFunc(a.Captures, func(c api.Capture) bool { return c.State != catalog.Sealed }); !a.Done || !sealed {
			open = append(open, a)
		}
		return nil
	})
	if err != nil {
		return nil, officeAway(err)
	}
	slices.SortFunc(open, func(a, b api.Asked) int { return a.At.Compare(b.At.Time) })
	return open[:min(len(open), maxUndone)], nil
}

// asked is what has become of an ask. The Tasks come before the captures: of what is
// gone by then the capture is in the queue.
func (d *apiDoor) asked(ctx context.Context, who api.Token, k *ask) (a api.Asked, err error) {
	a = api.Asked{ID: k.ID, At: k.At, CaseID: k.Case, Notes: append([]string{}, k.Notes...), Captures: []api.Capture{}, Done: true}
	if a.Tasks, err = d.askedTasks(ctx, k); err != nil {
		return a, err
	}
	for _, t := range a.Tasks {
		a.Done = a.Done && t.State == api.TaskGone
	}
	if err := d.n.refresh(ctx); err != nil {
		return a, err
	}
	cs, err := d.n.cat.Case(ctx, string(k.Case))
	if err != nil && !isNotFound(err) {
		return a, err
	}
	a.Case = cs.Name
	seen := map[holdfast.Source]bool{}
	for _, t := range k.Tasks {
		if seen[t.Source] {
			continue
		}
		seen[t.Source] = true
		if err := d.askedCaptures(ctx, who, k, t.Source, &a); err != nil {
			return a, err
		}
	}
	slices.SortFunc(a.Captures, func(x, y api.Capture) int {
		return cmp.Or(x.Started.Compare(y.Started.Time), cmp.Compare(x.ID, y.ID))
	})
	if n := len(a.Captures); n > api.MaxPage {
		a.Captures, a.More = a.Captures[n-api.MaxPage:], true
	}
	return a, nil
}

// askedCaptures adds the captures of a Source that say they come of the ask.
func (d *apiDoor) askedCaptures(ctx context.Context, who api.Token, k *ask, s holdfast.Source, a *api.Asked) error {
	oldest := k.At.Add(-askSlack) // another machine's clock may have been asked
	got := 0
	for cp, err := range d.n.cat.Captures(ctx, catalog.Query{Case: k.Case, Source: s, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		if cp.Started.Before(oldest) || got > api.MaxPage {
			break
		}
		of, err := d.askOf(ctx, cp)
		if err != nil {
			return err
		}
		if of.ask != k.ID {
			continue
		}
		row, err := d.row(ctx, who, cp)
		if err != nil {
			return err
		}
		row.Reasons, row.Outside = of.reasons, of.outside
		a.Captures = append(a.Captures, row)
		got++
	}
	return nil
}

// askOf is what a capture says of where it comes from. A Manifest does not change, so
// it is read once.
func (d *apiDoor) askOf(ctx context.Context, cp catalog.Capture) (of askedFor, err error) {
	d.mu.Lock()
	of, ok := d.of[cp.ID]
	d.mu.Unlock()
	if ok {
		return of, nil
	}
	raw, _, err := d.n.kept().Manifest(ctx, cp.ID)
	if err != nil {
		return of, err
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return of, err
	}
	if id, ok := strings.CutPrefix(m.Found.How, foundByAsk("")); ok {
		of = askedFor{holdfast.ID(id), m.Completeness.Reasons, readOutside(m.X).Rules}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil || len(d.of) > maxKnown {
		d.of = map[holdfast.ID]askedFor{}
	}
	d.of[cp.ID] = of
	return of, nil
}

// askedTasks says how the Tasks of an ask are. One that is not found under its ID may
// have a new one (see pipeline.StaleTask): then it says what asked for it.
func (d *apiDoor) askedTasks(ctx context.Context, k *ask) ([]api.Task, error) {
	out := make([]api.Task, len(k.Tasks))
	lost := map[holdfast.Source]*api.Task{}
	now := time.Now()
	signs := d.signs.now(ctx)
	for i, t := range k.Tasks {
		out[i] = api.Task{ID: t.ID, Source: t.Source, State: api.TaskGone, Why: collecting.Of(signs, t.ID, isTelegram(t.Source), collecting.Over)}
		if d.isGone(t.ID, false) {
			continue
		}
		found, err := d.n.queue.Tasks(ctx, t.ID[:31], 16) // what is behind a shorter one begins with it
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(found, func(f pipeline.Task) bool { return f.ID == t.ID })
		if at >= 0 {
			taskState(&out[i], found[at], signs, now)
		} else {
			lost[t.Source] = &out[i]
		}
	}
	if len(lost) == 0 {
		return out, nil
	}
	for t, err := range d.n.waiting(ctx) {
		if err != nil {
			return nil, err
		}
		if row := lost[t.Source]; row != nil && t.Found.How == foundByAsk(k.ID) {
			taskState(row, t, signs, now)
			delete(lost, t.Source)
		}
	}
	if time.Since(k.At.Time) > time.Minute { // not while a repeated ask may still add it
		for _, row := range lost {
			d.isGone(row.ID, true)
		}
	}
	return out, nil
}

// isGone says, or learns, that no queue has a Task any more.
func (d *apiDoor) isGone(id holdfast.ID, learn bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if learn {
		if d.gone == nil || len(d.gone) > maxKnown {
			d.gone = map[holdfast.ID]bool{}
		}
		d.gone[id] = true
	}
	return d.gone[id]
}

func taskState(row *api.Task, t pipeline.Task, signs []collecting.Sign, now time.Time) {
	row.State, row.Attempts = api.TaskWaits, int(t.Attempt)
	switch {
	case t.Damaged:
		row.State = api.TaskDamaged
	case t.Lease.Until.After(now):
		row.State = api.TaskHeld
	case !t.Due.IsZero():
		row.State = api.TaskDue
	}
	if !t.Due.IsZero() {
		at := holdfast.At(t.Due)
		row.Due = &at
	}
	row.Why = whyWaits(signs, t, now)
}
