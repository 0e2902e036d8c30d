package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors/web/rules"
)

// Bounds of answering banners.
const (
	maxBanners   = 3               // that are answered one after the other
	bannerBudget = 10              // a part of the time: one of so many
	bannerWait   = 2 * time.Second // for one that a known platform's script promises
	bannerAfter  = 1500 * time.Millisecond
	wallCovers   = 0.5 // of the window: then the banner is a wall
)

// banner is what came of one.
type banner struct {
	by, choice, text, frame string
	covers                  float64
	answered, gone          bool
}

// bannerScript looks for banners that ask for consent: those of known platforms, dialogs,
// and what lies over the page at its edges. As frame, the whole document may be one.
const bannerScript = `((platforms, frame, platform) => {` + lookLibrary + buttonLibrary + `
  const roots = new Map(), frames = [], add = (e, p) => { if (e && e !== document.documentElement && (frame || e !== document.body || p >= 0) && !roots.has(e)) roots.set(e, p) };
  const under = h => location.hostname === h || location.hostname.endsWith('.' + h);
  platforms.forEach((p, i) => {
    if (p.hosts && !p.hosts.some(under)) return;
    for (const s of p.banner || []) for (const e of all(document, s).slice(0, 3)) add(e, i);
    for (const s of p.frames || []) for (const e of all(document, s).slice(0, 3)) if (covers(e)) frames.push({platform: i, covers: covers(e)});
  });
  if (frame) add(document.body, platform);
  else {
    for (const e of all(document, 'dialog[open], [role=dialog], [role=alertdialog], [aria-modal=true]').slice(0, 20)) add(e, -1);
    for (const e of all(document, '[id*=cookie i], [class*=cookie i], [id*=consent i], [class*=consent i], [id*=gdpr i], [class*=gdpr i]').slice(0, 40)) add(e, -1);
    for (const e of all(document, 'iframe[id*=consent i], iframe[title*=consent i], iframe[src*=consent i], iframe[id*=cookie i], iframe[title*=cookie i], iframe[src*=cookie i], iframe[title*=privacy i], iframe[src*="/cmp" i]').slice(0, 10)) if (covers(e)) frames.push({platform: -1, covers: covers(e)});
    const w = innerWidth, h = innerHeight;
    for (const [x, y] of [[.5, .5], [.5, .97], [.1, .97], [.9, .97], [.5, .03], [.1, .9], [.9, .9], [.5, .8]]) {
      let e = document.elementFromPoint(w * x, h * y), top = null;
      for (let n = 0; e && e !== document.body && n < 40; n++, e = e.parentElement || (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null)) {
        const p = getComputedStyle(e).position;
        if (p === 'fixed' || p === 'sticky') top = e;
      }
      if (top) add(top, -1);
    }
  }
  const banners = [];
  for (const [e, p] of roots) {
    const size = Math.max(covers(e), ...deep(e, '*', 60).map(covers));
    if (!size || banners.length >= 12) continue;
    const what = 'button, [role=button], input[type=button], input[type=submit], a';
    const bs = [], list = deep(e, what, 60).filter(x => seen(x) && !all(x, 'button').length);
    for (const x of list) bs.push(button(x));
    const pick = sel => p < 0 ? [] : (platforms[p][sel] || []).flatMap(s => deep(e, s, 3)).map(x => { let i = list.indexOf(x); if (i < 0 && seen(x)) { list.push(x); bs.push(button(x)); i = list.length - 1 } return i }).filter(i => i >= 0);
    const refuse = pick('refuse'), accept = pick('accept');
    const words = [text(e, 4100), ...deep(e, 'p, h1, h2, h3, span, div', 60).filter(x => x.getRootNode() instanceof ShadowRoot && seen(x)).map(x => text(x, 600))].join(' ').slice(0, 4100);
    if (!bs.length) continue;
    banners.push({platform: p, text: words, covers: size, fields: deep(e, field, 20).filter(seen).length, buttons: bs, refuse, accept, root: keep(e)});
  }
  const sources = all(document, 'script[src]').map(x => attr(x, 'src'));
  const loads = platforms.some(p => p.loads.some(s => sources.some(x => x.includes(s))));
  return JSON.stringify({banners, frames, loads});
})(%s, %t, %d)`

// coversScript is how much of the window an element takes that was kept.
const coversScript = `(index => {` + lookLibrary + buttonLibrary + `
  const e = globalThis.holdfastKept[index];
  return JSON.stringify(e && e.isConnected ? Math.max(covers(e), ...deep(e, '*', 60).map(covers)) : 0);
})(%d)`

// bannersSeen is what bannerScript gives.
type bannersSeen struct {
	Banners []struct {
		Platform       int          `json:"platform"`
		Text           string       `json:"text"`
		Covers         float64      `json:"covers"`
		Fields         int          `json:"fields"`
		Buttons        []buttonSeen `json:"buttons"`
		Refuse, Accept []int
		Root           int `json:"root"`
	} `json:"banners"`
	Frames []struct {
		Platform int     `json:"platform"`
		Covers   float64 `json:"covers"`
	} `json:"frames"`
	Loads bool `json:"loads"`
}

