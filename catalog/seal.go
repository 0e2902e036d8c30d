package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// PlanName is the store's name of a Seal's plan.
func PlanName(seal string) string { return "seals/" + seal + "/plan.json" }

// Locate reads a Seal's plan and the directories of its packs, and returns its
// Members and Placed; the caller adds state, reason and times. The index stage
// does this when it hears of a Seal, and Fold for every Seal, so both state the
// same.
//
// Packs that cannot be read are named in the error, beside what the others
// gave. Without a readable plan there is nothing: Seal is then empty.
func Locate(ctx context.Context, s storage.Reader, seal string) (SealState, error) {
	p, err := readPlan(ctx, s, seal)
	if err != nil {
		return SealState{}, err
	}
	st := members(p)
	var errs []error
	for _, k := range p.Packs {
		placed, err := readPack(ctx, s, k.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		st.Placed = append(st.Placed, placed...)
	}
	return st, errors.Join(errs...)
}

func readPlan(ctx context.Context, s storage.Reader, seal string) (*holdfast.Plan, error) {
	b, err := s.ReadName(ctx, PlanName(seal), holdfast.MaxDocument)
	if err != nil {
		return nil, fmt.Errorf("read plan of seal %s: %w", seal, err)
	}
	p, err := holdfast.ParsePlan(b)
	if err != nil {
		return nil, fmt.Errorf("read plan of seal %s: %w", seal, err)
	}
	if p.Seal != seal {
		return nil, fmt.Errorf("read plan of seal %s: it is that of %s: %w", seal, p.Seal, holdfast.ErrForm)
	}
	return p, nil
}

// queuePlace is the position of a planned capture as messages tell it: partition<<40 |
// position, so that those of several partitions never meet in one number.
func queuePlace(p *holdfast.Plan, c holdfast.Planned) int64 {
	return int64(p.Partition)<<40 | c.Position
}

func members(p *holdfast.Plan) SealState {
	st := SealState{Seal: p.Seal, State: Pending, Members: make([]Member, len(p.Captures))}
	for i, c := range p.Captures {
		st.Members[i] = Member{c.ID, c.Manifest, queuePlace(p, c)}
	}
	return st
}

func readPack(ctx context.Context, s storage.Reader, name string) ([]Placed, error) {
	f, now, err := storage.OpenPack(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("read pack: %w", err)
	}
	defer f.Close()
	return ReadPack(f, now)
}

// find returns the place of d in a pack's sorted directory.
func find(ps []Placed, d hashing.Digest) (Ref, bool) {
	i, ok := slices.BinarySearchFunc(ps, d, func(p Placed, d hashing.Digest) int { return p.Digest.Compare(d) })
	if !ok {
		return Ref{}, false
	}
	return ps[i].Ref, true
}
