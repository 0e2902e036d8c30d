package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"holdfast"
	"holdfast/cmd/internal/collecting"
	"holdfast/cmd/internal/spool"
	"holdfast/collectors/web"
	"holdfast/pipeline"
	"holdfast/storage"
	"holdfast/wholefile"
)

// How processes that capture tell others of themselves.
const (
	signEvery = 5 * time.Second  // where nothing is new
	signLease = 30 * time.Second // for which one is believed that is not heard of; a spool's lock says it at once
	signsLast = time.Second      // for which one look at them is good
	fileSign  = "collecting.json"
)

// collectSaid is what a collectLoop knows of what waits.
type collectSaid struct {
	whys          map[holdfast.ID]noted
	web, telegram string // why none of the kind can be captured now
	count         uint64 // of changes
}

// noted is why a Task waits, or was given up, and when it was noted.
type noted struct {
	collecting.Why
	at uint64
}

// lacking is what of an error others are told, which names no path of this machine.
func lacking(err error) string {
	switch {
	case errors.Is(err, web.ErrBrowser):
		return "the browser does not start: `holdfast doctor` there says why"
	case errors.Is(err, storage.ErrFull), errors.Is(err, syscall.ENOSPC):
		return "there is no room left: `holdfast doctor` there says where"
	}
	return "the node cannot capture now: its log says why"
}

// why remembers for a Task why it waits; "" forgets.
func (l *collectLoop) why(id holdfast.ID, of, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.said
	is, ok := s.whys[id]
	if text == "" {
		if ok && is.Of != collecting.Gone {
			delete(s.whys, id)
			s.count++
		}
		return
	}
	if is.Of == of && is.Text == text {
		return
	}
	if len(s.whys) >= maxWhys || s.whys == nil {
		s.whys = map[holdfast.ID]noted{}
	}
	s.count++
	s.whys[id] = noted{collecting.Why{Task: id, Of: of, Text: text}, s.count}
}

// forgetWhys forgets those of Tasks that are in the queue no more, but not why one was
// given up.
func (l *collectLoop) forgetWhys(there map[holdfast.ID]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, k := range l.said.whys {
		if !there[id] && k.Of != collecting.Gone {
			delete(l.said.whys, id)
			l.said.count++
		}
	}
}

// cannot remembers why nothing of a kind can be captured now; "" forgets.
func (l *collectLoop) cannot(telegram bool, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := &l.said.web
	if telegram {
		of = &l.said.telegram
	}
	if *of != text {
		*of = text
		l.said.count++
	}
}

// isWell forgets what could not be done where there is room for more of it and nothing is
// due: whether it can now, the next Task shows.
func (l *collectLoop) isWell(looked bool, web, telegram int, due []pipeline.Task) {
	for kind, room := range map[bool]int{false: web, true: telegram} {
		if looked && room > 0 && !slices.ContainsFunc(due, func(t pipeline.Task) bool { return isTelegram(t.Source) == kind }) {
			l.cannot(kind, "")
		}
	}
}

// sign is what this process says of itself, and the count of changes that it is as of.
func (l *collectLoop) sign() (collecting.Sign, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := collecting.Sign{Process: l.name, Node: l.n.set.Name, Web: l.said.web, Telegram: l.said.telegram}
	all := make([]noted, 0, len(l.said.whys))
	for _, k := range l.said.whys {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b noted) int { return int(b.at) - int(a.at) })
	for _, k := range all {
		s.Tasks = append(s.Tasks, k.Why)
	}
	return s, l.said.count
}

// whyOf is why a Task waits or was given up, as far as this process knows.
func (l *collectLoop) whyOf(id holdfast.ID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.whys[id].Text
}

// whyWaits says why a Task that is in the queue waits; "": nobody says so.
func whyWaits(signs []collecting.Sign, t pipeline.Task, now time.Time) string {
	is := collecting.Free
	switch {
	case t.Lease.Until.After(now):
		is = collecting.Held
	case t.Due.After(now):
		is = collecting.Due
	}
	return collecting.Of(signs, t.ID, isTelegram(t.Source), is)
}

