package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
)

// telegramDoor opens the Line that Tasks of Telegram's go over, when the first of
// them comes, with an account that is free. A service counts what an account asks,
// so they go one after the other; it has one Line at a time, and another one where
// a Task has to go another way.
type telegramDoor struct {
	n *node
	// pushes are the channels that the service has told to have moved; nil: nobody
	// wants to know. What nobody takes in time is forgotten: it is asked for anyway.
	pushes chan int64

	mu   sync.Mutex
	open *openLine
}

// openLine is a Line and the process of its own that holds it.
type openLine struct {
	via     string
	account string
	by      *telegram.Collector
	stop    func()
	done    chan struct{} // closed when the Line is gone; err says why then
	err     error
}

// through is the Collector whose Line goes that way: "" is what was set for
// Telegram, or for the node.
func (d *telegramDoor) through(via string) collectors.Collector { return doorThrough{d, via} }

type doorThrough struct {
	*telegramDoor
	via string
}

// Collect implements collectors.Collector.
func (d doorThrough) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, err := d.line(ctx, d.via)
	if err != nil {
		return nil, err
	}
	a, err := l.by.Collect(ctx, req, keep)
	var later *collectors.Later
	if errors.As(err, &later) && !later.Idle && time.Until(later.At) > time.Second { // the next call must not ask before
		until := holdfast.At(later.At)
		s := accountState{Name: l.account, State: telegram.StateWaiting, Since: holdfast.At(time.Now()), Until: &until, Do: "the service wants to hear nothing before that; what asks earlier waits longer"}
		return nil, errors.Join(err, d.n.noteState(ctx, l.account, s))
	}
	if err == nil || later != nil || errors.Is(err, collectors.ErrRefused) {
		return a, err
	}
	d.close() // whatever it was: the next one begins with a new Line
	if l.err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", l.err, err)
	}
	return nil, d.n.judged(ctx, l.account, err)
}

// Collect implements collectors.Collector.
func (d *telegramDoor) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	return d.through("").Collect(ctx, req, keep)
}

// Close ends the Line.
func (d *telegramDoor) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.close()
}

func (d *telegramDoor) close() {
	if d.open != nil {
		d.open.stop()
		<-d.open.done
		d.open = nil
	}
}

// line returns the Line that goes this way, and opens it if there is none. It does
// not end with ctx, which is one Task's.
func (d *telegramDoor) line(ctx context.Context, via string) (*openLine, error) {
	if l := d.open; l != nil {
		select {
		case <-l.done:
		default:
			if l.via == via {
				return l, nil
			}
		}
		d.close()
	}
	o, err := d.n.telegramWay(via)
	if err != nil {
		return nil, err
	}
	o.Pushes = d.pushes != nil
	a, unlock, err := d.n.freeAccount(o)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l, up := &openLine{via: via, account: a.Name, stop: stop, done: make(chan struct{})}, make(chan *telegram.Line)
	go func() {
		defer close(l.done)
		defer unlock()
		l.err = o.Run(run, *a, func(ctx context.Context, l *telegram.Line) error {
			up <- l
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case at := <-up:
		l.by = telegram.NewCollector(telegram.CollectorOptions{Line: at, Egress: o.Proxy.Label(), Version: version, Training: d.n.set.Training, Partial: d.n.path("partial")})
		d.open = l
		go d.forward(at.Pushed(), l.done)
		return l, nil
	case <-l.done:
		stop()
		return nil, d.n.judged(ctx, a.Name, l.err)
	case <-ctx.Done():
		stop()
		go func() { // it may stand at the last moment
			select {
			case <-up:
			case <-l.done:
			}
		}()
		<-l.done
		return nil, context.Cause(ctx)
	}
}

// forward passes on what the service tells by itself, while the Line lasts.
func (d *telegramDoor) forward(from <-chan int64, done <-chan struct{}) {
	for from != nil {
		select {
		case id := <-from:
			select {
			case d.pushes <- id:
			default:
			}
		case <-done:
			return
		}
	}
}

// telegramWay is what the accounts are used with, on the way that was asked for.
func (n *node) telegramWay(via string) (telegram.Options, error) {
	o, err := n.telegramOptions()
	if err != nil || via == "" {
		return o, err
	}
	v, err := n.via(via)
	if err != nil {
		return o, err
	}
	if o.Proxy = nil; v != nil {
		o.Proxy, err = telegram.ProxyVia(v)
	}
	return o, err
}

// telegramVia is the way that a call asks for, for what goes by an account: "" is
// what was set for Telegram, or for the node.
func (n *node) telegramVia(ctx context.Context, home holdfast.ID, o captureOptions) (string, error) {
	if o.via != "" {
		return o.via, nil // the Case's demand was held against it
	}
	return n.demandedEgress(ctx, home)
}

// waitsForAccount says whether an error is one that a person can end, after which
// the Task can be captured.
func waitsForAccount(err error) bool {
	state, _, _ := telegram.Judge(err)
	return state != "" || errors.As(err, new(accountError)) || errors.Is(err, errNoApp) || errors.Is(err, telegram.ErrUnreached)
}

// canTelegram refuses Sources that no account here could be asked about, before
// anything is accepted.
func (n *node) canTelegram(sources []holdfast.Source, via string) error {
	for _, s := range sources {
		if !isTelegram(s) {
			continue
		}
		names, err := n.sessions()
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return unusable(noAccount)
		}
		_, err = n.telegramWay(via)
		return err
	}
	return nil
}
