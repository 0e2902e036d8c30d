package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/web"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/storage"
)

// The rooms on floor 3 do not know each other; here one's words become the
// other's.

type certificate = x509.Certificate

// planner and carrier are preserve as the pipeline sees it.
type planner struct {
	*preserve.Sealer
	store preserve.Store
}

func (p *planner) Plan(ctx context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	return p.Sealer.Plan(ctx, preserve.Batch{Queue: b.Queue, Partition: b.Partition, First: b.First, Last: b.Last, Items: items(b), Skipped: b.Skipped})
}

func (p *planner) Newest(ctx context.Context, queue string, partition int, near int64, count int) ([]*holdfast.Plan, error) {
	return preserve.Newest(ctx, p.store, queue, partition, near, count)
}

func (p *planner) Unfinished(ctx context.Context, queue string, partition int) ([]*holdfast.Plan, error) {
	return preserve.Unfinished(ctx, p.store, queue, partition)
}

type carrier struct{ sealer *preserve.Sealer }

func (c *carrier) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	o, err := c.sealer.Carry(ctx, p, items(b))
	if errors.Is(err, preserve.ErrItems) {
		err = fmt.Errorf("%w: %w", pipeline.ErrItems, err)
	}
	if err != nil || o.Seal == "" {
		return pipeline.Outcome{}, err
	}
	return outcome(o), nil
}

func items(b pipeline.Batch) []preserve.Item {
	out := make([]preserve.Item, len(b.Items))
	for i, it := range b.Items {
		out[i] = preserve.Item{Position: it.Position, ID: it.ID, Case: it.Case, Manifest: it.Manifest, Small: make([]preserve.Small, len(it.Small))}
		for j, s := range it.Small {
			out[i].Small[j] = preserve.Small(s)
		}
	}
	return out
}

func outcome(o preserve.Outcome) pipeline.Outcome {
	p := pipeline.Outcome{Captures: o.Captures, Reason: o.Reason, Seal: o.Seal, State: o.State}
	if o.State == preserve.StateSealed {
		p.T = &o.T
	}
	return p
}

// indexer is the catalog as the pipeline sees it.
type indexer struct {
	cat interface {
		catalog.Writer
		catalog.Syncer
	}
	store interface {
		storage.Opener
		storage.Reader
	}
	log  *slog.Logger
	told *atomic.Int64 // counts up with each
}

func (x *indexer) Accepted(ctx context.Context, items []pipeline.Item) error {
	if err := accepted(ctx, items, x.cat, x.store, x.log); err != nil {
		return err
	}
	defer x.told.Add(1)
	return x.cat.Sync(ctx)
}

// maxFacts is how many facts about posts are held at once, or those of one
// capture.
const maxFacts = 1 << 15

// accepted gives the catalog what messages state. What is wrong with one, or with
// one of its Objects, is told and gone past: one rotten file must not stop what is
// behind it. An error is the catalog's, or ctx's.
func accepted(ctx context.Context, items []pipeline.Item, to catalog.Writer, store storage.Opener, log *slog.Logger) error {
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

func (x *indexer) Sealed(ctx context.Context, results []pipeline.Outcome) error {
	batch := make([]catalog.SealState, 0, len(results))
	for _, o := range results {
		st, err := catalog.Locate(ctx, x.store, o.Seal)
		switch {
		case err == nil:
		case st.Seal != "":
			x.log.ErrorContext(ctx, "pack not indexed", "seal", o.Seal, "err", err)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, storage.ErrForeign), errors.Is(err, holdfast.ErrForm), errors.Is(err, holdfast.ErrNewer):
			// Which captures it holds is not known, so they are shown as less than
			// sealed. The results behind this one must not wait for the plan.
			x.log.ErrorContext(ctx, "plan not indexed: its captures are shown as pending until the plan is put back from a mirror", "seal", o.Seal, "err", err)
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
	if err := x.cat.Sealed(ctx, batch); err != nil {
		return err
	}
	defer x.told.Add(1)
	return x.cat.Sync(ctx)
}

// placeAtOnce bounds how many Seals one start looks for again.
const placeAtOnce = 256

// place looks again for the plans and packs that could not be read when their
// Seals were indexed. What a Seal's state is was told then; this adds of what.
func (n *node) place(ctx context.Context) error {
	seals, err := n.cat.Unplaced(ctx, placeAtOnce)
	if err != nil || len(seals) == 0 {
		return err
	}
	var batch []catalog.SealState
	for _, seal := range seals {
		st, err := catalog.Locate(ctx, n.store, seal)
		if err != nil {
			n.log.ErrorContext(ctx, "seal not indexed whole: put its plan and packs back from a mirror", "seal", seal, "err", err)
		}
		if st.Partial = err != nil; st.Seal != "" {
			batch = append(batch, st) // pending, at no time: it changes no state that is known
		}
	}
	return n.cat.Sealed(ctx, batch)
}

// judge is preserve's judge as the catalog's fold sees it.
type judge struct{ j *preserve.Judge }

func (j judge) State(ctx context.Context, seal string) (catalog.Judgement, error) {
	o, err := j.j.State(ctx, seal)
	if err != nil {
		return catalog.Judgement{}, err
	}
	return catalog.Judgement{State: o.State, Reason: o.Reason, T: o.T.Time}, nil
}

func (n *node) normalisers() map[string]pipeline.Normaliser {
	w := &webNormaliser{n.store, n.publicSite, n.log}
	return map[string]pipeline.Normaliser{"http": w, "https": w}
}

// webNormaliser opens a capture's Objects, small or large, for collectors/web, and
// reads the public pages of Telegram.
type webNormaliser struct {
	store storage.Opener
	site  func() (publicSite, error)
	log   *slog.Logger
}

func (w *webNormaliser) Normalise(ctx context.Context, c *pipeline.Captured) (*pipeline.Derived, error) {
	open := func(name string) (io.ReadCloser, error) {
		if b, ok := c.Inline[name]; ok {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		o := c.Manifest.Object(name)
		if o == nil {
			return nil, fs.ErrNotExist
		}
		r, _, err := w.store.Open(ctx, o.Digest)
		return r, err
	}
	page, inputs, err := web.Normaliser{}.Normalise(ctx, address(&c.Manifest), open)
	if err != nil {
		return nil, err
	}
	d := &pipeline.Derived{}
	if page != nil { // else nothing was rendered: there is no page
		d.Objects = []pipeline.DerivedObject{{Name: "page.json", Role: "page", Type: "application/json", Bytes: page}}
		d.Transformations = []holdfast.Transformation{{Output: "page.json", Inputs: inputs, Action: "normalise", Tool: "holdfast " + version}}
	}
	posts, err := w.posts(c, open, pipeline.MaxInline-len(page))
	if err != nil {
		w.log.WarnContext(ctx, "no posts were read of a public page of Telegram", "capture", c.Manifest.ID, "err", err)
	}
	if posts != nil {
		d.Objects = append(d.Objects, posts.Objects...)
		d.Transformations = append(d.Transformations, posts.Transformations...)
	}
	return d, nil
}

// address is where the page was found, against which links are resolved.
func address(m *holdfast.Manifest) string {
	if m.Web != nil && m.Web.Final != "" {
		return string(m.Web.Final)
	}
	return string(m.Source)
}
