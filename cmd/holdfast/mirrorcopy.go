package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
	"holdfast/storage/file"
)

// copier makes one file store hold what another holds, while the other one
// grows. What it copies is a state that a working store could have been in:
//
//   - The log ends at one checkpoint, `ends`, which is read first. Nothing that
//     names a later state of the log is taken: no tile, no part, no Seal whose
//     statement was signed after it.
//   - A Seal is taken only with its plan and all packs that the plan names, and
//     none behind one that is just being made: a restore takes the first gap for
//     the end, and would publish again what is planned behind it.
//   - Objects and packs are written first, then plans, statements and tokens,
//     then tiles, then checkpoints, then the Seals' proofs. So whatever cuts the
//     copy short, a Seal that is there has its packs, and a checkpoint its tiles.
//
// What is left out is taken by the next run. Names that are there are not read
// again unless check is set; their sizes are compared.
type copier struct {
	from, to *file.Store
	check    bool
	told     func(files, bytes int64) // Optional: progress.
	problem  func(name string, err error)
	after    *afterwards // Optional: what the target's node has made itself.

	ends  map[string]int64 // size of each log's newest checkpoint
	plan  copyPlan
	files int64 // Objects and names written
	bytes int64
}

// copyPlan is what the target lacks, in the order of writing. Objects are not
// in it: each is good by itself, and they are the many.
type copyPlan struct {
	packs   []storage.Entry
	parts   []storage.Entry // plans, statements, tokens
	tiles   []storage.Entry
	points  []storage.Entry // checkpoints, by size
	proofs  []storage.Entry // checkpoints and inclusions of Seals
	digests map[string]hashing.Digest
	kept    map[string]bool // Seals that the target has, or gets
	waits   map[string]bool // queues of which a Seal is left to the next run, and all behind it
	only    []string        // names below seals/ that only the target has, not judged yet
}

// afterwards says from which state of its log on a target has been a node of its
// own. What it has made since lies in it alone and is no damage: the log behind
// that state, and whatever finishes Seals that the copied store had only planned
// or signed. And no Seal comes into it any more: the custody lines that no plan
// had were published again when it became a node.
type afterwards struct {
	origin string
	size   int64
}

// errLater is the problem of a name that came into the copied store too late.
var errLater = errors.New("the mirror has it now, and had it not when this node was made: restore into a new directory")

func (a *afterwards) logged(name string) bool {
	origin, size, ok := preserve.MirrorSize(name)
	return a != nil && ok && origin == a.origin && size > a.size
}

// look lists both stores and decides. The order is that of the promise: the
// log's newest checkpoint before the Seals, the Seals before the packs.
func (c *copier) look(ctx context.Context) error {
	c.plan = copyPlan{digests: map[string]hashing.Digest{}, kept: map[string]bool{}, waits: map[string]bool{}}
	c.ends = map[string]int64{}
	if err := c.lookLogs(ctx); err != nil {
		return err
	}
	if err := c.lookSeals(ctx); err != nil {
		return err
	}
	return c.both(ctx, "cases/", func(e storage.Entry, there bool) error {
		if !there && c.packWanted(e.Name) {
			c.plan.packs = append(c.plan.packs, e)
		}
		return nil
	})
}

func (c *copier) lookLogs(ctx context.Context) error {
	var tiles []storage.Entry
	err := c.both(ctx, "tlog/", func(e storage.Entry, there bool) error {
		origin, size, ok := preserve.MirrorSize(e.Name)
		switch {
		case !ok:
			c.problem(e.Name, fmt.Errorf("no log makes such a name: %w", storage.ErrForeign))
		case strings.Contains(e.Name, "/checkpoint/"):
			c.ends[origin] = max(c.ends[origin], size)
			if !there {
				c.plan.points = append(c.plan.points, e)
			}
		case !there:
			tiles = append(tiles, e)
		}
		return nil
	})
	for _, e := range tiles {
		if origin, size, _ := preserve.MirrorSize(e.Name); size <= c.ends[origin] {
			c.plan.tiles = append(c.plan.tiles, e)
		}
	}
	if c.after != nil {
		for _, e := range slices.Concat(c.plan.tiles, c.plan.points) {
			c.problem(e.Name, errLater)
		}
		c.plan.tiles, c.plan.points = nil, nil
	}
	slices.SortFunc(c.plan.points, func(a, b storage.Entry) int {
		_, m, _ := preserve.MirrorSize(a.Name)
		_, n, _ := preserve.MirrorSize(b.Name)
		return int(m - n)
	})
	return err
}

