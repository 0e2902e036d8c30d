package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/recipes"
	"holdfast/collectors/web/rules"
)

// manner is how a capture deals with what stands between it and the page.
type manner struct {
	rules   *rules.Rules
	recipes *recipes.Set
	consent string // consentRefuse or consentLeave
	more    string // moreButtons or moreNone
}

func (c *Collector) manner(o options) manner {
	return manner{rules: c.rules, recipes: c.recipes, consent: o.Consent, more: o.More}
}

// Words of the options.
const (
	consentRefuse, consentLeave = "refuse", "leave"
	moreButtons, moreNone       = "buttons", "none"
)

// Bounds of pressing buttons that give more of a page.
const (
	maxPresses  = 20              // in all
	pressEach   = 2 * time.Second // for what one brings
	pressBudget = 8               // a part of the time: one of so many
)

// act is one thing that was done to the page besides scrolling it. Nothing else
// of the page was touched.
type act struct {
	At     string `json:"at"`
	What   string `json:"what"` // press
	For    string `json:"for"`  // consent, more, or the name of a recipe
	Text   string `json:"text"` // of the button
	Choice string `json:"choice,omitempty"`
	By     string `json:"by,omitempty"`    // what it was recognised by
	Page   string `json:"page"`            // address of the document
	Frame  string `json:"frame,omitempty"` // and of the frame in it
	Effect string `json:"effect"`          // what was seen of it
}

// buttonLibrary gathers buttons. What can be pressed is kept in this world, under
// its index, until it is pressed.
const buttonLibrary = `
  const field = 'input:not([type=hidden]):not([type=button]):not([type=submit]):not([type=checkbox]):not([type=radio]):not([type=image]):not([type=reset]), textarea, select';
  // deep looks in open shadow roots too.
  const deep = (root, s, most) => { const out = [], walk = r => { for (const e of all(r, s)) { if (out.length >= most) return; if (!out.includes(e)) out.push(e) } for (const e of all(r, '*')) { const h = shadow(e); if (h && out.length < most) walk(h) } };
    const h = root instanceof Element && shadow(root); if (h) walk(h); walk(root); return out };
  const leaves = e => {
    const a = closest(e, 'a[href], area[href]');
    if (!a) return false;
    const href = attr(a, 'href').trim();
    if (href === '' || href.startsWith('#') || /^javascript:/i.test(href)) return a.hasAttribute('download');
    if (a.hasAttribute('download') || attr(a, 'target') && attr(a, 'target') !== '_self') return true;
    try { const u = new URL(href, document.baseURI), h = new URL(location.href); u.hash = h.hash = ''; return u.href !== h.href || !href.includes('#') } catch { return true }
  };
  const kept = globalThis.holdfastKept = globalThis.holdfastKept || [];
  const keep = e => { const i = kept.indexOf(e); return i >= 0 ? i : kept.push(e) - 1 };
  const button = e => {
    const f = closest(e, 'form'), tag = e.localName, type = tag === 'input' || tag === 'button' && f ? (attr(e, 'type') || 'submit').toLowerCase() : '';
    const label = (text(e, 200).trim() || (tag === 'input' ? attr(e, 'value') : '') || attr(e, 'aria-label') || attr(e, 'title')).trim();
    return {index: keep(e), text: label, type: type === 'button' ? '' : type, leaves: leaves(e) || e.hasAttribute('formaction'),
      form: !!f && (attr(f, 'method').toLowerCase() === 'post' || all(f, field).some(seen))};
  };
`

// moreScript gives the buttons of the main document that might give more of it.
const moreScript = `(() => {` + lookLibrary + buttonLibrary + `
  const out = [];
  for (const e of all(document, 'button, [role=button], a:not([href]), a[href^="#"], a[href=""], a[href^="javascript:" i], summary, [class*=load-more], [class*=loadMore], [class*=show-more]')) {
    if (out.length >= 200) break;
    const raw = (e.textContent || attr(e, 'aria-label') || attr(e, 'value')).trim();
    if (!raw || raw.length > 120 || !seen(e) || is(e, ':disabled') || e.isContentEditable) continue;
    if (e.localName === 'a' && leaves(e)) continue;
    if (all(e, 'button, [role=button], a').length) continue;
    out.push(button(e));
  }
  return JSON.stringify(out);
})()`

