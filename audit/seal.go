package audit

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
)

// seal reads one Seal; inOrder: it follows the one that was read before.
func (a *Auditor) seal(ctx context.Context, seal string, inOrder bool) error {
	name := catalog.PlanName(seal)
	if !holdfast.ValidSealID(seal) {
		a.problem(Changed, "seals/"+seal, errors.New("no Seal has such a name"))
		return nil
	}
	a.at.Counts.Seals++
	b, err := a.Store.ReadName(ctx, name, holdfast.MaxDocument)
	var p *holdfast.Plan
	if err == nil {
		p, err = holdfast.ParsePlan(b)
	}
	if err == nil && p.Seal != seal {
		err = fmt.Errorf("it is the plan of %s: %w", p.Seal, errChanged)
	}
	if err != nil {
		return a.fault(ctx, name, err)
	}
	if inOrder {
		a.follows(p)
	}
	o, err := a.Judge.State(ctx, seal)
	if err != nil {
		return a.fault(ctx, "seals/"+seal, err)
	}
	if o.State == preserve.StatePending && !strings.HasPrefix(o.Reason, preserve.ReasonContradicted) && time.Since(p.Planned.Time) < settled {
		a.at.Counts.Open++ // its packs may be on their way
		return nil
	}
	a.judged(ctx, p, o)
	return a.packs(ctx, p)
}

// follows looks for a gap among the plans of a queue's partition.
func (a *Auditor) follows(p *holdfast.Plan) {
	line := fmt.Sprintf("%s-%d", p.Queue, p.Partition)
	want := int64(1)
	if a.at.Plan == line {
		want = a.at.Last + 1
	}
	if p.First != want {
		a.problem(Missing, "seals/"+p.Seal, fmt.Errorf("no plan has the positions %d to %d of queue %s, partition %d: a Seal is gone", want, p.First-1, p.Queue, p.Partition))
	}
	a.at.Plan, a.at.Last = line, p.Last
}

// judged tells a Seal that has lost something from one that never had it.
func (a *Auditor) judged(ctx context.Context, p *holdfast.Plan, o preserve.Outcome) {
	name := "seals/" + p.Seal
	switch {
	case len(p.Captures) == 0: // a plan that skips only needs no Seal
	case o.State == preserve.StateSealed:
	case o.State == preserve.StatePending && strings.HasPrefix(o.Reason, preserve.ReasonContradicted):
		a.problem(Changed, name, errors.New(o.Reason))
	case a.Sealed != nil && a.Sealed(ctx, p.Captures[0].ID):
		a.problem(Missing, name, fmt.Errorf("it was sealed, and is %s now: %s", o.State, o.Reason))
	case o.State == preserve.StatePending:
		a.problem(Missing, name, fmt.Errorf("planned %s and never finished: %s", p.Planned, o.Reason))
	default:
		a.at.Counts.Open++
	}
}

// packs reads a Seal's packs, and looks for each Object that its Manifests name.
func (a *Auditor) packs(ctx context.Context, p *holdfast.Plan) error {
	planned := make(map[hashing.Digest]holdfast.ID, len(p.Captures))
	for _, c := range p.Captures {
		planned[c.Manifest] = c.ID
	}
	for _, k := range p.Packs {
		if err := a.pack(ctx, k, planned); err != nil {
			return err
		}
	}
	for d, id := range planned {
		a.problem(Missing, catalog.PlanName(p.Seal), fmt.Errorf("manifest %s of capture %s is in no pack", d, id))
	}
	return nil
}

func (a *Auditor) pack(ctx context.Context, k holdfast.Pack, planned map[hashing.Digest]holdfast.ID) error {
	name, want, err := a.packNow(ctx, k)
	if err != nil {
		return a.fault(ctx, k.Name, err)
	}
	f, err := a.Store.OpenName(ctx, name)
	if err != nil {
		return a.fault(ctx, name, err)
	}
	defer f.Close()
	a.at.Counts.Packs++
	placed, err := catalog.ReadPack(f, name)
	if errors.Is(err, catalog.ErrPack) {
		a.problem(Changed, name, err)
		return nil
	}
	if err != nil {
		return a.fault(ctx, name, err)
	}
	if err := a.entries(ctx, f, placed, want); err != nil {
		return a.fault(ctx, name, err)
	}
	for _, e := range placed {
		id, ok := planned[e.Digest]
		if !ok {
			continue
		}
		delete(planned, e.Digest)
		if err := a.manifest(ctx, f, placed, e, id); err != nil {
			return err
		}
	}
	return nil
}

