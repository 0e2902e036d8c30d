// Package collectors says what it is to acquire a Source once.
//
// A Collector is given a Request and a Keeper and returns an Acquired: the
// Objects it got, and what must be known about how it got them. Large Objects
// go to the Keeper while they are made; small ones ride inline. The rooms
// below this one (collectors/web, …) implement Collector; package
// collectorstest says what all of them must hold to.
//
// # Failure is a find
//
// A host that does not answer, a certificate that does not verify, a login
// wall, a budget that ran out: each is an Acquired with [Failed] or [Partial],
// the reasons, and whatever was recorded on the way. Collect returns an error
// only if nothing could be tried or nothing could be kept; then no Object of
// this act may be named anywhere.
package collectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/hashing"
)

// MaxInline is the number of bytes that the Objects of one Acquired may carry
// inline in all: more would not fit beside the Manifest in one message.
const MaxInline = 256 << 10

// ErrRefused is wrapped by the error for a Source that is never tried: no
// URL, a scheme the Collector does not speak, an option it does not know.
// Trying again gives the same answer.
var ErrRefused = errors.New("source refused")

// Keeper keeps bytes before anything names them; storage.Store is one. Put
// returns when the bytes are durable. It is safe for concurrent use.
type Keeper interface {
	Put(ctx context.Context, r io.Reader) (hashing.Digest, int64, error)
}

// Collector acquires one kind of Source. It is safe for concurrent use.
//
// Collect ends when ctx ends or a Budget is used up, whichever is first; after
// the Budget it returns what there is, after ctx it returns an error that
// wraps ctx's cause. Errors: [ErrRefused]; [ErrSession]; [Later]; an error of keep (a full
// disk); a Collector's own sentinel when its tool is not there. Bytes that keep
// took before an error are unnamed and harmless.
type Collector interface {
	Collect(ctx context.Context, req Request, keep Keeper) (*Acquired, error)
}

// Request is what a Collector is asked for. The zero value of every option is
// the careful one.
type Request struct {
	Source       string       // as the Task names it, e.g. "https://host/page"
	AllowPrivate bool         // permit loopback, link-local and private addresses
	Via          *Via         // nil is the direct line
	Session      *Session     // nil: nobody is logged in
	NeverKeep    []*KnownList // what is on one of them is not kept, nor what was made of it
	Budget       Budget

	// Cursor is where this Collector said, in Acquired.Next, that it goes on; nil
	// at the beginning. It comes from the node's own queue.
	Cursor []byte
	// Options is an object of this Collector's own options, or nil. What it does
	// not know it refuses ([ErrRefused]).
	Options json.RawMessage
	// Taken says which Capture of the same Case has a part of a Source already, by
	// the Source and the Collector's own key for the part; "" is none that is known.
	// nil: nothing is known.
	Taken func(ctx context.Context, source, key string) (capture string, err error)
	// Tried says how often such a part was captured in vain, or not whole, and which
	// Capture was the last. nil: nothing is known.
	Tried func(ctx context.Context, source, key string) (Tries, error)
}

// Tries are the Captures of a part that did not bring it whole.
type Tries struct {
	Count   int
	Last    time.Time
	Capture string // the last
}

// ReadOptions reads Options into what a Collector knows; a pointer to an empty
// struct is a Collector without any. Errors: [ErrRefused].
func (r Request) ReadOptions(into any) error {
	if len(r.Options) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(r.Options))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read options of %.200q: %w: %w", r.Source, ErrRefused, err)
	}
	return nil
}

// Budget bounds one act of acquisition. A zero field means the Collector's
// default; the defaults stand in the Collector's documentation.
type Budget struct {
	Time     time.Duration
	Bytes    int64 // received from the network in all
	Requests int   // sent to the network in all
}

// Outcome is the short answer to "did it work?".
type Outcome string

// The outcomes. Whatever is not Complete has at least one reason.
const (
	Complete Outcome = "complete" // all that was asked for came
	Partial  Outcome = "partial"  // the Source came, something of it is missing
	Failed   Outcome = "failed"   // the Source did not come; the attempt is the find
)

