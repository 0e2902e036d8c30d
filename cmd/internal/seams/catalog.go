package seams

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/storage"
)

// Indexer is the catalog as the pipeline sees it.
type Indexer struct {
	Catalog interface {
		catalog.Writer
		catalog.Syncer
	}
	Store interface {
		storage.Opener
		storage.Reader
	}
	Log  *slog.Logger
	Told *atomic.Int64 // counts up with each time that the catalog is told something
}

// Accepted tells the catalog, and returns once that is durable.
func (x *Indexer) Accepted(ctx context.Context, items []pipeline.Item) error {
	if err := Accepted(ctx, items, x.Catalog, x.Store, x.Log); err != nil {
		return err
	}
	defer x.Told.Add(1)
	return x.Catalog.Sync(ctx)
}

// maxFacts is how many facts about posts are held at once, or those of one
// capture.
const maxFacts = 1 << 15

// Accepted gives the catalog what messages state. What is wrong with one, or with
// one of its Objects, is told and gone past: one rotten file must not stop what is
// behind it. An error is the catalog's, or ctx's.
func Accepted(ctx context.Context, items []pipeline.Item, to catalog.Writer, store storage.Opener, log *slog.Logger) error {
	batch, facts := make([]catalog.Accepted, 0, len(items)), 0
	for _, it := range items {
		a, err := catalog.Read(int64(it.Place()), it.Manifest)
		if err != nil {
			log.ErrorContext(ctx, "message not indexed", "position", it.Position, "err", err)
			continue
		}
		if d, _, ok := a.LineDigest(); ok {
			for _, s := range it.Small {
				if s.Digest == d {
					err = a.ReadLine(s.Bytes)
				}
			}
			if err != nil {
				log.ErrorContext(ctx, "custody line not indexed", "position", it.Position, "err", err)
			}
		}
		readPosts(ctx, &a, it, store, log)
		readPage(ctx, &a, it, store, log)
		if err := ctx.Err(); err != nil {
			return err
		}
		batch = append(batch, a)
		facts += a.Weight()
		if facts < maxFacts {
			continue
		}
		if err := to.Accepted(ctx, batch); err != nil {
			return err
		}
		batch, facts = batch[:0], 0
	}
	return to.Accepted(ctx, batch)
}

// readPosts reads the Objects of role posts, where they ride in the message or lie
// in the store.
func readPosts(ctx context.Context, a *catalog.Accepted, it pipeline.Item, store storage.Opener, log *slog.Logger) {
	for i, o := range a.PostsObjects() {
		b, err := itemBytes(ctx, it, store, o, catalog.MaxAnswerBytes)
		if err == nil {
			err = a.ReadPosts(i, b)
		}
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "posts not indexed; `holdfast rebuild` looks again", "capture", a.ID, "err", err)
		}
	}
}

// readPage does the same for what can be read on a page.
func readPage(ctx context.Context, a *catalog.Accepted, it pipeline.Item, store storage.Opener, log *slog.Logger) {
	var bodies [][]byte
	for _, o := range a.PageObjects() {
		b, err := itemBytes(ctx, it, store, o, catalog.MaxPageText)
		if err != nil {
			if ctx.Err() == nil {
				log.WarnContext(ctx, "the text of a page is not searched", "capture", a.ID, "err", err)
			}
			return
		}
		bodies = append(bodies, b)
	}
	if len(bodies) == 0 {
		return
	}
	if err := a.ReadPage(bodies); err != nil {
		log.ErrorContext(ctx, "the text of a page is not searched; `holdfast rebuild` looks again", "capture", a.ID, "err", err)
	}
}

func itemBytes(ctx context.Context, it pipeline.Item, store storage.Opener, o catalog.Small, limit int64) ([]byte, error) {
	for _, s := range it.Small {
		if s.Digest == o.Digest {
			return s.Bytes, nil
		}
	}
	return catalog.ReadObject(ctx, store, o.Digest, o.Size, limit)
}

// Sealed tells it of what was sealed. A plan or a pack that cannot be read stops nothing: it
// is looked for again by [Place].
func (x *Indexer) Sealed(ctx context.Context, results []pipeline.Outcome) error {
	batch := make([]catalog.SealState, 0, len(results))
	for _, o := range results {
		st, err := catalog.Locate(ctx, x.Store, o.Seal)
		switch {
		case err == nil:
		case st.Seal != "":
			x.Log.ErrorContext(ctx, "pack not indexed", "seal", o.Seal, "err", err)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, storage.ErrForeign), errors.Is(err, holdfast.ErrForm), errors.Is(err, holdfast.ErrNewer):
			// Which captures it holds is not known, so they are shown as less than
			// sealed. The results behind this one must not wait for the plan.
			x.Log.ErrorContext(ctx, "plan not indexed: its captures are shown as pending until the plan is put back from a mirror", "seal", o.Seal, "err", err)
			st.Seal = o.Seal // and who opens the node next looks again
		default:
			return err
		}
		st.Partial = err != nil
		st.State, st.Reason, st.At = o.State, o.Reason, time.Now()
		if o.T != nil {
			st.T = o.T.Time
		}
		batch = append(batch, st)
	}
	if err := x.Catalog.Sealed(ctx, batch); err != nil {
		return err
	}
	defer x.Told.Add(1)
	return x.Catalog.Sync(ctx)
}

// placeAtOnce bounds how many Seals one start looks for again.
const placeAtOnce = 256

// Place looks again for the plans and packs that could not be read when their
// Seals were indexed. What a Seal's state is was told then; this adds of what.
func Place(ctx context.Context, cat Unplaced, store storage.Reader, log *slog.Logger) error {
	seals, err := cat.Unplaced(ctx, placeAtOnce)
	if err != nil || len(seals) == 0 {
		return err
	}
	var batch []catalog.SealState
	for _, seal := range seals {
		st, err := catalog.Locate(ctx, store, seal)
		if err != nil {
			log.ErrorContext(ctx, "seal not indexed whole: put its plan and packs back from a mirror", "seal", seal, "err", err)
		}
		if st.Partial = err != nil; st.Seal != "" {
			batch = append(batch, st) // pending, at no time: it changes no state that is known
		}
	}
	return cat.Sealed(ctx, batch)
}

// Unplaced is a catalog that knows of which Seals it lacks plan or packs.
type Unplaced interface {
	catalog.Unplaced
	Sealed(ctx context.Context, batch []catalog.SealState) error
}
