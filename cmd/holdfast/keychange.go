package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
)

// keysOpen is what a change of keys has still to do. It is written to node.json
// together with the change, and each member is dropped once it is done, so a
// crash at any step leaves the change whole and the rest to the next process.
type keysOpen struct {
	// Event is the custody line that tells of the change.
	Event *keyChange `json:"event,omitempty"`
	// Rejudge: the catalog still says of Seals what they were under the old
	// Policy.
	Rejudge bool `json:"rejudge,omitempty"`
}

// keyChange is one custody line.
type keyChange struct {
	Action string         `json:"action"`          // key-rotated, key-compromised
	Old    []string       `json:"old"`             // key ids
	New    string         `json:"new,omitempty"`   // "": no key was made
	Since  *holdfast.Time `json:"since,omitempty"` // of a compromise
}

// changeKey makes k the key that signs. since, if not nil, is from when the
// keys of before were in other hands. The caller holds preserve.lock, so nobody
// signs meanwhile; what the old key has signed needs it no more, for logging and
// timestamps use other keys.
func (n *node) changeKey(ctx context.Context, k sealKey, since *holdfast.Time) (*keyChange, error) {
	ch := &keyChange{Action: "key-rotated", New: k.id(), Since: since}
	old := n.keys.all()
	for _, o := range old {
		if o.id() == k.id() {
			return nil, fmt.Errorf("rotate key: %s is the key that the node has, or had: make another one", o.place())
		}
	}
	return ch, n.changeSettings(ctx, func(s *settings) error {
		for i := range old {
			if old[i].Retired == nil {
				old[i].Retired = &k.Made
				ch.Old = append(ch.Old, old[i].id())
			}
		}
		if since != nil {
			ch.Action, ch.Old = "key-compromised", compromise(old, *since)
			ch.Old = append(ch.Old, compromiseLost(s.Former, *since)...)
		}
		s.Keys = append(old, k)
		s.KeysOpen = &keysOpen{Event: ch, Rejudge: since != nil}
		return nil
	})
}

// compromise ends every key that was good after t, at t or, if it is younger,
// before it began; it returns their ids.
func compromise(keys []sealKey, t holdfast.Time) (ids []string) {
	for i := range keys {
		k := &keys[i]
		if k.Until != nil && !k.Until.After(t.Time) {
			continue // it had ended before
		}
		end := t
		if end.Before(k.from().Time) {
			end = k.from()
		}
		k.Until, k.Compromised = &end, true
		ids = append(ids, k.id())
	}
	return ids
}

