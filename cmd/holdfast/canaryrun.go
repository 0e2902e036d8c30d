package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/messages"
)

const (
	canaryLook = 50 * time.Millisecond // between two looks: what is measured is so much too long at most
	canaryAsk  = 30 * time.Second      // that the service may take to answer an act
)

// The acts of a round, and what came of each.
const (
	actPost   = "post"
	actEdit   = "edit"
	actDelete = "delete"

	canarySeen    = "seen"
	canaryLate    = "late"    // seen, and not in time
	canaryMissed  = "missed"  // not seen
	canaryRefused = "refused" // not done: the service said no
	canaryUnclear = "unclear" // whether it was done is not known
)

// canaryRun is one call of `watch canary`.
type canaryRun struct {
	canaryPlace
	c       *cli
	n       *node
	account string
	within  time.Duration

	all  []*canaryAct
	last canaryLast
}

// canaryAct is one act, and what was seen of it. Times are this machine's.
type canaryAct struct {
	what     string
	id       int // of the post; 0: it never had one
	token    string
	result   string
	said     string    // what the service said instead
	answered time.Time // when the service had said that it is done
	accepted time.Time // when the catalog was first seen to have it
	sealed   time.Time // when its capture was first seen to be sealed
	sight    *catalog.Sight
}

// rounds cleans up and then measures, until ctx ends. line is that of the connection.
func (x *canaryRun) rounds(ctx, line context.Context, t *telegram.Canary, o canaryOptions) error {
	if err := x.clean(line, t); err != nil {
		return err
	}
	for i := range o.rounds {
		begun := time.Now()
		if err := x.n.canaryAllowed(ctx, x.canaryPlace); err != nil {
			return err
		}
		acts, err := x.round(ctx, line, t)
		x.all = append(x.all, acts...)
		if len(acts) > 0 {
			if merr := x.measured(line, acts); merr != nil {
				return errors.Join(err, merr)
			}
		}
		if err != nil {
			return err
		}
		if i+1 == o.rounds {
			break
		}
		select {
		case <-time.After(time.Until(begun.Add(o.every))):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return errStoppedCanary
		}
	}
	x.c.say(x.last.row(), "%s", messages.Visible(x.last.text()))
	return nil
}

// round posts, edits and deletes one post. Each act is waited for before the next
// one: of what changes before it is looked at the service tells the last state alone.
// Whatever comes between, the post is deleted, also when somebody stops it (ctx; the
// connection is line's). A kill leaves the lines of what was to be done, and perhaps
// the post, which the next run deletes.
func (x *canaryRun) round(ctx, line context.Context, t *telegram.Canary) (acts []*canaryAct, err error) {
	token := string(holdfast.NewID())
	do := func(what string, id int, write func(context.Context) (telegram.Wrote, error)) (*canaryAct, error) {
		if err := x.will(line, what, id, token, ""); err != nil {
			return nil, err
		}
		a := &canaryAct{what: what, id: id, token: token}
		acts = append(acts, a)
		limited, stop := context.WithTimeout(line, canaryAsk)
		defer stop()
		w, err := write(limited)
		if a.id, a.answered = max(id, w.ID), w.Answered; err != nil {
			a.result, a.said = canaryRefused, short(err)
			if errors.Is(err, telegram.ErrUnclear) {
				a.result = canaryUnclear
			}
			return a, err
		}
		return a, x.wait(ctx, acts, func() bool { return a.sight != nil }, a.answered.Add(x.within))
	}
	p, err := do(actPost, 0, func(ctx context.Context) (telegram.Wrote, error) { return t.Post(ctx, token) })
	if err != nil && p != nil && p.result == canaryUnclear {
		limited, stop := context.WithTimeout(line, canaryAsk)
		defer stop()
		if found, _, ferr := t.Find(limited, []string{token}, time.Now().Add(-time.Hour)); ferr == nil && len(found[token]) > 0 {
			p.id = found[token][0]
		}
	}
	if p == nil || p.id == 0 {
		return acts, err
	}
	if err == nil && ctx.Err() == nil {
		_, err = do(actEdit, p.id, func(ctx context.Context) (telegram.Wrote, error) { return t.Edit(ctx, p.id, token) })
	}
	_, derr := do(actDelete, p.id, func(ctx context.Context) (telegram.Wrote, error) { return t.Delete(ctx, p.id) })
	if err = errors.Join(err, derr); err != nil {
		return acts, err
	}
	if err := x.wait(ctx, acts, func() bool { return settledActs(acts) }, time.Now().Add(x.within)); err != nil {
		return acts, err
	}
	if ctx.Err() != nil {
		return acts, errStoppedCanary
	}
	return acts, nil
}

// errStoppedCanary: somebody has stopped a canary, and nothing of it is left.
var errStoppedCanary = errors.New("stopped: what was posted is deleted, and what was seen of it until then is in the custody")

// settledActs says whether all that was seen is sealed, and nothing more is waited for:
// what was not seen in its time may still be seen late while others are sealed.
func settledActs(acts []*canaryAct) bool {
	for _, a := range acts {
		if a.sight != nil && a.sealed.IsZero() {
			return false
		}
	}
	return true
}

