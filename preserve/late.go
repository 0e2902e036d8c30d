package preserve

import (
	"strings"
	"sync"
	"time"
)

// A Seal's T is the q-th smallest time of its operators' tokens, so a token that is
// kept after T was told of can make it earlier. What was told stays true, as "not later
// than"; yet a catalog would say another time than one that is built from the store.
// That comes about in three ways, and each has the Seal judged and published again:
//   - the answer of one who was not waited for says an earlier time than those that were
//     there first: [Quorum.kept];
//   - the asker goes away (ctx) between a token and the look at it: [Quorum.ended];
//   - two processes carry out one plan, and one of them stood still between an
//     authority's answer and its keeping: each that judges such a Seal sees twins, and
//     the last to judge it has seen all. Where that one died before it could tell, the
//     next listing finds the Seal by its twins, in any process.

// ending is what those who still bring a token know of the asker.
type ending struct {
	mu     sync.Mutex
	over   bool      // nobody waits: what is kept from here on was not looked at
	latest time.Time // of the tokens that were waited for
	enough bool      // and they alone are a quorum, so that T is no later than latest
}

func (e *ending) saw(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.After(e.latest) {
		e.latest = at
	}
}

// ended marks that the asker waits no more. A token that is kept before that is seen by
// the asker's own look, unless it never comes to that.
func (q *Quorum) ended(k ask, enough bool, err error) {
	k.end.mu.Lock()
	k.end.over, k.end.enough = true, enough
	k.end.mu.Unlock()
	if err != nil {
		q.late(k.seal)
	}
}

// kept tells of a token that nobody waited for and that is earlier than what is known.
// Most that come late are not: a third authority has a later clock reading than the two
// that were quicker.
func (q *Quorum) kept(a Authority, k ask, at time.Time) {
	if a.Name == OwnName {
		return
	}
	k.end.mu.Lock()
	tell := k.end.over && (!k.end.enough || at.Before(k.end.latest))
	k.end.mu.Unlock()
	if tell {
		q.late(k.seal)
	}
}

func (q *Quorum) late(seal string) {
	if q.o.Late != nil {
		q.o.Late(seal)
	}
}

// stampedBy is the name of the authority whose token a part is, or "".
func stampedBy(part string) string {
	rest, ok := strings.CutPrefix(part, "timestamps/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// twins reports whether one authority has stamped a Seal twice, so whether two had it
// stamped at about the same time.
func twins[T any](parts map[string]T) bool {
	seen := make(map[string]bool)
	for part := range parts {
		name := stampedBy(part)
		if name == "" || name == OwnName {
			continue
		}
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
