package pipeline

import (
	"context"

	"holdfast"
	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
)

// Limits of one message and one batch.
const (
	MaxInline  = collectors.MaxInline // bytes of small Objects in a captured message
	MaxMessage = holdfast.MaxDocument + 2*MaxInline
	MaxBatch   = holdfast.MaxSubjects // captures in a batch
	MaxBytes   = 16 << 20             // bytes of messages in a batch, unless one alone is larger
)

// Small is a small Object that rides in messages and goes into a pack.
type Small struct {
	Digest hashing.Digest
	Bytes  []byte
}

// Item is one capture of a batch.
type Item struct {
	Partition int
	Position  int64
	ID, Case  holdfast.ID
	Manifest  []byte // canonical; never rebuilt from here on
	Small     []Small
}

// Place returns where the capture lies among the normalised messages.
func (it Item) Place() Place { return At(it.Partition, it.Position) }

// Batch is a contiguous run of one partition of normalised messages. Every
// position from First to Last is in Items or in Skipped, both in order.
type Batch struct {
	Queue       string
	Partition   int
	First, Last int64
	Items       []Item
	Skipped     []holdfast.Skipped
	Poisoned    []Poisoned // those of Skipped that cannot be sealed
}

// Poisoned is a message that was accepted and cannot be sealed.
type Poisoned struct {
	Place Place       // among the normalised messages
	ID    holdfast.ID // as the queue tells it; zeros where that is gone
	Case  holdfast.ID // "" where the message does not say it, or may say it wrong
	Err   error       // why
}

// poisoned says what can be said of a message that is no Item.
func poisoned(m Message, it Item, err error) Poisoned {
	return Poisoned{Place: At(m.Partition, m.Position), ID: m.ID, Case: it.Case, Err: err}
}

// Seal returns the Seal ID of the batch.
func (b Batch) Seal() string { return holdfast.SealID(b.Queue, b.Partition, b.First) }

// Planner fixes batches. The calls for one partition come one after the other.
type Planner interface {
	// Find returns the plan of the batch that begins at first, or nil.
	Find(ctx context.Context, queue string, partition int, first int64) (*holdfast.Plan, error)

	// Plan creates the plan of the batch if there is none, before any other
	// write, and returns the one that stands. It is durable on return. The plan
	// that stands may be another one, of another length. A batch without Items
	// (all skipped) gets a plan too.
	Plan(ctx context.Context, b Batch) (*holdfast.Plan, error)

	// Newest returns the plans of a partition, newest first, until count of
	// them and all of the last hour are there. near is a position near to that of the
	// newest: it saves a look at all, and changes no answer.
	Newest(ctx context.Context, queue string, partition int, near int64, count int) ([]*holdfast.Plan, error)

	// Unfinished returns the plans of a partition that have captures and no proof
	// of inclusion, oldest first.
	Unfinished(ctx context.Context, queue string, partition int) ([]*holdfast.Plan, error)
}

// Carrier carries plans out. Carry is called for several batches at once.
type Carrier interface {
	// Carry makes packs, statement, log entry, inclusion and tokens of a plan.
	// It is repeated after a crash, and finds what is there. b holds the plan's
	// positions. When it returns nil, everything up to the inclusion proof is
	// durable: the queue is acknowledged. Outcome is the zero value for a plan
	// without captures. An error that wraps ErrItems says that b lacks captures of the
	// plan which the store does not have either.
	Carry(ctx context.Context, p *holdfast.Plan, b Batch) (Outcome, error)
}

// States of a capture.
const (
	StatePending = "pending" // accepted
	StateSigned  = "signed"  // signature and log are there, the quorum is not
	StateSealed  = "sealed"  // all is there
)

// Outcome is what became of a batch: the content of a result message.
type Outcome struct {
	Captures []holdfast.ID  `json:"captures"`
	Reason   string         `json:"reason"` // why it is not sealed; "" if it is
	Seal     string         `json:"seal"`
	State    string         `json:"state"` // StateSigned or StateSealed
	T        *holdfast.Time `json:"t,omitempty"`
}

// Encode returns the canonical bytes.
func (o Outcome) Encode() ([]byte, error) {
	if o.Captures == nil {
		o.Captures = []holdfast.ID{}
	}
	return canon.Append(nil, &o)
}

// ParseOutcome reads a result; errors wrap [ErrMessage].
func ParseOutcome(b []byte) (Outcome, error) {
	var o Outcome
	if len(b) > 1<<20 {
		return o, messageError("result of %d bytes", len(b))
	}
	if err := canon.Unmarshal(b, &o); err != nil {
		return o, messageError("result: %w", err)
	}
	if !holdfast.ValidSealID(o.Seal) || o.State != StateSigned && o.State != StateSealed || len(o.Captures) > MaxBatch || (o.State == StateSealed) != (o.T != nil) {
		return o, messageError("result of seal %.80q: id, state, time or number", o.Seal)
	}
	return o, nil
}

// Indexer is told what is known; a catalog is one. Both calls may be repeated,
// and must then change nothing. Durable on return.
type Indexer interface {
	// Accepted tells of captures that wait for their Seal, in order.
	Accepted(ctx context.Context, items []Item) error
	// Sealed tells of Seals, in order: signed first, sealed perhaps later.
	Sealed(ctx context.Context, results []Outcome) error
}

// Normaliser derives Objects (a Page, a Post) from what was acquired of one
// kind of Source. It must give the same answer for the same capture. An error
// or a panic never drops the capture: it is sealed without what would have
// been derived, and says so.
type Normaliser interface {
	Normalise(ctx context.Context, c *Captured) (*Derived, error)
}

// Derived is what a Normaliser adds.
type Derived struct {
	Objects         []DerivedObject
	Transformations []holdfast.Transformation // one for each Object at least
}

// DerivedObject is a small Object; all of them together have at most
// [MaxInline] bytes.
type DerivedObject struct {
	Name, Role, Type string
	Restricted       bool
	Bytes            []byte
}

// Accepter says whether more may be accepted; a store with too little space
// left says no, with an error that says what to do.
type Accepter interface {
	Accept(ctx context.Context) error
}
