package telegrambench

import (
	"context"
	"io"

	"holdfast/collectors/telegram"
)

// code is an Asker who knows the code.
type code string

// Code implements telegram.Asker.
func (a code) Code(context.Context, string) (string, error) { return string(a), nil }

// Password implements telegram.Asker.
func (a code) Password(context.Context, string) (string, error) { return "", io.EOF }

// LogIn logs an account in at the service. Nothing that is set for a node, or in the
// environment, leads it elsewhere.
func (u Up) LogIn(ctx context.Context) (*telegram.Login, telegram.Options, error) {
	o := telegram.Options{App: telegram.App{ID: 1, Hash: "hash"}}
	servers, err := telegram.ParseServers(u.File)
	if err != nil {
		return nil, o, err
	}
	o.Servers = servers
	in, err := o.LogIn(ctx, "+"+u.Phone, code(u.Code))
	return in, o, err
}

// Line is a line to the service, until stop is called, which does not wait. over is called
// once, when the line is gone, with the reason, and not where an error is returned.
func (u Up) Line(ctx context.Context, account string, over func(error)) (_ *telegram.Line, stop func(), err error) {
	in, o, err := u.LogIn(ctx)
	if err != nil {
		return nil, nil, err
	}
	o.Pushes = true
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	up, gone := make(chan *telegram.Line, 1), make(chan error, 1)
	go func() {
		gone <- o.Run(run, telegram.Account{Name: account, Session: in.Session}, func(ctx context.Context, at *telegram.Line) error {
			up <- at
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case at := <-up:
		go func() { over(<-gone) }()
		return at, stop, nil
	case err := <-gone:
		stop()
		return nil, nil, err
	}
}
