package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errNoAnswer: the server kept the connection and said nothing.
var errNoAnswer = errors.New("no answer from the object store in time")

// patient bounds how long a request waits for its answer, and each read of the
// answer for its next bytes. A server that hangs would else hold its caller for good.
type patient struct {
	next http.RoundTripper
	wait time.Duration
}

// slowest is the line that is waited for while a body goes out, in bytes a second.
const slowest = 256 << 10

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	limit := p.wait + time.Duration(max(0, r.ContentLength)/slowest)*time.Second
	timer := time.AfterFunc(limit, func() { cancel(errNoAnswer) })
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		err = cause(ctx, r.Context(), err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &patientBody{resp.Body, ctx, r.Context(), cancel, p.wait}
	return resp, nil
}

// cause says that the wait is over, where that is why.
func cause(ctx, callers context.Context, err error) error {
	if callers.Err() == nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return errNoAnswer
	}
	return err
}

type patientBody struct {
	io.ReadCloser
	ctx, callers context.Context
	cancel       context.CancelCauseFunc
	wait         time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.wait, func() { b.cancel(errNoAnswer) })
	defer timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = cause(b.ctx, b.callers, err)
	}
	return n, err
}

func (b *patientBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
