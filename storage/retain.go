package storage

import (
	"context"
	"errors"
	"time"

	"holdfast/hashing"
)

// ErrLocked: the bytes cannot be taken away yet, by nobody: their retention has
// not ended, or a legal hold lies on them. The error says which, and until when.
var ErrLocked = errors.New("kept under lock")

// Key is one thing of a store: a write-once name or, where Name is empty, the
// Object of Digest.
type Key struct {
	Name   string
	Digest hashing.Digest
}

// String returns the name or the Digest.
func (k Key) String() string {
	if k.Name != "" {
		return k.Name
	}
	return k.Digest.String()
}

// Retention is what keeps the bytes of a Key from everybody, the office's own
// administrators among them.
type Retention struct {
	Until time.Time // before it nobody can remove the bytes; zero: nothing keeps them
	Hold  bool      // a legal hold: nobody can remove them while it is on, even after Until
}

// Retainer is a store whose keeper itself refuses to let bytes go, as S3 with
// object lock does. storage/file is none: whoever may write its directory may
// remove what lies there. Every method may be called concurrently. A missing Key
// wraps fs.ErrNotExist; one that somebody has removed or covered behind the
// store's back (a delete marker, a second version) wraps ErrForeign.
type Retainer interface {
	// Retention says what keeps k now.
	Retention(ctx context.Context, k Key) (Retention, error)

	// Extend keeps k until at least the time until. It never shortens: an
	// earlier time than the one in force changes nothing and is no error.
	Extend(ctx context.Context, k Key, until time.Time) error

	// SetHold puts the legal hold on k, or takes it off. What is so already is
	// no error.
	SetHold(ctx context.Context, k Key, on bool) error
}
