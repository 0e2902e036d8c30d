package web

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// The scripts run in a world of their own: they see the page's elements, but
// nothing that the page's scripts redefined. A form's fields stand in for its
// own properties there too (an input called shadowRoot), so what is asked of an
// element is asked by its prototype.
const (
	domScript = `(() => {
  const of = (proto, name) => { const d = Object.getOwnPropertyDescriptor(proto, name), f = d && (d.get || d.value); return f && ((o, ...a) => f.apply(o, a)) };
  const shadow = of(Element.prototype, 'shadowRoot'), outer = of(Element.prototype, 'outerHTML'), inner = of(Element.prototype, 'getHTML'), clone = of(Node.prototype, 'cloneNode');
  const roots = [], walk = n => { for (const e of n.querySelectorAll('*')) { const s = shadow(e); if (s) { roots.push(s); walk(s) } } };
  walk(document);
  const type = document.doctype ? new XMLSerializer().serializeToString(document.doctype) + '\n' : '';
  const root = document.documentElement;
  if (!root) return type;
  if (!roots.length || !inner) return type + outer(root);
  const shell = outer(clone(root, false)), end = shell.lastIndexOf('</');
  return type + shell.slice(0, end) + inner(root, {shadowRoots: roots}) + shell.slice(end);
})()`

	textScript = `(() => {
  const e = document.body || document.documentElement;
  return e instanceof HTMLElement ? Object.getOwnPropertyDescriptor(HTMLElement.prototype, 'innerText').get.call(e) : '';
})()`

	// scrollScript goes down a screen a frame, so that lazy content is asked
	// for, waits at the end for more, and returns to the top. It gives false if
	// a limit ended it before the end of the page.
	scrollScript = `(async (ms, pixels) => {
  const height = Object.getOwnPropertyDescriptor(Element.prototype, 'scrollHeight').get, wait = ms => new Promise(r => setTimeout(r, ms));
  const page = () => height.call(document.scrollingElement || document.documentElement);
  const frame = () => Promise.race([new Promise(requestAnimationFrame), wait(60)]);
  const end = Date.now() + ms;
  let y = 0, patience = 0;
  while (Date.now() < end && y < pixels && patience < 3) {
    const bottom = Math.max(0, page() - innerHeight);
    if (bottom < 2) break;
    if (y < bottom) { y = Math.min(bottom, y + innerHeight * .9); patience = 0; scrollTo(0, y); await frame() } else { patience++; await wait(60) }
  }
  const seen = y + 1 >= page() - innerHeight;
  scrollTo(0, 0);
  return seen;
})(%d, %d)`
)

func (t *tab) world(ctx context.Context) (proto.RuntimeExecutionContextID, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errDeadline)
	defer cancel()
	w, err := proto.PageCreateIsolatedWorld{FrameID: proto.PageFrameID(t.target), WorldName: "holdfast"}.Call(t.session.with(ctx))
	if err != nil {
		return 0, fmt.Errorf("look at page: %w", err)
	}
	return w.ExecutionContextID, nil
}

// text evaluates an expression that gives a string and writes it to w.
func (t *tab) text(ctx context.Context, world proto.RuntimeExecutionContextID, script string, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errDeadline)
	defer cancel()
	return t.session.with(ctx).blob(proto.RuntimeEvaluate{Expression: script, ContextID: world, ReturnByValue: true}, "value", w)
}

// scroll is best effort: a page that cannot be scrolled is looked at as it is.
func (t *tab) scroll(ctx context.Context, limit time.Duration, v *view) {
	world, err := t.world(ctx)
	if err != nil {
		v.because("scroll-failed", err)
		return
	}
	sctx, cancel := context.WithTimeoutCause(ctx, limit+time.Second, errDeadline)
	defer cancel()
	r, err := proto.RuntimeEvaluate{Expression: fmt.Sprintf(scrollScript, limit.Milliseconds(), maxTile*maxTiles), ContextID: world,
		AwaitPromise: true, ReturnByValue: true}.Call(t.session.with(sctx))
	switch {
	case err != nil && ctx.Err() == nil:
		v.because("scroll-failed", err)
	case err == nil && r.ExceptionDetails != nil:
		v.because("scroll-failed", errors.New("the page could not be measured"))
	case err == nil && !r.Result.Value.Bool():
		v.because("scroll-bounded", errors.New("the page went on past the limit of scrolling"))
	}
}

func (t *tab) mhtml(ctx context.Context, w io.Writer) error {
	return t.session.with(ctx).blob(proto.PageCaptureSnapshot{Format: proto.PageCaptureSnapshotFormatMhtml}, "data", w)
}

func (t *tab) shoot(ctx context.Context, clip *proto.PageViewport, w io.Writer) error {
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, base64.NewDecoder(base64.StdEncoding, pr))
		pr.CloseWithError(err) // a full disk stops the sender
		done <- err
	}()
	err := t.session.with(ctx).blob(proto.PageCaptureScreenshot{Format: proto.PageCaptureScreenshotFormatPng, Clip: clip,
		FromSurface: true, CaptureBeyondViewport: true, OptimizeForSpeed: true}, "data", pw)
	pw.CloseWithError(err)
	return errors.Join(err, <-done)
}

type stringWriter struct{ s *string }

func writerTo(s *string) io.Writer { return stringWriter{s} }

func (w stringWriter) Write(p []byte) (int, error) {
	*w.s = strings.ToValidUTF8(*w.s+string(p), "\uFFFD")
	return len(p), nil
}
