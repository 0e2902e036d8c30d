package web

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/collectors"
)

// inlined is a writer that looks in text for data: URLs in base64, and compares
// what each holds with lists. It sees those that are written plainly: line ends,
// JSON's \/ and %2B are read, other escapes and data: URLs inside of one are not.
// It never fails, what is read besides goes on.
type inlined struct {
	lists        []*collectors.KnownList
	digest, list string // of the first that was found
	seen         int
	err          error               // it was not looked at to its end
	marked       int                 // bytes of inlineMark that were just read
	known        collectors.Watchers // while in one
	text         []byte              // of it, not decoded yet
	escape       []byte              // of %XX
}

// inlineMark stands before the base64 of a data: URL, in either case.
const inlineMark = ";base64,"

// maxInlined bounds the work that a body can make.
const maxInlined = 10_000

var errInlined = fmt.Errorf("it has more than %d data: URLs", maxInlined)

// inlines reports whether bytes of this media type are text that a browser looks
// for data: URLs in; without a type they may be.
func inlines(kind string) bool {
	for _, part := range []string{"text/", "json", "javascript", "ecmascript", "xml"} {
		if strings.Contains(kind, part) {
			return true
		}
	}
	return kind == ""
}

func (s *inlined) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && s.digest == "" && s.err == nil; i++ {
		if s.known != nil {
			s.inside(p[i])
			continue
		}
		if s.marked == 0 {
			next := bytes.IndexByte(p[i:], inlineMark[0])
			if next < 0 {
				break
			}
			i += next
		}
		s.outside(p[i])
	}
	return len(p), nil
}

func (s *inlined) outside(c byte) {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	switch c {
	case inlineMark[s.marked]:
		s.marked++
	case inlineMark[0]:
		s.marked = 1
	default:
		s.marked = 0
	}
	if s.marked < len(inlineMark) {
		return
	}
	if s.seen++; s.seen > maxInlined {
		s.err = errInlined
		return
	}
	s.marked, s.known, s.text = 0, collectors.WatchAll(s.lists), s.text[:0]
}

func (s *inlined) inside(c byte) {
	if len(s.escape) > 0 {
		if s.escape = append(s.escape, c); len(s.escape) < 3 {
			return
		}
		n, err := strconv.ParseUint(string(s.escape[1:]), 16, 8)
		if s.escape = s.escape[:0]; err != nil {
			s.end()
			return
		}
		c = byte(n)
	}
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
		if s.text = append(s.text, c); len(s.text) == 4096 {
			s.decode()
		}
	case c == '%':
		s.escape = append(s.escape, c)
	case c != '\n' && c != '\r' && c != '\t' && c != '\\':
		s.end()
	}
}

func (s *inlined) decode() {
	b, _ := base64.RawStdEncoding.AppendDecode(nil, s.text) // what does not decode is no whole byte
	s.known.Write(b)
	s.text = s.text[:0]
}

// end says that the URL, or the text, is over; what follows may have another.
func (s *inlined) end() {
	if s.known == nil {
		return
	}
	s.decode()
	s.digest, s.list = s.known.Match()
	s.known, s.escape = nil, s.escape[:0]
}

// withholdInlined takes out a body whose text holds what is on a list.
func (p *proxy) withholdInlined(x *exchange) error {
	s := x.request
	in, err := s.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(s.head, io.SeekStart); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	seen := &inlined{lists: p.lists}
	err = p.unpack(seen, in)
	seen.end()
	if err = errors.Join(err, seen.err); err != nil {
		x.unchecked = errors.Join(x.unchecked, fmt.Errorf("the request: %w", err))
	}
	if seen.digest == "" {
		return nil
	}
	return x.takeOut(s, withheld{Of: "request", As: "inlined", Digest: seen.digest, List: seen.list})
}
