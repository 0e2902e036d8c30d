package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/web/rules"
	"holdfast/warc"
)

// lookLibrary is what the scripts that look for walls, banners and buttons share.
// They run in a world of their own and change nothing of the page; an element's
// properties are asked of its prototype, as in domScript.
const lookLibrary = `
  const get = (proto, name) => { const f = Object.getOwnPropertyDescriptor(proto, name).get; return o => f.call(o) };
  const shadow = get(Element.prototype, 'shadowRoot'), innerText = get(HTMLElement.prototype, 'innerText'), matches = Element.prototype.matches;
  const closest = (e, s) => Element.prototype.closest.call(e, s);
  const attr = (e, n) => Element.prototype.getAttribute.call(e, n) || '';
  const all = (root, s) => { try { return [...(root instanceof Element ? Element.prototype.querySelectorAll : root instanceof Document ? Document.prototype.querySelectorAll : DocumentFragment.prototype.querySelectorAll).call(root, s)] } catch { return [] } };
  const is = (e, s) => { try { return matches.call(e, s) } catch { return false } };
  const text = (e, most) => e instanceof HTMLElement ? innerText(e).slice(0, most) : '';
  // covers is the part of the window that an element takes, 0 if it is not seen.
  const covers = e => {
    if (!e.isConnected) return 0;
    const s = getComputedStyle(e), b = Element.prototype.getBoundingClientRect.call(e);
    if (s.visibility !== 'visible' || s.display === 'none' || +s.opacity < .05) return 0;
    const w = Math.min(b.right, innerWidth) - Math.max(b.left, 0), h = Math.min(b.bottom, innerHeight) - Math.max(b.top, 0);
    return w > 0 && h > 0 ? Math.max(w * h / (innerWidth * innerHeight), 1e-9) : 0;
  };
  const seen = e => { if (!e.isConnected) return false; const b = Element.prototype.getBoundingClientRect.call(e); return b.width > 1 && b.height > 1 && getComputedStyle(e).visibility === 'visible' };
`

// marksScript looks for the selectors of the rules. It looks at no more than ten
// elements of each.
const marksScript = `(selectors => {` + lookLibrary + `
  const marks = [];
  selectors.forEach((s, i) => {
    for (const e of all(document, s.at).slice(0, 10)) {
      const c = covers(e);
      if (c || s.at.startsWith('script')) marks.push({selector: i, covers: c, text: c && s.holds ? text(e, 2000) : '', holds: !!s.holds && all(e, s.holds).some(seen)});
      if (marks.length >= 50) return;
    }
  });
  const heading = all(document, 'h1, h2').slice(0, 3).filter(seen).map(e => text(e, 200)).join('\n');
  return JSON.stringify({marks, heading});
})(%s)`

// sight is what the rules go by, seen of the page as its views show it.
type sight struct {
	Marks   []rules.Mark `json:"marks"`
	Heading string       `json:"heading"`

	text   string
	length int
	seen   bool // the page was looked at
}

// sights looks at the page for the rules of walls. What it could not see is no
// reason: the page is what the views show.
func (t *tab) sights(ctx context.Context, world proto.RuntimeExecutionContextID, v *view) {
	var s sight
	if err := (scene{t.session, world}).see(ctx, fmt.Sprintf(marksScript, asJSON(t.manner.rules.Selectors())), &s); err != nil {
		return
	}
	i := slices.IndexFunc(v.files, func(f file) bool { return f.name == "text.txt" })
	if i < 0 {
		return
	}
	if err := s.read(v.files[i].path); err != nil {
		return
	}
	s.seen = true
	v.sight = s
}

// read takes the visible text from the view that was made of it: its beginning,
// and how long it is.
func (s *sight) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, rules.MaxText))
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	s.text = strings.ToValidUTF8(string(b), "\uFFFD")
	// Of what is longer than that, every rule knows enough.
	s.length = utf8.RuneCountInString(s.text) + int(st.Size()) - len(b)
	return nil
}

// scene is a world of our own in one frame of the page.
type scene struct {
	session session
	world   proto.RuntimeExecutionContextID
}

func (t *tab) scene(ctx context.Context) (scene, error) {
	w, err := t.world(ctx)
	return scene{t.session, w}, err
}

// see evaluates an expression that gives JSON, or a promise of it.
func (s scene) see(ctx context.Context, script string, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sightTime, errDeadline)
	defer cancel()
	var b strings.Builder
	err := s.session.with(ctx).blob(proto.RuntimeEvaluate{Expression: script, ContextID: s.world, ReturnByValue: true, AwaitPromise: true}, "value", &bounded{w: &b, left: maxSight})
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(b.String()), into)
}

// Bounds of one look at a page: the bytes that it may give, and the time.
const (
	maxSight  = 1 << 20
	sightTime = 5 * time.Second
)

var errSight = errors.New("the page gave more than a look at it may")

// bounded is a writer for what comes from a page.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errSight
	}
	return b.w.Write(p)
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // nothing that is marshalled here can fail
	}
	return string(b)
}

// walls are what the rules say of the page, and of an answer that made none.
func (x *capture) walls(main *exchange) []rules.Wall {
	if main == nil || x.manner.rules == nil {
		return nil
	}
	s := x.view.sight
	return x.siteWalls(rules.Page{Status: main.status, Fields: lowered(main.fields), Asked: x.address, Final: x.current(), Title: x.view.title,
		Heading: s.Heading, Text: s.text, Length: s.length, Marks: s.Marks})
}

func lowered(fields warc.Fields) map[string]string {
	out := make(map[string]string, len(fields))
	for _, f := range fields {
		out[strings.ToLower(f.Name)] = f.Value
	}
	return out
}

// judgeWalls says what stands in place of the page, or over it: each kind once.
func (x *capture) judgeWalls(a *collectors.Acquired, walls []rules.Wall) {
	because := func(code, detail string) {
		if !slices.ContainsFunc(a.Reasons, func(r collectors.Reason) bool { return r.Code == code }) {
			a.Reasons = append(a.Reasons, collectors.Reason{Code: code, Detail: clean(detail)})
		}
	}
	for _, w := range walls {
		because(w.Code, w.Why)
	}
	notes, wall := x.view.bannerNotes()
	if a.Collection.Notes = append(a.Collection.Notes, notes...); wall != "" {
		because("consent-wall", wall)
	}
	if x.view.followed != nil {
		a.Collection.Notes = append(a.Collection.Notes, x.view.followed.note())
	}
	presses := 0
	for _, d := range x.view.acts {
		if d.For == "more" {
			presses++
		}
	}
	if presses > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("%d times a button that gives more of the page was pressed; actions.json lists them.", presses))
	}
}
