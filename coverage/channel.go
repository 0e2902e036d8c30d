package coverage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/heard"
	"holdfast/kept"
)

// Role and name of a statement of completeness (docs/bundle.md, section 3).
const (
	Role = "coverage"
	Name = "coverage.json"
)

// Why a number is missing, or a post gone. What nobody ever asked or was told is
// unknown, and is never called deleted.
const (
	whyTold    = "deletion-told"        // the service told that it was deleted
	whyEmpty   = "empty-beside-control" // messageEmpty in an answer that showed another post
	whyAlone   = "empty-alone"          // messageEmpty, and nothing else in the answer: it says nothing
	whyUnknown = "unknown"              // no answer says anything of it
)

// Bounds of a statement. The counts are of all, whatever is not listed.
const (
	MaxRanges = 20_000 // of each list
	maxFailed = 1_000
)

// Channel is coverage.json of a channel: what is known of a channel and what is not, as it
// follows from the catalog, so the same after a rebuild. Members stand in canonical
// order. It holds no time of its making.
type Channel struct {
	Answers    Answers         `json:"answers"`
	Changes    Changes         `json:"changes"`
	Channel    string          `json:"channel"`
	Class      string          `json:"class"`
	Cut        bool            `json:"cut"` // a list has less than there is
	Failed     []Failure       `json:"failed"`
	Followed   Followed        `json:"followed"`
	Gone       []Range         `json:"gone"` // posts that were seen, and are no longer there
	IDs        IDs             `json:"ids"`
	Kind       string          `json:"kind"`
	Missing    []Range         `json:"missing"`    // numbers that were never seen
	Resolution int64           `json:"resolution"` // of unheard, in s: what is shorter is not listed
	Since      *holdfast.Time  `json:"since,omitempty"`
	Source     holdfast.Source `json:"source"`
	Title      canon.Text      `json:"title"`
	Training   bool            `json:"training"`
	Unheard    []Span          `json:"unheard"` // no answer is known of between: nobody asked, or could
	Until      *holdfast.Time  `json:"until,omitempty"`
	Version    int             `json:"version"`
}

// Answers are the answers that it follows from. Digest is that of their
// Captures' IDs, sorted, each with an LF.
type Answers struct {
	Count   int64          `json:"count"`
	Digest  hashing.Digest `json:"digest"`
	First   *holdfast.Time `json:"first,omitempty"`
	Last    *holdfast.Time `json:"last,omitempty"`
	Pending int64          `json:"pending"`
	Sealed  int64          `json:"sealed"`
	Signed  int64          `json:"signed"`
}

// Followed are the lines of custody that say when the channel was answered for
// without anything new: those answers are not kept. Digest is that of the Events' IDs,
// sorted, each with an LF.
type Followed struct {
	Count  int64          `json:"count"`
	Digest hashing.Digest `json:"digest"`
}

// Changes are numbers by which the service counts changes (pts). Between
// the ends of a range every change was told; between two ranges edits and deletions
// are known only as far as posts were asked for again.
type Changes struct {
	Known   []PTS `json:"known"`
	TooLong []PTS `json:"too_long"` // the service refused to tell what lies between
}

// PTS is a range of those numbers, both ends known.
type PTS struct {
	At   *holdfast.Time `json:"at,omitempty"` // of the answer that refused
	From int64          `json:"from"`
	To   int64          `json:"to"`
}

// IDs counts the numbers that posts could have.
type IDs struct {
	Absent  int64 `json:"absent"`
	Edited  int64 `json:"edited"`
	First   int64 `json:"first"` // 0: none
	Last    int64 `json:"last"`
	Missing int64 `json:"missing"`
	Present int64 `json:"present"`
	Seen    int64 `json:"seen"`
	Unknown int64 `json:"unknown"` // seen, and the last answer about it cannot be relied on
}

// Range is numbers that stand side by side, for one reason.
type Range struct {
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Why   string `json:"why"`
}

// Span is a time; an end that nobody knows is nil.
type Span struct {
	After  *holdfast.Time `json:"after,omitempty"`
	Before *holdfast.Time `json:"before,omitempty"`
}

// Failure is a Capture that did not come, or not whole.
type Failure struct {
	At      holdfast.Time `json:"at"`
	Capture holdfast.ID   `json:"capture"`
	Outcome string        `json:"outcome"`
	Reasons []string      `json:"reasons"`
}

// Window is a time, both ends included; a zero one is open.
type Window struct{ Since, Until holdfast.Time }

func (w Window) has(t holdfast.Time) bool {
	return (w.Since.IsZero() || !t.Before(w.Since.Time)) && (w.Until.IsZero() || !t.After(w.Until.Time))
}

// Facts is what a statement follows from. It is for one goroutine.
type Facts struct {
	Posts    Posts
	Captures Captures
	Custody  heard.Custody
	Kept     kept.Reader // without places: each statement has its own
	Training bool        // a statement says so
	Log      *slog.Logger
}