// pressScript presses one. What the browser would do by itself (follow a link, send a
// form) is prevented where it must not leave: the page's own scripts have seen the
// press by then.
const pressScript = `((index, stay) => {` + lookLibrary + `
  const e = globalThis.holdfastKept[index];
  if (!e || !e.isConnected) return JSON.stringify(false);
  const stop = ev => ev.preventDefault(), a = closest(e, 'a[href]');
  if (a && /^javascript:/i.test(attr(a, 'href').trim())) stay = false; // it leads nowhere, and would not run
  if (stay) { addEventListener('click', stop); addEventListener('submit', stop) }
  try { e instanceof HTMLElement ? HTMLElement.prototype.click.call(e) : EventTarget.prototype.dispatchEvent.call(e, new MouseEvent('click', {bubbles: true, cancelable: true, composed: true})) }
  finally { if (stay) { removeEventListener('click', stop); removeEventListener('submit', stop) } }
  return JSON.stringify(true);
})(%d, %t)`

// stayScript keeps the page from going on to another document by its own scripts, until it
// is told otherwise. Moves within the document stay free.
const stayScript = `(stay => {
  const n = globalThis.navigation;
  if (!n) return JSON.stringify(0);
  const stop = globalThis.holdfastStay = globalThis.holdfastStay || (e => { if (e.cancelable && !e.destination.sameDocument) { e.preventDefault(); globalThis.holdfastStopped = (globalThis.holdfastStopped || 0) + 1 } });
  n.removeEventListener('navigate', stop);
  if (stay) n.addEventListener('navigate', stop);
  return JSON.stringify(globalThis.holdfastStopped || 0);
})(%t)`

// stateScript is what a press that gives more changes: how much there is, and
// whether the button is there still.
const stateScript = `(index => {` + lookLibrary + `
  const e = globalThis.holdfastKept[index], d = document.scrollingElement || document.documentElement;
  return JSON.stringify({elements: document.getElementsByTagName('*').length, height: d ? d.scrollHeight : 0, there: !!e && seen(e) && !is(e, ':disabled'), stopped: globalThis.holdfastStopped || 0});
})(%d)`

type pressState struct {
	Elements int     `json:"elements"`
	Height   float64 `json:"height"`
	There    bool    `json:"there"`
	Stopped  int     `json:"stopped"` // times that it was kept from leaving
}

// buttonSeen is rules.Button as the script gives it.
type buttonSeen struct {
	Index  int    `json:"index"`
	Text   string `json:"text"`
	Type   string `json:"type"`
	Leaves bool   `json:"leaves"`
	Form   bool   `json:"form"`
}

func (b buttonSeen) button() rules.Button { return rules.Button(b) }

// through goes down the page, presses what gives more of it, and goes down what came.
func (t *tab) through(ctx context.Context, patience, limit time.Duration, m *meter, v *view) {
	t.scroll(ctx, patience, m, v)
	if t.more(ctx, limit, m, v) && !slices.ContainsFunc(v.reasons, func(r collectors.Reason) bool { return r.Code == codeScroll }) {
		t.scroll(ctx, patience, m, v)
	}
}

