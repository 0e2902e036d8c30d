package collectors

import (
	"bufio"
	"bytes"
	"crypto/md5"  //nolint:gosec // the lists that offices are given are made with it; nothing is trusted because of it
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"holdfast/hashing"
)

// Limits of a KnownList. Ten million SHA-256 lines take 320 MB of memory.
const (
	MaxKnown     = 20_000_000 // digests in all
	MaxKnownLine = 4096       // bytes
)

// ErrKnownList is wrapped by the error for a list that cannot be read whole. A
// list is used whole or not at all: a line that is passed over would be bytes
// that are kept.
var ErrKnownList = errors.New("not a list of digests")

// KnownList is a list of digests of bytes that must never be kept. It does not
// change after it was read and is safe for concurrent use; nil is the empty
// list.
//
// The form: one digest a line, in hex of either case: 32 digits are MD5, 40
// SHA-1, 64 SHA-256; `md5:`, `sha1:` or `sha256:` may stand before it. What
// follows a space, a tab or a comma is passed over, so the output of sha256sum
// is a list; so are empty lines and those that begin with #. MD5 and SHA-1 can
// be made to collide: then something harmless is not kept, which is seen.
type KnownList struct {
	digest hashing.Digest // of the list's own bytes
	md5    [][md5.Size]byte
	sha1   [][sha1.Size]byte
	sha256 [][sha256.Size]byte
}

// OpenKnownList reads the list in a file.
func OpenKnownList(name string) (*KnownList, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open list of known digests: %w", err)
	}
	defer f.Close()
	k, err := ReadKnownList(f)
	if err != nil {
		return nil, fmt.Errorf("read list of known digests %s: %w", name, err)
	}
	return k, nil
}

// ReadKnownList reads a list. Errors: [ErrKnownList], with the number of the
// line; r's own.
func ReadKnownList(r io.Reader) (*KnownList, error) {
	k, own := &KnownList{}, sha256.New()
	in := bufio.NewScanner(io.TeeReader(r, own))
	in.Buffer(make([]byte, 64<<10), MaxKnownLine)
	for n := 1; in.Scan(); n++ {
		if err := k.add(in.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if k.Len() > MaxKnown {
			return nil, fmt.Errorf("more than %d digests: %w", MaxKnown, ErrKnownList)
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line of more than %d bytes: %w", MaxKnownLine, ErrKnownList)
	}
	if in.Err() != nil {
		return nil, in.Err()
	}
	if k.Len() == 0 {
		return nil, fmt.Errorf("no digest in it: %w", ErrKnownList) // an empty download must not pass for a list
	}
	own.Sum(k.digest[:0])
	slices.SortFunc(k.md5, func(a, b [md5.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(k.sha1, func(a, b [sha1.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(k.sha256, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	return k, nil
}

func (k *KnownList) add(line []byte) error {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff")))
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	if i := bytes.IndexAny(line, " \t,;"); i >= 0 {
		line = line[:i]
	}
	name, digits, named := strings.Cut(string(line), ":")
	if !named {
		name, digits = "", name
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("%.80q is no digest in hex: %w", line, ErrKnownList)
	}
	switch name = strings.ToLower(name); {
	case len(b) == md5.Size && (name == "" || name == "md5"):
		k.md5 = append(k.md5, [md5.Size]byte(b))
	case len(b) == sha1.Size && (name == "" || name == "sha1"):
		k.sha1 = append(k.sha1, [sha1.Size]byte(b))
	case len(b) == sha256.Size && (name == "" || name == "sha256"):
		k.sha256 = append(k.sha256, [sha256.Size]byte(b))
	default:
		return fmt.Errorf("%.80q is no MD5, SHA-1 or SHA-256: %w", line, ErrKnownList)
	}
	return nil
}

// Len is the number of digests.
func (k *KnownList) Len() int {
	if k == nil {
		return 0
	}
	return len(k.md5) + len(k.sha1) + len(k.sha256)
}

// Digest names the list by its own bytes.
func (k *KnownList) Digest() hashing.Digest { return k.digest }

// Known is a writer that digests one bitstream in the ways that a list needs.
// It is for one goroutine.
type Known struct {
	list  *KnownList
	kinds []kind
	size  int64
}

type kind struct {
	name string
	sum  hash.Hash
}

// Watch returns a writer for one bitstream; when all of it was written, Match
// says whether it is on the list. It is nil for an empty list, and a nil Known
// takes bytes and matches nothing.
func (k *KnownList) Watch() *Known {
	if k.Len() == 0 {
		return nil
	}
	w := &Known{list: k}
	if len(k.md5) > 0 {
		w.kinds = append(w.kinds, kind{"md5", md5.New()}) //nolint:gosec // see above
	}
	if len(k.sha1) > 0 {
		w.kinds = append(w.kinds, kind{"sha1", sha1.New()}) //nolint:gosec // see above
	}
	if len(k.sha256) > 0 {
		w.kinds = append(w.kinds, kind{"sha256", sha256.New()})
	}
	return w
}

// List is the list that w compares with, by its own bytes.
func (w *Known) List() hashing.Digest { return w.list.digest }

// Write never fails.
func (w *Known) Write(p []byte) (int, error) {
	if w != nil {
		for _, k := range w.kinds {
			k.sum.Write(p)
		}
		w.size += int64(len(p))
	}
	return len(p), nil
}

// Match returns the digest that is on the list, as `sha256:…`, or "". No bytes
// at all match nothing: lists hold the digest of nothing by mistake, and it
// would take every empty answer for a find.
func (w *Known) Match() string {
	if w == nil || w.size == 0 {
		return ""
	}
	for _, k := range w.kinds {
		if sum := k.sum.Sum(nil); w.list.has(sum) {
			return k.name + ":" + hex.EncodeToString(sum)
		}
	}
	return ""
}

func (k *KnownList) has(sum []byte) (found bool) {
	switch len(sum) {
	case md5.Size:
		_, found = slices.BinarySearchFunc(k.md5, sum, func(e [md5.Size]byte, t []byte) int { return bytes.Compare(e[:], t) })
	case sha1.Size:
		_, found = slices.BinarySearchFunc(k.sha1, sum, func(e [sha1.Size]byte, t []byte) int { return bytes.Compare(e[:], t) })
	case sha256.Size:
		_, found = slices.BinarySearchFunc(k.sha256, sum, func(e [sha256.Size]byte, t []byte) int { return bytes.Compare(e[:], t) })
	}
	return found
}

// Watchers digest one bitstream for several lists.
type Watchers []*Known

// WatchAll returns the writers for lists; nil lists and nil for all is none.
func WatchAll(lists []*KnownList) (w Watchers) {
	for _, k := range lists {
		if known := k.Watch(); known != nil {
			w = append(w, known)
		}
	}
	return w
}

// Write never fails.
func (w Watchers) Write(p []byte) (int, error) {
	for _, k := range w {
		k.Write(p) //nolint:errcheck // never fails
	}
	return len(p), nil
}

// Match returns the first digest that is on a list, and the Digest of that list;
// "" if none is.
func (w Watchers) Match() (digest, list string) {
	for _, k := range w {
		if d := k.Match(); d != "" {
			return d, k.List().String()
		}
	}
	return "", ""
}
