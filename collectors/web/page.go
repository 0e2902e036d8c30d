package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

// view is what was made of the page as the browser held it: files in the
// capture's folder.
type view struct {
	title     string
	committed bool
	download  bool    // or an answer without content: the browser stayed where it was
	scrolled  float64 // how far down the page went, in CSS pixels
	files     []file
	reasons   []collectors.Reason
	before    []file // of the page before a banner was answered
	banners   []banner
	acts      []act
	followed  *followed
	sight     sight
	pictured  time.Time // when the first picture was asked for
	height    float64   // of the page then, in CSS pixels
}

// file is one Object to be.
type file struct {
	name, role, mediaType, path string
	restricted                  bool
	slices                      []collectors.Slice
	derived                     *collectors.Transformation
}

func (v *view) because(code string, err error) {
	v.reasons = append(v.reasons, collectors.Reason{Code: code, Detail: clean(err.Error())})
}

// codeNavigation: the browser did not get to the address.
const codeNavigation = "navigation-failed"

var (
	errCrashed  = errors.New("the page's process crashed")
	errDeadline = errors.New("did not end in the time given")
)

// visit loads the address, scrolls, waits for the network and makes the views.
// It ends by itself within the budget. An error means that the browser is gone;
// everything else is in the view's reasons.
func (t *tab) visit(ctx context.Context, address string, budget time.Duration, m *meter, dir string) (*view, error) {
	v := &view{}
	ctx, stop := t.guard(ctx)
	defer stop()
	begun := time.Now()
	err := t.load(ctx, address, budget/2, m, v)
	if err == nil && t.committed() {
		v.committed = true
		patience := min(budget/8, max(4*time.Second, time.Since(begun))) // what is slow gets more time
		if err = t.consent(ctx, min(budget/bannerBudget, 6*time.Second), m, dir, v); err == nil {
			t.follow(ctx, address, min(budget/followBudget, 15*time.Second), m, v)
			t.through(ctx, patience, min(budget/pressBudget, 10*time.Second), m, v)
			err = t.views(ctx, min(budget/8, 3*time.Second), m, dir, v)
		}
	}
	if !t.committed() && !v.download && (v.committed || err == nil && len(v.reasons) == 0) {
		v.committed, v.files, v.title = false, nil, "" // of the browser's own page
		v.because(codeNavigation, errors.New("the page went on to an address that gave no document"))
	}
	v.files = append(v.before, v.files...)
	if err := v.actions(context.WithoutCancel(ctx), dir); err != nil {
		return v, err
	}
	if !t.b.alive() {
		return v, errDead
	}
	if errors.Is(context.Cause(ctx), errCrashed) {
		v.because("page-crashed", errCrashed)
		return v, nil
	}
	if err != nil {
		v.because("page-failed", err)
	}
	return v, nil
}

// views looks at the page when the network is quiet, and once more if the page
// went on to another document meanwhile: what is kept is to be of one.
func (t *tab) views(ctx context.Context, wait time.Duration, m *meter, dir string, v *view) error {
	before := len(v.reasons)
	for first := true; ; first = false {
		t.quiet(ctx, m, wait)
		at := t.moved()
		t.grown(ctx, v)
		err := t.look(ctx, dir, v)
		if t.moved() == at || ctx.Err() != nil {
			return err
		}
		if !first {
			v.because("page-moved", errors.New("the page went on while it was looked at: its views may be of different documents"))
			return err
		}
		v.reasons, v.files, v.title = v.reasons[:before], nil, ""
	}
}

func (t *tab) moved() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moves
}

// guard ends the context when the page's process crashes: what waits for an
// answer of it stops, and nothing more is sent.
func (t *tab) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-t.crashed:
			cancel(errCrashed)
		case <-t.b.dead:
			cancel(errDead)
		case <-done:
		}
	}()
	return ctx, func() { close(done); <-finished; cancel(nil) }
}

func (t *tab) committed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.document != ""
}