// more presses the buttons that give more of the page, each again as long as it brings
// something. It reports whether anything was pressed. It is best effort, like scrolling.
func (t *tab) more(ctx context.Context, limit time.Duration, m *meter, v *view) (any bool) {
	if t.manner.more != moreButtons {
		return false
	}
	s, err := t.scene(ctx)
	if err != nil {
		return false
	}
	end, vain, at := time.Now().Add(limit), map[int]bool{}, t.moved()
	for presses := 0; ctx.Err() == nil && t.moved() == at; presses++ {
		b, found := t.nextMore(ctx, s, vain)
		if !found {
			return any
		}
		if presses >= maxPresses || time.Now().After(end) || m.received() >= m.maxBytes/2 {
			v.because(codeMore, fmt.Errorf("after %d presses a button gave still more: %.60q", presses, clean(b.Text)))
			return any
		}
		effect := t.press(ctx, s, b, m, min(pressEach, time.Until(end)))
		vain[b.Index] = effect != effectMore && effect != effectGone
		any = true
		v.did(t, act{What: "press", For: "more", Text: clean(b.Text), Effect: effect})
		if effect == effectLeft {
			v.because("page-moved", fmt.Errorf("the page went on to another document when %.60q was pressed", clean(b.Text)))
		}
	}
	return any
}

// codeMore: the page had more to give when pressing was ended.
const codeMore = "more-bounded"

// nextMore is the first button that gives more and has not been pressed in vain.
func (t *tab) nextMore(ctx context.Context, s scene, vain map[int]bool) (rules.Button, bool) {
	var list []buttonSeen
	if err := s.see(ctx, moreScript, &list); err != nil {
		return rules.Button{}, false
	}
	for _, b := range list {
		if u := b.button(); !vain[u.Index] && t.manner.rules.More(u) {
			return u, true
		}
	}
	return rules.Button{}, false
}

// Effects of a press, as they are recorded.
const (
	effectMore  = "the page became longer"
	effectGone  = "the button went away"
	effectLoads = "something was asked for"
	effectNone  = "nothing was seen"
	effectLeft  = "the page went on to another document"
	effectStay  = "it would have led to another document, which was prevented"
)

// press presses one button that must not leave the page, and waits for what it
// brings. Only so long is the page kept from going on: one that goes on by itself is to.
func (t *tab) press(ctx context.Context, s scene, b rules.Button, m *meter, limit time.Duration) string {
	var was, is pressState
	var pressed bool
	if s.see(ctx, fmt.Sprintf(stayScript, true), &was.Stopped) != nil {
		return effectNone
	}
	defer s.see(ctx, fmt.Sprintf(stayScript, false), new(int)) //nolint:errcheck // the page may be gone
	at, asked := t.moved(), m.asked()
	if s.see(ctx, fmt.Sprintf(stateScript, b.Index), &was) != nil || s.see(ctx, fmt.Sprintf(pressScript, b.Index, true), &pressed) != nil || !pressed {
		return effectNone
	}
	pause(ctx, 30*time.Millisecond) // a script's next turn
	t.awaited(ctx, m, limit)
	for n := 0; n < 3; n++ { // what came is shown in one of the next turns
		if t.moved() != at {
			return effectLeft
		}
		if s.see(ctx, fmt.Sprintf(stateScript, b.Index), &is) != nil {
			return effectNone
		}
		switch {
		case is.Stopped > was.Stopped:
			return effectStay
		case is.Elements > was.Elements || is.Height > was.Height:
			return effectMore
		case !is.There:
			return effectGone
		}
		pause(ctx, 40*time.Millisecond)
	}
	if m.asked() > asked {
		return effectLoads
	}
	return effectNone
}

// maxActs bounds what is told of them.
const maxActs = 500

// did notes an act, at the address where it was done.
func (v *view) did(t *tab, a act) {
	if len(v.acts) >= maxActs {
		return
	}
	a.At = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	t.saw(func() { a.Page = clean(t.document) })
	v.acts = append(v.acts, a)
}

// actions is the Object that lists them; nothing was done without a line in it.
func (v *view) actions(ctx context.Context, dir string) error {
	if len(v.acts) == 0 {
		return nil
	}
	f := file{name: "actions.json", role: "actions", mediaType: "application/json", derived: made("list-actions", "what the recorder did to the page besides scrolling, in order")}
	return v.save(ctx, dir, f, 5*time.Second, func(_ context.Context, w io.Writer) error {
		return json.NewEncoder(w).Encode(struct {
			Kind    string `json:"kind"`
			Version int    `json:"version"`
			Actions []act  `json:"actions"`
		}{"actions", 1, v.acts})
	})
}
