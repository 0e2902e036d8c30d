package collectors

import (
	"errors"
	"fmt"

	"holdfast/canon"
)

// RoleHandover is the role of the Object that says how files came, and the kind
// of its document: a [Handover].
const RoleHandover = "handover"

// RoleReceived is the role of each file.
const RoleReceived = "received"

// NameHandover is the Object's name.
const NameHandover = "received.json"

// MaxHandover bounds what ParseHandover reads, in bytes.
const MaxHandover = 16 << 20

// ErrHandover is wrapped by the error for bytes that are no [Handover].
var ErrHandover = errors.New("not a handover of version 1")

// Handover is the Object `received.json`: what a person handed over, and how,
// as the Agent who took it says (docs/bundle.md, section 3). It does not name
// the person. Members stand in canonical order.
type Handover struct {
	Device   string    `json:"device,omitempty"` // on which it was made, as told
	Files    []Handed  `json:"files"`
	How      string    `json:"how"` // "by hand"; "" is not recorded
	Kind     string    `json:"kind"`
	NotKept  []NotKept `json:"not_kept,omitempty"`
	Received string    `json:"received,omitempty"` // a date, or a time in UTC
	Training bool      `json:"training"`
	Version  int       `json:"version"`
}

// Handed is one file: what it was called where it lay, without its folders, and
// which Object it became.
type Handed struct {
	MTime  string     `json:"mtime,omitempty"` // last changed, as its file system said
	Name   canon.Text `json:"name"`
	Object string     `json:"object"`
	Size   int64      `json:"size"`
	Type   string     `json:"type"` // media type, by its first bytes
}

// NotKept is a file whose bytes may not be kept. It has no name on purpose.
type NotKept struct {
	Digest string `json:"digest"`
	Reason string `json:"reason"`
	Size   int64  `json:"size"`
}

// Encode returns the canonical bytes.
func (h Handover) Encode() ([]byte, error) {
	h.Kind, h.Version = RoleHandover, 1
	if h.Files == nil {
		h.Files = []Handed{}
	}
	return canon.Marshal(h)
}

// ParseHandover reads bytes from an untrusted place; errors wrap [ErrHandover].
func ParseHandover(b []byte) (*Handover, error) {
	h := new(Handover)
	if len(b) > MaxHandover {
		return nil, fmt.Errorf("%d bytes: %w", len(b), ErrHandover)
	}
	if err := canon.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandover, err)
	}
	if h.Kind != RoleHandover || h.Version != 1 {
		return nil, fmt.Errorf("kind %.40q, version %d: %w", h.Kind, h.Version, ErrHandover)
	}
	return h, nil
}
