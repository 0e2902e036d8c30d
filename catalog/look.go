package catalog

import (
	"context"
	"iter"
	"time"

	"holdfast"
)

// MaxOlder ends [Looker.Looks]: so many posts in a row that are older than what was
// asked for. Numbers grow with time, but for a few posts that were moved.
const MaxOlder = 64

// Look is when a post was posted, and when its service was last heard of it.
type Look struct {
	ID     int64
	Posted holdfast.Time // the earliest that was stated
	At     holdfast.Time // of the newest answer that says something of it
	Kind   FactKind      // what that answer says; of several in one millisecond the last of their order
}

// Looker answers when posts were looked at. Pages of the web do not count: they
// are another door, which shows less.
type Looker interface {
	// Looks yields the posts of a channel that its service has shown at least once,
	// highest number first, those posted at since or later. It ends behind
	// [MaxOlder] posts in a row that are older. It holds nothing open between two
	// yields. An error ends it.
	Looks(ctx context.Context, channel string, since holdfast.Time) iter.Seq2[Look, error]

	// PageLooks yields the same of what the public pages of a channel have shown.
	PageLooks(ctx context.Context, channel string, since holdfast.Time) iter.Seq2[Look, error]
}

// Schedule are the ages of a post at which it is looked at again, ascending.
type Schedule []time.Duration

// Next is when a post is to be looked at next; false if not again. It follows from
// what is known of the post alone, so nothing is to be remembered: of points that
// were missed the first counts, and the look at it does for all.
func (s Schedule) Next(l Look) (time.Time, bool) {
	if l.Kind == Told { // the service has said what became of it
		return time.Time{}, false
	}
	for _, age := range s {
		if at := l.Posted.Add(age); at.After(l.At.Time) {
			return at, true
		}
	}
	return time.Time{}, false
}
