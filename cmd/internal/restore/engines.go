package restore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/storage/file"
	"holdfast/storage/s3"
	"holdfast/wholefile"
)

// sameURLs compares what a person gave.
func sameURLs(e, o engineset.URLs) bool {
	e.StoreID, o.StoreID = "", ""
	return e == o
}

// place decides where the new node's queue, store and catalog lie. Nothing is made yet.
func (r *Restore) place(ctx context.Context) error {
	was := r.set.URLs()
	r.engines, r.wasShared = r.Asked, engineset.KindOf(was.Queue) == engineset.KindKafka
	for _, f := range r.engines.Flags() {
		if kind := engineset.KindOf(*f.URL); kind == engineset.KindSQLite || kind == engineset.KindFile {
			return engineset.Usage("--%s: what is a file lies in the new node's directory: leave it away", f.Name)
		}
	}
	if r.engines.Store == "" {
		if r.o.Join != "" {
			return engineset.Usage("--join is for a store that several nodes share: give --store s3://… too")
		}
		return nil
	}
	if _, err := s3.Parse(r.engines.Store); err != nil {
		return engineset.Usage("--store: %w", err)
	}
	return r.placeStore(ctx, was.StoreID)
}

// placeStore looks at what lies where the store is to be.
func (r *Restore) placeStore(ctx context.Context, was string) error {
	var mine state // of a restore that was stopped
	if err := wholefile.ReadJSON(r.path(FileName), &mine); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s, err := r.openBucketAt(ctx, "", func(o *s3.Options) { o.ReadOnly = true })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	switch id := s.ID(); {
	case id == r.mirrorID():
		return engineset.Usage("--store: that is the mirror: name another place")
	case was != "" && id == was:
		r.back, r.engines.StoreID = true, id
	case id == r.o.Join || id == mine.Engines.StoreID:
		r.engines.StoreID = id
	default:
		return fmt.Errorf("%s holds a store already, %s, which is not the one that the node worked on (%s): if another node of the office was restored into it, say --join %s; else name an empty place", r.engines.Store, id, storeWas(was), id)
	}
	return nil
}

func storeWas(id string) string {
	if id == "" {
		return "that was a directory"
	}
	return id
}

// openBucketAt opens the bucket of the new node.
func (r *Restore) openBucketAt(ctx context.Context, id string, change func(*s3.Options)) (*s3.Store, error) {
	o, err := s3.Parse(r.engines.Store)
	if err != nil {
		return nil, err
	}
	if o.AccessKey, o.SecretKey, o.SessionToken, err = engineset.BucketKeys(); err != nil {
		return nil, err
	}
	// Not yet in the new directory, which must be empty: nothing is written before it is taken.
	o.ID, o.Log, o.Spool = id, r.Log, os.TempDir()
	change(&o)
	return s3.Open(ctx, o)
}