// wait looks until it is so, until then, or until somebody stops it: that is no error.
func (x *canaryRun) wait(ctx context.Context, acts []*canaryAct, so func() bool, until time.Time) error {
	for {
		if err := x.look(context.WithoutCancel(ctx), acts); err != nil {
			return err
		}
		if so() || time.Now().After(until) || ctx.Err() != nil {
			return nil
		}
		select {
		case <-time.After(canaryLook):
		case <-ctx.Done():
		}
	}
}

// look notes what the catalog has by now. While it is made again it has nothing.
func (x *canaryRun) look(ctx context.Context, acts []*canaryAct) error {
	err := x.n.refresh(ctx)
	for _, a := range acts {
		if err == nil && a.id > 0 && a.sight == nil {
			err = x.lookFor(ctx, a)
		}
		if err == nil && a.sight != nil && a.sealed.IsZero() {
			var cp catalog.Capture
			if cp, err = x.n.cat.Capture(ctx, a.sight.Capture); err == nil && cp.State == catalog.Sealed {
				a.sealed = time.Now()
			}
		}
	}
	if errors.Is(err, catalog.ErrRebuild) {
		return nil
	}
	return err
}

func (x *canaryRun) lookFor(ctx context.Context, a *canaryAct) error {
	for p, err := range x.n.cat.Posts(ctx, catalog.PostQuery{Channel: x.channel, Post: int64(a.id)}) {
		if err != nil {
			return err
		}
		if a.sight = canarySight(p, a.what, a.token); a.sight != nil {
			a.accepted = time.Now()
		}
	}
	return nil
}

// canarySight is the first that shows an act of a canary's post; nil: nothing does. A
// public page shows nothing here: it is not what is measured.
func canarySight(p catalog.Post, what, token string) *catalog.Sight {
	if what == actDelete {
		if g := p.Gone; g != nil && p.State == catalog.Absent {
			return g
		}
		return nil
	}
	form := map[string]int{actPost: 1, actEdit: 2}[what]
	text := hashing.Of([]byte(telegram.CanaryText(token, form)))
	for _, v := range p.Versions {
		if v.Text == text && v.First.How != catalog.HowWeb {
			return &v.First
		}
	}
	return nil
}

// measured says what came of a round: as a line of custody, as lines here, and in
// what is known of the last canary, in this order.
func (x *canaryRun) measured(ctx context.Context, acts []*canaryAct) error {
	for _, a := range acts {
		a.judge(x.within)
	}
	h, err := x.measuredLine(ctx, acts)
	if err != nil {
		return err
	}
	for _, a := range acts {
		x.c.say(a.row(x.source), "%s", messages.Visible(a.text(x.source, x.within)))
	}
	x.last = lastOf(x.source, x.all, x.within)
	x.last.At, x.last.Case, x.last.Chain, x.last.N = holdfast.At(time.Now()), x.home, h.Chain, h.Length
	return x.n.keepCanary(x.last)
}

// judge says what came of an act, if the service has not.
func (a *canaryAct) judge(within time.Duration) {
	switch {
	case a.result != "" && a.sight == nil:
	case a.sight == nil:
		a.result = canaryMissed
	case !a.answered.IsZero() && a.accepted.Sub(a.answered) > within:
		a.result = canaryLate
	default:
		a.result = canarySeen
	}
}

// after is how long behind the service's answer a moment was, in ms; nil: there is
// no such moment.
func (a *canaryAct) after(t time.Time) *int64 {
	if t.IsZero() || a.answered.IsZero() {
		return nil
	}
	ms := max(t.Sub(a.answered).Milliseconds(), 0)
	return &ms
}

func (a *canaryAct) row(source holdfast.Source) map[string]any {
	row := map[string]any{"event": "act", "source": source, "act": a.what, "id": a.id, "result": a.result, "said": a.said, "accepted_ms": a.after(a.accepted), "sealed_ms": a.after(a.sealed), "how": "", "capture": nil}
	if a.sight != nil {
		row["how"], row["capture"] = a.sight.How, a.sight.Capture
	}
	return row
}

func (a *canaryAct) text(source holdfast.Source, within time.Duration) string {
	s := fmt.Sprintf("%-9s %s of post %d of %s", a.result, a.what, a.id, source)
	switch {
	case a.said != "":
		s += "  " + a.said
	case a.sight == nil:
		s += fmt.Sprintf("  nothing was seen of it in %s", within)
	default:
		s += fmt.Sprintf("  accepted %s after it, %s  %s  %s", seconds(a.after(a.accepted)), sealedText(a.after(a.sealed)), a.sight.How, a.sight.Capture)
	}
	return s
}

func sealedText(ms *int64) string {
	if ms == nil {
		return "not sealed yet"
	}
	return "sealed " + seconds(ms) + " after it"
}

func seconds(ms *int64) string {
	if ms == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2f s", float64(*ms)/1000)
}
