package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
)

// Kinds of a Problem. Those of a store that locks are [storage.FaultRetention] and so on.
const (
	Missing = "missing" // was there, or should be
	Changed = "changed" // is other than it was sealed, or no holdfast has put it there
)

// Problem is one thing that is not as it should be.
type Problem struct {
	Kind string
	Name string // in the store
	Err  error
}

// Store is what is read.
type Store interface {
	storage.Opener
	storage.Reader
	storage.Lister
	storage.ObjectLister
}

// Log is one log whose mirror lies in the store if any Seal there is in it: of this node,
// or of another one, which works on the same store or does not.
type Log struct {
	Origin, VKey string
}

// State is how far an audit is. Its members are for who keeps it in a file.
type State struct {
	Phase  string `json:"phase"` // seals, objects, logs, erased, locks, or done
	After  string `json:"after"` // what of the phase is done with: the greatest name
	Plan   string `json:"plan"`  // the last plan that went by, and where it ended
	Last   int64  `json:"last"`
	Counts Counts `json:"counts"`
}

// Counts is what was read.
type Counts struct {
	Seals      int64 `json:"seals"`
	Packs      int64 `json:"packs"`
	Objects    int64 `json:"objects"`
	Logs       int64 `json:"logs"`
	Tombstones int64 `json:"tombstones"`
	Bytes      int64 `json:"bytes"`
	Open       int64 `json:"open"` // Seals and erasures that are not finished yet
	Problems   int64 `json:"problems"`
}

// Auditor is one audit, for one goroutine. Store, Judge and Problem must be set.
type Auditor struct {
	Store   Store
	Judge   *preserve.Judge
	Logs    []Log
	Problem func(Problem)

	// Told, optional, is called after each thing that was read.
	Told func(*State)
	// Sealed, optional, says whether the node knew a capture to be sealed, so that a
	// Seal which has lost a part is told from one that has not got it yet.
	Sealed func(ctx context.Context, capture holdfast.ID) bool
	// Done, optional, says whether the erasure that an Event ordered is known to be done:
	// then what it took away must not lie there again.
	Done func(event holdfast.ID) bool

	at     *State
	erased *storage.Tombstones
	began  map[string]bool // logs that Seals are in, once it was asked; see began.go
}

// phases in their order.
func (a *Auditor) phases() []struct {
	name string
	run  func(context.Context) error
} {
	return []struct {
		name string
		run  func(context.Context) error
	}{{"seals", a.seals}, {"objects", a.objects}, {"logs", a.logs}, {"erased", a.tombstones}, {"locks", a.locks}}
}

// Run reads everything, from where at stands on. An error means that it was cut
// short, and at says where; Problems are no errors.
func (a *Auditor) Run(ctx context.Context, at *State) error {
	if err := a.begin(ctx, at); err != nil {
		return err
	}
	begun := at.Phase == ""
	for _, p := range a.phases() {
		if !begun && p.name != at.Phase {
			continue
		}
		if at.Phase != p.name {
			at.Phase, at.After = p.name, ""
		}
		begun = true
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("audit %s: %w", p.name, err)
		}
		a.tell()
	}
	at.Phase, at.After = "done", ""
	return nil
}

func (a *Auditor) begin(ctx context.Context, at *State) (err error) {
	a.at = at
	a.erased, err = storage.LoadTombstones(ctx, a.Store, func(string, error) {}) // told by the phase that is for them
	return err
}

func (a *Auditor) tell() {
	if a.Told != nil {
		a.Told(a.at)
	}
}

// done notes that what is up to name needs no second look.
func (a *Auditor) done(name string) {
	a.at.After = name
	a.tell()
}

func (a *Auditor) problem(kind, name string, err error) {
	a.at.Counts.Problems++
	a.Problem(Problem{kind, name, err})
}

// fault tells what a reader said: missing, or else changed. What is neither, such as a
// disk that cannot be read or a store out of reach, is the audit's own error.
func (a *Auditor) fault(ctx context.Context, name string, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		a.problem(Missing, name, err)
	case errors.Is(err, hashing.ErrMismatch), errors.Is(err, storage.ErrForeign), errors.Is(err, storage.ErrTombstone),
		errors.Is(err, holdfast.ErrForm), errors.Is(err, errChanged), errors.Is(err, preserve.ErrPlan), errors.Is(err, preserve.ErrFork):
		a.problem(Changed, name, err)
	default:
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

var errChanged = errors.New("not as it was sealed")

// objects hashes all Objects.
func (a *Auditor) objects(ctx context.Context) error {
	for o, err := range a.Store.Objects(ctx) {
		if errors.Is(err, storage.ErrForeign) {
			a.problem(Changed, "objects", err)
			continue
		}
		if err != nil {
			return err
		}
		if o.Digest.Hex() <= a.at.After {
			continue
		}
		if err := a.object(ctx, o.Digest); err != nil {
			return err
		}
		a.done(o.Digest.Hex())
	}
	return nil
}

func (a *Auditor) object(ctx context.Context, d hashing.Digest) error {
	r, _, err := a.Store.Open(ctx, d)
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, interruptible{ctx, r})
		r.Close()
		a.at.Counts.Bytes += n
	}
	a.at.Counts.Objects++
	if err != nil {
		return a.fault(ctx, storage.ObjectName(d), err)
	}
	return nil
}

type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// locks asks a store that knows more of itself than bytes.
func (a *Auditor) locks(ctx context.Context) error {
	s, ok := a.Store.(storage.Inspector)
	if !ok {
		return nil
	}
	for f, err := range s.Faults(ctx) {
		if err != nil {
			return err
		}
		a.problem(f.Kind, f.Name, errors.New(f.Detail))
	}
	return nil
}

// seals walks the folders below seals/, each once.
func (a *Auditor) seals(ctx context.Context) error {
	last := a.at.After
	for e, err := range a.Store.List(ctx, "seals/") {
		if errors.Is(err, storage.ErrForeign) {
			a.problem(Changed, e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		seal, _, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if seal <= last {
			continue
		}
		last = seal
		if err := a.seal(ctx, seal, true); err != nil {
			return err
		}
		a.done(seal)
	}
	return nil
}

// settled is how long a Seal may be without a statement.
const settled = time.Hour
