package web

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var errNoField = errors.New("answer lacks the field")

// jsonString copies the text of the first member called field, a string, from
// compact JSON to w, without holding it. It is for the browser's own answers,
// where the members before the long one are short and known.
func jsonString(src io.Reader, field string, w io.Writer) error {
	r := bufio.NewReaderSize(src, 64<<10)
	if err := seek(r, `"`+field+`":"`); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	for {
		if err := verbatim(r, out); err != nil {
			return err
		}
		c, err := r.ReadByte()
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if c == '"' {
			return out.Flush()
		}
		if err := escape(r, out); err != nil {
			return err
		}
	}
}

// verbatim copies up to the next quote or backslash, or the end.
func verbatim(r *bufio.Reader, out *bufio.Writer) error {
	for {
		if _, err := r.Peek(1); err != nil {
			return nil //nolint:nilerr // who reads on is told
		}
		b, _ := r.Peek(r.Buffered())
		n := 0
		for n < len(b) && b[n] != '"' && b[n] != '\\' {
			n++
		}
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		r.Discard(n) //nolint:errcheck // peeked above
		if n < len(b) {
			return nil
		}
	}
}

// seek reads past the first occurrence of mark, whose first byte, a quote,
// occurs in it again only at its end.
func seek(r *bufio.Reader, mark string) error {
	at := 0
	for at < len(mark) {
		c, err := r.ReadByte()
		if err != nil {
			return errNoField
		}
		switch {
		case c == mark[at]:
			at++
		case c == mark[0]:
			at = 1
		default:
			at = 0
		}
	}
	return nil
}

// What stands behind a backslash, and what it means.
const (
	escapes = `ntrbf"\/`
	escaped = "\n\t\r\b\f\"\\/"
)

func escape(r *bufio.Reader, out *bufio.Writer) error {
	c, err := r.ReadByte()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if c == 'u' {
		u, err := unit(r)
		if err != nil {
			return err
		}
		return surrogate(r, out, u)
	}
	i := strings.IndexByte(escapes, c)
	if i < 0 {
		return fmt.Errorf("escape \\%c in the browser's answer", c)
	}
	return out.WriteByte(escaped[i])
}

// surrogate writes u, together with the unit after it if the two make a pair.
// Half a pair alone, which scripts can make, becomes U+FFFD.
func surrogate(r *bufio.Reader, out *bufio.Writer, u rune) error {
	if next, err := r.Peek(6); utf16.IsSurrogate(u) && err == nil && next[0] == '\\' && next[1] == 'u' {
		var b [2]byte
		if _, err := hex.Decode(b[:], next[2:6]); err == nil {
			if pair := utf16.DecodeRune(u, rune(binary.BigEndian.Uint16(b[:]))); pair != utf8.RuneError {
				u = pair
				r.Discard(6) //nolint:errcheck // peeked above
			}
		}
	}
	_, err := out.WriteRune(u)
	return err
}

func unit(r *bufio.Reader) (rune, error) {
	var h [4]byte
	var b [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	if _, err := hex.Decode(b[:], h[:]); err != nil {
		return 0, fmt.Errorf("escape \\u%s in the browser's answer", h)
	}
	return rune(binary.BigEndian.Uint16(b[:])), nil
}
