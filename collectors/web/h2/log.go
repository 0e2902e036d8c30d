package h2

import (
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
)

// Frame is one frame as the connection carried it.
type Frame struct {
	At      time.Time       // when its header was read, or the frame written
	Sent    bool            // by us
	Type    http2.FrameType // the byte
	Flags   http2.Flags     // as they came
	Stream  uint32          // 0: the connection; without the reserved bit
	Length  uint32          // of the payload
	Payload []byte          // of DATA only what is not content: the pad length and the padding
}

// Log takes frames: each Sent one in its order, and each received one in its order. It is
// called by two goroutines at most, keeps no Payload, and its error ends the connection.
type Log func(Frame) error

const headerLength = 9

func header(b []byte) Frame {
	return Frame{At: time.Now(), Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), Type: http2.FrameType(b[3]), Flags: http2.Flags(b[4]),
		Stream: (uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8])) &^ (1 << 31)}
}

// sent logs what a Framer writes, which is a frame at a time, as far as the connection took
// it: what was never sent is not said to be.
type sent struct {
	net.Conn
	log Log
}

func (s *sent) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if s.log != nil && n >= headerLength {
		f := header(p)
		f.Sent = true
		if f.Type != http2.FrameData { // ours are never padded
			f.Payload = p[headerLength:n]
		}
		if lerr := s.log(f); lerr != nil {
			return n, lerr
		}
	}
	return n, err
}

// received logs what is read, whatever the pieces that it is read in. A frame that the
// connection cut is logged as far as it came.
type received struct {
	r       io.Reader
	log     Log
	head    []byte
	f       Frame
	left    uint32 // of the payload
	content uint32 // of left, what is not kept
}

func (r *received) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.log == nil {
		return n, err
	}
	for b := p[:n]; len(b) > 0; {
		used, lerr := r.take(b)
		if lerr != nil {
			return n, lerr
		}
		b = b[used:]
	}
	if err != nil && len(r.head) == headerLength {
		if lerr := r.done(); lerr != nil {
			return n, lerr
		}
	}
	return n, err
}

// take uses up some of b.
func (r *received) take(b []byte) (int, error) {
	if len(r.head) < headerLength {
		k := min(headerLength-len(r.head), len(b))
		if r.head = append(r.head, b[:k]...); len(r.head) < headerLength {
			return k, nil
		}
		r.f = header(r.head)
		r.left, r.content = r.f.Length, 0
		if r.f.Type == http2.FrameData && !r.f.Flags.Has(http2.FlagDataPadded) {
			r.content = r.left
		}
		if r.f.Length > 1<<14 && r.f.Type != http2.FrameData {
			return k, fmt.Errorf("%w: a frame of %d bytes", ErrFlood, r.f.Length)
		}
		return k, r.over()
	}
	padded := r.f.Type == http2.FrameData && r.f.Flags.Has(http2.FlagDataPadded)
	if padded && r.left == r.f.Length { // the pad length comes first
		r.f.Payload = append(r.f.Payload, b[0])
		r.left--
		if pad := uint32(b[0]); pad <= r.left {
			r.content = r.left - pad
		}
		return 1, r.over()
	}
	if k := min(r.content, uint32(len(b))); k > 0 {
		r.content, r.left = r.content-k, r.left-k
		return int(k), r.over()
	}
	k := min(r.left, uint32(len(b)))
	r.f.Payload = append(r.f.Payload, b[:k]...)
	r.left -= k
	return int(k), r.over()
}

func (r *received) over() error {
	if r.left > 0 {
		return nil
	}
	return r.done()
}

func (r *received) done() error {
	f := r.f
	r.head, r.f, r.left, r.content = r.head[:0], Frame{}, 0, 0
	return r.log(f)
}