// Posts is what is known of channels.
type Posts interface {
	Posts(ctx context.Context, q catalog.PostQuery) iter.Seq2[catalog.Post, error]
	Answers(ctx context.Context, channel string) iter.Seq2[catalog.Heard, error]
}

// Captures is what is known of captures.
type Captures interface {
	Capture(ctx context.Context, id holdfast.ID) (catalog.Capture, error)
	Captures(ctx context.Context, q catalog.Query) iter.Seq2[catalog.Capture, error]
}

// read reads many captures, of which it will be noted where their Manifests lie.
func (f *Facts) read() *kept.Reader {
	r := f.Kept
	r.At = kept.Places{}
	return &r
}

// Channel says it of one channel, by the name that it was asked for by. With a window it is about the posts that were
// posted then, the numbers between them, and the answers of that time.
func (f *Facts) Channel(ctx context.Context, source holdfast.Source, k catalog.Channel, w Window) (*Channel, error) {
	d := &Channel{Channel: k.ID, Class: "derived", Kind: "coverage", Since: known(w.Since), Source: source, Title: canon.Text(k.Title),
		Training: f.Training, Until: known(w.Until), Version: 1, Resolution: int64(heard.Gap / time.Second),
		Failed: []Failure{}, Gone: []Range{}, Missing: []Range{}, Unheard: []Span{}}
	for _, step := range []func(context.Context, *Facts, Window) error{d.bounds, d.posts, d.answers, d.failures} {
		if err := step(ctx, f, w); err != nil {
			return nil, fmt.Errorf("coverage of %s: %w", d.Source, err)
		}
	}
	return d, nil
}

// bounds finds between which numbers all are accounted for. Without a beginning
// that is 1, where every channel begins.
func (d *Channel) bounds(ctx context.Context, from *Facts, w Window) error {
	for p, err := range from.Posts.Posts(ctx, catalog.PostQuery{Channel: d.Channel}) {
		if err != nil {
			return err
		}
		if !w.has(p.PostedAt()) {
			continue
		}
		if d.IDs.First == 0 {
			d.IDs.First = p.ID
		}
		d.IDs.Last = p.ID
	}
	if w.Since.IsZero() && d.IDs.Last > 0 {
		d.IDs.First = 1
	}
	return nil
}

// posts accounts for each number.
func (d *Channel) posts(ctx context.Context, from *Facts, w Window) error {
	next := d.IDs.First
	if d.IDs.Last == 0 {
		return nil
	}
	for p, err := range from.Posts.Posts(ctx, catalog.PostQuery{Channel: d.Channel, After: d.IDs.First - 1, Unseen: true}) {
		if err != nil {
			return err
		}
		if p.ID > d.IDs.Last {
			break
		}
		d.missing(next, p.ID-1, whyUnknown)
		next = p.ID + 1
		d.post(p)
	}
	d.missing(next, d.IDs.Last, whyUnknown)
	return nil
}

func (d *Channel) post(p catalog.Post) {
	if len(p.Versions) == 0 {
		d.missing(p.ID, p.ID, whyGone(p))
		return
	}
	d.IDs.Seen++
	switch p.State {
	case catalog.Present:
		d.IDs.Present++
	case catalog.Edited:
		d.IDs.Edited++
	case catalog.Absent:
		d.IDs.Absent++
		d.Gone = d.ranged(d.Gone, p.ID, p.ID, whyGone(p))
	default:
		d.IDs.Unknown++
		d.Gone = d.ranged(d.Gone, p.ID, p.ID, whyAlone)
	}
}

// whyGone says by what a post that is not there is known not to be.
func whyGone(p catalog.Post) string {
	switch {
	case p.Told:
		return whyTold
	case p.State == catalog.Absent:
		return whyEmpty
	}
	return whyAlone
}

func (d *Channel) missing(first, last int64, why string) {
	if first > last {
		return
	}
	d.IDs.Missing += last - first + 1
	d.Missing = d.ranged(d.Missing, first, last, why)
}

// ranged adds to a list, joining what touches and has one reason.
func (d *Channel) ranged(list []Range, first, last int64, why string) []Range {
	if n := len(list); n > 0 && list[n-1].Last == first-1 && list[n-1].Why == why {
		list[n-1].Last = last
		return list
	}
	if len(list) == MaxRanges {
		d.Cut = true
		return list
	}
	return append(list, Range{first, last, why})
}

