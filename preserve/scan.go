package preserve

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"holdfast"
)

// Scan lists the store for Seals that may lack a quorum, or of which it may be that
// nobody has told the earliest T. It counts tokens by
// the names of their authorities, which is cheap; judging is left to Pass.
//
// The first scan of a process, and then one a day, looks at all; those between begin, in
// each partition, with the Seal that was the last: what was not whole of those before it
// is known. Plans are made in order, so nothing comes to be before it but a token that
// makes T earlier, which waits for the day's.
func (r *Reconciler) Scan(ctx context.Context) error {
	all := time.Since(r.whole) >= scanAll
	if all {
		r.begun = nil
	}
	s := &scan{r: r, need: r.Quorum.o.Trust.Policy().Quorum, found: make(map[string]bool), parts: make(map[string]bool), marks: make(map[string]string)}
	for after, more := "", true; more; {
		var err error
		if after, more, err = s.list(ctx, after); err != nil {
			return fmt.Errorf("list seals: %w", err)
		}
	}
	r.begun = s.marks
	if all {
		r.whole = time.Now()
	}
	r.scanned(s.found, all)
	return nil
}

// scanAll is the time between two scans that look at all.
const scanAll = 24 * time.Hour

// scan is one walk over the names of Seals.
type scan struct {
	r     *Reconciler
	need  int
	found map[string]bool
	last  string            // the Seal whose parts are gathered
	parts map[string]bool   // of it
	marks map[string]string // by partition: the last Seal
}

// list goes on until it has met a partition of which it can leap over a beginning; more
// is false at the end.
func (s *scan) list(ctx context.Context, after string) (next string, more bool, err error) {
	for e, err := range s.r.Store.ListAfter(ctx, "seals/", after) {
		if err != nil {
			return "", false, err
		}
		seal, part, ok := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if !ok || !holdfast.ValidSealID(seal) {
			continue
		}
		if seal != s.last {
			s.flush()
			s.last = seal
			if mark := s.r.begun[partitionOf(seal)]; seal < mark {
				s.last = ""
				return "seals/" + mark, true, nil
			}
		}
		s.parts[part] = true
	}
	s.flush()
	return "", false, nil
}

// flush judges the names of one Seal's parts.
func (s *scan) flush() {
	if s.last == "" {
		return
	}
	s.marks[partitionOf(s.last)] = s.last
	if s.r.doubtful(s.parts, s.need) {
		s.found[s.last] = true
	}
	clear(s.parts)
}

// partitionOf is a Seal's name without its position.
func partitionOf(seal string) string { return seal[:max(0, strings.LastIndexByte(seal, '-'))] }

// scanned takes in what a scan has found.
func (r *Reconciler) scanned(found map[string]bool, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.init()
	// What was judged once and is done with is not judged at every listing: a
	// Seal of authorities that are asked no more, or of a key that had ended,
	// looks doubtful for good. It is judged again by the next process, which costs
	// some milliseconds for each and asks nobody: what counts may have changed
	// meanwhile (the Policy, a token that came as a file), and what has not is
	// published again as it was.
	if all {
		maps.DeleteFunc(r.past, func(seal string, _ bool) bool { return !found[seal] })
	}
	for seal := range found {
		if !r.past[seal] {
			r.todo[seal] = true
		}
	}
}

// doubtful reports whether the parts' names alone do not show a whole Seal.
func (r *Reconciler) doubtful(parts map[string]bool, need int) bool {
	operators := make(map[string]bool)
	known := make(map[string]string)
	for _, a := range r.Quorum.authorities() {
		known[a.Name] = a.Operator
	}
	logged := false
	for part := range parts {
		if op := known[stampedBy(part)]; op != "" {
			operators[op] = true
		}
		logged = logged || strings.HasPrefix(part, "inclusion/") && wanted(part, parts)
	}
	return !logged || len(operators) < need || twins(parts)
}
