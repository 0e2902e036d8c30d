package pipeline

import (
	"context"
	"errors"
	"time"

	"holdfast"
)

// Errors that callers branch on.
var (
	// ErrLease: the Task was taken by somebody else meanwhile, moved, or
	// removed. Nothing of the call was done. Let go of the Task.
	ErrLease = errors.New("task lease lost")

	// ErrStale: somebody else moved the stage. Nothing of the call was done.
	// Read the position again.
	ErrStale = errors.New("stage position moved by another process")

	// ErrStopped: bytes could not be made durable earlier, so nothing more is
	// written through this handle. Open the queue again.
	ErrStopped = errors.New("queue has stopped writing")

	// ErrForeign: the file is not a queue, is a queue of another format, or is
	// damaged. The error says which, and what to do.
	ErrForeign = errors.New("not a sound queue")

	// ErrNoQueue: there is no queue where one must be, or an empty file.
	ErrNoQueue = errors.New("there is no queue")

	// ErrUnavailable: the queue's servers were not reached, or cannot make
	// anything durable now. Whether it was done is not known; doing it again is
	// right. The embedded queue never says so.
	ErrUnavailable = errors.New("queue is not available now")

	// ErrMessage: a message is not of the form that [Captured.Encode] writes,
	// or is larger than [MaxMessage].
	ErrMessage = errors.New("malformed message")

	// ErrItems: captures of a plan are neither in the queue nor in the store.
	ErrItems = errors.New("captures of the plan are missing")
)

// Message is one element of a partition. Positions begin at 1 and have no gaps.
type Message struct {
	Partition int         // set by the queue
	Position  int64       // set by the queue
	ID        holdfast.ID // capture ID; of a result "" (results have no ID)

	// Key says what stays in order: messages of one Key go to one partition. It
	// is a Source, or of an Event its chain; "" is the ID. A result has none.
	// Set by who publishes; a queue need not give it back.
	Key string

	Body []byte // captured: see [Captured.Encode]; results: see [Outcome.Encode]

	// Note is what normalise added: nil before, and nil after if the draft in
	// Body was the Manifest already; else the same form as Body, with the whole
	// Manifest and the derived small Objects only.
	Note []byte

	// Damaged says that the queue no longer has the bytes that it was given.
	// Body is what is left. Such a message becomes poison: seen, never sealed.
	Damaged bool
}

// Stage is a consumer with a position of its own in each partition.
type Stage string

// The stages, what each reads, and what [Consumer.Advance] writes for it.
const (
	StageNormalise Stage = "normalise" // reads captured, writes normalised
	StagePreserve  Stage = "preserve"  // reads normalised, writes results
	StageIndex     Stage = "index"     // reads normalised, writes nothing
	StageResults   Stage = "results"   // reads results, writes nothing

	// StageAlerts reads normalised and writes nothing. It is there only between
	// [Starter.Start] and Finish: then it is named to Prune, else nobody waits for it.
	StageAlerts Stage = "alerts"
)

// Starter begins and ends the stage that is not always there.
type Starter interface {
	// Start begins s at the last position there is, so behind all that was accepted;
	// of a stage that is there it changes nothing. Finish ends it. Durable on return.
	Start(ctx context.Context, s Stage) error
	Finish(ctx context.Context, s Stage) error

	// Started reports whether s is there.
	Started(ctx context.Context, s Stage) (bool, error)
}

// Bounds ends a Receive. At least one message is returned even if it alone is
// larger than Bytes.
type Bounds struct {
	Count  int  // messages at most; 0 means 1,024
	Bytes  int  // of Body and Note at most; 0 means 16 MiB
	NoWait bool // return at once, with nothing if there is nothing
}

// Publisher takes captures in.
type Publisher interface {
	// Publish makes the messages durable in "captured", in their order in each
	// partition, and then moves the Task (move may be nil, and messages may be
	// none). It returns the Place of each
	// in "captured". A call whose answer was lost is simply made again: a queue
	// that remembers IDs keeps the first position and the first bytes of each;
	// another takes the ID in twice, and the second one is dropped behind it (see
	// the package's "Acceptance").
	//
	// Errors: ErrLease (nothing was done), ErrMessage, ErrStopped, ErrUnavailable.
	// ErrLease of a queue whose Tasks lie elsewhere may come when the messages are
	// durable: they are then captures of a Task that somebody else holds. After
	// ErrUnavailable and after an error of ctx it is not known whether it was done;
	// doing it again is right.
	// The queue may keep the messages: do not change their bytes any more.
	// Safe for concurrent use: concurrent calls share one wait for the disk.
	Publish(ctx context.Context, move *Move, messages ...Message) ([]Place, error)
}

