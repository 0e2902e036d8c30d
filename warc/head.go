package warc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Head is the head of an HTTP message or of a WARC record: the bytes as they
// came, and what they say. Values have outer blanks removed and folded lines
// joined; Raw is untouched.
type Head struct {
	Raw    []byte // with the empty line that ends it
	Start  string // the first line without its line end
	Fields Fields
}

// ReadHead reads up to and including the first empty line and at most limit
// bytes. Line ends may be CRLF or LF. io.EOF means that not one byte was there;
// a head cut short is io.ErrUnexpectedEOF, with what came in Raw. A whole head
// with a line that is no field is [ErrFormat], and the Head is usable.
func ReadHead(r *bufio.Reader, limit int) (Head, error) {
	var h Head
	for {
		line, err := r.ReadSlice('\n')
		h.Raw = append(h.Raw, line...)
		switch {
		case len(h.Raw) > limit:
			return h, fmt.Errorf("read head: more than %d bytes: %w", limit, ErrLimit)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(h.Raw) > 0:
			return h, fmt.Errorf("read head: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return h, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 && endsLine(h.Raw[:len(h.Raw)-len(line)]) {
			return h, h.parse()
		}
	}
}

// endsLine tells a true empty line from the tail of a line longer than the
// reader's buffer.
func endsLine(before []byte) bool { return len(before) == 0 || before[len(before)-1] == '\n' }

// parse keeps going after a line that is no field, so that a sloppy server's
// later fields still count; the error tells who wants to be strict.
func (h *Head) parse() (bad error) {
	lines := strings.Split(strings.TrimRight(string(h.Raw), "\r\n"), "\n")
	h.Start = strings.TrimRight(lines[0], "\r")
	open := false // the line before is a field, which a blank at the start goes on with
	for _, line := range lines[1:] {
		line = strings.TrimRight(line, "\r")
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			if last := len(h.Fields) - 1; open {
				h.Fields[last].Value += " " + strings.Trim(line, " \t")
			} else {
				bad = fmt.Errorf("read head: line %.80q goes on with no field: %w", line, ErrFormat)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		trimmed := strings.TrimRight(name, " \t")
		if open = ok && token(name); !ok || !token(trimmed) {
			bad = fmt.Errorf("read head: line %.80q is not a field: %w", line, ErrFormat)
			continue
		}
		h.Fields = append(h.Fields, Field{trimmed, strings.Trim(value, " \t")})
	}
	return bad
}

// token reports whether s can be a name (RFC 9110, 5.6.2). It matters that what
// cannot is none: letters of other scripts fold to ASCII ones.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// Status reads the status code of an HTTP response head: 100 to 999.
func (h *Head) Status() (int, error) {
	version, rest, _ := strings.Cut(h.Start, " ")
	rest = strings.TrimLeft(rest, " ")
	if !strings.HasPrefix(version, "HTTP/") || len(rest) < 3 || (len(rest) > 3 && rest[3] != ' ') {
		return 0, fmt.Errorf("read status line %.80q: %w", h.Start, ErrFormat)
	}
	n := 0
	for _, c := range rest[:3] {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("read status line %.80q: %w", h.Start, ErrFormat)
		}
		n = 10*n + int(c-'0')
	}
	if n < 100 {
		return 0, fmt.Errorf("read status line %.80q: %w", h.Start, ErrFormat)
	}
	return n, nil
}
