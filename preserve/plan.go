package preserve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// Plan fixes a batch: it creates the plan if there is none and returns the one
// that stands, durable. That may be another one, of another length, when the
// batch was begun before; it is what must be carried out, up to its own Last.
// A second item with the same ID or the same Manifest is skipped as a
// duplicate. Plans of one partition are made in order; Carry need not be.
func (s *Sealer) Plan(ctx context.Context, b Batch) (*holdfast.Plan, error) {
	p, err := s.plan(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("plan batch %s: %w", holdfast.SealID(b.Queue, b.Partition, b.First), err)
	}
	return p, nil
}

func (s *Sealer) plan(ctx context.Context, b Batch) (*holdfast.Plan, error) {
	found, err := s.Find(ctx, b.Queue, b.Partition, b.First)
	if err != nil || found != nil {
		return found, err
	}
	p, packs, err := s.draw(b)
	if err != nil {
		return nil, err
	}
	raw, err := p.Encode()
	if err != nil {
		return nil, err
	}
	items := []storage.Item{{Name: partName(p.Seal, partPlan), Data: raw}}
	if token := s.o.Quorum.older(); token != nil { // in one go: it saves a wait for the disk
		items = append(items, storage.Item{Name: partName(p.Seal, partNotBefore), Data: token.Raw})
	}
	taken, err := s.o.Store.CreateAll(ctx, items...)
	if err != nil {
		return nil, err
	}
	if slices.Contains(taken, items[0].Name) { // somebody was faster
		return readPlan(ctx, s.o.Store, p.Seal)
	}
	s.drawn.keep(p, packs)
	return p, nil
}

// drawn holds the packs of plans that this process has just made, so that Carry
// need not sort and hash them again. Losing one costs that time and no more.
type drawn struct {
	mu    sync.Mutex
	packs map[*holdfast.Plan][]pack
}

// maxDrawn bounds what is held for plans that nobody carries out.
const maxDrawn = 8

func (d *drawn) keep(p *holdfast.Plan, packs []pack) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.packs == nil || len(d.packs) >= maxDrawn {
		d.packs = make(map[*holdfast.Plan][]pack)
	}
	d.packs[p] = packs
}

func (d *drawn) take(p *holdfast.Plan) []pack {
	d.mu.Lock()
	defer d.mu.Unlock()
	packs := d.packs[p]
	delete(d.packs, p)
	return packs
}

// draw makes a plan from a batch.
func (s *Sealer) draw(b Batch) (*holdfast.Plan, []pack, error) {
	p := &holdfast.Plan{
		Captures: make([]holdfast.Planned, 0, len(b.Items)),
		First:    b.First, Last: b.Last, Queue: b.Queue, Partition: b.Partition,
		Planned: holdfast.At(time.Now()), Seal: holdfast.SealID(b.Queue, b.Partition, b.First),
		Training: s.o.Training,
	}
	items := s.unique(p, b.Items)
	p.Skipped = mergeSkipped(p.Skipped, b.Skipped)
	packs, err := packsOf(items)
	if err != nil {
		return nil, nil, err
	}
	for i := range packs {
		d, err := packs[i].digest()
		if err != nil {
			return nil, nil, err
		}
		p.Packs = append(p.Packs, holdfast.Pack{Case: packs[i].home, Digest: d, Name: holdfast.PackName(packs[i].home, p.Seal)})
	}
	return p, packs, nil
}

// unique fills p.Captures, and p.Skipped with what occurs twice.
func (s *Sealer) unique(p *holdfast.Plan, items []Item) []item {
	kept := make([]item, 0, len(items))
	ids, manifests := make(map[holdfast.ID]bool, len(items)), make(map[hashing.Digest]bool, len(items))
	for _, it := range items {
		d := hashing.Of(it.Manifest)
		if ids[it.ID] || manifests[d] {
			p.Skipped = append(p.Skipped, holdfast.Skipped{ID: it.ID, Position: it.Position, Reason: "duplicate"})
			continue
		}
		ids[it.ID], manifests[d] = true, true
		kept = append(kept, item{it, d})
		p.Captures = append(p.Captures, holdfast.Planned{ID: it.ID, Manifest: d, Position: it.Position})
	}
	return kept
}