// Consumer is the queue as a stage sees it. One process at a time owns a stage
// of a partition (see [Sharer]); who does not know that he lost it learns it from
// ErrStale. Positions are those of the messages that the stage reads: where
// normalised messages lie apart, they have positions of their own.
// Safe for concurrent use.
type Consumer interface {
	// Position returns the last position that the stage has done; 0 is none.
	Position(ctx context.Context, s Stage, partition int) (int64, error)

	// Receive returns the messages that follow position after, in order and
	// without a gap. It blocks until there is one or ctx ends (then its error
	// is ctx's). It does not move the stage, so a stage may read ahead. ErrStale
	// if another process has moved the stage past after, and has pruned what
	// followed it.
	Receive(ctx context.Context, s Stage, partition int, after int64, b Bounds) ([]Message, error)

	// Advance makes durable what the stage made of the messages up to a.To, and
	// then moves the stage. For normalise, out holds Position and Note of those
	// messages that got a Note (a position that has one keeps it: the first
	// wins); for preserve, out holds results. ErrStale if the stage is not at
	// a.From, or is somebody else's; then the stage has not moved. What was
	// written for it may be there twice in a queue that does not do both in one
	// step, and is dropped behind it.
	Advance(ctx context.Context, a Ack, out ...Message) error
}

// Ack moves a stage from one position to another.
type Ack struct {
	Stage     Stage
	Partition int
	From, To  int64
	Poison    []int64 // positions whose payload is kept for inspection, whatever happens
}

// Sharer gives the partitions of a stage to the processes that ask for them, each
// to one at a time.
type Sharer interface {
	// Share calls run for each partition that this process is given, at once, with
	// a ctx that ends when it is taken away; run must then return soon, and what
	// it returns then does not count. Share returns when ctx ends (with its cause),
	// with nil if a run did, or with an error of run where it ends with one for every
	// partition that this process has; after ErrStale or ErrUnavailable, and while
	// other partitions go on, run is called again. Nobody else gets a partition before run has returned, unless this process shows no
	// sign of life; what it does then is ErrStale.
	//
	// The embedded queue gives partition 0 to everybody who asks: there, files
	// are locked by who calls it.
	Share(ctx context.Context, s Stage, run func(ctx context.Context, partition int) error) error
}

// Announcer takes results that belong to no position: what the reconciler
// sealed later. Durable on return.
type Announcer interface {
	Announce(ctx context.Context, results ...Message) error
}

// Identity names the queue in Seal IDs.
type Identity struct {
	Queue      string   // 16 lowercase hex digits, random
	Former     []string // names it had before, newest first
	Partitions int      // 1 in the embedded queue
}

// Identifier knows the queue's name.
type Identifier interface {
	Identity(ctx context.Context) (Identity, error)

	// End returns the last position that there is in a partition of what the
	// stage reads, or, where that is made of the same messages, will read once
	// they are normalised; 0 is none.
	End(ctx context.Context, s Stage, partition int) (int64, error)

	// Redraw draws a new name if the queue is still called old. It is called
	// when the store has a plan past the queue's end: then this queue is an
	// older copy of the one that was planned, and its next positions would be
	// taken for other captures. Positions go on; the old name becomes Former.
	Redraw(ctx context.Context, old string) (Identity, error)
}

// Pruner frees the payload of what is preserved and indexed.
type Pruner interface {
	// Prune forgets payloads that every one of the stages has done, except
	// poison, at most max (0: all), and returns how many. IDs stay known.
	Prune(ctx context.Context, max int, stages ...Stage) (int, error)
}

// TaskAdder takes wishes in.
type TaskAdder interface {
	// AddTasks makes Tasks durable. A Task whose ID is there already is left as
	// it is. An empty ID is drawn.
	AddTasks(ctx context.Context, tasks ...Task) ([]holdfast.ID, error)
}

// TaskTaker gives Tasks out under a lease.
type TaskTaker interface {
	// Take returns Tasks that are due and not under a lease, those due longest
	// first, each under a new lease; none if there are none. A Task whose lease
	// ran out is given out again; if its last sign of life is more than
	// [StaleTask] ago it gets a new ID first, because the memory of published
	// IDs may no longer reach back to it. So does one whose last sign of life
	// lies that far in the future: the clock was set back, and its lease, which
	// says nothing any more, holds it no longer. One that the queue cannot give
	// back whole holds up no other.
	Take(ctx context.Context, w Want) ([]Task, error)

	// Renew is a sign of life: it extends the lease to d from now. ErrLease if
	// it is no longer the taker's.
	Renew(ctx context.Context, t Task, d time.Duration) error
}

// TaskLister shows the Tasks, for people and for a backup.
type TaskLister interface {
	// Tasks returns at most limit Tasks after the given ID ("" is the start),
	// sorted by ID, Damaged ones too.
	Tasks(ctx context.Context, after holdfast.ID, limit int) ([]Task, error)
}
