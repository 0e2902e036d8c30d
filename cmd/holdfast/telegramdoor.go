package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
)

// telegramDoor opens the Lines that Tasks of Telegram's go over, each when the first
// Task for it comes: of the account that is named, else of one that is free. A service
// counts what an account asks, so its Tasks go one after the other, but for files,
// which have connections of their own and, where apart, turns of their own. An account
// has one Line at a time, and another one where a Task has to go another way.
type telegramDoor struct {
	n *node
	// pushes are the channels that the service has told to have moved; nil: nobody
	// wants to know. What nobody takes in time is forgotten: it is asked for anyway.
	pushes chan pushed
	// apart: whoever calls has other Tasks to do. Files do not wait for the rest, and
	// what the service wants to wait with is given back instead of waited for.
	apart  bool
	waited func(account, method string, until time.Time) // the service said so; may be nil

	mu    sync.Mutex
	slots map[string]*lineSlot // by account; "": any that is free
}

// pushed is a channel that has moved, as an account was told.
type pushed struct {
	account string
	channel int64
}

// lineSlot is the place of one account's Line. Who asks over it holds use for
// reading; who opens or ends it, for writing.
type lineSlot struct {
	use         sync.RWMutex
	talk, files sync.Mutex // whose turn it is
	open        *openLine
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

func (l *openLine) gone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// through is the Collector whose Line goes that way, by that account: "" is what was
// set for Telegram, or for the node; any account that is free.
func (d *telegramDoor) through(via, account string) collectors.Collector {
	return doorThrough{d, via, account}
}

type doorThrough struct {
	*telegramDoor
	via, account string
}

// maxWays is how often a Line may be led another way, by others, before a Task gets it.
const maxWays = 8

// Collect implements collectors.Collector.
func (d doorThrough) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	s := d.slot(d.account)
	turn, file := &s.talk, asksFile(req.Options)
	if d.apart && file {
		turn = &s.files
	}
	turn.Lock()
	defer turn.Unlock()
	l, err := d.line(ctx, s, d.via, d.account)
	if err != nil {
		return nil, err
	}
	a, err := l.by.Collect(ctx, req, keep)
	s.use.RUnlock()
	var later *collectors.Later
	if err == nil || errors.As(err, &later) || errors.Is(err, collectors.ErrRefused) {
		return a, err
	}
	if !file || l.gone() || waitsForAccount(err) { // whatever it was: the next one begins with a new Line
		s.end(l)
		if l.err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", l.err, err)
		}
	}
	return nil, d.n.accounts.Judged(ctx, l.account, err)
}

// asksFile says whether a Task asks for a file, and for nothing else.
func asksFile(options json.RawMessage) bool {
	var w struct {
		File json.RawMessage `json:"file"`
	}
	return json.Unmarshal(options, &w) == nil && w.File != nil
}

// Collect implements collectors.Collector.
func (d *telegramDoor) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	return d.through("", "").Collect(ctx, req, keep)
}

func (d *telegramDoor) slot(account string) *lineSlot {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slots == nil {
		d.slots = map[string]*lineSlot{}
	}
	if d.slots[account] == nil {
		d.slots[account] = &lineSlot{}
	}
	return d.slots[account]
}

// Close ends all Lines.
func (d *telegramDoor) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.slots {
		s.use.Lock()
		s.close()
		s.use.Unlock()
	}
}

// end ends a Line that is in nobody's hands any more: who asks over it meanwhile has
// an error.
func (s *lineSlot) end(l *openLine) {
	l.stop()
	s.use.Lock()
	defer s.use.Unlock()
	if s.open == l {
		s.close()
	}
	<-l.done
}

func (s *lineSlot) close() {
	if s.open != nil {
		s.open.stop()
		<-s.open.done
		s.open = nil
	}
}

