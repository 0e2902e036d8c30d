package preserve

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"holdfast"
)

// Scan lists the store for Seals that may lack a quorum, or of which it may be that
// nobody has told the earliest T. It counts tokens by
// the names of their authorities, which is cheap; judging is left to Pass.
func (r *Reconciler) Scan(ctx context.Context) error {
	need := r.Quorum.o.Trust.Policy().Quorum
	found, last, parts := make(map[string]bool), "", make(map[string]bool)
	flush := func() {
		if last != "" && r.doubtful(parts, need) {
			found[last] = true
		}
		clear(parts)
	}
	for e, err := range r.Store.List(ctx, "seals/") {
		if err != nil {
			return fmt.Errorf("list seals: %w", err)
		}
		seal, part, ok := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if !ok || !holdfast.ValidSealID(seal) {
			continue
		}
		if seal != last {
			flush()
			last = seal
		}
		parts[part] = true
	}
	flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.init()
	// What was judged once and is done with is not judged at every listing: a
	// Seal of authorities that are asked no more, or of a key that had ended,
	// looks doubtful for good. It is judged again by the next process, which costs
	// some milliseconds for each and asks nobody: what counts may have changed
	// meanwhile (the Policy, a token that came as a file), and what has not is
	// published again as it was.
	maps.DeleteFunc(r.past, func(seal string, _ bool) bool { return !found[seal] })
	for seal := range found {
		if !r.past[seal] {
			r.todo[seal] = true
		}
	}
	return nil
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
