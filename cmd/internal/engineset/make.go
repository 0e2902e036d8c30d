package engineset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"holdfast/storage/file"
)

// Make makes what is not there yet. It may be done again after a crash. Of a store in a
// bucket it remembers the id, in StoreID: a bucket that is emptied, or another under its
// name, is refused from then on. join is the id of one that others have made, or "".
func (n *Set) Make(ctx context.Context, join string) error {
	if err := n.makeStore(ctx, join); err != nil {
		return err
	}
	if err := n.MakeCatalog(ctx); err != nil {
		return err
	}
	return n.MakeQueue(ctx)
}

func (n *Set) makeStore(ctx context.Context, join string) error {
	e, url := n.URLs, n.Store
	path, ok := Local(url, "")
	switch {
	case join != "" && KindOf(e.Catalog) == KindPostgres && KindOf(e.Queue) != KindKafka:
		return Usage("--join with --catalog postgres://…: nodes that share a catalog share the queue too: positions of several queues would be taken for each other's, and a rebuild by one node would leave out what only another's queue has; give --queue kafka://… as the first node has it, or leave --catalog away")
	case join != "" && ok:
		return Usage("--join is for a store that several nodes share: give --store s3://… too")
	case url == "":
		return nil // file.Open makes it
	case ok:
		s, err := file.Open(path, file.Options{Log: n.Log})
		if err != nil {
			return err
		}
		return s.Close()
	}
	s, err := n.OpenBucket(ctx, url, join, join == "")
	if err != nil {
		return err
	}
	defer s.Close()
	named, ok := s.(interface{ ID() string })
	if !ok {
		return errors.New("make store: it has no id")
	}
	n.StoreID = named.ID()
	return nil
}

// MakeCatalog makes an empty catalog, or leaves the one that is there.
func (n *Set) MakeCatalog(ctx context.Context) error {
	path, ok := Local(n.Catalog, n.path(FileCatalog))
	if !ok {
		c, err := n.OpenDatabase(ctx, true)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := n.claim(n.Catalog, path); err != nil {
		return err
	}
	return makeCatalogFile(ctx, path)
}

// MakeQueue makes an empty queue, or leaves the one that is there.
func (n *Set) MakeQueue(ctx context.Context) error {
	path, ok := Local(n.Queue, n.path(FileQueue))
	if !ok {
		q, err := n.OpenBroker(ctx, false)
		if err != nil {
			return err
		}
		return q.Close()
	}
	if err := n.claim(n.Queue, path); err != nil {
		return err
	}
	return MakeQueueFile(ctx, path)
}

// markOwner ends the name of the file beside a queue or catalog that lies outside
// the data directory. It says whose it is: two nodes in one would take each other's
// work, since their locks lie in their data directories.
const markOwner = ".node"

func (n *Set) claim(url, path string) error {
	if url == "" {
		return nil
	}
	f, err := os.OpenFile(path+markOwner, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return n.mine(url, path)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, n.Owner)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", url, err)
	}
	return nil
}

func (n *Set) mine(url, path string) error {
	if url == "" {
		return nil
	}
	b, err := os.ReadFile(path + markOwner)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %s: %w", url, err)
	}
	if strings.TrimSpace(string(b)) != string(n.Owner) {
		return fmt.Errorf("open %s: it is not this node's (%s says whose; where an `init` that was killed has left that, remove it): one of SQLite is for one node; several share kafka:// and postgres://, see docs/scale.md", url, path+markOwner)
	}
	return nil
}