// sealFiles is one Seal as it was listed.
type sealFiles struct {
	id    string
	parts map[string]storage.Entry
	lacks map[string]bool // those that the target has not
}

func (c *copier) lookSeals(ctx context.Context) error {
	s := sealFiles{}
	flush := func(last bool) error {
		c.judgeOnly(&s, last)
		if s.id == "" {
			return nil
		}
		return c.takeSeal(ctx, &s)
	}
	err := c.both(ctx, "seals/", func(e storage.Entry, there bool) error {
		id, part, ok := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if !ok || !holdfast.ValidSealID(id) {
			c.problem(e.Name, fmt.Errorf("no Seal has such a name: %w", storage.ErrForeign))
			return nil
		}
		if id != s.id {
			if err := flush(false); err != nil {
				return err
			}
			s = sealFiles{id: id, parts: map[string]storage.Entry{}, lacks: map[string]bool{}}
		}
		s.parts[part] = e
		if !there {
			s.lacks[part] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush(true)
}

// judgeOnly looks at what only the target has, up to and with the Seal s; with
// last, at all of it.
func (c *copier) judgeOnly(s *sealFiles, last bool) {
	c.plan.only = slices.DeleteFunc(c.plan.only, func(name string) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, "seals/"), "/")
		if id > s.id && !last {
			return false // listed before its Seal is
		}
		if id != s.id || c.included(s) {
			c.problem(name, errOnlyCopy)
		}
		return true
	})
}

// included reports whether the copied store has the Seal in its log: then
// nobody had to finish it.
func (c *copier) included(s *sealFiles) bool {
	for part := range s.parts {
		if state, ok := strings.CutPrefix(part, "inclusion/"); ok && c.within(state) {
			return true
		}
	}
	return false
}

// takeSeal decides what of a Seal is copied.
func (c *copier) takeSeal(ctx context.Context, s *sealFiles) error {
	if len(s.lacks) == 0 {
		c.plan.kept[s.id] = true
		return nil
	}
	queue, _, _ := strings.Cut(s.id, "-")
	if s.lacks["plan.json"] && c.plan.waits[queue] {
		return nil // one before it is just being made: a copy has no gap among the plans
	}
	ok, err := c.whole(ctx, s)
	if err != nil || !ok {
		return err
	}
	if c.after != nil && s.lacks["plan.json"] {
		c.problem("seals/"+s.id+"/plan.json", errLater)
		return nil
	}
	c.plan.kept[s.id] = true
	for _, part := range slices.Sorted(maps.Keys(s.lacks)) {
		switch kind, state, _ := strings.Cut(part, "/"); {
		case kind != "checkpoint" && kind != "inclusion":
			if part == "plan.json" {
				continue
			}
			c.plan.parts = append(c.plan.parts, s.parts[part])
		case c.within(state):
			c.plan.proofs = append(c.plan.proofs, s.parts[part])
		}
	}
	if s.lacks["plan.json"] { // first of its Seal
		at := len(c.plan.parts)
		for at > 0 && strings.HasPrefix(c.plan.parts[at-1].Name, "seals/"+s.id+"/") {
			at--
		}
		c.plan.parts = slices.Insert(c.plan.parts, at, s.parts["plan.json"])
	}
	return nil
}

// within reports whether a state, `<origin>/<size>` or with `.json`, is one of
// the log as it is copied.
func (c *copier) within(state string) bool {
	origin, size, _ := strings.Cut(strings.TrimSuffix(state, ".json"), "/")
	n, err := strconv.ParseInt(size, 10, 64)
	return err == nil && n <= c.ends[origin]
}