// answers says what was heard, when nothing was, and which changes were told.
func (d *Channel) answers(ctx context.Context, from *Facts, w Window) error {
	var told []PTS
	captures, last := map[holdfast.ID]bool{}, holdfast.ID("")
	var all []heard.Span
	d.Changes.TooLong = []PTS{}
	for h, err := range from.Posts.Answers(ctx, d.Channel) {
		if err != nil {
			return err
		}
		if last = h.Capture; !w.has(h.At) {
			continue
		}
		d.Answers.Count++
		d.count(h.State)
		captures[h.Capture] = true
		d.Answers.First = cmp.Or(d.Answers.First, known(h.At))
		d.Answers.Last = known(h.At)
		if n := len(all); n > 0 && h.At.Sub(all[n-1].To.Time) <= heard.Gap {
			all[n-1].To = h.At
		} else {
			all = append(all, heard.Span{From: h.At, To: h.At})
		}
		switch {
		case h.From == 0 || h.To <= h.From && h.TooLong:
		case h.TooLong:
			d.tooLong(PTS{known(h.At), h.From, h.To})
		default:
			told = append(told, PTS{From: h.From, To: h.To})
		}
	}
	spans, err := d.heard(ctx, from, last)
	if err != nil {
		return err
	}
	d.silences(heard.Joined(append(all, spans...)), w)
	d.Changes.Known = joined(told)
	if len(d.Changes.Known) > MaxRanges {
		d.Changes.Known, d.Cut = d.Changes.Known[:MaxRanges], true
	}
	d.Answers.Digest = idsDigest(captures)
	return nil
}

func idsDigest(ids map[holdfast.ID]bool) hashing.Digest {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		fmt.Fprintf(h, "%s\n", id)
	}
	return hashing.Digest(h.Sum(nil))
}

// heard reads when the channel was answered for, from the custody of the Cases that
// have captures of that name, and of the newest answer's.
func (d *Channel) heard(ctx context.Context, from *Facts, last holdfast.ID) ([]heard.Span, error) {
	homes := map[holdfast.ID]bool{}
	if cp, err := from.Captures.Capture(ctx, last); err == nil {
		homes[cp.Case] = true
	}
	for cp, err := range from.Captures.Captures(ctx, catalog.Query{Source: d.Source, Kind: holdfast.KindCapture}) {
		if err != nil {
			return nil, err
		}
		homes[cp.Case] = true
	}
	spans, events, err := heard.Of(from.Custody, d.Channel, slices.Sorted(maps.Keys(homes)))
	if err != nil {
		return nil, err
	}
	ids := map[holdfast.ID]bool{}
	for _, id := range events {
		ids[id] = true
	}
	d.Followed = Followed{int64(len(ids)), idsDigest(ids)}
	return spans, nil
}

// silences lists the times of the window between what was heard, which stands in order.
func (d *Channel) silences(spans []heard.Span, w Window) {
	end := w.Since
	for _, s := range spans {
		if !w.Until.IsZero() && s.From.After(w.Until.Time) || s.To.Before(end.Time) {
			continue
		}
		if !end.IsZero() && s.From.Sub(end.Time) > heard.Gap {
			d.unheard(end, s.From)
		}
		end = s.To
	}
	if !end.IsZero() && !w.Until.IsZero() && w.Until.Sub(end.Time) > heard.Gap {
		d.unheard(end, w.Until)
	}
}

func (d *Channel) count(state string) {
	switch state {
	case catalog.Sealed:
		d.Answers.Sealed++
	case catalog.Signed:
		d.Answers.Signed++
	default:
		d.Answers.Pending++
	}
}

func (d *Channel) unheard(after, before holdfast.Time) {
	if len(d.Unheard) == MaxRanges {
		d.Cut = true
		return
	}
	d.Unheard = append(d.Unheard, Span{known(after), known(before)})
}

func (d *Channel) tooLong(p PTS) {
	if len(d.Changes.TooLong) == MaxRanges {
		d.Cut = true
		return
	}
	d.Changes.TooLong = append(d.Changes.TooLong, p)
}

// joined joins ranges whose ends meet: what one difference ends with the next was
// asked behind.
func joined(all []PTS) []PTS {
	slices.SortFunc(all, func(a, b PTS) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	out := []PTS{}
	for _, p := range all {
		if n := len(out); n > 0 && p.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, p.To)
			continue
		}
		out = append(out, p)
	}
	return out
}

// failures lists the Captures of the channel that did not come, or not whole.
func (d *Channel) failures(ctx context.Context, from *Facts, w Window) error {
	read := from.read()
	for cp, err := range from.Captures.Captures(ctx, catalog.Query{Source: d.Source, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		if cp.Outcome == "complete" || !w.has(cp.Started) {
			continue
		}
		if len(d.Failed) == maxFailed {
			d.Cut = true
			break
		}
		read.At.Add(cp)
		f := Failure{At: cp.Started, Capture: cp.ID, Outcome: cp.Outcome, Reasons: []string{}}
		if m, err := read.Parsed(ctx, cp.ID); err == nil {
			f.Reasons = append(f.Reasons, m.Completeness.Reasons...)
		} else {
			from.Log.WarnContext(ctx, "manifest not read", "capture", cp.ID, "err", err)
		}
		d.Failed = append(d.Failed, f)
	}
	slices.Reverse(d.Failed) // oldest first
	return nil
}

// known is nil for a time that nobody stated.
func known(t holdfast.Time) *holdfast.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
