package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// batch is how many captures Fold hands to the Writer at once; so many facts,
// and one Seal's places, are what it holds in memory.
const batch = 2048

// Fold walks the store and gives the Writer every fact in it: each plan, the
// places in its packs, each Manifest and custody line, each Seal's state by
// judge. What cannot be read is a [Problem], and the walk goes on behind it; the
// error is non-nil only if the store cannot be listed, w fails, or ctx ends.
//
// What was erased by order is no Problem: the rest of a pack is read where its
// tombstone says that it lies.
//
// It only reads the store, so a crash leaves nothing there; what w took so far
// is true, and the next Fold gives it again. Seals that are planned meanwhile may
// be missed: the queue still holds them or what is said of them.
//
// Bytes are compared with their Digests as far as they are read: Manifests and
// custody lines are, other small Objects are not; auditing those is another task.
func Fold(ctx context.Context, s Store, w Writer, judge Judge, o Options) (Folded, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	f := folder{ctx: ctx, s: s, w: w, judge: judge, o: o}
	var err error
	if f.erased, err = storage.LoadTombstones(ctx, s, f.problem); err != nil {
		return f.n, fmt.Errorf("fold store: %w", err)
	}
	if err := f.seals(); err != nil {
		return f.n, fmt.Errorf("fold store: %w", err)
	}
	if err := f.orphans(); err != nil {
		return f.n, fmt.Errorf("fold store: %w", err)
	}
	return f.n, nil
}

type folder struct {
	ctx      context.Context
	s        Store
	w        Writer
	judge    Judge
	o        Options
	n        Folded
	accepted []Accepted
	sealed   []SealState
	placed   int
	posts    int
	erased   *storage.Tombstones
}

func (f *folder) problem(name string, err error) {
	f.n.Problems++
	if f.o.Problem != nil {
		f.o.Problem(Problem{name, err})
	}
}

// seals takes in every folder under seals/. A name yields its Seal once: the
// list is sorted, so a folder's names lie together.
func (f *folder) seals() error {
	last := ""
	for e, err := range f.s.List(f.ctx, "seals/") {
		if errors.Is(err, storage.ErrForeign) {
			f.problem(e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		seal, _, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if seal == last {
			continue
		}
		last = seal
		if err := f.seal(seal); err != nil {
			return err
		}
	}
	return f.flush()
}

// seal reads one Seal; only the error of the Writer, or of ctx, is returned.
func (f *folder) seal(seal string) error {
	if !holdfast.ValidSealID(seal) {
		f.problem("seals/"+seal, fmt.Errorf("not a seal id: %w", storage.ErrForeign))
		return nil
	}
	p, err := readPlan(f.ctx, f.s, seal)
	if err != nil {
		f.problem(PlanName(seal), err)
		return f.ctx.Err()
	}
	st := members(p)
	missing := make(map[hashing.Digest]holdfast.Planned, len(p.Captures))
	for _, c := range p.Captures {
		c.Position = queuePlace(p, c)
		missing[c.Manifest] = c
	}
	for _, k := range p.Packs {
		placed, err := f.pack(k, missing)
		if err != nil {
			return err
		}
		st.Placed = append(st.Placed, placed...)
	}
	for _, c := range p.Captures {
		if _, ok := missing[c.Manifest]; ok {
			f.problem(PlanName(seal), fmt.Errorf("manifest %s of capture %s is in no readable pack", c.Manifest, c.ID))
		}
	}
	f.judged(&st)
	f.n.Seals++
	f.sealed, f.placed = append(f.sealed, st), f.placed+len(st.Placed)
	if len(f.accepted) < batch && f.placed < 16*batch && len(f.sealed) < batch {
		return f.ctx.Err()
	}
	return f.flush()
}

func (f *folder) judged(st *SealState) {
	st.At = f.o.Now()
	j, err := f.judge.State(f.ctx, st.Seal)
	if err != nil {
		// Fails closed: what nobody could look at is shown as the least.
		f.problem("seals/"+st.Seal, fmt.Errorf("judge seal: %w", err))
		j = Judgement{State: Pending, Reason: fmt.Sprintf("the seal could not be judged: %v", err)}
	}
	st.State, st.Reason, st.T = j.State, j.Reason, j.T
}

// flush hands over what was gathered.
func (f *folder) flush() error {
	if err := f.flushAccepted(); err != nil {
		return err
	}
	if err := f.w.Sealed(f.ctx, f.sealed); err != nil {
		return err
	}
	f.sealed, f.placed = f.sealed[:0], 0
	return nil
}

func (f *folder) flushAccepted() error {
	if err := f.w.Accepted(f.ctx, f.accepted); err != nil {
		return err
	}
	clear(f.accepted) // frees what was read of posts
	f.accepted, f.posts = f.accepted[:0], 0
	return nil
}

// orphans reports packs that no plan accounts for: a plan comes before its
// packs, so such a one has lost its plan, or no holdfast has put it there.
func (f *folder) orphans() error {
	for e, err := range f.s.List(f.ctx, "cases/") {
		if errors.Is(err, storage.ErrForeign) {
			f.problem(e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		if err := f.orphan(e.Name); err != nil {
			f.problem(e.Name, err)
		}
	}
	return f.ctx.Err()
}

func (f *folder) orphan(name string) error {
	home, seal, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "cases/"), ".zip"), "/packs/")
	if f.erased.Successor(name) {
		return nil
	}
	if !ok || !holdfast.ValidSealID(seal) || name != holdfast.PackName(holdfast.ID(home), seal) {
		return fmt.Errorf("not the name of a pack: %w", storage.ErrForeign)
	}
	p, err := f.s.OpenName(f.ctx, PlanName(seal))
	if err != nil {
		return fmt.Errorf("pack without a plan: %w", err)
	}
	return p.Close()
}
