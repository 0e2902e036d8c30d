package catalog

import (
	"context"
	"iter"
	"time"

	"holdfast"
	"holdfast/hashing"
)

// States of a capture and of its Seal, in the order in which they come. Only
// Sealed means that signature, log inclusion and the quorum of timestamps are
// all there; whatever is unclear is shown as less.
const (
	Pending = "pending"
	Signed  = "signed"
	Sealed  = "sealed"
)

// ReasonQueued is the reason of a pending capture that no plan names yet.
const ReasonQueued = "accepted; waits in the queue for its seal"

// ReasonUnplaced is it while the captures of some Seal are not known.
const ReasonUnplaced = "accepted; waits in the queue for its seal, or is in a seal whose plan cannot be read: that is put back from a mirror"

// Capture is what is known of one Capture or Event. Text in it that came from
// outside (Source, Agent) is as in the Manifest; who prints it makes control
// characters visible.
type Capture struct {
	ID       holdfast.ID
	Kind     string // holdfast.KindCapture or KindEvent
	Source   holdfast.Source
	Case     holdfast.ID
	Started  holdfast.Time
	Ended    holdfast.Time
	Outcome  string // complete, partial, failed
	Agent    holdfast.Agent
	Node     string
	Training bool
	Manifest hashing.Digest
	Position int64 // smallest place in the queue at which it was seen: partition<<40 | position

	State  string    // Pending, Signed, Sealed
	Reason string    // why it is not Sealed; "" if it is
	Seal   string    // Seal ID, "" while no plan names it
	T      time.Time // of the Seal, microseconds; zero unless Sealed

	Exhibit   string     // number in its home Case, "" before its first export
	Conflicts []Conflict // other Manifests under the same ID; normally none
}

// Conflict is another Manifest under a capture ID that is taken. One of the
// two is wrong, and a verifier of both says `contradicted`.
type Conflict struct {
	Manifest hashing.Digest
	Position int64
	State    string
	Seal     string
}

// Case is a named set of Captures.
type Case struct {
	ID       holdfast.ID
	Name     string        // "" until an `opened` line is known
	Opened   holdfast.Time // of that line; zero until then
	Chains   []Chain       // sorted by ID
	Captures int64         // Captures at home here, without Events
	Added    int64         // known Captures that are at home elsewhere and were added here
	Record   Record        // what is recorded of it; zero until a line says more
}

// Chain is a Case's Custody by one node.
type Chain struct {
	ID     holdfast.ID
	Node   string
	Length int64 // lines known to exist, from Events and from Manifests
}

// Exhibit is the number that a capture was given at its first export.
type Exhibit struct {
	Case     holdfast.ID
	Capture  holdfast.ID
	Number   string
	Exported holdfast.Time // of the custody line
}

// Ref says where a small Object or a Manifest lies: Size bytes from Offset of
// the pack Name. [Ref.Read] reads and checks them.
type Ref struct {
	Name   string
	Offset int64
	Size   int64
}

// Query selects captures; a zero field selects all.
type Query struct {
	Case   holdfast.ID // at home there
	Member holdfast.ID // at home there, or added to it
	State  string
	Source holdfast.Source
	Kind   string

	// Unnamed asks for Captures that no `collected` or `received` line of their
	// home Case names: a crash came between.
	Unnamed bool

	After Cursor // go on behind this one
	Limit int    // at most so many; 0: all
}

// Cursor is a place in the order of Captures, newest first.
type Cursor struct {
	Started holdfast.Time
	ID      holdfast.ID
}

// Cursor is the place of c, to go on behind it.
func (c Capture) Cursor() Cursor { return Cursor{c.Started, c.ID} }

// Writer takes facts in. Both methods are all or nothing, idempotent, and
// commute; see the package comment. They may be called concurrently, from
// several processes. What they return is visible to every reader, and durable
// after [Syncer.Sync]. They keep nothing of the slices that they get. Batches of
// about 1,000 are fastest; there is no limit.
type Writer interface {
	Accepted(ctx context.Context, batch []Accepted) error
	Sealed(ctx context.Context, batch []SealState) error
}

// Syncer makes what was written durable. The index stage calls it before it
// acknowledges messages: until then a crash of the machine (not of a process)
// may take back the newest writes, and the queue brings them again.
type Syncer interface {
	Sync(ctx context.Context) error
}

