package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"holdfast/storage/file"
)

// makeEngines makes what is asked for and not there yet, and writes into the
// settings where it lies. It may be done again after a crash. Of the store it
// remembers the id: a bucket that is emptied, or another under its name, is refused
// from then on.
func (n *node) makeEngines(ctx context.Context, asked engineURLs, join string) error {
	if asked != (engineURLs{}) {
		e := asked
		n.set.Engines = &e
	}
	if err := n.makeStore(ctx, asked.Store, join); err != nil {
		return err
	}
	if err := n.makeCatalog(ctx, asked); err != nil {
		return err
	}
	return n.makeQueue(ctx, asked)
}

func (n *node) makeStore(ctx context.Context, url, join string) error {
	path, ok := local(url, "")
	e := n.set.engines()
	switch {
	case join != "" && kindOf(e.Catalog) == kindPostgres && kindOf(e.Queue) != kindKafka:
		return usageError("--join with --catalog postgres://…: nodes that share a catalog share the queue too: positions of several queues would be taken for each other's, and a rebuild by one node would leave out what only another's queue has; give --queue kafka://… as the first node has it, or leave --catalog away")
	case join != "" && ok:
		return usageError("--join is for a store that several nodes share: give --store s3://… too")
	case url == "":
		return nil // file.Open makes it
	case ok:
		s, err := file.Open(path, file.Options{Log: n.log})
		if err != nil {
			return err
		}
		return s.Close()
	}
	s, err := n.openBucket(ctx, url, join, join == "")
	if err != nil {
		return err
	}
	defer s.Close()
	named, ok := s.(interface{ ID() string })
	if !ok {
		return errors.New("make store: it has no id")
	}
	n.set.Engines.StoreID = named.ID()
	return nil
}

func (n *node) makeCatalog(ctx context.Context, e engineURLs) error {
	path, ok := local(e.Catalog, n.path(fileCatalog))
	if !ok {
		c, err := n.openDatabase(ctx, n.set.engines(), true)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := n.claim(e.Catalog, path); err != nil {
		return err
	}
	return makeCatalogFile(ctx, path)
}

func (n *node) makeQueue(ctx context.Context, e engineURLs) error {
	path, ok := local(e.Queue, n.path(fileQueue))
	if !ok {
		q, err := n.openBroker(ctx, n.set.engines(), false)
		if err != nil {
			return err
		}
		return q.Close()
	}
	if err := n.claim(e.Queue, path); err != nil {
		return err
	}
	return makeQueueFile(ctx, path)
}

// markOwner ends the name of the file beside a queue or catalog that lies outside
// the data directory. It says whose it is: two nodes in one would take each other's
// work, since their locks lie in their data directories.
const markOwner = ".node"

func (n *node) claim(url, path string) error {
	if url == "" {
		return nil
	}
	f, err := os.OpenFile(path+markOwner, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return n.mine(url, path)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, n.set.Unfiled)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", url, err)
	}
	return nil
}

func (n *node) mine(url, path string) error {
	if url == "" {
		return nil
	}
	b, err := os.ReadFile(path + markOwner)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %s: %w", url, err)
	}
	if strings.TrimSpace(string(b)) != string(n.set.Unfiled) {
		return fmt.Errorf("open %s: it is not this node's (%s says whose; where an `init` that was killed has left that, remove it): one of SQLite is for one node; several share kafka:// and postgres://, see docs/scale.md", url, path+markOwner)
	}
	return nil
}
