package telegram

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotd/td/exchange"
	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/transport"
	"golang.org/x/time/rate"
)

// Account is one login of the office's at the service.
type Account struct {
	Name    string // the node's own word for it; what records say
	Session []byte // as LogIn made it; whoever has it is logged in
}

// GoString keeps %#v from printing the session.
func (a Account) GoString() string { return "Account{" + a.Name + "}" }

// String keeps %v from printing it.
func (a Account) String() string { return a.GoString() }

// Errors of a connection.
var (
	// ErrUnreached is wrapped when no connection stood in time; it is worth trying again.
	ErrUnreached = errors.New("the service was not reached")
	// ErrLoggedOut is wrapped when the service does not know the session (any more):
	// somebody must log in again.
	ErrLoggedOut = errors.New("the account is logged out")
)

// Run connects with an account's session and hands over the line, which lasts
// until f returns; what f returns, it returns. A connection that breaks is taken
// up again beneath f. Nothing of a session changes by being used, so nothing of it
// is written. No session may be in use twice at a time; the caller sees to that.
//
// Errors: [ErrLoggedOut], [ErrUnreached], [ErrNoApp], ctx's cause.
func (o Options) Run(ctx context.Context, a Account, f func(ctx context.Context, l *Line) error) error {
	o, err := o.fill()
	if err != nil {
		return err
	}
	held, err := hold(a.Session)
	if err != nil {
		return fmt.Errorf("open session of account %s: %w", a.Name, err)
	}
	var pushed pushes
	if o.Pushes {
		pushed = make(pushes, maxPushed)
		o.updates = pushed
	}
	l := &Line{}
	o.broke = l.elsewhere.broke
	return o.connect(ctx, held, func(ctx context.Context, c *telegram.Client) error {
		l.Account, l.Egress, l.to, l.pushed, l.now, l.dc = a.Name, o.Proxy.Label(), c, pushed, o.Now, func() int { return c.Config().ThisDC }
		if o.Pace > 0 {
			l.pace = rate.NewLimiter(rate.Every(o.Pace), burst)
			l.elsewhere.pace = rate.NewLimiter(rate.Every(o.Pace/filePace), burst)
		}
		l.elsewhere.open = func(ctx context.Context, dc int) (telegram.CloseInvoker, error) {
			if dc == l.DC() {
				return c.Pool(1)
			}
			return c.DC(ctx, dc, 1)
		}
		defer l.elsewhere.close()
		return f(ctx, l)
	})
}

// connect makes one connection and runs f on it.
func (o Options) connect(ctx context.Context, s session.Storage, f func(context.Context, *telegram.Client) error) error {
	t, err := o.client()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	same := make(chan struct{}) // nothing is asked before
	if h, ok := s.(*held); ok {
		h.lost, same = func() { stop(ErrLoggedOut) }, h.same
	} else {
		close(same)
	}
	var up, began atomic.Bool // the own connection stands; f was called
	vain := func(err error, forGood bool) {
		if up.Load() && began.Load() && o.broke != nil { // so it is one for files
			o.broke(err, forGood)
		}
	}
	last := &lastDial{Resolver: t.Resolver, vain: vain}
	t.Resolver, t.SessionStorage = last, s
	t.OnDead = func(err error) {
		// gotd does not say which connection died. Those for files are made once the
		// own one stands, and what is said on them ends nothing but their questions;
		// that the session is ended gotd finds out itself where the own one is told so.
		switch said := (*tgerr.Error)(nil); {
		case !errors.As(err, &said):
			last.note(err)
			vain(err, false)
		case !began.Load(), !up.Load() && !auth.IsUnauthorized(err): // it answers, and will say the same again
			stop(fmt.Errorf("connect to telegram: %w", told(err)))
		default:
			vain(err, true)
		}
	}
	t.OnConnectionState = func(s telegram.ConnectionState) {
		up.Store(s == telegram.ConnectionStateReady)
		o.Log.DebugContext(ctx, "telegram", "connection", s.String())
	}
	late := time.AfterFunc(o.Connect, func() { stop(last.error(o.Connect)) })
	defer late.Stop()

	c := telegram.NewClient(o.App.ID, o.App.Hash, t)
	var did bool
	var ferr error
	err = c.Run(ctx, func(ctx context.Context) error {
		select { // gotd says that it is ready a moment before it tells of its key
		case <-same:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !late.Stop() {
			return context.Cause(ctx)
		}
		began.Store(true)
		ferr = f(ctx, c)
		did = true
		return ferr
	})
	switch {
	case did && ferr == nil:
		return nil
	case ctx.Err() != nil: // before gotd's own words for it, which are nil
		return context.Cause(ctx)
	case did && (err == nil || errors.Is(err, ferr)):
		return ferr
	case err == nil:
		return last.error(o.Connect)
	case errors.Is(err, exchange.ErrKeyFingerprintNotFound):
		return fmt.Errorf("%w: what answers there has none of the public keys that it should have", ErrUnreached)
	}
	return fmt.Errorf("connect to telegram: %w", told(err))
}

// dialPause is how long a connection that failed is not made again.
const dialPause = 200 * time.Millisecond

// lastDial remembers why the last attempt to connect failed: gotd goes on trying
// and does not tell.
type lastDial struct {
	dcs.Resolver
	vain func(err error, forGood bool)
	mu   sync.Mutex
	err  error
}

// vainTime makes one attempt to connect enough.
const vainTime = 5 * time.Second

// Primary implements dcs.Resolver.
func (l *lastDial) Primary(ctx context.Context, dc int, list dcs.List) (transport.Conn, error) {
	begun := time.Now()
	c, err := l.Resolver.Primary(ctx, dc, list)
	l.note(err)
	if err != nil { // a connection for files is made again at once, for as long as it fails
		l.vain(err, time.Since(begun) > vainTime)
		select {
		case <-time.After(dialPause):
		case <-ctx.Done():
		}
	}
	return c, err
}

func (l *lastDial) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastDial) error(after time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("%w: %w", ErrUnreached, l.err)
	}
	return fmt.Errorf("%w: it did not answer as a Telegram in %s", ErrUnreached, after)
}