// packNow is where a pack lies now, and which Digest it must have.
func (a *Auditor) packNow(ctx context.Context, k holdfast.Pack) (string, hashing.Digest, error) {
	if a.erased.Pack(k.Name) == k.Name {
		return k.Name, k.Digest, nil
	}
	name, want := k.Name, k.Digest
	for {
		t, err := storage.ReadTombstone(ctx, a.Store, name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, want, nil
		}
		if err == nil && t.Digest != want {
			err = fmt.Errorf("its tombstone is of a pack %s, sealed or left was %s: %w", t.Digest, want, errChanged)
		}
		if err != nil {
			return name, want, err
		}
		name, want = t.New.Name, t.New.Digest
	}
}

// entries hashes a pack once, from its begin to its end: the whole, and each entry.
func (a *Auditor) entries(ctx context.Context, f storage.File, placed []catalog.Placed, want hashing.Digest) error {
	all := hashing.NewWriter(io.Discard)
	r := io.TeeReader(bufio.NewReaderSize(interruptible{ctx, io.NewSectionReader(f, 0, f.Size())}, 256<<10), all)
	order := slices.Clone(placed)
	slices.SortFunc(order, func(x, y catalog.Placed) int { return cmp.Compare(x.Ref.Offset, y.Ref.Offset) })
	at := int64(0)
	var bad error
	for _, e := range order {
		if _, err := io.CopyN(io.Discard, r, e.Ref.Offset-at); err != nil {
			return err
		}
		got, n, err := hashing.Copy(io.Discard, io.LimitReader(r, e.Ref.Size))
		if err != nil {
			return err
		}
		if got != e.Digest && bad == nil {
			bad = fmt.Errorf("entry %s has the bytes of %s: %w", e.Digest.Hex(), got, hashing.ErrMismatch)
		}
		at = e.Ref.Offset + n
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	a.at.Counts.Bytes += f.Size()
	if bad == nil && all.Digest() != want {
		bad = fmt.Errorf("it is %s, sealed was %s: %w", all.Digest(), want, hashing.ErrMismatch)
	}
	return bad
}

// manifest looks for the Objects of one capture. Those in the pack were hashed with it,
// those in the store are hashed by the phase that is for them; here a missing one is
// missed.
func (a *Auditor) manifest(ctx context.Context, f storage.File, placed []catalog.Placed, e catalog.Placed, id holdfast.ID) error {
	b := make([]byte, min(e.Ref.Size, holdfast.MaxDocument))
	if _, err := f.ReadAt(b, e.Ref.Offset); err != nil && err != io.EOF {
		return a.fault(ctx, e.Ref.Name, err)
	}
	if hashing.Of(b) != e.Digest {
		return nil // told of the entry
	}
	m, err := holdfast.ParseManifest(b)
	if err == nil && m.ID != id {
		err = fmt.Errorf("manifest %s is of capture %s, planned %s: %w", e.Digest, m.ID, id, errChanged)
	}
	if err != nil {
		if errors.Is(err, holdfast.ErrNewer) {
			return nil
		}
		return a.fault(ctx, e.Ref.Name, err)
	}
	for _, o := range m.Objects {
		if err := a.named(ctx, placed, m, o); err != nil {
			return err
		}
	}
	return nil
}

func (a *Auditor) named(ctx context.Context, placed []catalog.Placed, m *holdfast.Manifest, o holdfast.Object) error {
	_, here := slices.BinarySearchFunc(placed, o.Digest, func(p catalog.Placed, d hashing.Digest) int { return p.Digest.Compare(d) })
	if here || a.erased.Has(string(m.ID), o.Digest) { // the tombstone is held against its Event in its own phase
		return nil
	}
	has, err := a.Store.Has(ctx, o.Digest)
	if err != nil {
		return a.fault(ctx, storage.ObjectName(o.Digest), err)
	}
	if !has {
		a.problem(Missing, storage.ObjectName(o.Digest), fmt.Errorf("object %s of capture %s is neither in a pack nor in the store", o.Name, m.ID))
	}
	return nil
}
