package pipeline

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"holdfast"
	"holdfast/hashing"
)

// Captured is one accepted capture: the draft of its Manifest, which lacks only
// the Objects that normalise derives, and the bytes of its small Objects by
// name. Larger Objects are in the store already.
type Captured struct {
	Manifest holdfast.Manifest
	Inline   map[string][]byte
}

func messageError(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrMessage, fmt.Errorf(format, a...))
}

// Encode returns the message form:
//
//	4 bytes    length of the header, big-endian
//	header     canonical JSON {"inline":[{"name":string,"size":n}…],"manifest":{…}}
//	the bytes of the inline Objects, in the order of the list, sorted by name
//
// Every inline Object must be in the Manifest, with its size and Digest: this
// is the gate that lets nothing in without a digest. Errors wrap [ErrMessage]
// or holdfast.ErrForm.
func (c *Captured) Encode() ([]byte, error) {
	m, err := c.Manifest.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	total := 0
	for name, b := range c.Inline {
		o := c.Manifest.Object(name)
		if o == nil || o.Size != int64(len(b)) || o.Digest != hashing.Of(b) {
			return nil, messageError("inline object %.80q is not what the manifest says", name)
		}
		total += len(b)
	}
	if total > MaxInline {
		return nil, messageError("%d bytes inline, at most %d", total, MaxInline)
	}
	return encodeMessage(m, c.Inline, total), nil
}

func encodeMessage(manifest []byte, inline map[string][]byte, total int) []byte {
	names := slices.Sorted(maps.Keys(inline))
	b := make([]byte, 4, 4+len(manifest)+32+len(names)*64+total)
	b = append(b, `{"inline":[`...)
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"name":"`...), n...), `","size":`...)
		b = append(strconv.AppendInt(b, int64(len(inline[n])), 10), '}')
	}
	b = append(append(append(b, `],"manifest":`...), manifest...), '}')
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	for _, n := range names {
		b = append(b, inline[n]...)
	}
	return b
}
