package catalog

import (
	"context"
	"time"

	"holdfast/storage"
)

// Store is what Fold reads.
type Store interface {
	storage.Lister
	storage.Reader
	storage.Opener
}

// Judge decides a Seal's state from the parts that are in the store, under the
// node's Policy. cmd implements it with preserve and the root package.
//
// It answers Signed only if the statement's signature is good, its subjects are
// the plan's Manifests, and an inclusion part leads to a signed checkpoint; and
// Sealed only if the quorum of timestamps is there too. An error means that it
// could not look; the Seal is then kept as Pending, with the error as reason.
type Judge interface {
	State(ctx context.Context, seal string) (Judgement, error)
}

// Judgement is a Judge's answer; see [SealState] for the fields.
type Judgement struct {
	State  string
	Reason string
	T      time.Time
}

// Problem is something of the store that Fold could not take in, and went past.
type Problem struct {
	Name string // of the file, or of the Seal's folder
	Err  error
}

// Options of a Fold. The zero value is good.
type Options struct {
	// Problem gets each Problem as it is met. Optional; they are counted anyway.
	Problem func(Problem)

	// Now is the clock, for SealState.At. Optional.
	Now func() time.Time
}

// Folded counts what Fold met.
type Folded struct {
	Seals, Captures, Events, Problems int64
}