// compromiseLost is compromise for keys that were lost before a restore. A key
// may stand under several former names; it is named once.
func compromiseLost(former []mirror.FormerLog, t holdfast.Time) (ids []string) {
	for i := range former {
		for j := range former[i].Keys {
			k := &former[i].Keys[j]
			if k.Until != nil && !k.Until.After(t.Time) {
				continue
			}
			end := t
			if end.Before(k.From.Time) {
				end = k.From
			}
			k.Until = &end
			if id := holdfast.KeyID(k.SPKI); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// declare ends one key that does not sign, retired or lost, at t. The caller
// holds preserve.lock, and finishes the change.
func (n *node) declare(ctx context.Context, id string, t holdfast.Time) (*keyChange, error) {
	ch := &keyChange{Action: "key-compromised", Since: &t}
	keys := n.keys.all()
	return ch, n.changeSettings(ctx, func(s *settings) error {
		for i := range keys {
			if keys[i].id() == id {
				ch.Old = append(ch.Old, compromise(keys[i:i+1], t)...)
			}
		}
		for i := range s.Former {
			for j, k := range s.Former[i].Keys {
				if holdfast.KeyID(k.SPKI) == id {
					ch.Old = append(ch.Old, compromiseLost([]mirror.FormerLog{{Keys: s.Former[i].Keys[j : j+1]}}, t)...)
				}
			}
		}
		if len(ch.Old) == 0 {
			return fmt.Errorf("key %.80s ends at or before %s already, or is none of this node: `holdfast key show` lists them", id, t)
		}
		ch.Old = ch.Old[:1] // one key, under however many names
		s.Keys, s.KeysOpen = keys, &keysOpen{Event: ch, Rejudge: true}
		return nil
	})
}

// keysPending reports whether something of a change is not done.
func (n *node) keysPending(s *settings) bool {
	return s.KeysOpen != nil || slices.ContainsFunc(n.keys.all(), func(k sealKey) bool {
		return k.state() == "retiring" || k.Retired != nil && k.Until != nil && n.holds(k)
	})
}

func (n *node) holds(k sealKey) bool {
	if k.File == "" {
		return false
	}
	_, err := os.Lstat(n.path(k.File))
	return err == nil
}

// finishKeysIfFree goes on with a change of keys that a crash, or a Seal without
// its quorum, has left open, if nobody seals now: who does, does this too. Until
// a compromise has reached the catalog nothing is shown: it would say "sealed"
// of what is contradicted.
func (n *node) finishKeysIfFree(ctx context.Context) error {
	for s := n.set; n.keysPending(s); {
		unlock, err := tryLock(n.path("preserve.lock"))
		if err != nil {
			return err
		}
		if unlock != nil {
			defer unlock()
			return n.finishKeys(ctx)
		}
		if s.KeysOpen == nil || !s.KeysOpen.Rejudge {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
		if s, err = readSettings(n.dir); err != nil {
			return err
		}
	}
	return nil
}

// finishKeys does what a change of keys has left to do. The caller holds
// preserve.lock. Every step may be done twice.
func (n *node) finishKeys(ctx context.Context) error {
	s, err := readSettings(n.dir)
	if err != nil || !n.keysPending(s) {
		return err
	}
	if err := n.reloadTrust(); err != nil {
		return err
	}
	if o := s.KeysOpen; o != nil {
		if err := n.tellChange(ctx, o.Event); err != nil {
			return err
		}
		if o.Rejudge {
			if err := n.rejudge(ctx); err != nil {
				return err
			}
		}
		if err := n.changeSettings(ctx, func(s *settings) error { s.KeysOpen = nil; return nil }); err != nil {
			return err
		}
	}
	for _, k := range n.keys.all() {
		if err := n.endKey(ctx, k); err != nil {
			return err
		}
	}
	return n.reloadTrust()
}

// tellChange writes the custody line, unless a process that crashed has.
func (n *node) tellChange(ctx context.Context, ch *keyChange) error {
	if ch == nil {
		return nil
	}
	x, err := canon.Marshal(struct {
		New   string         `json:"new,omitempty"`
		Old   []string       `json:"old"`
		Since *holdfast.Time `json:"since,omitempty"`
	}{ch.New, ch.Old, ch.Since})
	if err != nil {
		return err
	}
	objects := slices.Clone(ch.Old)
	if ch.New != "" {
		objects = append(objects, ch.New)
	}
	return n.tellOnce(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: ch.Action, Agent: n.set.Agent, Objects: objects, X: x})
}

// rejudge makes the catalog again, under the Policy of now. What was published
// and not indexed is taken in first, so that no older word comes after.
func (n *node) rejudge(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	f, err := n.rebuild(ctx)
	if err == nil && f.Problems > 0 {
		n.log.WarnContext(ctx, "things in the store could not be read; `holdfast rebuild` names them", "problems", f.Problems)
	}
	return err
}

// endKey gives a retired key its end once its last Seal is sealed, and then
// deletes its private half: nothing valid can be signed with it, and what is not
// there cannot be stolen.
func (n *node) endKey(ctx context.Context, k sealKey) error {
	if k.state() == "retiring" {
		until, err := n.lastUse(ctx, k)
		if err != nil || until == nil {
			return err
		}
		k.Until = until
		if err := n.changeSettings(ctx, func(s *settings) error {
			i := slices.IndexFunc(s.Keys, func(o sealKey) bool { return o.id() == k.id() })
			if i < 0 || s.Keys[i].Until != nil {
				return nil // somebody has said it was compromised
			}
			s.Keys[i].Until = until
			return nil
		}); err != nil {
			return err
		}
	}
	if k.Retired == nil || k.Until == nil || !n.holds(k) {
		return nil
	}
	if err := os.Remove(n.path(k.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete retired key: %w", err)
	}
	return n.keys.vault.Sweep(keyFiles()...)
}

// lastUse returns until when a retired key is good, or nil if a Seal of it is
// not sealed yet.
func (n *node) lastUse(ctx context.Context, k sealKey) (*holdfast.Time, error) {
	by, err := (&preserve.Judge{Store: n.store, Trust: n.trust}).SignedBy(ctx, k.SPKI)
	if err != nil || len(by.Open) > 0 {
		return nil, err
	}
	last := k.Retired.Time
	if by.Last.After(last) {
		last = by.Last
	}
	until := holdfast.At(last.Add(keyMargin))
	return &until, nil
}

// watchKeys finishes a change of keys while this process seals: the old key's
// last Seal may become sealed meanwhile.
func (n *node) watchKeys(ctx context.Context) error {
	for wait := 2 * time.Second; ; wait = min(2*wait, 5*time.Minute) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		if err := n.finishKeys(ctx); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "change of keys not finished", "err", err)
		}
	}
}

// void reports whether a capture's Seal is contradicted for good by the end of
// its key: parts are whole, and no wait helps.
func void(cp catalog.Capture) bool {
	return cp.State == pipeline.StateSigned && strings.HasPrefix(cp.Reason, "contradicted: ")
}

// voided is the error that says how many are void; nil: none is.
func (n *node) voided(ctx context.Context) error {
	count, why := 0, ""
	for cp, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StateSigned}) {
		if err != nil {
			return err
		}
		if void(cp) {
			count, why = count+1, cp.Reason
		}
	}
	if count == 0 {
		return nil
	}
	return &exitError{exitUnsealed, fmt.Errorf("%d captures and events are %s; waiting does not help: `holdfast list --state signed` names them, docs/threats.md says what is left to do", count, why)}
}
