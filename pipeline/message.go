package pipeline

import (
	"bytes"
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

type entry struct {
	name string
	size int
}

// split reads the outer form of a message. It is strict and bounded: a length
// that the bytes do not hold, an order or a spelling that encodeMessage does not
// write, or bytes left over are refused. The Manifest is found, not read.
func split(b []byte) (list []entry, manifest, rest []byte, err error) {
	if len(b) < 4 || len(b) > MaxMessage {
		return nil, nil, nil, messageError("%d bytes", len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, nil, messageError("header of %d bytes in a message of %d", n, len(b))
	}
	head, rest := b[4:4+n], b[4+n:]
	head, ok := bytes.CutPrefix(head, []byte(`{"inline":[`))
	if !ok {
		return nil, nil, nil, messageError("header begins otherwise")
	}
	list, head, total, err := splitList(head)
	if err != nil {
		return nil, nil, nil, err
	}
	head, ok = bytes.CutPrefix(head, []byte(`],"manifest":`))
	if !ok || len(head) < 3 || head[0] != '{' || head[len(head)-1] != '}' {
		return nil, nil, nil, messageError("header has no manifest")
	}
	if total != len(rest) {
		return nil, nil, nil, messageError("inline objects of %d bytes, %d there", total, len(rest))
	}
	return list, head[:len(head)-1], rest, nil
}

func splitList(head []byte) (list []entry, rest []byte, total int, err error) {
	for len(head) > 0 && head[0] != ']' {
		var e entry
		if e, head, err = splitEntry(head, len(list) > 0); err != nil {
			return nil, nil, 0, err
		}
		if len(list) == holdfast.MaxObjects || len(list) > 0 && list[len(list)-1].name >= e.name {
			return nil, nil, 0, messageError("inline object %.80q out of order, or too many", e.name)
		}
		if total += e.size; total > MaxInline {
			return nil, nil, 0, messageError("more than %d bytes inline", MaxInline)
		}
		list = append(list, e)
	}
	return list, head, total, nil
}

func splitEntry(head []byte, comma bool) (e entry, rest []byte, err error) {
	form := `{"name":"`
	if comma {
		form = `,{"name":"`
	}
	head, ok := bytes.CutPrefix(head, []byte(form))
	name, head, ok2 := bytes.Cut(head, []byte(`","size":`))
	digits, head, ok3 := bytes.Cut(head, []byte(`}`))
	if !ok || !ok2 || !ok3 || len(digits) == 0 || len(digits) > 7 || len(digits) > 1 && digits[0] == '0' {
		return e, nil, messageError("list of inline objects")
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return e, nil, messageError("size of an inline object")
		}
		e.size = e.size*10 + int(d-'0')
	}
	if e.name = string(name); !holdfast.ValidObjectName(e.name) {
		return e, nil, messageError("inline object name %.80q", e.name)
	}
	return e, head, nil
}

// ParseCaptured reads a whole message and checks it against its Manifest.
// Errors wrap [ErrMessage].
func ParseCaptured(b []byte) (*Captured, error) {
	list, manifest, rest, err := split(b)
	if err != nil {
		return nil, err
	}
	m, err := holdfast.ParseManifest(manifest)
	if err != nil {
		return nil, messageError("manifest: %w", err)
	}
	c := &Captured{Manifest: *m, Inline: make(map[string][]byte, len(list))}
	for _, e := range list {
		o := m.Object(e.name)
		if o == nil || o.Size != int64(e.size) || o.Digest != hashing.Of(rest[:e.size]) {
			return nil, messageError("inline object %.80q is not what the manifest says", e.name)
		}
		c.Inline[e.name], rest = rest[:e.size:e.size], rest[e.size:]
	}
	return c, nil
}

// Item reads a normalised message. It does not parse the Manifest, which our
// own Encode wrote and the queue's checksum guards: parsing costs more than all
// the rest of a capture's way. It makes sure of what a Seal would be wrong
// without: that the Manifest is of this ID, names its home Case, and names every
// small Object by the Digest that its bytes have now. Errors wrap [ErrMessage].
func (m Message) Item() (Item, error) {
	if m.Damaged {
		return Item{}, messageError("position %d is damaged in the queue", m.Position)
	}
	list, manifest, rest, err := split(m.Body)
	if err != nil {
		return Item{}, err
	}
	it := Item{Partition: m.Partition, Position: m.Position, ID: m.ID, Manifest: manifest, Small: make([]Small, 0, len(list)+1)}
	it.addSmall(list, rest)
	if m.Note != nil {
		if list, it.Manifest, rest, err = split(m.Note); err != nil {
			return Item{}, err
		}
		it.addSmall(list, rest)
	}
	return it, it.check()
}

func (it *Item) addSmall(list []entry, rest []byte) {
	for _, e := range list {
		b := rest[:e.size:e.size]
		it.Small, rest = append(it.Small, Small{hashing.Of(b), b}), rest[e.size:]
	}
}

// check relies on the canonical form: a quotation mark inside a string is
// always escaped, so these needles match members only; `case` first occurs at
// the top, right after `agent`, whose members have other names.
func (it *Item) check() error {
	needle := make([]byte, 0, 80)
	if !bytes.Contains(it.Manifest, append(append(append(needle, `,"id":"`...), it.ID...), '"')) {
		return messageError("position %d: manifest of another capture than %.40q", it.Position, it.ID)
	}
	_, after, ok := bytes.Cut(it.Manifest, []byte(`,"case":"`))
	if !ok || len(after) < 33 || after[32] != '"' {
		return messageError("position %d: no case", it.Position)
	}
	id, err := holdfast.ParseID(string(after[:32]))
	if err != nil {
		return messageError("position %d: %w", it.Position, err)
	}
	it.Case = id
	return it.named()
}

// named makes sure that the Manifest names every small Object. It goes through it
// once: with its slices a Manifest may have a hundred times what is looked for.
func (it *Item) named() error {
	const form = `"digest":"sha256:`
	open := make(map[string]bool, len(it.Small))
	for _, s := range it.Small {
		open[s.Digest.Hex()] = true
	}
	for rest := it.Manifest; len(open) > 0; {
		at := bytes.Index(rest, []byte(form))
		if at < 0 {
			break
		}
		if rest = rest[at+len(form):]; len(rest) > 64 && rest[64] == '"' {
			delete(open, string(rest[:64]))
		}
	}
	for missing := range open {
		return messageError("position %d: small object sha256:%s is not in the manifest", it.Position, missing)
	}
	return nil
}
