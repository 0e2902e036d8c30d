// Package hashing names bytes by their SHA-256 and computes that name while
// the bytes are copied, so that nothing enters or leaves a store unhashed and
// no stream is ever held in memory.
//
// It imports the standard library only: an expert who audits the verifier
// reads the root package and this one.
package hashing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Size is the length of a Digest in bytes.
const Size = sha256.Size

// prefix names the one algorithm of format version 1.
const prefix = "sha256:"

// ErrMismatch is wrapped by every error that says "these are not the bytes
// that were named". It is never transient: the bytes are wrong.
var ErrMismatch = errors.New("digest mismatch")

// ErrSyntax is wrapped by the error for text that is not a Digest.
var ErrSyntax = errors.New("not a digest of the form sha256:<64 lowercase hex>")

// Digest is the SHA-256 of a bitstream. It is a value: comparable with ==,
// usable as a map key. The zero Digest names nothing (see IsZero).
type Digest [Size]byte

// Of returns the Digest of b. Use a [Writer] or [Reader] for streams.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// Parse reads the text form `sha256:<64 lowercase hex>` and nothing else:
// upper case, other algorithms and surrounding space are [ErrSyntax].
func Parse(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Digest{}, fmt.Errorf("parse digest %.80q: %w", s, ErrSyntax)
	}
	return ParseHex(h)
}

// ParseHex reads 64 lowercase hex digits without the algorithm's name.
func ParseHex(h string) (d Digest, err error) {
	if len(h) != 2*Size || strings.ToLower(h) != h {
		return d, fmt.Errorf("parse digest %.80q: %w", h, ErrSyntax)
	}
	if _, err := hex.Decode(d[:], []byte(h)); err != nil {
		return Digest{}, fmt.Errorf("parse digest %.80q: %w", h, ErrSyntax)
	}
	return d, nil
}

// String returns `sha256:<64 lowercase hex>`.
func (d Digest) String() string { return prefix + d.Hex() }

// Hex returns the 64 lowercase hex digits alone, as sha256sum prints them.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is the zero value, which names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// Compare orders Digests by their bytes, as `LC_ALL=C sort` orders their hex.
func (d Digest) Compare(e Digest) int { return bytes.Compare(d[:], e[:]) }

// MarshalText implements encoding.TextMarshaler with the form of String.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; errors wrap [ErrSyntax].
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = Parse(string(b))
	return err
}