// load navigates and waits for the load event. A page that does not get there
// in time is stopped, and what there is of it is looked at.
func (t *tab) load(ctx context.Context, address string, limit time.Duration, m *meter, v *view) error {
	lctx, cancel := context.WithTimeoutCause(ctx, limit, errDeadline)
	defer cancel()
	nav, err := proto.PageNavigate{URL: address}.Call(t.session.with(lctx))
	if err == nil && nav.ErrorText != "" {
		if nav.ErrorText == "net::ERR_ABORTED" {
			v.download = true
			t.drain(ctx, m) // the proxy goes on recording it
			return nil
		}
		v.because(codeNavigation, errors.New(nav.ErrorText))
		return nil
	}
	if err == nil {
		select {
		case <-t.loaded:
			t.quiet(lctx, m, time.Second)
			return nil
		case <-lctx.Done():
		}
	}
	if ctx.Err() != nil || !t.b.alive() {
		return context.Cause(ctx)
	}
	if lctx.Err() == nil {
		return err
	}
	t.session.tell(proto.PageStopLoading{})
	v.because("load-unfinished", fmt.Errorf("the page did not finish loading in %s", limit.Round(time.Millisecond)))
	return nil
}

// drain waits while an answer is still being received.
func (t *tab) drain(ctx context.Context, m *meter) {
	for ctx.Err() == nil {
		if _, busy := m.idle(); busy == 0 || m.received() >= m.maxBytes {
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
}

const (
	quietFor  = 120 * time.Millisecond // nothing in flight for so long: done
	silentFor = 900 * time.Millisecond // something in flight, but nothing came
)

// quiet waits until the network is: by the proxy's count and by the browser's.
func (t *tab) quiet(ctx context.Context, m *meter, limit time.Duration) {
	end := time.Now().Add(limit)
	for ctx.Err() == nil && time.Now().Before(end) {
		idle, busy := m.idle()
		if busy <= 0 && idle >= quietFor && t.expects() == 0 || idle >= silentFor {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// look makes the views. Each has its own limit; one that fails is a reason, and
// the others are tried still.
func (t *tab) look(ctx context.Context, dir string, v *view) error {
	world, err := t.world(ctx)
	if err != nil {
		return err
	}
	if err := t.text(ctx, world, "document.title.slice(0,1000)", writerTo(&v.title)); err != nil {
		v.because("title-failed", err)
	}
	for _, view := range []struct {
		file
		limit time.Duration
		make  func(context.Context, io.Writer) error
	}{
		{file{name: "dom.html", role: "dom", mediaType: "text/html", derived: made("serialise-dom", "after load and scrolling; scripts are kept, open shadow roots are written as templates")},
			10 * time.Second, func(ctx context.Context, w io.Writer) error { return t.text(ctx, world, domScript, w) }},
		{file{name: "text.txt", role: "text", mediaType: "text/plain", derived: made("extract-text", "text as laid out, of the main frame only")},
			10 * time.Second, func(ctx context.Context, w io.Writer) error { return t.text(ctx, world, textScript, w) }},
		{file{name: "page.mhtml", role: "mhtml", mediaType: "multipart/related", derived: made("save-mhtml", "one file that a browser can show; addresses are rewritten")},
			15 * time.Second, t.mhtml},
	} {
		if err := v.save(ctx, dir, view.file, view.limit, view.make); err != nil {
			return err
		}
	}
	t.sights(ctx, world, v)
	if err := t.framesText(ctx, world, dir, v); err != nil {
		return err
	}
	if err := t.stand(ctx, world, dir, v); err != nil {
		return err
	}
	if err := t.screenshots(ctx, dir, v); err != nil {
		return err
	}
	return t.print(ctx, dir, v) // last: a page is told of it, and may change
}

func made(action, detail string) *collectors.Transformation {
	return &collectors.Transformation{Action: action, Detail: detail}
}

// save writes one view to a file in dir. The error is the disk's, or the end
// of the page.
func (v *view) save(ctx context.Context, dir string, f file, limit time.Duration, write func(context.Context, io.Writer) error) error {
	f.path = filepath.Join(dir, f.name)
	out, err := os.Create(f.path)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	vctx, cancel := context.WithTimeoutCause(ctx, limit, errDeadline)
	defer cancel()
	err = write(vctx, out)
	if cerr := out.Close(); cerr != nil {
		return fmt.Errorf("write %s: %w", f.name, cerr)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		v.because(f.role+"-failed", err)
		return nil
	}
	v.files = append(v.files, f)
	return nil
}