// SealState is what is known of a Seal at one time.
type SealState struct {
	Seal   string
	State  string // Pending: planned only
	Reason string // why it is not Sealed; a function of the Seal's parts and the Policy
	T      time.Time
	At     time.Time // when this was found; of two reasons the later is shown

	// Members and Placed are what [Locate] reads from the plan and the packs.
	// They may be left nil when they were stated before or will be later.
	Members []Member
	Placed  []Placed
	Partial bool // some of them could not be read: the Seal is in [Unplaced.Unplaced] until they are stated whole
}

// Member is a capture that a plan names.
type Member struct {
	ID       holdfast.ID
	Manifest hashing.Digest
	Position int64
}

// Placed is the place of one small Object or Manifest.
type Placed struct {
	Digest hashing.Digest
	Ref    Ref
}

// Captures answers about captures.
type Captures interface {
	// Captures yields captures, newest first (Started, then ID, descending).
	// It holds nothing open between two yields: none is yielded twice, and what
	// is accepted or sealed meanwhile may be seen or not. An error ends it.
	Captures(ctx context.Context, q Query) iter.Seq2[Capture, error]

	// Capture returns one, or an error wrapping [ErrNotFound].
	Capture(ctx context.Context, id holdfast.ID) (Capture, error)
}

// Cases answers about Cases.
type Cases interface {
	// Cases yields all Cases, by name, then ID.
	Cases(ctx context.Context) iter.Seq2[Case, error]

	// Case finds one by ID or else by name; errors wrap [ErrNotFound] or
	// [ErrAmbiguous].
	Case(ctx context.Context, nameOrID string) (Case, error)

	// Exhibits yields the numbers given in a Case, in their order.
	Exhibits(ctx context.Context, home holdfast.ID) iter.Seq2[Exhibit, error]
}

// Refs finds small Objects and Manifests.
type Refs interface {
	// Refs yields every known place of d, sorted by pack name: where one pack
	// is damaged, another may serve. None: the Object is large (ask the store),
	// pending (ask the queue), or unknown.
	Refs(ctx context.Context, d hashing.Digest) iter.Seq2[Ref, error]
}

// Channel is what is known under one name of one channel.
type Channel struct {
	ID          string // its number, decimal
	Name        string
	Title       string        // as last stated with that name
	First, Last holdfast.Time // when the name was first and last stated for it
}

// PostQuery selects posts of one channel.
type PostQuery struct {
	Channel string
	Post    int64 // only this one; 0: all
	After   int64 // go on behind this one

	// Unseen asks also for numbers that were asked for, never seen, and whose
	// deletion nobody told: whether there ever was such a post is not known.
	Unseen bool
}

// Heard is one answer about a channel, without what it says of each post.
type Heard struct {
	Sight
	Reach
	Posts, Gone int64 // facts of it that show a post, and that say that one is not there
}

// Posts answers about posts.
type Posts interface {
	// Channels yields the channels that an answer stated that name for, in the
	// order of First, then of their numbers. More than one: the name has moved.
	Channels(ctx context.Context, name string) iter.Seq2[Channel, error]

	// Posts yields the posts of a channel, by number, ascending; of one that was
	// never seen, and whose deletion nobody told, none. It holds nothing open
	// between two yields. An error ends it.
	Posts(ctx context.Context, q PostQuery) iter.Seq2[Post, error]

	// Answers yields the answers about a channel, in the order of their times, then
	// of their captures. It holds nothing open between two yields.
	Answers(ctx context.Context, channel string) iter.Seq2[Heard, error]

	// Below yields the posts that an answer showed below a post, or said to be gone
	// from there, by channel and number, ascending. It holds nothing open between two
	// yields.
	Below(ctx context.Context, t Thread) iter.Seq2[Thread, error]

	// Documents yields the documents of one of [DocumentRoles] in the captures of a
	// Source, in the order of their times, then of their captures and places.
	Documents(ctx context.Context, s holdfast.Source, role string) iter.Seq2[Document, error]
}

// Unplaced answers which Seals are known without what lies in them.
type Unplaced interface {
	// Unplaced returns at most limit Seals whose Members and Placed were never
	// stated whole, by ID: a plan or a pack could not be read.
	Unplaced(ctx context.Context, limit int) ([]string, error)
}

// Catalog is all of it. A consumer asks for the part that it needs.
type Catalog interface {
	Writer
	Syncer
	Captures
	Cases
	Refs
	Unplaced
	Posts
	Searcher
	Looker
}
