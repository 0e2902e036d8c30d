package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"holdfast"
	"holdfast/canon"
	"holdfast/preserve"
)

// Left is what a change of keys has still to do. It is written to node.json together with
// the change, and dropped once it is done, so a crash at any step leaves the change whole
// and the rest to the next process.
type Left struct {
	// Event is the custody line that tells of the change.
	Event *Change `json:"event,omitempty"`
	// Rejudge: the catalog still says of Seals what they were under the old
	// Policy.
	Rejudge bool `json:"rejudge,omitempty"`
}

// Change is one custody line.
type Change struct {
	Action string         `json:"action"`          // key-rotated, key-compromised
	Old    []string       `json:"old"`             // key ids
	New    string         `json:"new,omitempty"`   // "": no key was made
	Since  *holdfast.Time `json:"since,omitempty"` // of a compromise
}

// Line returns what the custody line says besides its action: the ids of the keys, the
// old ones first, and x.
func (ch *Change) Line() (objects []string, x []byte, err error) {
	x, err = canon.Marshal(struct {
		New   string         `json:"new,omitempty"`
		Old   []string       `json:"old"`
		Since *holdfast.Time `json:"since,omitempty"`
	}{ch.New, ch.Old, ch.Since})
	objects = slices.Clone(ch.Old)
	if ch.New != "" {
		objects = append(objects, ch.New)
	}
	return objects, x, err
}

// Book is where the list lies.
type Book interface {
	// Read returns the list as it lies there now.
	Read() (List, error)
	// Change has the list edited under a lock between processes, from what lies there
	// now. When it returns without an error the new list is durable, whole, and the
	// [Ring] has taken it up; after any error the old one lies there.
	Change(ctx context.Context, edit func(*List) error) error
}

// Record is what of the node a change of keys reaches.
type Record interface {
	// Tell writes the custody line of a change, unless a process that crashed has.
	Tell(ctx context.Context, ch *Change) error
	// Rejudge says of every Seal anew what it is, under the Policy of now.
	Rejudge(ctx context.Context) error
	// SignedBy looks what was sealed with a key.
	SignedBy(ctx context.Context, spki []byte) (preserve.SignedBy, error)
}

// Keeper changes the keys. Who calls a method holds preserve.lock; nothing of it is for
// several callers at once.
type Keeper struct {
	Ring   *Ring
	Book   Book
	Record Record
	// Files are patterns, as of [vault.Vault.Sweep], of all files that are kept as the
	// keys are: once a private half is deleted, no unfinished copy of it is left beside
	// them.
	Files []string
}

// Rotate makes k the key that signs. since, if not nil, is from when the keys of before
// were in other hands. What the old key has signed needs it no more: logging and
// timestamps use other keys.
func (r *Keeper) Rotate(ctx context.Context, k Key, since *holdfast.Time) (*Change, error) {
	ch := &Change{Action: "key-rotated", New: k.ID(), Since: since}
	old := r.Ring.All()
	for _, o := range old {
		if o.ID() == k.ID() {
			return nil, fmt.Errorf("rotate key: %s is the key that the node has, or had: make another one", o.Place())
		}
	}
	return ch, r.Book.Change(ctx, func(l *List) error {
		for i := range old {
			if old[i].Retired == nil {
				old[i].Retired = &k.Made
				ch.Old = append(ch.Old, old[i].ID())
			}
		}
		if since != nil {
			ch.Action, ch.Old = "key-compromised", compromise(old, *since)
			ch.Old = append(ch.Old, compromiseLost(l.Lost, *since)...)
		}
		l.Keys = append(old, k)
		l.Left = &Left{Event: ch, Rejudge: since != nil}
		return nil
	})
}

// compromise ends every key that was good after t, at t or, if it is younger,
// before it began; it returns their ids.
func compromise(keys []Key, t holdfast.Time) (ids []string) {
	for i := range keys {
		k := &keys[i]
		if k.Until != nil && !k.Until.After(t.Time) {
			continue // it had ended before
		}
		end := t
		if end.Before(k.From().Time) {
			end = k.From()
		}
		k.Until, k.Compromised = &end, true
		ids = append(ids, k.ID())
	}
	return ids
}

