package restore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/plans"
)

// restored is what the plans of a restored store hold, those alone that can be
// carried out.
type restored struct {
	planned map[holdfast.ID]bool
	parts   []restoredPart // of the old queue
}

type restoredPart struct {
	mirror.Part
	first   int64 // smallest position that is looked at
	covered int64 // positions from there to its end that plans hold
	newest  bool  // the plan is there that the mirror knew as the newest
}

// open is how many positions no plan holds.
func (p restoredPart) open() int64 { return p.End - p.first + 1 - p.covered }

func (r *Restore) plans(ctx context.Context) (s restored, err error) {
	q := r.mark.Queue
	dead, err := plans.Dead(ctx, r.store)
	if err != nil {
		return s, err
	}
	s = restored{planned: map[holdfast.ID]bool{}}
	for _, is := range q.Parts() {
		p := restoredPart{Part: is, first: max(is.Planned, 0) + 1, newest: is.Seal == ""}
		if _, first := plans.Of(is.Seal, q.Name); first > 0 {
			p.first = min(p.first, first)
		}
		s.parts = append(s.parts, p)
	}
	return s, plans.Each(ctx, r.store, func(p *holdfast.Plan) error {
		ours := p.Queue == q.Name && p.Partition < len(s.parts)
		if ours {
			s.parts[p.Partition].newest = s.parts[p.Partition].newest || p.Seal == s.parts[p.Partition].Seal
		}
		if dead[p.Seal] {
			return nil
		}
		for _, c := range p.Captures {
			s.planned[c.ID] = true
		}
		if ours {
			is := &s.parts[p.Partition]
			is.first = min(is.first, p.First)
			is.covered += max(0, min(p.Last, is.End)-p.First+1)
		}
		return nil
	})
}

// losses counts what was accepted and is in no plan of the store: by the
// positions of the old queue, less the custody lines, which Recover publishes
// again because no mark is of the new queue; or by what the custody names, if
// that is more. Lines that came after the queue was asked make the first too small,
// captures that no line named yet the second: so it is "at least". Of a queue that
// several nodes shared the first says nothing of captures, since it counts the lines
// of all of them: there it is told beside the second.
func (r *Restore) losses(ctx context.Context) error {
	if r.mine.Same {
		r.mine.Lost, r.mine.Open = 0, 0 // the queue is there, and has it
		return nil
	}
	s, err := r.plans(ctx)
	if err != nil {
		return err
	}
	if err := r.whole(ctx, s.parts); err != nil {
		return err
	}
	names, err := fs.Glob(os.DirFS(r.path("outbox")), "*.jsonl")
	if err != nil {
		return err
	}
	lines, lost, open := int64(0), int64(0), int64(0)
	for _, name := range names {
		k := Unsealed{Planned: s.planned}
		if err := eachLine(r.path("outbox/"+name), k.Take); err != nil {
			return err
		}
		lines, lost = lines+k.lines, lost+int64(len(k.Lost()))
	}
	for _, p := range s.parts {
		open += max(p.open(), 0) + p.Raw
	}
	if r.wasShared {
		r.mine.Lost, r.mine.Open = lost, open
		return nil
	}
	r.mine.Lost = max(lost, open-lines, 0)
	return nil
}

// whole says so where a mirror that was whole has lost its end.
func (r *Restore) whole(ctx context.Context, parts []restoredPart) error {
	if r.mark.Whole == nil {
		return nil
	}
	for _, p := range parts {
		if !p.newest {
			r.named("store", "the mirror had Seal "+p.Seal+" when it was taken, and has it no more")
		}
	}
	if r.mark.Log == nil {
		return nil
	}
	tree, err := preserve.LastTree(ctx, r.store, r.mark.VKey)
	if errors.Is(err, fs.ErrNotExist) {
		tree, err = new(holdfast.Tree), nil
	}
	if err == nil && tree.Size < r.mark.Log.Size {
		r.named("store", fmt.Sprintf("the mirror had a log of %d entries when it was taken, and has %d of them", r.mark.Log.Size, tree.Size))
	}
	return err
}

// Unsealed reads custody lines of a Case for what no plan has.
type Unsealed struct {
	Planned map[holdfast.ID]bool // captures and Events that plans have

	lines int64 // of which no plan has the Event
	named []string
	told  map[string]bool // as lost already
}

// Take is given a line without its LF; what is none is left to the Outbox to refuse.
func (k *Unsealed) Take(raw []byte) {
	l, err := holdfast.ParseLine(raw)
	if err != nil {
		return
	}
	if !k.Planned[holdfast.EventID(l.Chain, l.N)] {
		k.lines++
	}
	switch l.Action {
	case "collected", "received":
	case "lost":
		if k.told == nil {
			k.told = map[string]bool{}
		}
		for _, o := range l.Objects {
			k.told[o] = true
		}
		return
	default:
		return
	}
	for _, o := range l.Objects {
		if id, err := holdfast.ParseID(o); err == nil && !k.Planned[id] {
			k.named = append(k.named, o)
		}
	}
}

// Lost are those that were named, are in no plan, and were not told as lost.
func (k *Unsealed) Lost() (ids []string) {
	seen := map[string]bool{}
	for _, id := range k.named {
		if !seen[id] && !k.told[id] {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	return ids
}

// eachLine yields the whole lines of a chain's file, without their LF.
func eachLine(name string, yield func([]byte)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, pipeline.MaxInline+1)
	for {
		b, err := in.ReadSlice('\n')
		switch {
		case err == nil:
			yield(bytes.TrimSuffix(b, []byte{'\n'}))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read %s: %w", filepath.Base(name), err)
		}
	}
}
