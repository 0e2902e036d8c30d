package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"holdfast"
)

// StaleTask is how long after its last sign of life a Task keeps its ID. It is
// less than the hour of plans that preserve remembers (see [Preserve]).
const StaleTask = 30 * time.Minute

// MaxOptions and MaxCursor bound what a Task carries, in bytes.
const (
	MaxOptions = 64 << 10
	MaxCursor  = 64 << 10
)

// Task is a durable wish to capture a Source. It goes round: taken, captured,
// and either done or due again with another step or attempt.
type Task struct {
	ID      holdfast.ID // random; with Step and Attempt it makes the capture ID
	Source  holdfast.Source
	Case    holdfast.ID     // home Case
	Agent   holdfast.Agent  // who asked
	Found   holdfast.Found  // how it was found and why it is wanted
	Options json.RawMessage // for the Collector; an object, or nil
	Due     time.Time       // zero is now; whole milliseconds
	Step    uint64          // 0, an offset, a due time: which part of the Source; at most 1<<63-1
	Attempt uint32          // this step's accepted failures so far
	Cursor  []byte          // where the Collector goes on

	Outside Outside  // set by who accepts; no queue keeps it
	Version *Version // likewise; nil: it is no visit of a page that is watched

	Lease Lease // set by Take

	// Damaged says that the queue no longer has what it was given: only ID, Due
	// and Lease are right. It is listed, and can be dropped, never captured.
	Damaged bool
}

// Outside says what of its Case's scope a capture does not keep to, and why it
// was made all the same. It becomes a part of the Manifest, `x`.
type Outside struct {
	Rules  []string // "<rule>: …", such as "source: …"
	Reason string   // what a person gave; "" where nobody was asked
}

// Lease is the right to move a Task.
type Lease struct {
	Token int64 // 0: none
	Until time.Time
}

// Capture returns the ID of what this step of the Task captures.
func (t Task) Capture() holdfast.ID { return holdfast.CaptureID(t.ID, t.Step, t.Attempt) }

// Check refuses a Task that a queue does not take.
func (t Task) Check() error {
	if _, err := holdfast.ParseID(string(t.ID)); err != nil {
		return fmt.Errorf("check task: %w", err)
	}
	if _, err := holdfast.ParseID(string(t.Case)); err != nil {
		return fmt.Errorf("check case of task: %w", err)
	}
	if _, err := holdfast.ParseSource(string(t.Source)); err != nil {
		return fmt.Errorf("check task: %w", err)
	}
	if len(t.Options) > MaxOptions || len(t.Cursor) > MaxCursor || t.Step > 1<<63-1 {
		return fmt.Errorf("check task %s: options over %d bytes, cursor over %d, or step out of range", t.ID, MaxOptions, MaxCursor)
	}
	if t.Options != nil && !json.Valid(t.Options) {
		return fmt.Errorf("check task %s: options are not JSON", t.ID)
	}
	return nil
}

// Want says which Tasks to take.
type Want struct {
	Schemes []string      // of the Source, e.g. "https"; none means any
	IDs     []holdfast.ID // only these, also a Damaged one; none means any sound one
	Early   bool          // also those whose time has not come
	Max     int           // 0 means 1
	Lease   time.Duration // 0 means 5 minutes
}

// Move is what becomes of a taken Task.
type Move struct {
	Task  holdfast.ID
	Token int64 // Lease.Token

	Done    bool // remove it; the rest is ignored
	Due     time.Time
	Step    uint64
	Attempt uint32
	Cursor  []byte
}

// Finish says that nothing more is wanted.
func (t Task) Finish() *Move { return &Move{Task: t.ID, Token: t.Lease.Token, Done: true} }

// Again says that the same step failed, which is a find, and is tried again.
func (t Task) Again(due time.Time) *Move {
	return &Move{Task: t.ID, Token: t.Lease.Token, Due: due, Step: t.Step, Attempt: t.Attempt + 1, Cursor: t.Cursor}
}

// Later says that nothing came of it yet, and nothing failed: the same step is
// asked for again.
func (t Task) Later(due time.Time) *Move {
	return &Move{Task: t.ID, Token: t.Lease.Token, Due: due, Step: t.Step, Attempt: t.Attempt, Cursor: t.Cursor}
}

// Further is the ID of the i-th Task that this step asks for: asked for again, it
// is the same one.
func (t Task) Further(i int) holdfast.ID {
	b, _ := hex.DecodeString(string(t.ID))
	b = binary.BigEndian.AppendUint64(b, t.Step)
	h := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(i)))
	return holdfast.ID(hex.EncodeToString(h[:16]))
}

// Next says that another step follows.
func (t Task) Next(due time.Time, step uint64, cursor []byte) *Move {
	return &Move{Task: t.ID, Token: t.Lease.Token, Due: due, Step: step, Cursor: cursor}
}