// compromiseLost is compromise for keys that were lost before a restore. A key
// may stand under several former names; it is named once.
func compromiseLost(lost []*holdfast.PolicyKey, t holdfast.Time) (ids []string) {
	for _, k := range lost {
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
	return ids
}

// Declare ends one key that does not sign, retired or lost, at t. The caller finishes the
// change. The key that signs must not be named: none would sign.
func (r *Keeper) Declare(ctx context.Context, id string, t holdfast.Time) (*Change, error) {
	ch := &Change{Action: "key-compromised", Since: &t}
	keys := r.Ring.All()
	return ch, r.Book.Change(ctx, func(l *List) error {
		for i := range keys {
			if keys[i].ID() == id {
				ch.Old = append(ch.Old, compromise(keys[i:i+1], t)...)
			}
		}
		for i, k := range l.Lost {
			if holdfast.KeyID(k.SPKI) == id {
				ch.Old = append(ch.Old, compromiseLost(l.Lost[i:i+1], t)...)
			}
		}
		if len(ch.Old) == 0 {
			return fmt.Errorf("key %.80s ends at or before %s already, or is none of this node: `holdfast key show` lists them", id, t)
		}
		ch.Old = ch.Old[:1] // one key, under however many names
		l.Keys, l.Left = keys, &Left{Event: ch, Rejudge: true}
		return nil
	})
}

// Pending reports whether something of a change is not done: of the list l, and of the
// keys of the ring.
func (r *Keeper) Pending(l List) bool {
	return l.Left != nil || slices.ContainsFunc(r.Ring.All(), func(k Key) bool {
		return k.State() == "retiring" || k.Retired != nil && k.Until != nil && r.Ring.Holds(k)
	})
}

// Holds reports whether the private half of a key is a file that is there.
func (r *Ring) Holds(k Key) bool {
	if k.File == "" {
		return false
	}
	_, err := os.Lstat(r.path(k))
	return err == nil
}

func (r *Ring) path(k Key) string { return filepath.Join(r.vault.Dir(), k.File) }

// Finish does what a change of keys has left to do. Every step may be done twice. A key
// whose last Seal has no quorum of timestamps yet stays retiring, and is for a later call.
func (r *Keeper) Finish(ctx context.Context) error {
	l, err := r.Book.Read()
	if err != nil {
		return err
	}
	if o := l.Left; o != nil {
		if o.Event != nil {
			if err := r.Record.Tell(ctx, o.Event); err != nil {
				return err
			}
		}
		if o.Rejudge {
			if err := r.Record.Rejudge(ctx); err != nil {
				return err
			}
		}
		if err := r.Book.Change(ctx, func(l *List) error { l.Left = nil; return nil }); err != nil {
			return err
		}
	}
	for _, k := range r.Ring.All() {
		if err := r.end(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// end gives a retired key its end once its last Seal is sealed, and then deletes its
// private half.
func (r *Keeper) end(ctx context.Context, k Key) error {
	if k.State() == "retiring" {
		until, err := r.lastUse(ctx, k)
		if err != nil || until == nil {
			return err
		}
		k.Until = until
		if err := r.Book.Change(ctx, func(l *List) error {
			i := slices.IndexFunc(l.Keys, func(o Key) bool { return o.ID() == k.ID() })
			if i < 0 || l.Keys[i].Until != nil {
				return nil // somebody has said it was compromised
			}
			l.Keys[i].Until = until
			return nil
		}); err != nil {
			return err
		}
	}
	if k.Retired == nil || k.Until == nil || !r.Ring.Holds(k) {
		return nil
	}
	if err := os.Remove(r.Ring.path(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete retired key: %w", err)
	}
	return r.Ring.vault.Sweep(r.Files...)
}

// lastUse returns until when a retired key is good, or nil if a Seal of it is
// not sealed yet.
func (r *Keeper) lastUse(ctx context.Context, k Key) (*holdfast.Time, error) {
	by, err := r.Record.SignedBy(ctx, k.SPKI)
	if err != nil || len(by.Open) > 0 {
		return nil, err
	}
	last := k.Retired.Time
	if by.Last.After(last) {
		last = by.Last
	}
	until := holdfast.At(last.Add(Margin))
	return &until, nil
}
