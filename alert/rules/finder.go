package rules

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/alert"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/search"
)

// Posts is what of a catalog is asked about channels.
type Posts interface {
	Posts(ctx context.Context, q catalog.PostQuery) iter.Seq2[catalog.Post, error]
	Channels(ctx context.Context, name string) iter.Seq2[catalog.Channel, error]
	// Newest is when the newest post of a channel was posted; zero if none is known.
	Newest(ctx context.Context, channel string) (holdfast.Time, error)
}

// Captures is what of it is asked about all else.
type Captures interface {
	Captures(ctx context.Context, q catalog.Query) iter.Seq2[catalog.Capture, error]
	Case(ctx context.Context, nameOrID string) (catalog.Case, error)
}

// Texts are the texts of posts, which the catalog holds the Digests of.
type Texts interface {
	// Of returns the text of a version; false where it cannot be read any more.
	Of(ctx context.Context, post int64, v catalog.Version) (canon.Text, bool)
}

// Box takes what was found.
type Box interface {
	// Add gives events to destinations and returns how many are new: one that has its ID
	// from the same facts is there already. They are durable when it returns.
	Add(ctx context.Context, events []alert.Event, dests ...string) (int64, error)
}

// Options of a [Finder]; all must be set.
type Options struct {
	Rules    []*Rule
	Posts    Posts
	Captures Captures
	Texts    Texts
	Node     string // its name
	Training bool
	Log      *slog.Logger
}

// Finder finds what rules are about in what was accepted. It is given facts as a
// catalog is, and asks the catalog, which has them already, what follows. It is not
// safe for concurrent use.
type Finder struct {
	Options
	queries map[string]search.Query
	cases   map[holdfast.ID]string
	events  []alert.Event
	at      holdfast.Time

	// ready are the texts of the capture that is looked at, for more rules than one.
	ready map[any]search.Folded
}

// NewFinder makes one, to which all that it finds is found now.
func NewFinder(o Options) *Finder {
	f := &Finder{Options: o, queries: map[string]search.Query{}, cases: map[holdfast.ID]string{}, at: holdfast.At(time.Now())}
	for _, r := range o.Rules {
		if q, err := search.Parse(r.Match); err == nil { // Check has refused others
			f.queries[r.Name] = q
		}
	}
	return f
}

// Found returns what was found since it was asked last.
func (f *Finder) Found() []alert.Event {
	events := f.events
	f.events = nil
	return events
}

