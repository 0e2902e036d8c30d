package preserve

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast"
)

// SignedBy says how the Seals stand that one key has signed.
type SignedBy struct {
	Seals int       // how many there are
	Open  []string  // those that are not sealed, at most 100 of them
	Void  int       // those that are contradicted
	Last  time.Time // the latest T of those that are sealed; zero if none is
}

// maxOpen bounds what [Judge.SignedBy] names.
const maxOpen = 100

// SignedBy judges every Seal of the store whose Statement a key has signed, by
// its SPKI: about a millisecond for each. It reads the store alone, so what it
// says does not depend on a catalog that may lag behind. A Seal that is only
// planned has no signature, and the node's key of then will sign it.
func (j *Judge) SignedBy(ctx context.Context, spki []byte) (s SignedBy, err error) {
	for e, err := range j.Store.List(ctx, "seals/") {
		if err != nil {
			return s, fmt.Errorf("list seals: %w", err)
		}
		seal, part, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if part != partStatement || !holdfast.ValidSealID(seal) {
			continue
		}
		raw, err := j.Store.ReadName(ctx, e.Name, maxEnvelope)
		if err != nil {
			return s, fmt.Errorf("read statement of seal %s: %w", seal, err)
		}
		env, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, maxEnvelope)
		if err != nil || env.Verify(spki) != nil {
			continue // another key's, or nobody's
		}
		o, err := j.State(ctx, seal)
		if err != nil {
			return s, err
		}
		s.add(o)
	}
	return s, nil
}

func (s *SignedBy) add(o Outcome) {
	s.Seals++
	switch {
	case o.State == StateSealed:
		if o.T.After(s.Last) {
			s.Last = o.T.Time
		}
	case strings.HasPrefix(o.Reason, ReasonContradicted):
		s.Void++
	case len(s.Open) < maxOpen:
		s.Open = append(s.Open, o.Seal)
	}
}
