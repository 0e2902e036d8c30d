package telegram

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"
	"golang.org/x/time/rate"
)

// elsewhere are a Line's connections for files, one to each data centre that has
// some: gotd's own way would follow a FILE_MIGRATE without a word, and nobody could
// say who has answered. To the Line's own data centre it is one more connection of
// the same session; to another one the account's authorisation is carried over,
// for as long as the Line lasts.
type elsewhere struct {
	open func(ctx context.Context, dc int) (telegram.CloseInvoker, error)
	pace *rate.Limiter // nil: none

	mu sync.Mutex
	to map[int]telegram.CloseInvoker

	askMu  sync.Mutex
	asking map[*context.CancelCauseFunc]bool // questions that are open
	deaths int                               // of connections, since the last answer
}

// maxDeaths is how many connections in a row may end before a question is given up.
const maxDeaths = 6

// errElsewhere is wrapped by the error for a data centre that was not reached, or
// does not take the account's authorisation. It says nothing of the account.
var errElsewhere = errors.New("the data centre that has the file was not reached")

// at returns the connection to a data centre, and makes it if there is none.
func (e *elsewhere) at(ctx context.Context, dc int) (tg.Invoker, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if to := e.to[dc]; to != nil {
		return to, nil
	}
	to, err := e.open(ctx, dc)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case auth.IsUnauthorized(err): // the Line itself finds out whether it is logged out
		return nil, fmt.Errorf("%w: data centre %d: %v", errElsewhere, dc, err)
	default:
		return nil, fmt.Errorf("%w: data centre %d: %w", errElsewhere, dc, err)
	}
	if e.to == nil {
		e.to = map[int]telegram.CloseInvoker{}
	}
	e.to[dc] = to
	return to, nil
}

// drop closes the connection to a data centre; the next question makes a new one.
func (e *elsewhere) drop(dc int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if to := e.to[dc]; to != nil {
		to.Close() //nolint:errcheck // it is given up
		delete(e.to, dc)
	}
}

func (e *elsewhere) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, to := range e.to {
		to.Close() //nolint:errcheck // it is given up
	}
	e.to = nil
}

// begin is a question's context. It ends with errElsewhere where the service ends the
// connection with an error of its own, or cannot be reached: gotd would make the next
// one at once, in vain again, for as long as the question lasts.
func (e *elsewhere) begin(ctx context.Context) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	e.askMu.Lock()
	defer e.askMu.Unlock()
	if e.asking == nil {
		e.asking = map[*context.CancelCauseFunc]bool{}
	}
	e.asking[&stop] = true
	return ctx, func() {
		e.askMu.Lock()
		defer e.askMu.Unlock()
		delete(e.asking, &stop)
		stop(nil)
	}
}

// broke ends the questions that are open, where a connection ended for good, or one
// after the other. Of which of several data centres is not known; each is asked again
// later.
func (e *elsewhere) broke(err error, forGood bool) {
	e.askMu.Lock()
	defer e.askMu.Unlock()
	if e.deaths++; !forGood && e.deaths < maxDeaths {
		return
	}
	for stop := range e.asking {
		(*stop)(fmt.Errorf("%w: %v", errElsewhere, err)) // not wrapped: it says nothing of the account
	}
}

func (e *elsewhere) answered() {
	e.askMu.Lock()
	defer e.askMu.Unlock()
	e.deaths = 0
}

// askAt is ask of a data centre, for files. One that has forgotten the account's
// authorisation is given it once more.
func (l *Line) askAt(ctx context.Context, dc int, r request) (x *Exchange, err error) {
	ctx, end := l.elsewhere.begin(ctx)
	defer end()
	defer func() {
		switch why := context.Cause(ctx); {
		case err == nil:
			l.elsewhere.answered()
		case errors.Is(why, errElsewhere):
			l.elsewhere.drop(dc)
			err = fmt.Errorf("ask data centre %d: %w", dc, why)
		}
	}()
	open := func(ctx context.Context) (tg.Invoker, error) { return l.elsewhere.at(ctx, dc) }
	x, err = l.askOf(ctx, r, dc, l.elsewhere.pace, open)
	if dc == l.DC() || !errors.Is(err, ErrLoggedOut) {
		return x, err
	}
	l.elsewhere.drop(dc)
	if x, err = l.askOf(ctx, r, dc, l.elsewhere.pace, open); errors.Is(err, ErrLoggedOut) {
		err = fmt.Errorf("%w: data centre %d takes no authorisation: %v", errElsewhere, dc, err)
	}
	return x, err
}