// mergeSkipped keeps the order of positions, so that equal batches give equal
// plans.
func mergeSkipped(a, b []holdfast.Skipped) []holdfast.Skipped {
	out := make([]holdfast.Skipped, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Position < b[0].Position {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// choose returns the items of a plan, in its order.
func choose(p *holdfast.Plan, items []Item) ([]item, error) {
	at := make(map[int64]int, len(items))
	for i := range items {
		at[items[i].Position] = i
	}
	chosen := make([]item, len(p.Captures))
	for i, c := range p.Captures {
		k, ok := at[c.Position]
		if !ok {
			return nil, fmt.Errorf("capture %s at position %d was not given: %w", c.ID, c.Position, ErrItems)
		}
		it := item{items[k], hashing.Of(items[k].Manifest)}
		if it.ID != c.ID || it.manifest != c.Manifest {
			return nil, fmt.Errorf("position %d holds capture %s, planned is %s with manifest %s: %w", c.Position, it.ID, c.ID, c.Manifest, ErrPlan)
		}
		chosen[i] = it
	}
	return chosen, nil
}

// Unfinished returns the plans of a partition that have captures and whose Seals have no
// proof of inclusion, oldest first. It lists the names of all the partition's Seals.
func Unfinished(ctx context.Context, store PartReader, queue string, partition int) ([]*holdfast.Plan, error) {
	prefix := fmt.Sprintf("seals/%s-%d-", queue, partition)
	var plans []*holdfast.Plan
	names, of := make(map[string]bool), ""
	last := func() error {
		if !names[partPlan] || included(names) {
			return nil
		}
		p, err := readPlan(ctx, store, of)
		if err == nil && len(p.Captures) > 0 {
			plans = append(plans, p)
		}
		return err
	}
	for e, err := range store.List(ctx, prefix) { // sorted, so what is of one Seal comes together
		if err != nil {
			return nil, fmt.Errorf("list seals of queue %s: %w", queue, err)
		}
		seal, part, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if seal != of {
			if err := last(); err != nil {
				return nil, err
			}
			clear(names)
			of = seal
		}
		names[part] = true
	}
	return plans, last()
}

// Included reports whether a Seal has its place in a log; one that there is not has none.
func Included(ctx context.Context, store PartReader, seal string) (bool, error) {
	names, err := partNames(ctx, store, seal)
	return included(names), err
}

// included reports whether the parts of a Seal have its place in a log.
func included(names map[string]bool) bool {
	for part := range names {
		if strings.HasPrefix(part, "inclusion/") && wanted(part, names) {
			return true
		}
	}
	return false
}

// Newest returns the plans of a partition, newest first, until count of them
// and all of the last hour are there. The hour is
// that before now or before the newest plan, whichever begins earlier: nothing was
// planned while the stage stood still, and a clock may have jumped since.
//
// It lists the names of all Seals after the position near, and before it of as many as
// it needs: so a partition of a million Seals begins as quickly as a young one. Any near
// gives the same answer.
func Newest(ctx context.Context, store PlanReader, queue string, partition int, near int64, count int) ([]*holdfast.Plan, error) {
	w := &newestPlans{ctx: ctx, store: store, queue: queue, partition: partition, count: count, from: time.Now()}
	for back, above := int64(count+1)*1024, ""; ; back *= 4 {
		low := ""
		if near > back {
			low = holdfast.SealID(queue, partition, near-back)
		}
		whole, err := w.between(low, above)
		if whole || err != nil || low == "" {
			return w.plans, err
		}
		above = low
	}
}

type newestPlans struct {
	ctx       context.Context
	store     PlanReader
	queue     string
	partition int
	count     int
	plans     []*holdfast.Plan
	from      time.Time // the end of the hour
}

// between takes in the plans of the Seals from low on and below above ("" is no bound),
// newest first, and reports whether those are all that were asked for.
func (w *newestPlans) between(low, above string) (whole bool, err error) {
	prefix, after := fmt.Sprintf("seals/%s-%d-", w.queue, w.partition), ""
	if low != "" {
		after = "seals/" + low // its parts come after that
	}
	var seals []string // sorted, because ListAfter is
	for e, err := range w.store.ListAfter(w.ctx, prefix, after) {
		if err != nil {
			return false, fmt.Errorf("list plans of queue %s: %w", w.queue, err)
		}
		seal, part, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if above != "" && seal >= above {
			break
		}
		if part == partPlan {
			seals = append(seals, seal)
		}
	}
	for _, seal := range slices.Backward(seals) {
		if whole, err = w.take(seal); whole || err != nil {
			return whole, err
		}
	}
	return false, nil
}

// take reports whether a plan, and so what is before it, is no longer asked for.
func (w *newestPlans) take(seal string) (whole bool, err error) {
	p, err := readPlan(w.ctx, w.store, seal)
	if err != nil {
		return false, err
	}
	if len(w.plans) == 0 && p.Planned.Before(w.from) {
		w.from = p.Planned.Time
	}
	if len(w.plans) >= w.count && p.Planned.Before(w.from.Add(-time.Hour)) {
		return true, nil
	}
	w.plans = append(w.plans, p)
	return false, nil
}