// Acquired is the result of one act of acquisition. Text in it that came from
// outside is not clean: it may hold any character, but it is valid UTF-8
// (invalid bytes were replaced; the exact bytes are in the Objects).
type Acquired struct {
	Started, Ended  time.Time // the node's own clock
	Outcome         Outcome
	Reasons         []Reason // why it is not Complete, and what else a reader must know
	Address         Address
	Objects         []Object
	Collection      Collection
	Transformations []Transformation
	Completeness    Completeness
	Commitments     []Commitment // to what would endanger somebody; sorted by Name

	// Again is when the Source's own machine said, in place of it, that it may be asked
	// again; zero: it did not say so. At most MaxAgain ahead, by the node's own clock.
	Again time.Time

	Next    *Next     // nil: the Source is done
	Further []Further // what is to be captured because of what was found

	// Accepted is to be called once this is durable, and frees what was held until
	// then; nil: nothing is. A crash before leaves it: then it is acquired from that.
	Accepted func()
}

// MaxAgain is for how long anybody can ask to be left alone.
const MaxAgain = 24 * time.Hour

// MaxCursor bounds Next.Cursor, in bytes.
const MaxCursor = 32 << 10

// Next says that more of the Source is to be acquired, as a Capture of its own:
// Collect is called with Cursor again, when this Acquired is durable and not
// before. What is asked with one Cursor is the same thing each time, so that an
// ask repeated after a crash is one Capture.
type Next struct {
	Due    time.Time // not before; zero is at once
	Step   uint64    // which part; another one for each Capture of a Task
	Cursor []byte    // at most MaxCursor
}

// Further is one more Source, with the options for its Collector, or nil. Key
// names it among those of its Acquired, however many there are, and in whatever order,
// when the same thing is asked again; "" is its Source.
type Further struct {
	Source  string
	Options json.RawMessage
	Key     string
}

// Later is the error of a Collect that could acquire nothing now and was told
// when it may ask again. Nothing is lost and nothing is a find: the same Cursor
// is right.
type Later struct {
	At  time.Time
	Why string // for people, one sentence

	// Progress says that something came, and is held for the next call: whoever
	// waits for the Source asks again by himself.
	Progress bool

	// Idle says that all is well and there is nothing new of this Source: the time is
	// its own, and others may be asked for before it.
	Idle bool

	// Heard is when the other side answered that there is nothing new; zero where it
	// did not say so.
	Heard time.Time
}

// Error implements error.
func (l *Later) Error() string {
	return fmt.Sprintf("%s; it may be asked again at %s", l.Why, l.At.UTC().Format(time.RFC3339))
}

// Commitment hides a value that a restricted Object of role "disclosure" shows:
// Digest is that of the Object's bytes, which hold a random salt.
type Commitment struct {
	Name   string
	Digest hashing.Digest
}

// Reason is one thing that went otherwise than asked. Code is a short constant
// such as "dns-failed", "tls-unverified", "time-budget"; Detail is for people.
type Reason struct{ Code, Detail string }

// Object is one bitstream that was acquired or derived. Exactly one of these
// holds: Inline has the bytes (Size may be 0), or Kept says the Keeper has them.
type Object struct {
	Name        string // unique in the Acquired: [a-z0-9][a-z0-9._-]*, at most 100 bytes, e.g. "page.wacz"
	Role        string // what it is for, e.g. "archive", "screenshot"; see the Collector
	MediaType   string // without parameters unless they matter
	Size        int64
	Digest      hashing.Digest
	Inline      []byte
	Kept        bool
	Restricted  bool // not exported unless asked for: cookies, sessions, persons
	Slices      []Slice
	SliceSecret []byte // 32 random bytes when there are Slices; a restricted Object later
}

// Slice is a byte range of an Object that can be shown alone. Slices are
// sorted by Offset, disjoint and inside the Object; Names are unique in it.
type Slice struct {
	Name           string
	Offset, Length int64
}