// Add gives each event to the destinations of its rule.
func (f *Finder) Add(ctx context.Context, out Box, events []alert.Event) (n int64, err error) {
	for _, r := range f.Rules {
		var own []alert.Event
		for _, e := range events {
			if e.Rule == r.Name {
				own = append(own, e)
			}
		}
		k, err := out.Add(ctx, own, r.To...)
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Sealed implements catalog.Writer: no alert is about a Seal.
func (f *Finder) Sealed(context.Context, []catalog.SealState) error { return nil }

// Accepted implements catalog.Writer.
func (f *Finder) Accepted(ctx context.Context, batch []catalog.Accepted) error {
	for i := range batch {
		if batch[i].Kind != holdfast.KindCapture {
			continue
		}
		f.ready = map[any]search.Folded{}
		for _, r := range f.Rules {
			if err := f.look(ctx, r, &batch[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Finder) look(ctx context.Context, r *Rule, a *catalog.Accepted) error {
	if r.Case != "" && r.Case != a.Case {
		return nil
	}
	if p := a.Page; p != nil && r.Match != "" && below(string(a.Source), string(r.Source)) {
		f.page(ctx, r, a)
	}
	for i := range a.Answers {
		x := &a.Answers[i]
		if r.Source != "" && !ofChannel(r.Source, a, x) {
			continue
		}
		if err := f.answer(ctx, r, a, x); err != nil {
			return err
		}
	}
	return nil
}

// below reports whether a Source is that of a rule, or lies below it.
func below(s, rule string) bool {
	rest, ok := strings.CutPrefix(s, rule)
	return ok && (rule == "" || rest == "" || strings.HasSuffix(rule, "/") || strings.ContainsAny(rest[:1], "/?#"))
}

func ofChannel(s holdfast.Source, a *catalog.Accepted, x *catalog.Answer) bool {
	name, err := telegram.ParseName(string(s))
	return err == nil && (slices.Contains(x.Names, name.Channel) || below(string(a.Source), string(s)))
}

func (f *Finder) page(ctx context.Context, r *Rule, a *catalog.Accepted) {
	p := a.Page
	q := f.queries[r.Name]
	if !q.Applies(f.folded(p, func() search.Doc {
		return search.Doc{Title: p.Title, Text: p.Body(), Addresses: p.Addresses, Hashes: hashesOf(a)}
	})) {
		return
	}
	e := f.event(r, a, string(a.Source), p.Digest().Hex())
	text := p.Body()
	if p.Title != "" {
		text = p.Title + "\n\n" + text
	}
	e.Text = messages.Visible(q.Snippet(text, 200))
	e.Words = messages.Visible(fmt.Sprintf("%s: the page %s, captured %s, says what is looked for (%s)", r.Name, a.Source, a.Started, r.Match))
	f.found(ctx, e)
}

func (f *Finder) folded(of any, doc func() search.Doc) search.Folded {
	d, ok := f.ready[of]
	if !ok {
		d = doc().Fold()
		f.ready[of] = d
	}
	return d
}

func hashesOf(a *catalog.Accepted) []string {
	out := []string{a.Manifest.Hex()}
	for _, d := range a.Objects {
		out = append(out, d.Hex())
	}
	return out
}

func (f *Finder) answer(ctx context.Context, r *Rule, a *catalog.Accepted, x *catalog.Answer) error {
	if r.Deleted {
		gone := slices.Clone(x.Deleted)
		if len(x.Posts) > 0 { // the control
			gone = append(gone, x.Absent...)
		}
		for _, id := range gone {
			if err := f.post(ctx, r, a, x, id, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if r.Silent != "" {
		return nil
	}
	for i := range x.Posts {
		s := &x.Said[i]
		if r.Match != "" && !f.queries[r.Name].Applies(f.folded(s, func() search.Doc {
			return search.Doc{Text: s.Text, Addresses: s.Links, Hashes: append(hashesOf(a), x.Posts[i].Text.Hex())}
		})) {
			continue
		}
		if err := f.post(ctx, r, a, x, x.Posts[i].ID, &x.Posts[i]); err != nil {
			return err
		}
	}
	return nil
}

// post asks the catalog what follows of one post from all that is known, this capture
// included: only that is told.
func (f *Finder) post(ctx context.Context, r *Rule, a *catalog.Accepted, x *catalog.Answer, id int64, o *catalog.Observed) error {
	for p, err := range f.Posts.Posts(ctx, catalog.PostQuery{Channel: x.Channel, Post: id}) {
		if err != nil {
			return err
		}
		switch r.Kind() {
		case "deleted":
			for _, g := range p.Absences {
				if g.State == catalog.Absent && g.First.Capture == a.ID {
					f.deleted(ctx, r, a, sourceOf(a, x), p, g)
				}
			}
		case "edited":
			if i := versionOf(p, func(v catalog.Version) bool { return v.Content == o.Content && v.First.Capture == a.ID }); follows(p, i) {
				f.edited(ctx, r, a, sourceOf(a, x), p, i)
			}
		case "match":
			// What was seen before there was the rule is not new because it is seen again.
			if i := versionOf(p, func(v catalog.Version) bool { return v.Text == o.Text }); i >= 0 && !p.Versions[i].First.At.Before(r.Added.Time) {
				f.matched(ctx, r, a, sourceOf(a, x), p, i)
			}
		}
	}
	return nil
}

func versionOf(p catalog.Post, is func(catalog.Version) bool) int {
	return slices.IndexFunc(p.Versions, is)
}

// follows reports whether a version follows another that it can be compared with: the
// web's view of a post is of another kind.
func follows(p catalog.Post, i int) bool {
	if i < 0 {
		return false
	}
	web := p.Versions[i].First.How == catalog.HowWeb
	return slices.ContainsFunc(p.Versions[:i], func(v catalog.Version) bool { return (v.First.How == catalog.HowWeb) == web })
}

// sourceOf names the channel of an answer as a person would ask for it.
func sourceOf(a *catalog.Accepted, x *catalog.Answer) string {
	if len(x.Names) > 0 {
		return string(telegram.Name{Channel: x.Names[0]}.Source())
	}
	source, _, _ := strings.Cut(string(a.Source), "/")
	return source
}

func (f *Finder) ofPost(r *Rule, a *catalog.Accepted, source string, p catalog.Post, i int, facts ...string) alert.Event {
	e := f.event(r, a, append([]string{p.Channel, strconv.FormatInt(p.ID, 10)}, facts...)...)
	e.Source, e.Channel, e.Post = source, p.Channel, p.ID
	if i >= 0 && i < len(p.Versions) {
		v := p.Versions[i]
		e.Version = i + 1
		if !v.Posted.IsZero() {
			e.Posted = v.Posted.String()
		}
	}
	return e
}

func (f *Finder) matched(ctx context.Context, r *Rule, a *catalog.Accepted, source string, p catalog.Post, i int) {
	v := p.Versions[i]
	e := f.ofPost(r, a, source, p, i, v.Text.Hex())
	e.Text = f.snippet(ctx, r, p.ID, v)
	e.Words = messages.Visible(fmt.Sprintf("%s: post %d of %s, posted %s, says what is looked for (%s)", r.Name, p.ID, source, v.Posted, r.Match))
	f.found(ctx, e)
}

func (f *Finder) edited(ctx context.Context, r *Rule, a *catalog.Accepted, source string, p catalog.Post, i int) {
	v := p.Versions[i]
	e := f.ofPost(r, a, source, p, i, v.Content.Hex())
	e.Text = f.snippet(ctx, r, p.ID, v)
	e.Words = messages.Visible(fmt.Sprintf("%s: post %d of %s was edited: version %d, seen %s", r.Name, p.ID, source, i+1, v.First.At))
	f.found(ctx, e)
}

func (f *Finder) deleted(ctx context.Context, r *Rule, a *catalog.Accepted, source string, p catalog.Post, g catalog.Absence) {
	e := f.ofPost(r, a, source, p, p.Current, string(g.First.Capture))
	said := "the service says that there is no such post any more"
	if g.Told {
		said = "the service told its deletion"
	}
	if len(p.Versions) > 0 {
		e.Text = f.snippet(ctx, r, p.ID, p.Versions[p.Current])
	}
	e.Words = messages.Visible(fmt.Sprintf("%s: post %d of %s is gone at %s: %s", r.Name, p.ID, source, g.First.At, said))
	f.found(ctx, e)
}

func (f *Finder) snippet(ctx context.Context, r *Rule, id int64, v catalog.Version) string {
	text, ok := f.Texts.Of(ctx, id, v)
	if !ok {
		return ""
	}
	return messages.Visible(f.queries[r.Name].Snippet(string(text), 200))
}

// event has an ID that follows from the rule and the facts, not from when or in which
// order they were found.
func (f *Finder) event(r *Rule, a *catalog.Accepted, facts ...string) alert.Event {
	key := strings.Join(append([]string{r.Name, r.Added.String(), r.Kind()}, facts...), "\n")
	e := alert.Event{ID: hashing.Of([]byte(key)).Hex()[:32], Rule: r.Name, Kind: r.Kind(), At: f.at.String(), Node: f.Node, Training: f.Training}
	if a != nil {
		e.Source, e.Capture, e.Case = string(a.Source), string(a.ID), string(a.Case)
	}
	return e
}

func (f *Finder) found(ctx context.Context, e alert.Event) {
	if e.Case != "" {
		id := holdfast.ID(e.Case)
		if _, known := f.cases[id]; !known {
			cs, err := f.Captures.Case(ctx, e.Case)
			if err != nil && !errors.Is(err, catalog.ErrNotFound) {
				f.Log.WarnContext(ctx, "the name of a case cannot be read", "case", id, "err", err)
			}
			f.cases[id] = cs.Name
		}
		e.Case = messages.Visible(f.cases[id])
	}
	f.events = append(f.events, e)
}

// Silent finds Sources from which nothing new has come for too long: once for each
// silence, which is named by what was the last before it.
func (f *Finder) Silent(ctx context.Context, now time.Time) (events []alert.Event, err error) {
	for _, r := range f.Rules {
		if r.Kind() != "silent" {
			continue
		}
		limit, err := r.silence()
		if err != nil {
			return nil, err
		}
		last, heard, err := f.newest(ctx, r)
		if err != nil {
			return nil, err
		}
		since := last
		if since.Before(r.Added.Time) { // nobody was to be told before
			since = r.Added
		}
		if now.Sub(since.Time) < limit {
			continue
		}
		e := f.event(r, nil, since.String())
		e.Source = string(r.Source)
		when := "never"
		if !last.IsZero() {
			when = "last at " + last.String()
		}
		asked := "it was never asked"
		if !heard.IsZero() {
			asked = "it was last heard of at " + heard.String()
		}
		e.Words = messages.Visible(fmt.Sprintf("%s: nothing new from %s for %s: %s; %s", r.Name, r.Source, r.Silent, when, asked))
		events = append(events, e)
	}
	return events, nil
}

// newest is when a Source last said something new, and when it was last heard of.
func (f *Finder) newest(ctx context.Context, r *Rule) (last, heard holdfast.Time, err error) {
	if !isChannel(r.Source) {
		for cp, err := range f.Captures.Captures(ctx, catalog.Query{Source: r.Source, Kind: holdfast.KindCapture, Limit: 1}) {
			if err != nil {
				return last, heard, err
			}
			last, heard = cp.Started, cp.Started
		}
		return last, heard, nil
	}
	name, err := telegram.ParseName(string(r.Source))
	if err != nil {
		return last, heard, err
	}
	for k, err := range f.Posts.Channels(ctx, name.Channel) {
		if err != nil {
			return last, heard, err
		}
		if k.Last.After(heard.Time) {
			heard = k.Last
		}
		posted, err := f.Posts.Newest(ctx, k.ID)
		if err != nil {
			return last, heard, err
		}
		if posted.After(last.Time) {
			last = posted
		}
	}
	return last, heard, nil
}

// Past finds what a rule would have told of the posts of its channel.
func (f *Finder) Past(ctx context.Context, r *Rule) ([]alert.Event, error) {
	name, err := telegram.ParseName(string(r.Source))
	if err != nil {
		return nil, err
	}
	for k, err := range f.Posts.Channels(ctx, name.Channel) {
		if err != nil {
			return nil, err
		}
		for p, err := range f.Posts.Posts(ctx, catalog.PostQuery{Channel: k.ID}) {
			if err != nil {
				return nil, err
			}
			for i := range p.Versions {
				if r.Edited && follows(p, i) {
					f.edited(ctx, r, nil, string(r.Source), p, i)
				}
			}
			for _, g := range p.Absences {
				if r.Deleted && g.State == catalog.Absent {
					f.deleted(ctx, r, nil, string(r.Source), p, g)
				}
			}
		}
	}
	return f.Found(), nil
}
