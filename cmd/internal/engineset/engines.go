package engineset

import (
	"context"
	"log/slog"
	"path/filepath"

	"holdfast"
	"holdfast/catalog"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/pipeline"
	queuedb "holdfast/pipeline/sqlite"
	"holdfast/storage"
	"holdfast/storage/file"
)

// Store is the store as a node works with it.
type Store interface {
	storage.Store
	storage.ObjectLister
	storage.Accepter
	Close() error
}

// Queue is the queue as a node works with it: messages, and Tasks.
type Queue interface {
	pipeline.Publisher
	pipeline.Consumer
	pipeline.Announcer
	pipeline.Identifier
	pipeline.Sharer
	pipeline.Pruner
	pipeline.Starter
	Tasks
	Close() error
}

// Tasks is all of the Tasks.
type Tasks interface {
	pipeline.TaskAdder
	pipeline.TaskTaker
	pipeline.TaskLister
}

// Catalog is the catalog as a node works with it.
type Catalog interface {
	catalog.Catalog

	// Unguessed counts the texts whose language nobody would guess.
	Unguessed(ctx context.Context) (int64, error)

	// Newest is when the post of a channel with the highest number was posted; zero:
	// none is known.
	Newest(ctx context.Context, channel string) (holdfast.Time, error)
	Close() error
}

// SoundQueue is a queue that can be looked through for damage.
type SoundQueue interface {
	Check(ctx context.Context) error

	// Poison counts the messages that could not be read and are in no Seal.
	Poison(ctx context.Context) (int64, error)
}

// CopiedQueue is a queue that can be put back from an older copy of itself.
type CopiedQueue interface {
	// AgeTasks has each Task get a new ID before it is given out again.
	AgeTasks(ctx context.Context) error
}

// Files in the node's directory of engines that are not named.
const (
	FileQueue   = "queue.db"
	FileCatalog = "catalog.db"
	FolderStore = "store"
)

// Set is the three engines of one node, by where they lie. Nothing of it is open; what
// its methods open is closed by who called them. Not for several callers at once.
type Set struct {
	URLs
	Dir   string      // the node's
	Owner holdfast.ID // whose the queue and the catalog are: the node's home Case
	Log   *slog.Logger

	// Rebuilding is waited for where a catalog is being made anew. May be nil.
	Rebuilding func(context.Context) error
}

func (n *Set) path(name string) string { return filepath.Join(n.Dir, name) }

// QueuePath is where an embedded queue lies.
func (n *Set) QueuePath() string {
	path, _ := Local(n.Queue, n.path(FileQueue))
	return path
}

// OpenStore opens the store that is named, and no other: a bucket must have the id that
// it had.
func (n *Set) OpenStore(ctx context.Context) (Store, error) {
	e := n.URLs
	path, ok := Local(e.Store, n.path(FolderStore))
	if !ok {
		return n.OpenBucket(ctx, e.Store, e.StoreID, false)
	}
	s, err := file.Open(path, file.Options{Log: n.Log})
	if err != nil {
		return nil, err // not s: a nil *file.Store in an interface is no nil
	}
	return s, nil
}

// OpenQueue opens the queue that is named, which must be there, and be this node's; an
// error that wraps [pipeline.ErrNoQueue] otherwise.
func (n *Set) OpenQueue(ctx context.Context) (Queue, error) {
	e := n.URLs
	path, ok := Local(e.Queue, n.path(FileQueue))
	if !ok {
		return n.OpenBroker(ctx, true)
	}
	if err := n.mine(e.Queue, path); err != nil {
		return nil, err
	}
	q, err := queuedb.Open(ctx, path, queuedb.Options{Existing: true})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// OpenCatalog opens the catalog that is named.
func (n *Set) OpenCatalog(ctx context.Context) (Catalog, error) {
	e := n.URLs
	path, ok := Local(e.Catalog, n.path(FileCatalog))
	if !ok {
		return n.OpenDatabase(ctx, false)
	}
	if err := n.mine(e.Catalog, path); err != nil {
		return nil, err
	}
	c, err := catalogdb.Open(ctx, path, catalogdb.Options{Rebuilding: n.Rebuilding})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// RebuildCatalog empties the catalog, has fill bring every fact, and opens it to
// questions again.
func (n *Set) RebuildCatalog(ctx context.Context, fill func(context.Context, catalog.Writer) error) error {
	e := n.URLs
	path, ok := Local(e.Catalog, n.path(FileCatalog))
	if !ok {
		return n.rebuildDatabase(ctx, fill)
	}
	if err := n.mine(e.Catalog, path); err != nil {
		return err
	}
	return catalogdb.Rebuild(ctx, path, catalogdb.Options{}, fill)
}

// MakeQueueFile makes an empty queue, or leaves the one that is there.
func MakeQueueFile(ctx context.Context, path string) error {
	q, err := queuedb.Open(ctx, path, queuedb.Options{})
	if err != nil {
		return err
	}
	return q.Close()
}

// makeCatalogFile makes an empty catalog, or leaves the one that is there.
func makeCatalogFile(ctx context.Context, path string) error {
	c, err := catalogdb.Create(ctx, path, catalogdb.Options{})
	if err != nil {
		return err
	}
	return c.Close()
}
