package catalog

import (
	"fmt"
	"time"

	"holdfast"
)

// Rank orders the states; -1 is no state.
func Rank(state string) int {
	switch state {
	case Pending:
		return 0
	case Signed:
		return 1
	case Sealed:
		return 2
	}
	return -1
}

// Check returns an error if st is not something to keep: no Seal ID, no state,
// or Sealed without a time.
func (st SealState) Check() error {
	if !holdfast.ValidSealID(st.Seal) || Rank(st.State) < 0 || st.State == Sealed && st.T.IsZero() {
		return fmt.Errorf("check seal state: seal %.80q, state %.20q, time %s: %w", st.Seal, st.State, st.T, holdfast.ErrForm)
	}
	return nil
}

// Merge joins two statements about one Seal into what a catalog keeps; Members
// and Placed are not looked at. It is commutative, associative and idempotent,
// which is what makes a catalog independent of the order of facts.
//
// The further state wins: parts are write-once, so what was once sealed is.
// Of two that are Sealed the earlier T wins, since a token that came later can
// only lower the q-th smallest time; of two that are not, the later look.
func Merge(a, b SealState) SealState {
	a, b = kept(a), kept(b)
	if b.beats(a) {
		return b
	}
	return a
}

func (st SealState) beats(o SealState) bool {
	if st.State != o.State {
		return Rank(st.State) > Rank(o.State)
	}
	if st.State == Sealed {
		return st.T.Before(o.T)
	}
	if !st.At.Equal(o.At) {
		return st.At.After(o.At)
	}
	return st.Reason > o.Reason
}

// kept leaves of a statement what counts for its state: a Sealed one has a T and
// needs no reason, the others conversely.
func kept(st SealState) SealState {
	st.Members, st.Placed = nil, nil
	st.T, st.At = st.T.UTC().Truncate(time.Microsecond), st.At.UTC().Truncate(time.Microsecond)
	if st.State == Sealed {
		st.Reason, st.At = "", time.Time{}
	} else {
		st.T = time.Time{}
	}
	return st
}
