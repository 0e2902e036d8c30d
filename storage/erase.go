package storage

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Eraser takes bytes out of a store for good. It is no part of [Store]: only a
// lawful erasure asks for it, after a sealed Event says who ordered it and a
// [Tombstone] lies in the store.
type Eraser interface {
	// Erase removes an Object, or a write-once name, which can be created again then.
	// On nil the bytes are gone from every version that the store keeps, and stay gone
	// through a crash; what is not there is no error, so an erasure that was cut short
	// is done again. A store that keeps them yet says [*LockedError], one that finds
	// what no store has put there ErrForeign; either leaves all as it is.
	Erase(ctx context.Context, k Key) error
}

// LockedError says what keeps bytes from being erased. It wraps [ErrLocked].
type LockedError struct {
	Key Key
	Retention
}

func (e *LockedError) Error() string {
	switch {
	case e.Hold:
		return fmt.Sprintf("erase %s: a legal hold keeps it: %v", e.Key, ErrLocked)
	case e.Until.IsZero():
		return fmt.Sprintf("erase %s: %v", e.Key, ErrLocked)
	}
	return fmt.Sprintf("erase %s: %v until %s", e.Key, ErrLocked, e.Until.UTC().Format(time.RFC3339))
}

// Unwrap makes it an [ErrLocked].
func (e *LockedError) Unwrap() error { return ErrLocked }

// Inspector is a store that knows more of its own state than bytes: versions,
// delete markers, locks.
type Inspector interface {
	// Faults yields what is not as this store has left it. It reads no bytes. An
	// error is the last thing yielded.
	Faults(ctx context.Context) iter.Seq2[Fault, error]
}

// Fault is one such thing.
type Fault struct {
	Name   string // as in the store
	Kind   string // FaultRetention, FaultDeleted, FaultForeign or FaultBucket
	Detail string
}

// Kinds of a Fault.
const (
	FaultRetention = "shortened-retention" // its lock ends sooner than it should, or there is none
	FaultDeleted   = "delete-marker"       // somebody has hidden it
	FaultForeign   = "foreign-version"     // somebody has written a version that no store writes
	FaultBucket    = "bucket"              // the place itself hides, removes or lets replace: Name is its marker
)