// target opens the store that the mirror is copied into, and makes it. The id of one
// in a bucket is written down at once; a kill between the two leaves an empty store
// there, which --join names.
func (r *Restore) target(ctx context.Context) (engineset.Store, error) {
	if r.engines.Store == "" {
		s, err := file.Open(r.path("store"), file.Options{MinFree: -1})
		if err != nil {
			return nil, err // not s: a nil *file.Store in an interface is no nil
		}
		return s, nil
	}
	s, err := r.openBucketAt(ctx, r.engines.StoreID, func(o *s3.Options) {
		o.Create, o.Spool = r.engines.StoreID == "", r.path("upload")
	})
	if err != nil {
		return nil, err
	}
	r.engines.StoreID = s.ID()
	r.mine.Engines = r.engines
	if err := wholefile.WriteJSON(r.path(FileName), r.mine); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// comesBack checks that the store is no older than the mirror.
func (r *Restore) comesBack(ctx context.Context) error {
	if err := r.mark.Holds(ctx, r.store); err != nil {
		return fmt.Errorf("the bucket is not as far as the mirror: somebody has put an older state there; restore into an empty one: %w", err)
	}
	return nil
}

// set is the engines of the new node before its node.json is written.
func (r *Restore) engineSet() *engineset.Set {
	set := *r.set
	return set.EngineSet(r.Dir, r.Log)
}

// setEngines writes into the settings where they lie.
func (r *Restore) setEngines() {
	r.set.Engines = nil
	if r.engines != (engineset.URLs{}) {
		e := r.engines
		r.set.Engines = &e
	}
}

// catalog makes one, unless the node comes back to queue and catalog of others. That it
// is to be filled is written down before it is made: a killed restore goes on with that.
func (r *Restore) catalog(ctx context.Context) error {
	if !r.mine.Rebuild {
		r.mine.Rebuild = !r.back || !r.mine.Same || !r.catalogThere(ctx)
		if err := wholefile.WriteJSON(r.path(FileName), r.mine); err != nil {
			return err
		}
	}
	if !r.mine.Rebuild {
		return nil
	}
	return r.engineSet().MakeCatalog(ctx)
}

// catalogThere reports whether there is a catalog that others keep.
func (r *Restore) catalogThere(ctx context.Context) bool {
	if !r.set.SharedCatalog() {
		return false
	}
	c, err := r.engineSet().OpenDatabase(ctx, false)
	if err != nil {
		return false // to make it anew says what is wrong, if it is more than that
	}
	return c.Close() == nil
}

// queue makes the queue, unless it is there, and gives it the Tasks, under new IDs: what
// was captured for the old ones after the mirror was taken is not known, and no two
// captures may have one ID. The new ones follow from the old, so that a restore that is
// killed and done again adds none twice, nor two nodes that had one queue and have one.
func (r *Restore) queue(ctx context.Context) error {
	r.setEngines()
	if err := r.engineSet().MakeQueue(ctx); err != nil {
		return err
	}
	q, err := r.engineSet().OpenQueue(ctx)
	if err != nil {
		return err
	}
	defer q.Close()
	id, err := q.Identity(ctx)
	if err != nil {
		return err
	}
	if r.mine.Same = r.mark.Queue.Name == id.Queue || slices.Contains(id.Former, r.mark.Queue.Name); r.mine.Same {
		r.mine.Tasks = 0 // they are there
		return nil
	}
	seed := r.mine.ID
	if engineset.KindOf(r.engines.Queue) == engineset.KindKafka {
		seed = id.Queue
	}
	return r.addTasks(ctx, q, seed)
}

// addTasks gives a queue the Tasks of the mirror.
func (r *Restore) addTasks(ctx context.Context, q pipeline.TaskAdder, seed string) error {
	want, err := mirror.Tasks(ctx, r.from, func(pipeline.Task) error { return nil })
	if err != nil {
		return err
	}
	r.mine.Tasks = 0
	if r.signed != nil && want != r.signed.Tasks { // so it may be where a run was cut short
		r.named(mirror.FileTasks, "not the Tasks that the node has signed: none was taken over")
		return nil
	}
	var some []pipeline.Task
	add := func() error {
		r.mine.Tasks += len(some)
		_, err := q.AddTasks(ctx, some...)
		some = some[:0]
		return err
	}
	got, err := mirror.Tasks(ctx, r.from, func(t pipeline.Task) error {
		d := hashing.Of([]byte("restored task " + seed + " " + string(t.ID)))
		t.ID = holdfast.ID(hex.EncodeToString(d[:16]))
		if some = append(some, t); len(some) < 1000 {
			return nil
		}
		return add()
	})
	if err == nil && got != want {
		err = errors.New("the mirror's Tasks were changed while they were read")
	}
	if err != nil {
		return err
	}
	if r.signed == nil && r.mark.Whole != nil && r.mine.Tasks+len(some) != r.mark.Tasks {
		r.named(mirror.FileTasks, fmt.Sprintf("%d Tasks, and the mirror was made with %d", r.mine.Tasks+len(some), r.mark.Tasks))
	}
	return add()
}
