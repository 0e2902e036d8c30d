package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Words in MP4 (ISO 14496-30): of the boxes of a film only those are read that say where
// the words of a text track lie, and when they are shown.

var errMP4 = errors.New("its words in MP4 cannot be read")

const (
	maxSamples = 400_000 // of a track
	maxBoxes   = 100_000 // that one is made of
)

// box is one, without its head; at is where that begins in the piece.
type box struct {
	kind string
	at   int
	body []byte
}

// boxes reads those that b is made of.
func boxes(b []byte) (out []box, err error) {
	for at := 0; at < len(b); {
		rest, head := b[at:], 8
		if len(rest) < head {
			return nil, fmt.Errorf("%w: half a box", errMP4)
		}
		size := uint64(binary.BigEndian.Uint32(rest))
		switch size {
		case 0:
			size = uint64(len(rest))
		case 1:
			if head = 16; len(rest) < head {
				return nil, fmt.Errorf("%w: half a box", errMP4)
			}
			size = binary.BigEndian.Uint64(rest[8:])
		}
		if size < uint64(head) || size > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: a box of %d bytes where %d are", errMP4, size, len(rest))
		}
		if len(out) >= maxBoxes {
			return nil, errTooMuch
		}
		out = append(out, box{string(rest[4:8]), at, rest[head:size]})
		at += int(size)
	}
	return out, nil
}

// below finds the boxes of the last kind, by the way of the others. What is not made of
// boxes has none.
func below(b []byte, way ...string) (out []box) {
	list, err := boxes(b)
	if err != nil {
		return nil
	}
	for _, x := range list {
		if x.kind != way[0] {
			continue
		}
		if len(way) == 1 {
			out = append(out, x)
		} else {
			out = append(out, below(x.body, way[1:]...)...)
		}
	}
	return out
}

// isMP4 reports whether a piece begins as MP4 does.
func isMP4(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	switch string(b[4:8]) {
	case "ftyp", "styp", "moov", "moof", "sidx", "emsg", "prft", "free", "skip", "uuid":
		return true
	}
	return false
}

// reader reads numbers of a full box; after the end all are 0 and short is set.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) number(bytes int) (n uint64) {
	if len(r.b) < bytes {
		r.short, r.b = true, nil
		return 0
	}
	for _, c := range r.b[:bytes] {
		n = n<<8 | uint64(c)
	}
	r.b = r.b[bytes:]
	return n
}

// head reads version and flags.
func (r *reader) head() (version, flags uint64) {
	n := r.number(4)
	return n >> 24, n & 0xffffff
}

// textTrack is what the head of a film (moov) says of its words.
type textTrack struct {
	id, scale      uint64
	form           string // "wvtt" or "stpp"
	config         string // of wvtt: the head of its WebVTT
	duration, size uint64 // of a sample, unless a piece says another
}

// readTextTrack reads the first track of words; false is none.
func readTextTrack(moov []byte) (t textTrack, ok bool) {
	for _, trak := range below(moov, "trak") {
		for _, d := range below(trak.body, "mdia", "minf", "stbl", "stsd") {
			if len(d.body) < 8 {
				continue
			}
			list, err := boxes(d.body[8:])
			if err != nil || len(list) == 0 || list[0].kind != "wvtt" && list[0].kind != "stpp" {
				continue
			}
			t.form = list[0].kind
			if t.form == "wvtt" && len(list[0].body) > 8 {
				for _, c := range below(list[0].body[8:], "vttC") {
					t.config = string(c.body)
				}
			}
			for _, h := range below(trak.body, "tkhd") {
				r := reader{b: h.body}
				version, _ := r.head()
				r.number(8 + 8*int(min(version, 1)))
				t.id = r.number(4)
			}
			for _, h := range below(trak.body, "mdia", "mdhd") {
				r := reader{b: h.body}
				version, _ := r.head()
				r.number(8 + 8*int(min(version, 1)))
				t.scale = r.number(4)
			}
			for _, x := range below(moov, "mvex", "trex") {
				r := reader{b: x.body}
				r.head()
				if id := r.number(4); id == t.id {
					r.number(4)
					t.duration, t.size = r.number(4), r.number(4)
				}
			}
			return t, t.scale > 0
		}
	}
	return t, false
}

// sample is one of a track, with its times in ticks.
type sample struct {
	from, to uint64
	body     []byte
}

// samples reads those of a piece's moof, which begins at this place of the piece.
func (t textTrack) samples(piece []byte, moof box, room int) (out []sample, err error) {
	for _, traf := range below(moof.body, "traf") {
		list, err := boxes(traf.body)
		if err != nil {
			return nil, err
		}
		now, duration, size, mine, next := uint64(0), t.duration, t.size, false, 0
		for _, b := range list {
			r := reader{b: b.body}
			version, flags := r.head()
			switch b.kind {
			case "tfhd":
				mine = r.number(4) == t.id
				if flags&1 != 0 { // from the beginning of a file that nobody has
					return nil, fmt.Errorf("%w: its places are of another file", errMP4)
				}
				for _, f := range []struct {
					flag uint64
					to   *uint64
				}{{2, new(uint64)}, {8, &duration}, {16, &size}} {
					if flags&f.flag != 0 {
						*f.to = r.number(4)
					}
				}
			case "tfdt":
				now = r.number(4 + 4*int(min(version, 1)))
			case "trun":
				if !mine {
					continue
				}
				var some []sample
				if some, now, next, err = run(piece, moof.at, flags, &r, now, duration, size, next, room-len(out)); err != nil {
					return nil, err
				}
				out = append(out, some...)
			}
			if r.short {
				return nil, fmt.Errorf("%w: a box is cut", errMP4)
			}
		}
	}
	return out, nil
}

// run reads the samples of one trun: now is their time, next where they lie if it does not
// say so. The times at which they are composed say nothing of words, and are passed over.
func run(piece []byte, base int, flags uint64, r *reader, now, duration, size uint64, next, room int) (out []sample, _ uint64, _ int, err error) {
	count := r.number(4)
	if count > uint64(max(room, 0)) {
		return nil, 0, 0, errTooMuch
	}
	if flags&1 != 0 {
		next = base + int(int32(uint32(r.number(4))))
	}
	if flags&4 != 0 {
		r.number(4)
	}
	for range count {
		d, n := duration, size
		for _, f := range []struct {
			flag uint64
			to   *uint64
		}{{0x100, &d}, {0x200, &n}, {0x400, new(uint64)}, {0x800, new(uint64)}} {
			if flags&f.flag != 0 {
				*f.to = r.number(4)
			}
		}
		if r.short || next < 0 || next > len(piece) || n > uint64(len(piece)-next) || now > 1<<62 {
			return nil, 0, 0, fmt.Errorf("%w: a sample lies outside of its piece", errMP4)
		}
		out = append(out, sample{now, now + d, piece[next : next+int(n)]})
		now, next = now+d, next+int(n)
	}
	return out, now, next, nil
}
