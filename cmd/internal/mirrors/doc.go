// Package mirrors knows where the mirrors of a node are, and makes them: the list in the
// node's directory, the place of each (a directory, or a bucket with object lock), what
// each says of the node's newest state, and one run that copies what a mirror lacks.
//
// Package mirror has the format and copies stores; here it meets a node, of which this
// room knows plain values and three small interfaces. Nothing of the node is changed but
// its custody, by one line for each mirror, the list, and the name of an embedded queue
// that is an older copy of itself. A run that is killed leaves a mirror that is one state
// of the node, and a list that may lack a mirror that was just made: the next run takes it
// up again. Two runs into one mirror keep each other off by a lock; a [Node] is for one
// goroutine.
package mirrors

import (
	"context"
	"iter"
	"log/slog"
	"path/filepath"

	"holdfast"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
)

// Node is a node that has mirrors.
type Node struct {
	Dir         string      // absolute or relative, as the person gave it
	As          mirror.Node // what a mirror is held against
	VKey        string      // of its log
	Agent       holdfast.Agent
	Encrypted   bool   // its keys are, at rest
	StoreID     string // of its own store, where that lies in a bucket
	SharedQueue bool   // others work on its queue too

	Store   Store
	Queue   Queue
	Custody Custody
	Log     *slog.Logger

	// Signer opens the key that signs now. Where it cannot, the settings in the mirror are
	// not signed, and that is said.
	Signer func(context.Context) (preserve.Signer, error)
	// Files are the small files beside the store, by name, none of them secret.
	Files func(context.Context) (map[string][]byte, error)
	// Tasks are those that can be restored.
	Tasks func(context.Context) iter.Seq2[pipeline.Task, error]
}

// Store is the node's store, which is only read.
type Store interface {
	mirror.Source
	preserve.PartReader
}

// Queue is the node's queue.
type Queue interface {
	pipeline.Identifier

	// Position is up to where a stage has come in a partition.
	Position(ctx context.Context, s pipeline.Stage, partition int) (int64, error)
}

// Custody is the node's outbox of custody lines.
type Custody interface {
	Append(ctx context.Context, e pipeline.Entry) (holdfast.Head, error)

	// Check verifies the whole lines of a chain's file.
	Check(chain holdfast.ID, lines []byte) error
}

func (n *Node) path(name string) string { return filepath.Join(n.Dir, filepath.FromSlash(name)) }
