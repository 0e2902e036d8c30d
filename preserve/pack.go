package preserve

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// maxPack bounds a pack in bytes: below it no offset needs ZIP64. A batch is
// 16 MiB of small Objects and Manifests, so a larger one is a mistake.
const maxPack = 1 << 31

// zipDate is 1980-01-01, the first day that ZIP knows; its time is 00:00:00.
const zipDate = 1<<5 | 1

// packEntry is one file of a pack; its name is its digest.
type packEntry struct {
	digest hashing.Digest
	bytes  []byte
	crc    uint32
}

// pack is one home Case's share of a batch, entries sorted by digest, unique.
type pack struct {
	home    holdfast.ID
	entries []packEntry
}

// item is an Item whose Manifest has been hashed.
type item struct {
	Item
	manifest hashing.Digest
}

// packsOf sorts items into packs by home Case. Equal bytes of one Case are kept
// once; in two Cases, twice: no pack omits an Object because it lies elsewhere.
// A small Object that is not what its Digest says is refused here, because
// nothing is signed whose bytes nobody has hashed.
func packsOf(items []item) ([]pack, error) {
	byCase := make(map[holdfast.ID][]packEntry)
	for _, it := range items {
		es := append(byCase[it.Case], newEntry(it.manifest, it.Manifest))
		for _, o := range it.Small {
			if got := hashing.Of(o.Bytes); got != o.Digest {
				return nil, fmt.Errorf("pack small object %s of capture %s: %w: its bytes are %s", o.Digest, it.ID, hashing.ErrMismatch, got)
			}
			es = append(es, newEntry(o.Digest, o.Bytes))
		}
		byCase[it.Case] = es
	}
	packs := make([]pack, 0, len(byCase))
	for home, es := range byCase {
		slices.SortFunc(es, func(a, b packEntry) int { return a.digest.Compare(b.digest) })
		es = slices.CompactFunc(es, func(a, b packEntry) bool { return a.digest == b.digest })
		packs = append(packs, pack{home, es})
	}
	slices.SortFunc(packs, func(a, b pack) int { return cmp.Compare(a.home, b.home) })
	return packs, nil
}

func newEntry(d hashing.Digest, b []byte) packEntry {
	return packEntry{d, b, crc32.ChecksumIEEE(b)}
}

// digest names the pack's bytes without writing them anywhere.
func (p *pack) digest() (hashing.Digest, error) {
	h := hashing.NewWriter(io.Discard)
	w := bufio.NewWriterSize(h, 64<<10)
	err := errors.Join(p.write(w), w.Flush())
	return h.Digest(), err
}

// write writes the ZIP of docs/bundle.md section 6 to a buffered w. archive/zip
// is not used because these bytes must stay the same for good: a plan of an
// older program names their digest, and a newer one carries it out.
func (p *pack) write(w io.Writer) error {
	var at, central int64
	for i := range p.entries {
		at += p.entries[i].span()
	}
	if at > maxPack {
		return fmt.Errorf("write pack of case %s: %d bytes, at most %d", p.home, at, int64(maxPack))
	}
	start := at
	buf := make([]byte, 0, centralSize+nameSize)
	for i := range p.entries {
		if _, err := w.Write(p.entries[i].local(buf)); err != nil {
			return err
		}
		if _, err := w.Write(p.entries[i].bytes); err != nil {
			return err
		}
	}
	at = 0
	for i := range p.entries {
		h := p.entries[i].central(buf, uint32(at))
		if _, err := w.Write(h); err != nil {
			return err
		}
		at += p.entries[i].span()
		central += int64(len(h))
	}
	_, err := w.Write(zipEnd(len(p.entries), start, central))
	return err
}

const (
	localSize   = 30
	centralSize = 46
	nameSize    = 2 * hashing.Size
)

func (e *packEntry) span() int64 { return localSize + nameSize + int64(len(e.bytes)) }

// common is the part that local and central header share.
func (e *packEntry) common(h []byte) []byte {
	le := binary.LittleEndian
	h = le.AppendUint16(h, 20) // version needed
	h = le.AppendUint16(h, 0)  // flags
	h = le.AppendUint16(h, 0)  // STORE
	h = le.AppendUint16(h, 0)  // time
	h = le.AppendUint16(h, zipDate)
	h = le.AppendUint32(h, e.crc)
	h = le.AppendUint32(h, uint32(len(e.bytes)))
	h = le.AppendUint32(h, uint32(len(e.bytes)))
	h = le.AppendUint16(h, nameSize)
	return le.AppendUint16(h, 0) // no extra field
}

func (e *packEntry) local(buf []byte) []byte {
	return hex.AppendEncode(e.common(append(buf, "PK\x03\x04"...)), e.digest[:])
}

func (e *packEntry) central(buf []byte, offset uint32) []byte {
	le := binary.LittleEndian
	h := append(buf, "PK\x01\x02"...)
	h = le.AppendUint16(h, 20) // made by: FAT, so no permissions are claimed
	h = e.common(h)
	h = le.AppendUint16(h, 0) // no comment
	h = le.AppendUint16(h, 0) // disk
	h = le.AppendUint16(h, 0) // internal attributes
	h = le.AppendUint32(h, 0) // external attributes: a regular file
	h = le.AppendUint32(h, offset)
	return hex.AppendEncode(h, e.digest[:])
}

// zipEnd is the end record, preceded by ZIP64's where 16 bits cannot count the
// entries.
func zipEnd(n int, start, size int64) (b []byte) {
	le := binary.LittleEndian
	count := uint16(min(n, 0xffff))
	if count == 0xffff {
		b = append(b, "PK\x06\x06"...)
		b = le.AppendUint64(b, 44)
		b = le.AppendUint16(b, 45)
		b = le.AppendUint16(b, 45)
		b = le.AppendUint64(b, 0) // both disk numbers
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint64(b, uint64(start))
		b = append(b, "PK\x06\x07\x00\x00\x00\x00"...)
		b = le.AppendUint64(b, uint64(start+size))
		b = le.AppendUint32(b, 1)
	}
	b = append(b, "PK\x05\x06\x00\x00\x00\x00"...)
	b = le.AppendUint16(b, count)
	b = le.AppendUint16(b, count)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(start))
	return le.AppendUint16(b, 0) // no comment
}