// asked is a banner that was found, and the button that answers it.
type asked struct {
	scene
	answer rules.Answer
	root   int
	frame  string
	covers float64
}

// consent answers the banners that ask for it, after the page as it was before is
// kept. A page without one is looked at once and goes on.
func (t *tab) consent(ctx context.Context, limit time.Duration, m *meter, dir string, v *view) error {
	end := time.Now().Add(limit)
	for n := 0; n < maxBanners && ctx.Err() == nil && time.Now().Before(end); n++ {
		wait := min(bannerWait, time.Until(end))
		if n > 0 {
			wait = 0
		}
		q, found, blank := t.banner(ctx, wait)
		if !found {
			if n == 0 && blank.covers > 0 {
				v.banners = append(v.banners, blank)
			}
			return nil
		}
		b := banner{by: q.answer.Why, choice: q.answer.Choice, text: clean(q.answer.Text), frame: q.frame, covers: q.covers}
		if t.manner.consent == consentLeave {
			v.banners = append(v.banners, b)
			return nil
		}
		if n == 0 {
			if err := t.before(ctx, dir, v); err != nil {
				return err
			}
		}
		t.answer(ctx, q, &b, m, min(bannerAfter, time.Until(end)))
		v.banners = append(v.banners, b)
		effect := "the banner stayed"
		if b.gone {
			effect = "the banner went away"
		}
		v.did(t, act{What: "press", For: "consent", Text: b.text, Choice: b.choice, By: b.by, Frame: b.frame, Effect: effect})
		if !b.gone {
			return nil
		}
	}
	return nil
}

// answer presses the button and looks whether the banner is gone.
func (t *tab) answer(ctx context.Context, q asked, b *banner, m *meter, limit time.Duration) {
	at := t.moved()
	if b.answered = q.see(ctx, fmt.Sprintf(pressScript, q.answer.Index, false), &b.answered) == nil && b.answered; !b.answered {
		return
	}
	end := time.Now().Add(limit)
	for ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
		var covers float64
		if t.moved() != at || q.see(ctx, fmt.Sprintf(coversScript, q.root), &covers) != nil || covers == 0 {
			b.gone = true // with its document, or its frame
			break
		}
		if time.Now().After(end) {
			return
		}
	}
	t.quiet(ctx, m, limit) // what the page asks for now that it may
}

// banner looks for one that can be answered, and waits a moment where the page loads a
// platform that will show one.
// Of one that is a wall and has no button that answers it, blank tells.
func (t *tab) banner(ctx context.Context, wait time.Duration) (_ asked, found bool, blank banner) {
	for end := time.Now().Add(wait); ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		s, err := t.scene(ctx)
		if err != nil {
			return asked{}, false, blank
		}
		var seen bannersSeen
		if s.see(ctx, fmt.Sprintf(bannerScript, asJSON(t.manner.rules.Platforms()), false, -1), &seen) != nil {
			return asked{}, false, blank
		}
		q, found := t.pick(s, seen, -1)
		if found {
			return q, true, blank
		}
		blank = t.blank(seen)
		for i, f := range seen.Frames {
			if i < 3 && f.Covers > 0.01 {
				if q, found := t.bannerFrames(ctx, f.Platform); found {
					q.covers = f.Covers
					return q, true, blank
				}
			}
		}
		if !seen.Loads && len(seen.Frames) == 0 || time.Now().After(end) {
			break
		}
	}
	return asked{}, false, blank
}

// blank is a banner that covers the page and that no button of it answers.
func (t *tab) blank(seen bannersSeen) banner {
	for _, b := range seen.Banners {
		switch {
		case b.Covers < wallCovers:
		case b.Platform >= 0:
			return banner{by: t.manner.rules.Platforms()[b.Platform].Name, covers: b.Covers}
		case b.Fields == 0 && len(b.Text) < 4000 && rules.Has(b.Text, t.manner.rules.About()) != "":
			return banner{by: "words", covers: b.Covers}
		}
	}
	return banner{}
}

// pick takes the first banner that the rules answer; those of known platforms come
// first.
func (t *tab) pick(s scene, seen bannersSeen, platform int) (asked, bool) {
	for _, b := range seen.Banners {
		u := rules.Banner{Platform: b.Platform, Text: b.Text, Covers: b.Covers, Fields: b.Fields, Refuse: b.Refuse, Accept: b.Accept}
		if u.Platform < 0 {
			u.Platform = platform
		}
		for _, x := range b.Buttons {
			u.Buttons = append(u.Buttons, x.button())
		}
		if answer, ok := t.manner.rules.Answer(u); ok {
			return asked{scene: s, answer: answer, root: b.Root, covers: b.Covers}, true
		}
	}
	return asked{}, false
}

// bannerFrames looks in the frames of the page, also those with a process of their own.
func (t *tab) bannerFrames(ctx context.Context, platform int) (asked, bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errDeadline)
	defer cancel()
	for _, f := range t.frames(ctx) {
		var seen bannersSeen
		if f.see(ctx, fmt.Sprintf(bannerScript, asJSON(t.manner.rules.Platforms()), true, platform), &seen) != nil {
			continue
		}
		if q, found := t.pick(f.scene, seen, platform); found {
			q.frame = clean(f.url)
			return q, true
		}
	}
	return asked{}, false
}

