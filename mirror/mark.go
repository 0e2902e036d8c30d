package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"holdfast"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// ErrNewer is wrapped where a mirror holds a later state than the node: the node is
// an old copy, or its store was damaged.
var ErrNewer = errors.New("the mirror is newer than this node")

// Mark is FileMark: of which node, and of which state of it,
// the mirror is. It is written before anything of that state is copied, with
// Whole unset, and again when all is there. So a mirror never holds more than
// its mark says, and whoever finds the node behind the mark has an old node.
type Mark struct {
	Version int            `json:"version"`
	ID      string         `json:"id"`      // of the mirror, random
	Unfiled holdfast.ID    `json:"unfiled"` // what a node keeps through all its names
	Node    string         `json:"node"`
	VKey    string         `json:"vkey"`
	Former  []FormerLog    `json:"former,omitempty"`
	Begun   holdfast.Time  `json:"begun"`
	Whole   *holdfast.Time `json:"whole,omitempty"` // nil: the run was cut short
	Log     *holdfast.Tree `json:"log,omitempty"`   // nil: the log has not begun
	Queue   Queue          `json:"queue"`
	Tasks   int            `json:"tasks"`
	// Encrypted: the node's keys were, so those that a restore without them draws
	// are too.
	Encrypted bool `json:"keys_encrypted,omitempty"`
}

// Queue says how far the queue was: here its partition 0, which an embedded one has
// alone.
type Queue struct {
	Name    string `json:"name"`
	End     int64  `json:"end"`               // newest position
	Planned int64  `json:"planned"`           // acknowledged by preserve; what is behind it is in the queue alone
	Seal    string `json:"seal,omitempty"`    // newest plan under Name
	Raw     int64  `json:"raw,omitempty"`     // of a shared queue: accepted, and not normalised yet, so behind End
	Further []Part `json:"further,omitempty"` // partitions from 1 on
}

// Part is how far a partition was, as in Queue.
type Part struct {
	End     int64  `json:"end"`
	Planned int64  `json:"planned"`
	Seal    string `json:"seal,omitempty"`
	Raw     int64  `json:"raw,omitempty"`
}

// Parts are all partitions, by number.
func (q Queue) Parts() []Part { return append([]Part{{q.End, q.Planned, q.Seal, q.Raw}}, q.Further...) }

// FormerLog is a log that a node kept and continues no more: its name and its
// origin, and what verifies its checkpoints.
type FormerLog struct {
	Name string `json:"name"`
	VKey string `json:"vkey"`
	// Keys are the seal keys of that time, if they were lost since; empty is
	// those that the node has.
	Keys []holdfast.PolicyKey `json:"keys,omitempty"`
}

// ReadMark reads the mark.
func ReadMark(ctx context.Context, s Shelf) (*Mark, error) {
	m := new(Mark)
	b, err := Read(ctx, s, FileMark, maxMark)
	if err == nil {
		err = wholefile.DecodeJSON(FileMark, b, m)
	}
	if err != nil {
		return nil, err
	}
	if m.Version > 1 {
		return nil, fmt.Errorf("%s has version %d: use a newer holdfast", FileMark, m.Version)
	}
	if _, _, err := holdfast.VKeyEd25519(m.VKey); err != nil || m.ID == "" {
		return nil, fmt.Errorf("read %s: not what holdfast wrote", FileMark)
	}
	return m, nil
}

// Write replaces the mark of a mirror.
func (m *Mark) Write(ctx context.Context, s Shelf) error {
	b, err := wholefile.EncodeJSON(m)
	if err != nil {
		return err
	}
	return s.Update(ctx, FileMark, b)
}

// Node is what tells a node: its name, those that it had before, and what it keeps
// through all of them.
type Node struct {
	Name    string
	Unfiled holdfast.ID
	Former  []FormerLog
}

// IsFormer reports whether the node had this name before.
func (n Node) IsFormer(name string) bool {
	return slices.ContainsFunc(n.Former, func(f FormerLog) bool { return f.Name == name })
}

// Against returns ErrNewer if the mirror's node went further than the one that this
// is the store of, and [preserve.ErrFork] if it went elsewhere.
func (m *Mark) Against(ctx context.Context, n Node, store preserve.PartReader) error {
	if m.Unfiled != n.Unfiled {
		return fmt.Errorf("the mirror is of node %s, not of %s: name another directory", m.Node, n.Name)
	}
	if m.Node != n.Name {
		if n.IsFormer(m.Node) {
			return nil // the log that was mirrored is continued by nobody
		}
		return fmt.Errorf("%w: it is of %s, a later name of this node", ErrNewer, m.Node)
	}
	return m.Holds(ctx, store)
}

// Holds returns nil if a store has the log of the mark at least as far as the
// mirror, and as the same.
func (m *Mark) Holds(ctx context.Context, store preserve.PartReader) error {
	if m.Log == nil {
		return nil
	}
	mine, err := preserve.LastTree(ctx, store, m.VKey)
	if errors.Is(err, fs.ErrNotExist) {
		mine, err = &holdfast.Tree{Origin: m.Node}, nil
	}
	if err != nil {
		return err
	}
	if mine.Size < m.Log.Size {
		return fmt.Errorf("%w: log %s has %d entries here, and had %d when the mirror was taken, %s", ErrNewer, m.Node, mine.Size, m.Log.Size, m.Begun)
	}
	_, err = (&preserve.Mirror{Store: store, Origin: m.Node, VKey: m.VKey}).Consistency(ctx, *m.Log, *mine)
	return err
}
