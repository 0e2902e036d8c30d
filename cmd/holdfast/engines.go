package main

import (
	"context"

	"holdfast"
	"holdfast/catalog"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/pipeline"
	queuedb "holdfast/pipeline/sqlite"
	"holdfast/storage"
	"holdfast/storage/file"
)

// The store, the queue and the catalog are engines: a node works with each by what
// its contract says, and this file alone says which ones there are.

// nodeStore is the store as a node works with it.
type nodeStore interface {
	storage.Store
	storage.ObjectLister
	storage.Accepter
	Close() error
}

// nodeQueue is the queue as a node works with it: messages, and Tasks.
type nodeQueue interface {
	pipeline.Publisher
	pipeline.Consumer
	pipeline.Announcer
	pipeline.Identifier
	pipeline.Pruner
	pipeline.Starter
	taskQueue
	Close() error
}

// taskQueue is all of the Tasks.
type taskQueue interface {
	pipeline.TaskAdder
	pipeline.TaskTaker
	pipeline.TaskLister
}

// nodeCatalog is the catalog as a node works with it.
type nodeCatalog interface {
	catalog.Catalog

	// Unguessed counts the texts whose language nobody would guess.
	Unguessed(ctx context.Context) (int64, error)

	// Newest is when the post of a channel with the highest number was posted; zero:
	// none is known.
	Newest(ctx context.Context, channel string) (holdfast.Time, error)
	Close() error
}

// soundQueue is a queue that can be looked through for damage.
type soundQueue interface {
	Check(ctx context.Context) error

	// Poison counts the messages that could not be read and are in no Seal.
	Poison(ctx context.Context) (int64, error)
}

// copiedQueue is a queue that can be put back from an older copy of itself.
type copiedQueue interface {
	// AgeTasks has each Task get a new ID before it is given out again.
	AgeTasks(ctx context.Context) error
}

// openStoreDir opens the file store of a data directory.
func (n *node) openStoreDir() (nodeStore, error) {
	s, err := file.Open(n.path("store"), file.Options{Log: n.log})
	if err != nil {
		return nil, err // not s: a nil *file.Store in an interface is no nil
	}
	return s, nil
}

// openQueueFile opens the queue of a data directory, which must be there.
func (n *node) openQueueFile(ctx context.Context) (nodeQueue, error) {
	q, err := queuedb.Open(ctx, n.path(fileQueue), queuedb.Options{Existing: true})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// openCatalogFile opens the catalog of a data directory.
func (n *node) openCatalogFile(ctx context.Context) (nodeCatalog, error) {
	c, err := catalogdb.Open(ctx, n.path(fileCatalog), catalogdb.Options{Rebuilding: n.afterRebuild})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// rebuildCatalog empties the catalog, has fill bring every fact, and opens it to
// questions again.
func (n *node) rebuildCatalog(ctx context.Context, fill func(context.Context, catalog.Writer) error) error {
	return catalogdb.Rebuild(ctx, n.path(fileCatalog), catalogdb.Options{}, fill)
}

// makeQueueFile makes an empty queue, or leaves the one that is there.
func makeQueueFile(ctx context.Context, path string) error {
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
