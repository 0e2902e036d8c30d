package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
)

// Erasing is the `x` of a custody line `erasing`; docs/bundle.md, section 5.
type Erasing struct {
	Erased []hashing.Digest `json:"erased"`       // sorted
	Of     holdfast.ID      `json:"of,omitempty"` // the Event in another Case that this one repeats
	Order  string           `json:"order"`
}

// ParseErasing reads it.
func ParseErasing(x []byte) (e Erasing, err error) {
	if err = canon.Unmarshal(x, &e); err == nil && (len(e.Erased) == 0 || e.Order == "") {
		err = fmt.Errorf("no object, or no order: %w", holdfast.ErrForm)
	}
	return e, err
}

// tombstones holds each tombstone against the sealed Event that it names: only an order
// that is sealed makes an Object be rightly gone.
func (a *Auditor) tombstones(ctx context.Context) error {
	successors := map[string]bool{}
	err := storage.EachTombstone(ctx, a.Store, func(name string, err error) { a.problem(Changed, name, err) }, func(t *storage.Tombstone) error {
		if t.New != nil {
			successors[t.New.Name] = true
		}
		if storage.TombstoneName(t.Name) <= a.at.After {
			return nil
		}
		a.at.Counts.Tombstones++
		if err := a.tombstone(ctx, t); err != nil {
			if err := a.fault(ctx, storage.TombstoneName(t.Name), err); err != nil {
				return err
			}
		}
		a.done(storage.TombstoneName(t.Name))
		return nil
	})
	if err != nil {
		return err
	}
	return a.strangers(ctx, successors)
}

// strangers tells packs that no plan and no tombstone names.
func (a *Auditor) strangers(ctx context.Context, successors map[string]bool) error {
	for e, err := range a.Store.List(ctx, "cases/") {
		if errors.Is(err, storage.ErrForeign) {
			a.problem(Changed, e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		home, seal, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(e.Name, "cases/"), ".zip"), "/packs/")
		if successors[e.Name] || ok && holdfast.ValidSealID(seal) && e.Name == holdfast.PackName(holdfast.ID(home), seal) && a.planned(ctx, seal) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, event, ok := strings.Cut(strings.TrimSuffix(e.Name, ".zip"), ".erased-"); ok && a.Sealed != nil && a.Sealed(ctx, holdfast.ID(event)) {
			a.at.Counts.Open++ // an erasure that was cut short before its tombstone
			continue
		}
		a.problem(Changed, e.Name, errors.New("no plan and no tombstone names this pack"))
	}
	return nil
}

func (a *Auditor) planned(ctx context.Context, seal string) bool {
	f, err := a.Store.OpenName(ctx, catalog.PlanName(seal))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	f.Close()
	return true
}

func (a *Auditor) tombstone(ctx context.Context, t *storage.Tombstone) error {
	if err := a.Ordered(ctx, t); err != nil {
		return err
	}
	if t.New == nil {
		return nil // an Object may rightly be there: another capture has brought it again
	}
	if err := a.back(ctx, t); err != nil {
		return err
	}
	return a.left(ctx, t)
}

// back looks for a pack that should be gone: its erasure was cut short or waits for a
// lock, and is open; or it is called done, and somebody has brought the pack back.
func (a *Auditor) back(ctx context.Context, t *storage.Tombstone) error {
	f, err := a.Store.OpenName(ctx, t.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.Close()
	if a.Done != nil && a.Done(holdfast.ID(t.Event)) {
		return fmt.Errorf("%s was erased by order and lies there again (`holdfast erase --resume` takes it away): %w", t.Name, errChanged)
	}
	a.at.Counts.Open++
	return nil
}

// Ordered returns nil if the sealed custody line that a tombstone names says that these
// Objects of these captures were to be erased. It needs Store and Judge alone.
func (a *Auditor) Ordered(ctx context.Context, t *storage.Tombstone) error {
	line, err := a.Order(ctx, t)
	if err != nil {
		return err
	}
	x, err := ParseErasing(line.X)
	if err != nil {
		return err
	}
	for _, d := range t.Erased {
		if !slices.Contains(x.Erased, d) {
			return fmt.Errorf("object %s is gone, and line %d of chain %s, which it names, does not say so: %w", d, line.N, line.Chain, errChanged)
		}
	}
	for _, c := range t.Captures {
		if !slices.Contains(line.Objects, c) {
			return fmt.Errorf("an object of capture %s is gone, and line %d of chain %s, which it names, does not say so: %w", c, line.N, line.Chain, errChanged)
		}
	}
	return nil
}

// Order reads the custody line of the Event that a tombstone names, out of its Seal,
// which must be signed at least. It needs Store and Judge alone.
func (a *Auditor) Order(ctx context.Context, t *storage.Tombstone) (*holdfast.Line, error) {
	o, err := a.Judge.State(ctx, t.Seal)
	if err != nil {
		return nil, err
	}
	if o.State != preserve.StateSealed && o.State != preserve.StateSigned {
		return nil, fmt.Errorf("the Seal %s of the order is %s (%s): %w", t.Seal, o.State, o.Reason, errChanged)
	}
	st, err := catalog.Locate(ctx, a.Store, t.Seal)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(st.Members, func(m catalog.Member) bool { return string(m.ID) == t.Event })
	if i < 0 {
		return nil, fmt.Errorf("no Event %s is in the Seal %s: %w", t.Event, t.Seal, errChanged)
	}
	read := func(d hashing.Digest) ([]byte, error) {
		for _, p := range st.Placed {
			if p.Digest == d {
				return p.Ref.Read(ctx, a.Store, d, holdfast.MaxDocument)
			}
		}
		r, size, err := a.Store.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		r.Close()
		return catalog.ReadObject(ctx, a.Store, d, size, holdfast.MaxDocument)
	}
	b, err := read(st.Members[i].Manifest)
	if err != nil {
		return nil, err
	}
	m, err := holdfast.ParseManifest(b)
	if err != nil {
		return nil, err
	}
	if m.Kind != holdfast.KindEvent || string(m.ID) != t.Event || len(m.Objects) != 1 {
		return nil, fmt.Errorf("%s is no Event: %w", t.Event, errChanged)
	}
	if b, err = read(m.Objects[0].Digest); err != nil {
		return nil, err
	}
	l, err := holdfast.ParseLine(b)
	if err == nil && (l.Action != "erasing" || holdfast.EventID(l.Chain, l.N) != m.ID || l.Case != m.Case) {
		err = fmt.Errorf("line %d of chain %s orders no erasure: %w", l.N, l.Chain, errChanged)
	}
	return l, err
}

// left checks that what a tombstone leaves of a pack is all but what was erased. The
// old pack is gone, so what it held is known by its Manifests alone: the phase of the
// seals misses every Object of theirs that is in neither.
func (a *Auditor) left(ctx context.Context, t *storage.Tombstone) error {
	now := a.erased.Pack(t.New.Name)
	f, err := a.Store.OpenName(ctx, now)
	if err != nil {
		return err
	}
	defer f.Close()
	placed, err := catalog.ReadPack(f, now)
	if err != nil {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	for _, p := range placed {
		if slices.Contains(t.Erased, p.Digest) {
			return fmt.Errorf("object %s was erased, and %s still has it: %w", p.Digest, now, errChanged)
		}
	}
	return nil
}
