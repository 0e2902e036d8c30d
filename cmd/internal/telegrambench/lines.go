package telegrambench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"holdfast"
)

// Of following.
const (
	pause  = 100 * time.Millisecond // between two posts, of any channel
	atMost = 3 * time.Minute        // to begin with, and for the last to be sealed
	quiet  = time.Second            // without a line, before the first
)

// postKey is a post as a line names it.
type postKey struct {
	channel string
	id      int64
}

// Lines reads the lines of `watch run --json`: when each post is told as sealed. It is
// safe for concurrent use.
type Lines struct {
	mu     sync.Mutex
	begun  int                       // channels whose history is there
	open   int                       // captures that are not sealed
	last   time.Time                 // when a line came
	of     map[holdfast.ID][]postKey // the posts of a Capture that is not sealed
	sealed map[postKey]time.Time     // the first time
	ended  chan struct{}             // closed behind the last line
}

// Read reads them in a goroutine of its own, until in ends.
func Read(in io.Reader) *Lines {
	l := &Lines{of: map[holdfast.ID][]postKey{}, sealed: map[postKey]time.Time{}, ended: make(chan struct{})}
	go l.read(in)
	return l
}

// Wait waits until there are no more.
func (l *Lines) Wait() { <-l.ended }

func (l *Lines) read(out io.Reader) {
	defer close(l.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l.line(lines.Bytes(), time.Now())
	}
}

func (l *Lines) line(b []byte, now time.Time) {
	var e struct {
		Event, Part, Channel string
		ID                   json.RawMessage
		Capture              holdfast.ID
	}
	if json.Unmarshal(b, &e) != nil {
		return // of another form, and not one of these
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = now
	switch e.Event {
	case "accepted":
		l.open++
		if e.Part == "backfill" {
			l.begun++
		}
	case "post":
		k := postKey{channel: e.Channel}
		if json.Unmarshal(e.ID, &k.id) == nil {
			l.of[e.Capture] = append(l.of[e.Capture], k)
		}
	case "sealed":
		l.open--
		var id holdfast.ID
		if json.Unmarshal(e.ID, &id) != nil {
			break
		}
		for _, k := range l.of[id] {
			if _, ok := l.sealed[k]; !ok {
				l.sealed[k] = now
			}
		}
		delete(l.of, id)
	}
}

// Follow waits until so many channels are followed and all is at rest, calls begin, has so
// many posts made and returns how long each took from there to the line that says that it
// is sealed. It waits 3 minutes at most for either, and says what was missing then.
func (l *Lines) Follow(s *Service, channels, count int, begin func()) (took []time.Duration, err error) {
	wait := func(what string, there func() bool) error {
		for end := time.Now().Add(atMost); !locked(&l.mu, there); {
			select {
			case <-l.ended:
				return fmt.Errorf("watch run ended before %s", what)
			case <-time.After(10 * time.Millisecond):
			}
			if time.Now().After(end) {
				return locked(&l.mu, func() error {
					return fmt.Errorf("not within %s: %s; %d histories, %d posts sealed, %d captures whose posts were told are not", atMost, what, l.begun, len(l.sealed), len(l.of))
				})
			}
		}
		return nil
	}
	ready := func() bool { return l.begun >= channels && l.open == 0 && time.Since(l.last) > quiet }
	if err := wait("all channels were followed, and what there was was sealed", ready); err != nil {
		return nil, err
	}
	begin()
	made, err := s.Post(count, pause)
	if err != nil {
		return nil, err
	}
	err = wait("every post was sealed", func() bool {
		took = took[:0]
		for _, p := range made {
			at, ok := l.sealed[postKey{p.Channel, p.ID}]
			if !ok {
				return false
			}
			took = append(took, at.Sub(p.Made))
		}
		return true
	})
	return took, err
}

func locked[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}
