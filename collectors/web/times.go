package web

import (
	"slices"
	"sync/atomic"
	"time"
)

// Bounds of how exactly the times of streams are kept.
const (
	maxMarks    = 100_000   // pieces of one direction
	maxMarksAll = 1_000_000 // of a capture: 24 bytes each, in memory
)

// times is when each piece of a stream without an end passed: of a WebSocket either
// direction, of a stream of events what came.
type times struct {
	marks []mark
	full  bool // what came after the last mark has no time of its own
	all   *atomic.Int64
}

// mark is one piece: body is where in the content it ends, block where in the record.
type mark struct {
	at          int64 // nanoseconds since 1970, by the node's clock
	block, body int64
}

// timed makes the spool note when its content passes.
func (p *proxy) timed(s *spool) { s.times = &times{all: &p.marks} }

func (t *times) note(block, body int64) {
	if t == nil || t.full {
		return
	}
	if len(t.marks) >= maxMarks || t.all.Add(1) > maxMarksAll {
		t.full = true
		return
	}
	t.marks = append(t.marks, mark{time.Now().UnixNano(), block, body})
}

// of gives the piece that has the byte of the content at this offset; false where no time
// of it was kept.
func (t *times) of(offset int64) (mark, bool) {
	i, _ := slices.BinarySearchFunc(t.marks, offset, func(m mark, o int64) int {
		if m.body <= o {
			return -1
		}
		return 1
	})
	if i == len(t.marks) {
		return mark{}, false
	}
	return t.marks[i], true
}
