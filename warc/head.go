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
	for _, line := range lines[1:] {
		line = strings.TrimRight(line, "\r")
		if last := len(h.Fields) - 1; last >= 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			h.Fields[last].Value += " " + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			bad = fmt.Errorf("read head: line %.80q is not a field: %w", line, ErrFormat)
			continue
		}
		h.Fields = append(h.Fields, Field{strings.TrimRight(name, " \t"), strings.TrimSpace(value)})
	}
	return bad
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