// Address is where the Source was found (Berkeley Protocol para. 155 a).
type Address struct {
	Asked     string // as asked for
	Final     string // where it ended; "" if nothing answered
	Redirects []Hop  // in order, without the final one; at most 50
}

// Hop is one answer that sent the Collector elsewhere.
type Hop struct {
	URL    string
	Status int // HTTP status; 0 if the page's own script or meta element did it
}

// Collection is how it was collected (para. 155 g). Empty means not known or
// not applicable; the mapping to a Manifest leaves such fields out.
type Collection struct {
	Software  string   // the Collector and its version
	Browser   string   // name and version, as the browser says them
	UserAgent string   // as sent
	Flags     []string // that the tool ran with, paths of this machine removed

	BrowserDigest hashing.Digest // of the browser's program, as it runs; zero is not known
	Program       *Program       // that was run beside; nil is none

	Viewport  string   // "1366x768"
	Locale    string   // "en-US"
	Timezone  string   // "UTC"
	Account   string   // the virtual identity used; "" is none
	Egress    string   // the way out: the name of a proxy, or EgressDirect, or EgressUnnamed
	Protocols []string // spoken with the Source, e.g. "http/1.1", "tls/1.3"
	Notes     []string // what an examiner must know about the method, one sentence each
	Peer      Peer     // the connection that the Source itself came over
	Servers   Servers
}

// Program is one that asked for something besides the tool itself.
type Program struct {
	Name      string
	Version   string         // as it says; "" is not known
	Digest    hashing.Digest // of the file that was named; zero is not known
	Arguments []string       // paths of this machine removed
}

// Servers is what the Date fields of answers say of the node's clock: reported,
// and never used to correct anything.
type Servers struct {
	Answers int           // that had a Date of their own; 0: not known
	Ahead   time.Duration // median of how far the servers are ahead; Date has whole seconds
}

// String says it for people; "" if nothing is known.
func (s Servers) String() string {
	if s.Answers == 0 {
		return ""
	}
	return fmt.Sprintf("servers' Date %+.1f s (%d answers)", s.Ahead.Seconds(), s.Answers)
}

// Peer is what is known of one connection.
type Peer struct {
	Host     string   // name asked for
	Address  string   // "ip:port" connected to
	Resolved []string // all addresses that the name gave, in the order of the answer
	// Unobserved says that a proxy resolved the name and connected: the node saw
	// neither address, and Address and Resolved are empty.
	Unobserved bool
	TLS        *TLS // nil: no TLS was spoken, or none was reached
}

// TLS is the handshake of one connection and what verification said of it. The
// certificates are in the Objects; Chain are their digests, leaf first.
type TLS struct {
	Version   string // "TLS 1.3"
	Cipher    string // IANA name
	Chain     []hashing.Digest
	Subject   string // of the leaf
	Issuer    string // of the leaf
	NotBefore time.Time
	NotAfter  time.Time
	Verified  bool
	Verdict   string // "ok", or why not
}

// Transformation says that Output was derived, from what, and by what. Inputs
// are Object names; none means the page as the browser held it.
type Transformation struct {
	Output string
	Inputs []string
	Action string // e.g. "content-decoding", "rasterise"
	Tool   string
	Detail string // parameters and losses, one sentence; may be ""
}

// Completeness counts what was asked for and what came. Lists are bounded;
// when one is cut, Cut is true and the numbers still count everything.
type Completeness struct {
	Requests  int   // exchanges begun
	Bytes     int64 // received on the wire
	Failed    int   // no whole answer
	Truncated int   // answers cut short
	Blocked   int   // refused by our own rules
	Missing   []Miss
	Cut       bool
}

// Miss is one address that did not come whole.
type Miss struct {
	Kind     MissKind // "" is MissFailed
	URL, Why string
}

// MissKind says how it did not come.
type MissKind string

// The kinds. What began to come and was cut is MissTruncated; what our own
// rules refused is MissBlocked.
const (
	MissFailed    MissKind = "failed"
	MissTruncated MissKind = "truncated"
	MissBlocked   MissKind = "blocked"
)
