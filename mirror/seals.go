package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/storage"
)

// sealFiles is one Seal as it was listed.
type sealFiles struct {
	id    string
	parts map[string]storage.Entry
	lacks map[string]bool // those that the target has not
}

func (c *Copier) lookSeals(ctx context.Context) error {
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
			c.Problem(e.Name, fmt.Errorf("no Seal has such a name: %w", storage.ErrForeign))
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
func (c *Copier) judgeOnly(s *sealFiles, last bool) {
	c.plan.only = slices.DeleteFunc(c.plan.only, func(name string) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, "seals/"), "/")
		if id > s.id && !last {
			return false // listed before its Seal is
		}
		if id != s.id || c.included(s) {
			c.Problem(name, ErrOnlyCopy)
		}
		return true
	})
}

// included reports whether the copied store has the Seal in its log: then
// nobody had to finish it.
func (c *Copier) included(s *sealFiles) bool {
	for part := range s.parts {
		if state, ok := strings.CutPrefix(part, "inclusion/"); ok && c.within(state) {
			return true
		}
	}
	return false
}

// takeSeal decides what of a Seal is copied.
func (c *Copier) takeSeal(ctx context.Context, s *sealFiles) error {
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
	if c.After != nil && s.lacks["plan.json"] {
		c.Problem("seals/"+s.id+"/plan.json", ErrLater)
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
func (c *Copier) within(state string) bool {
	origin, size, _ := strings.Cut(strings.TrimSuffix(state, ".json"), "/")
	n, err := strconv.ParseInt(size, 10, 64)
	return err == nil && n <= c.ends[origin]
}

// whole reports whether a Seal can be copied as a state of its own: its packs
// are all there, and its statement names no state of the log that is not.
func (c *Copier) whole(ctx context.Context, s *sealFiles) (bool, error) {
	raw, err := c.From.ReadName(ctx, "seals/"+s.id+"/plan.json", holdfast.MaxDocument)
	var p *holdfast.Plan
	if err == nil {
		p, err = holdfast.ParsePlan(raw)
	}
	if err != nil {
		c.Problem("seals/"+s.id+"/plan.json", err)
		return false, ctx.Err()
	}
	queue, _, _ := strings.Cut(s.id, "-")
	_, signed := s.parts["statement.dsse.json"]
	for _, k := range p.Packs {
		name := c.packNow(k.Name)
		f, err := c.From.OpenName(ctx, name)
		if err == nil {
			f.Close()
			if name == k.Name {
				c.plan.digests[name] = k.Digest
			}
			continue
		}
		if signed || !errors.Is(err, fs.ErrNotExist) { // not just being made
			c.Problem(k.Name, err)
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

func (c *Copier) signedWithin(ctx context.Context, seal string) (bool, error) {
	name := "seals/" + seal + "/statement.dsse.json"
	raw, err := c.From.ReadName(ctx, name, 2*holdfast.MaxDocument)
	var e *holdfast.Envelope
	if err == nil {
		e, err = holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, 2*holdfast.MaxDocument)
	}
	var st *holdfast.Statement
	if err == nil {
		st, err = holdfast.ParseStatement(e.Payload)
	}
	if err != nil {
		c.Problem(name, err)
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
