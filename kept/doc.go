// Package kept reads what a node keeps of captures: Manifests, Objects, and the lines and
// texts of posts, wherever they lie. What no plan has taken yet lies in the queue, what a
// plan has taken in packs or, where it is large, as an Object of its own; the catalog knows
// which. A capture may go from the one to the other between two looks, so each look that
// finds nothing is made once more.
//
// Small Objects and Manifests are read whole, at most [pipeline.MaxInline] and
// [holdfast.MaxDocument] bytes, and held against their Digests; large ones stream. Nothing
// is written here.
package kept

import (
	"context"
	"iter"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/storage"
)

// Catalog knows where what is kept of a capture lies.
type Catalog interface {
	Capture(ctx context.Context, id holdfast.ID) (catalog.Capture, error)
	Refs(ctx context.Context, d hashing.Digest) iter.Seq2[catalog.Ref, error]
}

// Store has what plans have taken.
type Store interface {
	storage.Opener
	storage.Reader
}

// Queue has what no plan has taken yet.
type Queue interface {
	Receive(ctx context.Context, s pipeline.Stage, partition int, after int64, b pipeline.Bounds) ([]pipeline.Message, error)
}
