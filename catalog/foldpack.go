package catalog

import (
	"context"
	"fmt"
	"io"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// pack takes in the Manifests that lie in one pack, strikes them off missing,
// and returns the places of all its entries. The error is the Writer's.
func (f *folder) pack(k holdfast.Pack, missing map[hashing.Digest]holdfast.Planned) ([]Placed, error) {
	name := f.erased.Pack(k.Name) // not the old one, though a lock may still keep it
	file, err := f.s.OpenName(f.ctx, name)
	if err != nil {
		f.problem(k.Name, err)
		return nil, nil
	}
	defer file.Close()
	placed, err := ReadPack(file, name)
	if err != nil {
		f.problem(k.Name, err)
		return nil, nil
	}
	for _, p := range placed {
		c, ok := missing[p.Digest]
		if !ok {
			continue
		}
		a, err := f.capture(file, p, c, k.Case)
		if err != nil {
			f.problem(k.Name, err)
			continue
		}
		delete(missing, p.Digest)
		f.line(file, placed, &a)
		f.answers(file, placed, &a)
		f.accepted = append(f.accepted, a)
		f.count(a.Kind)
		if f.posts >= 16*batch { // before the end of a Seal that has many
			if err := f.flushAccepted(); err != nil {
				return nil, err
			}
		}
	}
	return placed, nil
}

func (f *folder) count(kind string) {
	if kind == holdfast.KindEvent {
		f.n.Events++
	} else {
		f.n.Captures++
	}
}

func (f *folder) capture(file storage.File, p Placed, c holdfast.Planned, home holdfast.ID) (Accepted, error) {
	b, err := p.Ref.readFrom(file, p.Digest, holdfast.MaxDocument)
	if err != nil {
		return Accepted{}, err
	}
	a, err := Read(c.Position, b)
	if err != nil {
		return a, err
	}
	// The plan is under no signature: who it says the Manifest is must be who
	// the Manifest says it is.
	if a.ID != c.ID || a.Case != home {
		return a, fmt.Errorf("manifest %s is capture %s of case %s, planned as %s of %s: %w", p.Digest, a.ID, a.Case, c.ID, home, holdfast.ErrForm)
	}
	return a, nil
}

// line completes an Event. What is wrong with its line is a Problem of the line
// alone: the Event stays.
func (f *folder) line(file storage.File, placed []Placed, a *Accepted) {
	d, size, ok := a.LineDigest()
	if !ok {
		return
	}
	b, err := f.bytes(file, placed, d, size, holdfast.MaxDocument)
	if err == nil {
		err = a.ReadLine(b)
	}
	if err != nil {
		f.problem("event "+string(a.ID), err)
	}
}

// answers does the same for a capture of posts or of a page.
func (f *folder) answers(file storage.File, placed []Placed, a *Accepted) {
	for i, o := range a.PostsObjects() {
		if f.erased.Has(string(a.ID), o.Digest) {
			continue
		}
		b, err := f.bytes(file, placed, o.Digest, o.Size, MaxAnswerBytes)
		if err == nil {
			err = a.ReadPosts(i, b)
		}
		if err != nil {
			f.problem("capture "+string(a.ID), err)
		}
	}
	if ps := a.PageObjects(); len(ps) > 0 {
		if err := f.page(file, placed, a, ps); err != nil {
			f.problem("capture "+string(a.ID), err)
		}
	}
	f.posts += a.Weight()
}

func (f *folder) page(file storage.File, placed []Placed, a *Accepted, objects []Small) error {
	var bodies [][]byte
	for _, o := range objects {
		if f.erased.Has(string(a.ID), o.Digest) {
			return nil // without one of them nothing is read of the page
		}
		b, err := f.bytes(file, placed, o.Digest, o.Size, MaxPageText)
		if err != nil {
			return err
		}
		bodies = append(bodies, b)
	}
	return a.ReadPage(bodies)
}

// bytes reads an Object of at most limit bytes from the pack or, if it is not
// there, as one of its own.
func (f *folder) bytes(file storage.File, placed []Placed, d hashing.Digest, size, limit int64) ([]byte, error) {
	if ref, ok := find(placed, d); ok {
		return ref.readFrom(file, d, limit)
	}
	return ReadObject(f.ctx, f.s, d, size, limit)
}

// ReadObject reads an Object of the store that is stated to have size bytes, at
// most limit. The caller compares them with d.
func ReadObject(ctx context.Context, s storage.Opener, d hashing.Digest, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, fmt.Errorf("object %s of %d bytes, at most %d are read: %w", d, size, limit, holdfast.ErrForm)
	}
	r, _, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit+1))
}