// whole reports whether a Seal can be copied as a state of its own: its packs
// are all there, and its statement names no state of the log that is not.
func (c *copier) whole(ctx context.Context, s *sealFiles) (bool, error) {
	raw, err := c.from.ReadName(ctx, "seals/"+s.id+"/plan.json", holdfast.MaxDocument)
	var p *holdfast.Plan
	if err == nil {
		p, err = holdfast.ParsePlan(raw)
	}
	if err != nil {
		c.problem("seals/"+s.id+"/plan.json", err)
		return false, ctx.Err()
	}
	queue, _, _ := strings.Cut(s.id, "-")
	_, signed := s.parts["statement.dsse.json"]
	for _, k := range p.Packs {
		f, err := c.from.OpenName(ctx, k.Name)
		if err == nil {
			f.Close()
			c.plan.digests[k.Name] = k.Digest
			continue
		}
		if signed || !errors.Is(err, fs.ErrNotExist) { // not just being made
			c.problem(k.Name, err)
		} else {
			c.plan.waits[queue] = true
		}
		return false, ctx.Err()
	}
	if !signed || c.included(s) { // then it was signed before that state
		return true, nil
	}
	return c.signedWithin(ctx, s.id)
}

func (c *copier) signedWithin(ctx context.Context, seal string) (bool, error) {
	name := "seals/" + seal + "/statement.dsse.json"
	raw, err := c.from.ReadName(ctx, name, 2*holdfast.MaxDocument)
	var e *holdfast.Envelope
	if err == nil {
		e, err = holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, 2*holdfast.MaxDocument)
	}
	var st *holdfast.Statement
	if err == nil {
		st, err = holdfast.ParseStatement(e.Payload)
	}
	if err != nil {
		c.problem(name, err)
		return false, ctx.Err()
	}
	at := st.Predicate.Checkpoint
	if at.Size > c.ends[at.Origin] {
		queue, _, _ := strings.Cut(seal, "-")
		c.plan.waits[queue] = true
		return false, nil
	}
	return true, nil
}

// packWanted leaves out packs of Seals that are just being made.
func (c *copier) packWanted(name string) bool {
	_, pack, ok := strings.Cut(name, "/packs/")
	seal := strings.TrimSuffix(pack, ".zip")
	return !ok || !holdfast.ValidSealID(seal) || c.plan.kept[seal]
}

// both yields every name of from, and whether to has it, of the same size (and
// with check: the same bytes). Names that only `to` has are a problem: then it
// is not a copy of an older state of from.
func (c *copier) both(ctx context.Context, prefix string, each func(e storage.Entry, there bool) error) error {
	next, stop := iter.Pull2(c.to.List(ctx, prefix))
	defer stop()
	have, herr, ok := next()
	for e, err := range c.from.List(ctx, prefix) {
		if errors.Is(err, storage.ErrForeign) {
			c.problem(e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		for ok && herr == nil && have.Name < e.Name {
			c.extra(have.Name)
			have, herr, ok = next()
		}
		if herr != nil {
			return herr
		}
		there := ok && have.Name == e.Name
		if there {
			if err := c.same(ctx, e, have); err != nil {
				c.problem(e.Name, err)
			}
			have, herr, ok = next()
		}
		if err := each(e, there); err != nil {
			return err
		}
	}
	for ; ok && herr == nil; have, herr, ok = next() {
		c.extra(have.Name)
	}
	return herr
}

var errOnlyCopy = errors.New("only the copy has it: the original is an older state, or was damaged")

func (c *copier) extra(name string) {
	switch {
	case c.after != nil && strings.HasPrefix(name, "seals/"):
		c.plan.only = append(c.plan.only, name) // what else there is of its Seal tells
	case !c.after.logged(name):
		c.problem(name, errOnlyCopy)
	}
}

func (c *copier) same(ctx context.Context, a, b storage.Entry) error {
	if a.Size != b.Size {
		return fmt.Errorf("%d bytes, the copy has %d: one of them was changed", a.Size, b.Size)
	}
	if !c.check {
		return nil
	}
	x, err := nameDigest(ctx, c.from, a.Name)
	if err != nil {
		return err
	}
	y, err := nameDigest(ctx, c.to, a.Name)
	if err == nil && x != y {
		err = fmt.Errorf("%s, the copy has %s: one of them was changed", x, y)
	}
	return err
}

func nameDigest(ctx context.Context, s *file.Store, name string) (hashing.Digest, error) {
	f, err := s.OpenName(ctx, name)
	if err != nil {
		return hashing.Digest{}, err
	}
	defer f.Close()
	d, _, err := hashing.Copy(io.Discard, io.NewSectionReader(f, 0, f.Size()))
	return d, err
}
