package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/collectors"
)

// capture is one attempt: a folder, a proxy, a recorder, a page. The folder is
// removed at its end; after a crash it holds bytes that nothing names.
type capture struct {
	c         *Collector
	req       collectors.Request
	address   string
	started   time.Time
	dir       string
	meter     *meter
	proxy     *proxy
	rec       *recorder
	options   options
	browser   *browser
	decoder   *decoder // nil: the proxy sees for itself
	tab       *tab
	view      *view
	manner    manner
	log       *commandLog
	redaction *redaction // of a capture with a session
	fetched   *fetched   // nil: no program was to fetch films
	stored    []string   // what the page has put into its local storage that may give access
	unstored  string     // why that is not known, or not all of it
	before    *attempt   // that ended with its browser, if this is the second
}

// attempt is what is told of one that left no record.
type attempt struct {
	started, ended time.Time
	requests       int
	browser        string
	stopped        string // why it was ended; "" is it died by itself
}

func (a *attempt) String() string {
	how := "died"
	if a.stopped != "" {
		how = "was ended: " + a.stopped
	}
	return fmt.Sprintf("a first attempt ended with its browser (%s), which %s: from %s to %s, %d requests, none of them in this record; a second browser made it",
		a.browser, how, a.started.UTC().Format(time.RFC3339), a.ended.UTC().Format(time.RFC3339), a.requests)
}

// once makes one attempt. errDead says that the browser died and another
// attempt may do better, which is given what is told of this one; so the second
// keeps what was recorded instead.
func (c *Collector) once(ctx context.Context, req collectors.Request, address string, keep collectors.Keeper, before *attempt) (*collectors.Acquired, *attempt, error) {
	o, err := readOptions(req)
	if err != nil {
		return nil, nil, err
	}
	b, done, err := c.browserFor(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	x := &capture{c: c, req: req, options: o, address: address, browser: b, started: time.Now(), before: before, manner: c.manner(o), log: &commandLog{}}
	if x.dir, err = os.MkdirTemp(c.work.path, "capture-*"); err != nil {
		return nil, nil, fmt.Errorf("make spool folder: %w", err)
	}
	defer os.RemoveAll(x.dir)
	defer b.forget(x.log)
	if err := x.record(ctx, before != nil); err != nil {
		return nil, x.attempt(), err
	}
	if len(x.rec.taken) > 0 && !o.Decoded { // its own browser ends with it
		defer c.retire(b) // its memory and its folder saw what must not be kept
	}
	a, err := x.acquired(ctx, keep)
	return a, nil, err
}

func (x *capture) attempt() *attempt {
	return &attempt{started: x.started, ended: time.Now(), requests: x.meter.asked(), browser: x.browser.version.Product, stopped: x.browser.whyEnded(x.started)}
}

// record visits the page with the proxy running. When it returns without an
// error both WARC files are whole and nothing is running any more.
func (x *capture) record(ctx context.Context, last bool) (err error) {
	x.meter = &meter{maxBytes: x.req.Budget.Bytes, maxReqs: x.req.Budget.Requests, last: time.Now()}
	d := dialer{via: x.req.Via, resolver: x.c.opts.Resolver, roots: x.c.opts.Roots, allowPrivate: x.req.AllowPrivate, now: time.Now, answers: newAnswers()}
	if x.rec, err = newRecorder(x.dir, x.started); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			x.rec.abandon()
		}
	}()
	var b *blind
	if x.options.Decoded {
		b = newBlind()
	}
	guests, err := x.guests()
	if err != nil {
		return err
	}
	if x.proxy, err = newProxy(d, x.c.cas, x.meter, x.dir, x.req.NeverKeep, b, guests...); err != nil {
		return err
	}
	x.rec.films = &x.proxy.films
	go x.rec.run(x.proxy.done) // ends when the proxy is closed; finish waits for it
	err = x.visit(ctx)
	if err == nil {
		x.wholes(ctx)
		x.filmsWhole(ctx)
		x.fetchFilms(ctx)
	}
	if x.decoder != nil {
		x.decoder.stop()
	}
	x.proxy.close()
	ferr := x.finish()
	switch {
	case ferr != nil:
		return ferr
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errDead) && last:
		x.view.because("browser-died", errDead)
		if why := x.browser.whyStopped(x.started); why != "" {
			x.view.because("memory-limit", errors.New(why+", above the limit, and was ended"))
		}
		return nil
	}
	return err
}

// visit opens a page and looks at it within the time budget.
func (x *capture) visit(ctx context.Context) error {
	x.view = &view{}
	vctx, cancel := context.WithTimeoutCause(ctx, x.req.Budget.Time, errDeadline)
	defer cancel()
	if x.options.Decoded {
		x.decoder = newDecoder(x.browser, x.proxy, x.log)
	}
	t, err := x.open(ctx, vctx)
	if err != nil {
		return err
	}
	defer t.close()
	x.tab, t.manner = t, x.manner
	x.proxy.shut.Store(true)
	err = t.logIn(vctx, x.req.Session)
	x.proxy.shut.Store(false)
	if err != nil {
		return err
	}
	if x.decoder != nil { // behind logIn, whose window asks nobody
		if err := x.decoder.start(); err != nil {
			return err
		}
	}
	refused := x.browser.refused()
	x.view, err = t.visit(vctx, x.address, x.req.Budget.Time, x.meter, x.dir)
	if x.browser.refused() > refused {
		x.view.because("process-limit", fmt.Errorf("while the page was open its browser had %d processes and threads, the most it may have: what it then wanted to start is not there", x.browser.limits.Processes))
	}
	if vctx.Err() != nil && ctx.Err() == nil {
		x.view.because("time-budget", fmt.Errorf("%s used up", x.req.Budget.Time))
	}
	if err == nil {
		x.linger(vctx)
		x.lookStored(ctx)
		if x.decoder != nil {
			x.decoder.certificates(vctx, t.session)
		}
	}
	return err
}

// open opens the page. A browser that does not open one in time hangs, perhaps by what
// the page before it has left there: it is ended, which costs the attempt, and the next
// has a new one.
func (x *capture) open(ctx, vctx context.Context) (*tab, error) {
	late := time.AfterFunc(openLimit, x.browser.hangs)
	defer late.Stop()
	t, err := x.browser.openTab(vctx, x.proxy.address(), x.log)
	if err == nil {
		return t, nil
	}
	if ctx.Err() == nil && vctx.Err() != nil {
		x.browser.hangs()
		return nil, errDead
	}
	if !x.browser.alive() {
		return nil, errDead
	}
	return nil, err
}

func (x *capture) finish() error {
	<-x.rec.done
	if x.decoder != nil && x.rec.err == nil {
		x.rec.err = x.decoder.note(x.rec, time.Now())
	}
	if x.rec.err == nil {
		x.rec.err = x.rec.notedProgram(x.fetched, time.Now())
	}
	return x.rec.finish(time.Now(), x.proxy.shared, &x.proxy.wholes)
}

// wholes asks for what the page asked for in parts only, while there is time.
func (x *capture) wholes(ctx context.Context) {
	ctx, cancel := context.WithDeadline(ctx, x.started.Add(x.req.Budget.Time))
	defer cancel()
	x.proxy.whole(ctx)
}

// linger lets answers of known length that the browser no longer wants arrive:
// media that it only looked at. It is bounded, the page itself is done.
func (x *capture) linger(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(x.req.Budget.Time/4, 10*time.Second))
	defer cancel()
	for ctx.Err() == nil {
		idle, busy := x.meter.idle()
		if busy <= 0 || idle > silentFor || x.meter.received() >= x.meter.maxBytes {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}