// line returns the Line of a slot that goes this way, held for reading, and opens it
// if there is none. It does not end with ctx, which is one Task's.
func (d *telegramDoor) line(ctx context.Context, s *lineSlot, via, account string) (*openLine, error) {
	for range maxWays {
		s.use.RLock()
		if l := s.open; l != nil && l.via == via && !l.gone() {
			return l, nil
		}
		s.use.RUnlock()
		s.use.Lock()
		var err error
		if l := s.open; l == nil || l.via != via || l.gone() {
			s.close()
			d.giveUp(account)
			s.open, err = d.dial(ctx, via, account)
		}
		s.use.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return nil, &collectors.Later{At: time.Now().Add(time.Second), Why: "the account's connection goes another way for others"}
}

// giveUp ends the Line that was opened by whichever account was free, behind what is asked
// over it, where that account is the one that is named now: else it would be in use, by
// this process itself, for as long as it works.
func (d *telegramDoor) giveUp(account string) {
	d.mu.Lock()
	s := d.slots[""]
	d.mu.Unlock()
	if account == "" || s == nil {
		return
	}
	s.use.Lock()
	defer s.use.Unlock()
	if s.open != nil && s.open.account == account {
		s.close()
	}
}

// dial opens a Line.
func (d *telegramDoor) dial(ctx context.Context, via, account string) (*openLine, error) {
	o, err := d.n.telegramWay(via)
	if err != nil {
		return nil, err
	}
	o.Pushes = d.pushes != nil
	a, unlock, err := d.n.accounts.Free(o, account)
	if err != nil {
		return nil, err
	}
	waits, err := d.waits(ctx, a.Name)
	if err != nil {
		unlock()
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
		if err := d.n.sweepPartials(ctx); err != nil { // the next one does
			d.n.log.WarnContext(ctx, "files on their way were not looked at", "err", err)
		}
		l.by = telegram.NewCollector(telegram.CollectorOptions{Line: at, Egress: o.Proxy.Label(), Version: version, Training: d.n.set.Training, Partial: d.n.path(partials),
			Waits: waits, NoWaits: d.apart})
		go d.forward(a.Name, at.Pushed(), l.done)
		return l, nil
	case <-l.done:
		stop()
		return nil, d.n.accounts.Judged(ctx, a.Name, l.err)
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

// waits is what the service has told the account to wait with, also to processes
// before this one; what it tells from now on is written down, for those behind.
func (d *telegramDoor) waits(ctx context.Context, account string) (*telegram.Waits, error) {
	states, err := d.n.accounts.States()
	if err != nil {
		return nil, err
	}
	known := map[string]time.Time{}
	for _, w := range states[account].Waits {
		known[w.Method] = w.Until.Time
	}
	ctx = context.WithoutCancel(ctx)
	return telegram.NewWaits(known, func(method string, until time.Time) {
		if err := d.n.accounts.NoteWait(ctx, account, method, until); err != nil {
			d.n.log.ErrorContext(ctx, "a wait that the service asked for is known to this process only", "account", account, "method", method, "until", until, "err", err)
		}
		if d.waited != nil {
			d.waited(account, method, until)
		}
	}), nil
}

// forward passes on what the service tells by itself, while the Line lasts.
func (d *telegramDoor) forward(account string, from <-chan int64, done <-chan struct{}) {
	for from != nil {
		select {
		case id := <-from:
			select {
			case d.pushes <- pushed{account, id}:
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
	return state != "" || errors.As(err, new(accounts.Error)) || errors.Is(err, nodedir.ErrNoApp) || errors.Is(err, telegram.ErrUnreached)
}

// canTelegram refuses Sources that no account here could be asked about, before
// anything is accepted.
func (n *node) canTelegram(sources []holdfast.Source, via string) error {
	for _, s := range sources {
		if !isTelegram(s) {
			continue
		}
		names, err := n.accounts.Names()
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return accounts.Unusable(accounts.None)
		}
		_, err = n.telegramWay(via)
		return err
	}
	return nil
}
