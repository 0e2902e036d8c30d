package telegram

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"golang.org/x/time/rate"

	"holdfast/tl"
)

// Exchange is one request and its answer, as the wire carried them.
type Exchange struct {
	Method         string // in the words of the schema
	Request        []byte // without the wrapping that tells the layer and the device
	Answer         []byte // the RPC result, after decryption and gzip
	DC             int    // that was asked; 0: the Line's own
	Sent, Received time.Time
}

// ErrTooLarge is wrapped by the error for an answer of more than tl.MaxAnswer bytes.
var ErrTooLarge = errors.New("the answer is larger than any that the service makes")

// DC is the data centre that answers what is not asked of another; 0: not known.
func (l *Line) DC() int {
	if l.dc == nil {
		return 0
	}
	return l.dc()
}

// request is a TL object with a constructor.
type request interface {
	bin.Object
	TypeID() uint32
}

// errPaced: the time was over before the account's turn came, and nothing was sent.
var errPaced = errors.New("its turn has not come")

// Line asks the service, as one account. It is safe for concurrent use.
type Line struct {
	Account string // the node's own word for it
	Egress  string // the way to the service, as in collectors.Collection

	to  tg.Invoker
	now func() time.Time
	dc  func() int // that answers what is not asked of another

	pace   *rate.Limiter // nil: none
	pushed <-chan int64  // nil: nobody wants to know

	elsewhere elsewhere // connections for files

	writes func(request) (string, error) // a Canary's alone: the name of what it may send that does not only read
}

// ask sends a request that is on the list and returns what came, unread. With an
// error that is not [ErrMethod] it returns what was asked, without an answer. Errors:
// [ErrMethod], [ErrTooLarge], [ErrLoggedOut]; the service's own, a *tgerr.Error; the
// connection's.
func (l *Line) ask(ctx context.Context, r request) (*Exchange, error) {
	return l.askOf(ctx, r, 0, l.pace, func(context.Context) (tg.Invoker, error) { return l.to, nil })
}

// askOf asks over what open returns.
func (l *Line) askOf(ctx context.Context, r request, dc int, pace *rate.Limiter, open func(context.Context) (tg.Invoker, error)) (*Exchange, error) {
	name, err := method(r.TypeID())
	if err != nil && l.writes != nil {
		name, err = l.writes(r)
	}
	if err != nil {
		return nil, err
	}
	var asked bin.Buffer
	if err := r.Encode(&asked); err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	x := &Exchange{Method: name, Request: asked.Raw(), DC: dc}
	to, err := open(ctx)
	if err != nil {
		return x, fmt.Errorf("ask %s: %w", name, err)
	}
	if pace != nil {
		if err := pace.Wait(ctx); err != nil {
			return x, fmt.Errorf("ask %s: %w: %w", name, errPaced, err)
		}
	}
	x.Sent = l.now()
	var got taken
	err = to.Invoke(ctx, encoded(x.Request), &got)
	x.Received = l.now()
	if err != nil {
		return x, fmt.Errorf("ask %s: %w", name, told(err))
	}
	if got.size > tl.MaxAnswer {
		return x, fmt.Errorf("ask %s: %d bytes: %w", name, got.size, ErrTooLarge)
	}
	x.Answer = got.b
	return x, nil
}

// encoded is a request that is encoded already: encoding changes an object.
type encoded []byte

// Encode implements bin.Encoder.
func (e encoded) Encode(b *bin.Buffer) error { b.Put(e); return nil }

// TypeID lets gotd see which method it is.
func (e encoded) TypeID() uint32 {
	id, _ := (&bin.Buffer{Buf: e}).PeekID()
	return id
}

// taken is a decoder that reads nothing: it takes the bytes. The connection's
// buffer is used again, so they are copied.
type taken struct {
	b    []byte
	size int
}

// Decode implements bin.Decoder.
func (t *taken) Decode(b *bin.Buffer) error {
	if t.size = len(b.Buf); t.size <= tl.MaxAnswer {
		t.b = append([]byte(nil), b.Buf...)
	}
	b.Skip(len(b.Buf))
	return nil
}
