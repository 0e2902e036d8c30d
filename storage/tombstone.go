package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/canon"
	"holdfast/hashing"
)

// ErasedPrefix begins the name of every tombstone.
const ErasedPrefix = "erased/"

// kindTombstone is its `kind`.
const kindTombstone = "tombstone"

// Limits. A pack has at most 1,048,576 entries, of which one order erases those of
// one capture and of few others that shared them.
const (
	MaxTombstone = 16 << 20 // bytes of a tombstone
	MaxErased    = 1 << 17  // digests in one
	maxSteps     = 1024     // of a chain of tombstones: a pack that was written anew so often
)

// ErrTombstone is wrapped where a tombstone is not what holdfast writes.
var ErrTombstone = errors.New("not a tombstone")

// Tombstone is one; members stand in canonical order.
type Tombstone struct {
	Captures []string         `json:"captures"` // IDs of those whose Objects were erased, sorted
	Digest   hashing.Digest   `json:"digest"`   // of the bytes that lay under Name
	Erased   []hashing.Digest `json:"erased"`   // the Objects that are gone from there, sorted
	Event    string           `json:"event"`    // ID of the Event that says who ordered it
	Kind     string           `json:"kind"`
	Name     string           `json:"name"` // in the store
	New      *Successor       `json:"new,omitempty"`
	Seal     string           `json:"seal"` // of the Event
	Training bool             `json:"training"`
	Version  int              `json:"version"`
}

// Successor is where the rest of a pack lies.
type Successor struct {
	Digest hashing.Digest `json:"digest"`
	Name   string         `json:"name"`
}

// TombstoneName is the name of the tombstone of a name.
func TombstoneName(name string) string { return ErasedPrefix + name }

// ObjectName is the name of an Object as a Tombstone gives it.
func ObjectName(d hashing.Digest) string { return "objects/sha256/" + d.Hex()[:2] + "/" + d.Hex() }

// Encode returns the bytes of a tombstone.
func (t *Tombstone) Encode() ([]byte, error) {
	t.Kind, t.Version = kindTombstone, 1
	b, err := canon.Marshal(t)
	if err == nil && (len(b) > MaxTombstone || len(t.Erased) > MaxErased) {
		err = fmt.Errorf("tombstone of %q: more than %d bytes or %d objects: %w", t.Name, MaxTombstone, MaxErased, ErrTombstone)
	}
	return b, err
}

// ParseTombstone reads the tombstone that lies under a name of its own.
func ParseTombstone(name string, b []byte) (*Tombstone, error) {
	t := new(Tombstone)
	err := canon.Unmarshal(b, t)
	switch {
	case err != nil:
	case t.Kind != kindTombstone || t.Version != 1:
		err = fmt.Errorf("kind %.40q, version %d", t.Kind, t.Version)
	case name != TombstoneName(t.Name):
		err = fmt.Errorf("it is of %.300q", t.Name)
	case len(t.Erased) == 0 || len(t.Erased) > MaxErased || len(t.Captures) == 0:
		err = fmt.Errorf("%d objects of %d captures", len(t.Erased), len(t.Captures))
	case t.New != nil && (CheckName(t.New.Name) != nil || t.New.Name == t.Name):
		err = fmt.Errorf("no successor can be %.300q", t.New.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("read tombstone %q: %w: %w", name, ErrTombstone, err)
	}
	return t, nil
}

// ReadTombstone returns the tombstone of a name; the error wraps fs.ErrNotExist where there is
// none.
func ReadTombstone(ctx context.Context, s Reader, name string) (*Tombstone, error) {
	b, err := s.ReadName(ctx, TombstoneName(name), MaxTombstone)
	if err != nil {
		return nil, err
	}
	return ParseTombstone(TombstoneName(name), b)
}

// FollowPack returns the name under which the rest of a pack lies now: name itself where
// it has no tombstone.
func FollowPack(ctx context.Context, s Reader, name string) (string, error) {
	for range maxSteps {
		t, err := ReadTombstone(ctx, s, name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		if t.New == nil {
			return "", fmt.Errorf("follow tombstone of %q: it names nothing: %w", name, ErrTombstone)
		}
		name = t.New.Name
	}
	return "", fmt.Errorf("follow tombstone of %q: more than %d steps: %w", name, maxSteps, ErrTombstone)
}

// OpenPack opens a pack, or what is left of it, and returns under which name it lies.
func OpenPack(ctx context.Context, s Reader, name string) (File, string, error) {
	f, err := s.OpenName(ctx, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, name, err
	}
	now, ferr := FollowPack(ctx, s, name)
	if ferr != nil {
		return nil, name, ferr
	}
	if now == name {
		return nil, name, err
	}
	f, err = s.OpenName(ctx, now)
	return f, now, err
}

// TombstoneStore is what all tombstones are read from.
type TombstoneStore interface {
	Reader
	Lister
}

// EachTombstone reads all tombstones of a store, by name. One that cannot be read is
// told to problem, and the rest is taken; the error is that of the listing, or each's.
func EachTombstone(ctx context.Context, s TombstoneStore, problem func(name string, err error), each func(*Tombstone) error) error {
	for e, err := range s.List(ctx, ErasedPrefix) {
		if err != nil && !errors.Is(err, ErrForeign) {
			return err
		}
		var t *Tombstone
		if err == nil {
			t, err = ReadTombstone(ctx, s, strings.TrimPrefix(e.Name, ErasedPrefix))
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			problem(e.Name, err)
		default:
			if err := each(t); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// Tombstones are what a store's tombstones say, for whoever walks all of it.
type Tombstones struct {
	next   map[string]string // of packs
	after  map[string]bool   // the values of next
	erased map[string]map[hashing.Digest]bool
}

// LoadTombstones reads all of them, as [EachTombstone] does. It holds one entry for
// each Object that was ever erased.
func LoadTombstones(ctx context.Context, s TombstoneStore, problem func(name string, err error)) (*Tombstones, error) {
	set := &Tombstones{next: map[string]string{}, after: map[string]bool{}, erased: map[string]map[hashing.Digest]bool{}}
	return set, EachTombstone(ctx, s, problem, func(t *Tombstone) error { set.add(t); return nil })
}

func (s *Tombstones) add(t *Tombstone) {
	if t.New != nil {
		s.next[t.Name], s.after[t.New.Name] = t.New.Name, true
	}
	for _, c := range t.Captures {
		if s.erased[c] == nil {
			s.erased[c] = map[hashing.Digest]bool{}
		}
		for _, d := range t.Erased {
			s.erased[c][d] = true
		}
	}
}

// Pack is the name under which a pack lies now.
func (s *Tombstones) Pack(name string) string {
	for range maxSteps {
		next, ok := s.next[name]
		if !ok {
			break
		}
		name = next
	}
	return name
}

// Has reports whether an Object of a capture was erased.
func (s *Tombstones) Has(capture string, d hashing.Digest) bool { return s.erased[capture][d] }

// Successor reports whether a tombstone gives name as the rest of a pack.
func (s *Tombstones) Successor(name string) bool { return s.after[name] }

// SuccessorName is the name for what an order leaves of a pack.
func SuccessorName(pack, event string) string {
	base, _, _ := strings.Cut(strings.TrimSuffix(pack, ".zip"), ".erased-")
	return base + ".erased-" + event + ".zip"
}
