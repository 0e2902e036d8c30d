package web

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
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

	// scrollScript goes down from where it was, a screen a frame, so that lazy
	// content is asked for, and waits a moment at the end for more. It gives how far
	// it came, as a negative number if that is not the end of the page.
	scrollScript = `(async (from, ms, pixels) => {
  const height = Object.getOwnPropertyDescriptor(Element.prototype, 'scrollHeight').get, wait = ms => new Promise(r => setTimeout(r, ms));
  const page = () => height.call(document.scrollingElement || document.documentElement);
  const frame = () => Promise.race([new Promise(requestAnimationFrame), wait(60)]);
  const end = Date.now() + ms;
  let y = from, patience = 0;
  while (Date.now() < end && y < pixels && patience < 3) {
    const bottom = Math.max(0, page() - innerHeight);
    if (bottom < 2) break;
    if (y < bottom) { y = Math.min(bottom, y + innerHeight * .9); patience = 0; scrollTo(0, y); await frame() } else { patience++; await wait(60) }
  }
  return y + 1 >= page() - innerHeight ? y : -1 - y;
})(%f, %d, %d)`

	topScript = `scrollTo(0, 0)`

	// lengthScript gives how far the page can be scrolled.
	lengthScript = `Object.getOwnPropertyDescriptor(Element.prototype, 'scrollHeight').get.call(document.scrollingElement || document.documentElement) - innerHeight`
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

// scroll goes to the end of the page and back. At the end it waits for what the
// page has asked for, because more of the page may come with it: on a slow line
// that is seconds. It is best effort: a page that cannot be scrolled is looked at as
// it is.
func (t *tab) scroll(ctx context.Context, limit time.Duration, m *meter, v *view) {
	world, err := t.world(ctx)
	if err != nil {
		v.because("scroll-failed", err)
		return
	}
	end, y := time.Now().Add(limit), 0.0
	for {
		y, err = t.down(ctx, world, y, time.Until(end))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v.because("scroll-failed", err)
			return
		}
		if y < 0 {
			v.because(codeScroll, errScroll)
			break
		}
		if v.scrolled = y; !t.awaited(ctx, m, time.Until(end)) {
			break
		}
	}
	_, _ = t.number(ctx, world, topScript, 0) // a page that is not at its top is looked at all the same
}

const codeScroll = "scroll-bounded"

var errScroll = errors.New("the page went on past the limit of scrolling")

// grown says so where the page has become longer since it was scrolled. What is
// within a screen of there, the browser has fetched by itself.
func (t *tab) grown(ctx context.Context, v *view) {
	if v.scrolled <= 0 || slices.ContainsFunc(v.reasons, func(r collectors.Reason) bool { return r.Code == codeScroll }) {
		return
	}
	world, err := t.world(ctx)
	if err != nil {
		return // whoever looks at the page meets the same
	}
	if n, err := t.number(ctx, world, lengthScript, 0); err == nil && n > v.scrolled+viewHeight {
		v.because(codeScroll, errScroll)
	}
}

func (t *tab) down(ctx context.Context, world proto.RuntimeExecutionContextID, from float64, left time.Duration) (float64, error) {
	return t.number(ctx, world, fmt.Sprintf(scrollScript, from, max(left, 0).Milliseconds(), maxShown), left)
}

// number evaluates an expression that gives one, or a promise of one.
func (t *tab) number(ctx context.Context, world proto.RuntimeExecutionContextID, script string, limit time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, max(limit, 0)+time.Second, errDeadline)
	defer cancel()
	r, err := proto.RuntimeEvaluate{Expression: script, ContextID: world, AwaitPromise: true, ReturnByValue: true}.Call(t.session.with(ctx))
	if err != nil {
		return 0, err
	}
	if r.ExceptionDetails != nil {
		return 0, errors.New("the page could not be measured")
	}
	return r.Result.Value.Num(), nil
}

// awaited waits for what is on its way, and reports whether anything was, and has
// come.
func (t *tab) awaited(ctx context.Context, m *meter, limit time.Duration) bool {
	end, was := time.Now().Add(limit), false
	for ctx.Err() == nil && time.Now().Before(end) {
		idle, busy := m.idle()
		if busy <= 0 && t.expects() == 0 || idle >= silentFor {
			return was
		}
		was = true
		pause(ctx, 20*time.Millisecond)
	}
	return false
}

// mhtml asks a second time where the browser could not and has sent nothing: frames that
// come or go while it is at work (the viewer of a PDF is one) make it fail.
func (t *tab) mhtml(ctx context.Context, w io.Writer) error {
	out := &begun{w: w}
	ask := func() error {
		return t.session.with(ctx).blob(proto.PageCaptureSnapshot{Format: proto.PageCaptureSnapshotFormatMhtml}, "data", out)
	}
	err := ask()
	if err != nil && !out.any && ctx.Err() == nil {
		pause(ctx, 300*time.Millisecond)
		err = ask()
	}
	return err
}

// begun knows whether anything was written.
type begun struct {
	w   io.Writer
	any bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.any = b.any || len(p) > 0
	return b.w.Write(p)
}

// decoding writes to w what comes in base64.
type decoding struct {
	to   *io.PipeWriter
	done chan error
}

func newDecoding(w io.Writer) *decoding {
	pr, pw := io.Pipe()
	d := &decoding{pw, make(chan error, 1)}
	go func() {
		_, err := io.Copy(w, base64.NewDecoder(base64.StdEncoding, pr))
		pr.CloseWithError(err) // a full disk stops the sender
		d.done <- err
	}()
	return d
}

func (d *decoding) Write(p []byte) (int, error) { return d.to.Write(p) }

// end waits until all is written; err is the sender's.
func (d *decoding) end(err error) error {
	d.to.CloseWithError(err)
	return errors.Join(err, <-d.done)
}

type stringWriter struct{ s *string }

func writerTo(s *string) io.Writer { return stringWriter{s} }

func (w stringWriter) Write(p []byte) (int, error) {
	*w.s = strings.ToValidUTF8(*w.s+string(p), "\uFFFD")
	return len(p), nil
}
