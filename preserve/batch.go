package preserve

import (
	"errors"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// States of a Seal, and so of the captures in it.
const (
	StatePending = "pending" // no signature, or not in the log yet
	StateSigned  = "signed"  // signed and logged, too few timestamps
	StateSealed  = "sealed"  // signature, inclusion and quorum are there
)

// Errors that callers branch on.
var (
	// ErrPlan: items or parts contradict the plan that was found. Nothing was
	// written. It never goes away by trying again.
	ErrPlan = errors.New("contradicts the plan")

	// ErrItems: the plan has captures that were not given and whose packs are
	// not written yet. Give [Sealer.Carry] all positions from plan.First to
	// plan.Last.
	ErrItems = errors.New("captures of the plan are missing")
)

// Batch is a contiguous run of one partition: every position from First to Last
// stands in Items or in Skipped, both in order of position. At most
// [holdfast.MaxSubjects] items.
type Batch struct {
	Queue     string
	Partition int
	First     int64
	Last      int64
	Items     []Item
	Skipped   []holdfast.Skipped
}

// Item is one capture as the queue holds it: its finished Manifest and its
// small Objects. Larger Objects are in the store already.
type Item struct {
	Position int64
	ID       holdfast.ID
	Case     holdfast.ID // home Case, as in the Manifest
	Manifest []byte      // exact canonical bytes
	Small    []Small
}

// Small is an Object that rode inline.
type Small struct {
	Digest hashing.Digest
	Bytes  []byte
}

// Outcome says how far a Seal has come. Its JSON is the message that goes to
// the queue and to the catalog. The zero Outcome is that of a plan without
// captures: nothing is sealed, and nothing has to be.
type Outcome struct {
	Captures []holdfast.ID `json:"captures"` // in order of position
	Reason   string        `json:"reason"`   // why it is not sealed; "" when it is
	Seal     string        `json:"seal"`
	State    string        `json:"state"`
	T        holdfast.Time `json:"t,omitzero"` // when sealed: not later than

	operators []string // whose tokens count
	twins     bool     // two had it stamped: see twins
}

// void reports whether a Seal is disproved: no token helps it.
func (o *Outcome) void() bool { return strings.HasPrefix(o.Reason, ReasonContradicted) }

// Store is what sealing needs of a store.
type Store interface {
	storage.Creator
	storage.Reader
	storage.Lister
	storage.AfterLister
}

// PartReader is what judging needs of a store.
type PartReader interface {
	storage.Reader
	storage.Lister
}

// PlanReader is what a look for the newest plans needs of a store.
type PlanReader interface {
	storage.Reader
	storage.AfterLister
}
