package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/storage"
)

// Facts are what every Manifest of a node says of the node.
type Facts struct {
	Node     string // name
	Training bool
	Software holdfast.Software
	Config   hashing.Digest // of the configuration
	Egress   string         // "" is unknown
	Clock    holdfast.Clock // Source "" means node
}

// Heads gives the Custody head of a Case; an Outbox is one. A Case must have
// been opened, so its chain has at least one line.
type Heads interface {
	Head(ctx context.Context, home holdfast.ID) (holdfast.Head, error)
}

// Keeper is what intake needs of the store: to see that large Objects are there,
// to compute their slices' commitments, and to keep what does not fit inline.
type Keeper interface {
	storage.Opener
	PutDigest(ctx context.Context, d hashing.Digest, size int64, r io.Reader) error
}

// Intake accepts what a Collector acquired.
type Intake struct {
	Queue Publisher
	Store Keeper
	Space Accepter
	Heads Heads
	Facts Facts
}

// Accepted says where an accepted capture is.
type Accepted struct {
	ID       holdfast.ID
	Position Place // in "captured"
}

// Ready says whether a capture would be accepted now; ask before acquiring.
func (in *Intake) Ready(ctx context.Context) error {
	if err := in.Space.Accept(ctx); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
}

// Step is what came of one step of a Task.
type Step struct {
	Task     Task
	Acquired *collectors.Acquired
}

// Accept makes the capture durable and moves the Task; when it returns nil, and
// not before, the capture is accepted and the user may be told.
//
// The order is: large Objects are in the store (checked here) → the message is
// in the queue → the Task has moved. A crash before the message leaves Objects
// that nothing names, and the Task, whose lease runs out: it is done again. A
// crash after it is a capture; done again it has the same ID, and the first
// message stands. So is an error of ctx to be read: not known, do it again.
//
// Errors: the store's storage.ErrFull, ErrForeign, ErrStopped; [ErrLease];
// [ErrMessage] for what no Manifest can say, and for nothing else.
func (in *Intake) Accept(ctx context.Context, t Task, a *collectors.Acquired, move *Move) (Accepted, error) {
	all, err := in.AcceptAll(ctx, []Step{{t, a}}, move)
	if err != nil {
		return Accepted{}, err
	}
	return all[0], nil
}

// AcceptAll accepts several steps of one Task, in order, at once: all or none. (Of
// several Tasks where no queue has them, so that nothing is moved.) What Accept says of one holds for all of them; their inline Objects have some
// megabytes at most.
func (in *Intake) AcceptAll(ctx context.Context, steps []Step, move *Move) ([]Accepted, error) {
	if err := in.Ready(ctx); err != nil {
		return nil, err
	}
	source, messages := steps[0].Task.Source, make([]Message, len(steps))
	heads := map[holdfast.ID]holdfast.Head{}
	for _, s := range steps {
		if _, ok := heads[s.Task.Case]; ok {
			continue
		}
		head, err := in.Heads.Head(ctx, s.Task.Case)
		if err != nil {
			return nil, fmt.Errorf("accept %s: %w", source, err)
		}
		heads[s.Task.Case] = head
	}
	var g errgroup.Group // on all cores: with its slices an answer of Telegram's is some work
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range steps {
		g.Go(func() error {
			c, err := in.draft(ctx, s.Task, s.Acquired, heads[s.Task.Case])
			if err != nil {
				return fmt.Errorf("accept %s: %w", source, err)
			}
			body, err := c.Encode()
			if err != nil {
				return fmt.Errorf("accept %s: %w: %w", source, ErrMessage, err)
			}
			messages[i] = Message{ID: c.Manifest.ID, Key: string(s.Task.Source), Body: body}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	at, err := in.Queue.Publish(ctx, move, messages...)
	if err != nil {
		return nil, fmt.Errorf("accept %s: %w", source, err)
	}
	out := make([]Accepted, len(steps))
	for i := range steps {
		out[i] = Accepted{ID: messages[i].ID, Position: at[i]}
	}
	return out, nil
}

func (in *Intake) draft(ctx context.Context, t Task, a *collectors.Acquired, head holdfast.Head) (*Captured, error) {
	c := &Captured{Inline: map[string][]byte{}}
	m := &c.Manifest
	m.ID, m.Case, m.Custody, m.Kind, m.Nonce = t.Capture(), t.Case, head, holdfast.KindCapture, holdfast.NewNonce()
	m.Agent, m.Found, m.Source, m.Training = t.Agent, t.Found, t.Source, in.Facts.Training
	describe(m, a, in.Facts, t.Outside, t.Version)
	for _, o := range a.Objects {
		if err := in.object(ctx, c, o); err != nil {
			return nil, fmt.Errorf("object %.80q: %w", o.Name, err)
		}
	}
	slices.SortFunc(m.Objects, func(a, b holdfast.Object) int { return strings.Compare(a.Name, b.Name) })
	return c, in.spill(ctx, c)
}

// object adds an Object, the commitments of its slices, and their secret.
func (in *Intake) object(ctx context.Context, c *Captured, o collectors.Object) error {
	if o.Kept {
		switch there, err := in.Store.Has(ctx, o.Digest); {
		case err != nil:
			return err
		case !there:
			return fmt.Errorf("%s was not kept", o.Digest)
		}
	} else {
		c.Inline[o.Name] = o.Inline
	}
	h := holdfast.Object{Digest: o.Digest, Name: o.Name, Restricted: o.Restricted, Role: o.Role, Size: o.Size, Type: o.MediaType}
	if len(o.Slices) > 0 {
		var err error
		if h.Slices, err = in.commit(ctx, o); err != nil {
			return fmt.Errorf("commit to slices: %w", err)
		}
		name := o.Name + ".secret"
		c.Inline[name] = o.SliceSecret
		c.Manifest.Objects = append(c.Manifest.Objects, holdfast.Object{Digest: hashing.Of(o.SliceSecret), Name: name,
			Restricted: true, Role: "slice-secret", Size: int64(len(o.SliceSecret)), Type: "application/octet-stream"})
	}
	c.Manifest.Objects = append(c.Manifest.Objects, h)
	return nil
}

// spill moves the largest inline Objects into the store until the rest fits
// into a message.
func (in *Intake) spill(ctx context.Context, c *Captured) error {
	total := 0
	for _, b := range c.Inline {
		total += len(b)
	}
	for total > MaxInline {
		largest := ""
		for name, b := range c.Inline {
			if len(b) > len(c.Inline[largest]) {
				largest = name
			}
		}
		b := c.Inline[largest]
		if err := in.Store.PutDigest(ctx, hashing.Of(b), int64(len(b)), bytes.NewReader(b)); err != nil {
			return fmt.Errorf("keep object %s: %w", largest, err)
		}
		total -= len(b)
		delete(c.Inline, largest)
	}
	return nil
}
