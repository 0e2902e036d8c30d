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

// The store, the queue and the catalog are engineURLs: a node works with each by what
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
	pipeline.Sharer
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

// queuePath is where an embedded queue lies.
func (n *node) queuePath() string {
	path, _ := local(n.set.engines().Queue, n.path(fileQueue))
	return path
}

// openStore opens the store that node.json names, and no other.
func (n *node) openStore(ctx context.Context) (nodeStore, error) {
	e := n.set.engines()
	path, ok := local(e.Store, n.path("store"))
	if !ok {
		return n.openBucket(ctx, e.Store, e.StoreID, false)
	}
	s, err := file.Open(path, file.Options{Log: n.log})
	if err != nil {
		return nil, err // not s: a nil *file.Store in an interface is no nil
	}
	return s, nil
}

// queueEngine opens the queue that node.json names, which must be there.
func (n *node) queueEngine(ctx context.Context) (nodeQueue, error) {
	e := n.set.engines()
	path, ok := local(e.Queue, n.path(fileQueue))
	if !ok {
		return n.openBroker(ctx, e, true)
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

// openCatalog opens the catalog that node.json names.
func (n *node) openCatalog(ctx context.Context) (nodeCatalog, error) {
	e := n.set.engines()
	path, ok := local(e.Catalog, n.path(fileCatalog))
	if !ok {
		return n.openDatabase(ctx, e, false)
	}
	if err := n.mine(e.Catalog, path); err != nil {
		return nil, err
	}
	c, err := catalogdb.Open(ctx, path, catalogdb.Options{Rebuilding: n.afterRebuild})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// rebuildCatalog empties the catalog, has fill bring every fact, and opens it to
// questions again.
func (n *node) rebuildCatalog(ctx context.Context, fill func(context.Context, catalog.Writer) error) error {
	e := n.set.engines()
	path, ok := local(e.Catalog, n.path(fileCatalog))
	if !ok {
		return n.rebuildDatabase(ctx, e, fill)
	}
	if err := n.mine(e.Catalog, path); err != nil {
		return err
	}
	return catalogdb.Rebuild(ctx, path, catalogdb.Options{}, fill)
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