// placed is a frame of the page and where it is.
type placed struct {
	scene
	url string
}

// frames gives worlds of our own in the frames of the page, maxFrames at most.
func (t *tab) frames(ctx context.Context) (out []placed) {
	type tree struct {
		Frame       struct{ ID, URL string }
		ChildFrames []json.RawMessage
	}
	var walk func(s session, raw json.RawMessage, top bool)
	walk = func(s session, raw json.RawMessage, top bool) {
		var n tree
		if len(out) >= maxFrames || json.Unmarshal(raw, &n) != nil {
			return
		}
		if !top {
			if w, err := (proto.PageCreateIsolatedWorld{FrameID: proto.PageFrameID(n.Frame.ID), WorldName: "holdfast"}).Call(s.with(ctx)); err == nil {
				out = append(out, placed{scene{s, w.ExecutionContextID}, n.Frame.URL})
			}
		}
		for _, c := range n.ChildFrames {
			walk(s, c, false)
		}
	}
	for i, s := range append([]session{t.session}, t.apart(ctx)...) {
		b, err := s.Call(ctx, s.id, "Page.getFrameTree", nil)
		var r struct{ FrameTree json.RawMessage }
		if err == nil && json.Unmarshal(b, &r) == nil {
			walk(s, r.FrameTree, i == 0)
		}
	}
	return out
}

// apart attaches to the frames that have a process of their own. They are let go with the
// page.
func (t *tab) apart(ctx context.Context) (out []session) {
	t.b.mu.Lock()
	var ids []proto.TargetTargetID
	for id, f := range t.b.frames {
		if f.context == t.context && f.kind == "iframe" && len(ids) < maxFrames {
			ids = append(ids, id)
		}
	}
	t.b.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		if s, known := t.attached[id]; known {
			out = append(out, s)
			continue
		}
		at, err := proto.TargetAttachToTarget{TargetID: id, Flatten: true}.Call(t.top(ctx))
		if err != nil {
			continue
		}
		if t.attached == nil {
			t.attached = map[proto.TargetTargetID]session{}
		}
		t.attached[id] = session{link: t.b.link, id: string(at.SessionID), ctx: ctx, log: t.log}
		out = append(out, t.attached[id])
	}
	return out
}

// before keeps the page as it is with its banner: the window, the document, the text.
func (t *tab) before(ctx context.Context, dir string, v *view) error {
	world, err := t.world(ctx)
	if err != nil {
		return nil // whoever looks at the page next meets the same
	}
	const when = "before a banner that asks for consent was answered"
	b := &view{}
	for _, f := range []struct {
		file
		make func(context.Context, io.Writer) error
	}{
		{file{name: "before-consent.html", role: "before-dom", mediaType: "text/html", derived: made("serialise-dom", when)},
			func(ctx context.Context, w io.Writer) error { return t.text(ctx, world, domScript, w) }},
		{file{name: "before-consent.txt", role: "before-text", mediaType: "text/plain", derived: made("extract-text", when+"; of the main frame only")},
			func(ctx context.Context, w io.Writer) error { return t.text(ctx, world, textScript, w) }},
		{file{name: "before-consent.png", role: "before-screenshot", mediaType: "image/png", derived: made("screenshot", when+"; the window, not scrolled")},
			func(ctx context.Context, w io.Writer) error {
				return t.shoot(ctx, &proto.PageViewport{Width: viewWidth, Height: viewHeight, Scale: 1}, w)
			}},
	} {
		if err := b.save(ctx, dir, f.file, 5*time.Second, f.make); err != nil {
			return err
		}
	}
	v.before, v.reasons = append(v.before, b.files...), append(v.reasons, b.reasons...)
	return nil
}

// note says of the banner what an examiner must know.
func (b banner) note() string {
	where := "a banner that asks for consent (" + b.by + ")"
	if b.frame != "" {
		where += " in a frame of " + b.frame
	}
	switch {
	case !b.answered && b.choice == "":
		return "There was " + where + ", and nothing in it that answers it."
	case !b.answered:
		return "There was " + where + "; it was left alone."
	case !b.gone:
		return fmt.Sprintf("There was %s; %q was pressed (%s), and it stayed. The page before is in before-consent.png, .html and .txt.", where, b.text, b.choice)
	}
	return fmt.Sprintf("There was %s; %q was pressed (%s), and it went away. The page before is in before-consent.png, .html and .txt.", where, b.text, b.choice)
}

// bannerNotes are those of all, and the reason if one is a wall.
func (v *view) bannerNotes() (notes []string, wall string) {
	for _, b := range v.banners {
		notes = append(notes, b.note())
		if !b.gone && b.covers >= wallCovers {
			wall = fmt.Sprintf("%s; it covers %.0f %% of the window", strings.TrimSuffix(b.note(), "."), 100*b.covers)
		}
	}
	return notes, wall
}