// tells says, until stop, that this process captures, and what it cannot. Where that
// fails nothing else does: others say less of what waits.
func (l *collectLoop) tells(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		w := &signWriter{n: l.n, name: l.n.set.Name + "/" + l.name}
		defer w.leave()
		tick := time.NewTicker(loopTick)
		defer tick.Stop()
		var asOf uint64
		var last time.Time
		failed := false
		for {
			s, count := l.sign()
			if due := time.Since(last); last.IsZero() || due >= signEvery || due >= signsLast && count != asOf && !failed {
				err := w.write(ctx, s)
				if err != nil && !failed && ctx.Err() == nil {
					l.n.log.WarnContext(ctx, "others are not told why a Task waits", "err", err)
				}
				last, asOf, failed = time.Now(), count, err != nil
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-told }
}

// signWriter is where a process says it: in a spool of its own, which dies with it, or
// where nodes share the queue in the office, under a lease.
type signWriter struct {
	n     *node
	name  string
	spool *spool.Spool
	said  string
}

func (w *signWriter) write(ctx context.Context, s collecting.Sign) error {
	b, err := s.Encode()
	if err != nil {
		return err
	}
	if w.n.sharedQueue() {
		book, err := w.n.book(ctx)
		if err != nil {
			return err
		}
		return book.Collectors().Beat(ctx, w.name, signLease, b)
	}
	if w.spool == nil {
		if w.spool, err = spool.Open(w.n.dir); err != nil {
			return err
		}
	}
	if w.said == string(b) {
		return nil
	}
	if err := wholefile.Replace(filepath.Join(w.spool.Dir(), fileSign), b, 0o600); err != nil {
		return err
	}
	w.said = string(b)
	return nil
}

// leave takes it back. A process that is killed leaves a spool without its lock, or a row
// whose lease runs out.
func (w *signWriter) leave() {
	if w.spool != nil {
		w.spool.Close()
	}
	if !w.n.sharedQueue() {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	if book, err := w.n.book(ctx); err == nil {
		_ = book.Collectors().Leave(ctx, w.name)
	}
}

// collectSigns are what the processes say that capture from this node's queue. It is safe
// for concurrent use.
type collectSigns struct {
	n   *node
	own *collectLoop // of this process, which is asked itself; nil: it captures nothing

	mu    sync.Mutex
	known []collecting.Sign // of all others, as of at
	at    time.Time
}

// signs are those of all, and of this loop where it works.
func (l *collectLoop) signs(works bool) *collectSigns {
	s := &collectSigns{n: l.n}
	if works {
		s.own = l
	}
	return s
}

// now looks at them. What cannot be read is logged and left out: a Task then waits without
// a why, which is no reason to answer nothing.
func (s *collectSigns) now(ctx context.Context) []collecting.Sign {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= signsLast {
		known, err := s.n.readSigns(ctx)
		if err != nil && ctx.Err() == nil {
			s.n.log.WarnContext(ctx, "not known why Tasks wait", "err", err)
		}
		s.known, s.at = known, time.Now()
	}
	all := slices.Clone(s.known)
	if s.own != nil {
		own, _ := s.own.sign()
		all = slices.DeleteFunc(all, func(k collecting.Sign) bool { return k.Process == s.own.name })
		all = append(all, own)
	}
	if !s.n.sharedQueue() { // all of one node: its name says nothing
		for i := range all {
			all[i].Node = ""
		}
	}
	return all
}

func (n *node) readSigns(ctx context.Context) (all []collecting.Sign, err error) {
	var said [][]byte
	if n.sharedQueue() {
		book, err := n.book(ctx)
		if err != nil {
			return nil, err
		}
		if said, err = book.Collectors().There(ctx); err != nil {
			return nil, err
		}
	} else {
		living, err := spool.Living(n.dir)
		if err != nil {
			return nil, err
		}
		for _, dir := range living {
			if b, err := wholefile.Read(filepath.Join(dir, fileSign), collecting.MaxSign); err == nil { // most spools have none
				said = append(said, b)
			}
		}
	}
	for _, b := range said {
		s, err := collecting.Decode(b)
		if err != nil {
			n.log.WarnContext(ctx, "what a process says of itself is left out", "err", err)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}
