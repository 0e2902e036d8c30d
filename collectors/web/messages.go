package web

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"holdfast/collectors"
	"holdfast/warc"
)

// maxMessages bounds how many messages of one direction of a WebSocket are
// compared with lists.
const maxMessages = 100_000

var errMessages = fmt.Errorf("it has more than %d messages", maxMessages)

// withholdMessages compares each message of a WebSocket, and what text inlines in
// it, and takes out a whole direction in which one is on a list.
func (p *proxy) withholdMessages(x *exchange, s *spool, of string) error {
	in, err := s.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(s.head, io.SeekStart); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	digest, list, err := p.messages(&frames{r: bufio.NewReaderSize(in, 64<<10)})
	if err != nil {
		x.unchecked = errors.Join(x.unchecked, fmt.Errorf("messages of the WebSocket, %s: %w", of, err))
	}
	if digest == "" {
		return nil
	}
	return x.takeOut(s, withheld{Of: of, As: "message", Digest: digest, List: list})
}

func (p *proxy) messages(f *frames) (digest, list string, err error) {
	var unpacked window
	var late error // those behind it are compared all the same
	for n := 0; ; n++ {
		if err := f.next(); err == io.EOF {
			return "", "", late
		} else if err != nil {
			return "", "", err
		}
		if n == maxMessages {
			return "", "", errMessages
		}
		known, text := collectors.WatchAll(p.lists), &inlined{lists: p.lists}
		w := io.MultiWriter(known, text)
		if f.packed {
			// RFC 7692, 7.2.2: the sender leaves out the end of the last block.
			z := flate.NewReaderDict(io.MultiReader(f, strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")), unpacked)
			err = p.unpack(io.MultiWriter(w, &unpacked), z)
		} else {
			err = p.unpack(w, f)
		}
		if err != nil {
			return "", "", err
		}
		if digest, list = known.Match(); digest != "" {
			return digest, list, nil
		}
		if text.end(); text.digest != "" {
			return text.digest, text.list, nil
		}
		if text.err != nil && late == nil {
			late = text.err
		}
	}
}

// window keeps the end of what was unpacked: the next message may refer to it.
type window []byte

func (w *window) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	if n := len(*w) - 32<<10; n > 0 {
		*w = append((*w)[:0], (*w)[n:]...)
	}
	return len(p), nil
}

// frames reads one direction of a WebSocket (RFC 6455, 5.2) message by message;
// those of control are passed over.
type frames struct {
	r      *bufio.Reader
	left   uint64 // of the frame
	final  bool   // it is the message's last
	packed bool   // the message is
	mask   [4]byte
	at     uint64
}

// next goes to the next message; io.EOF is an end between two of them.
func (f *frames) next() error {
	if f.left > 0 {
		return fmt.Errorf("a message that was not read: %w", warc.ErrFormat)
	}
	for {
		op, first, err := f.head()
		if err != nil {
			return err
		}
		switch op {
		case 1, 2:
			f.packed = first&0x40 != 0
			return nil
		case 8, 9, 10:
			if err := f.skip(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("frame %d where a message begins: %w", op, warc.ErrFormat)
		}
	}
}

// head reads the head of a frame; io.EOF only before its first byte.
func (f *frames) head() (op, first byte, err error) {
	first, err = f.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	second, err := f.r.ReadByte()
	if err != nil {
		return 0, 0, io.ErrUnexpectedEOF
	}
	size := [8]byte{7: second & 0x7f}
	switch second & 0x7f {
	case 126:
		size[7] = 0
		_, err = io.ReadFull(f.r, size[6:])
	case 127:
		_, err = io.ReadFull(f.r, size[:])
	}
	f.mask = [4]byte{}
	if err == nil && second&0x80 != 0 {
		_, err = io.ReadFull(f.r, f.mask[:])
	}
	if err != nil {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if op = first & 0x0f; op < 8 { // control stands between the frames of a message and ends none
		f.final = first&0x80 != 0
	}
	f.left, f.at = binary.BigEndian.Uint64(size[:]), 0
	return op, first, nil
}

func (f *frames) skip() error {
	if f.left > 125 {
		return fmt.Errorf("%d bytes of control: %w", f.left, warc.ErrFormat)
	}
	_, err := f.r.Discard(int(f.left))
	f.left = 0
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Read gives the message without masks up to its end.
func (f *frames) Read(b []byte) (int, error) {
	for f.left == 0 {
		if f.final {
			return 0, io.EOF
		}
		op, _, err := f.head()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case op >= 8:
			if err := f.skip(); err != nil {
				return 0, err
			}
		case op != 0:
			return 0, fmt.Errorf("frame %d inside a message: %w", op, warc.ErrFormat)
		}
	}
	n, err := f.r.Read(b[:min(uint64(len(b)), f.left)])
	for i := range b[:n] {
		b[i] ^= f.mask[f.at%4]
		f.at++
	}
	if f.left -= uint64(n); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
