package canon

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Check reports, with an error wrapping [ErrForm], whether b is one canonical
// JSON value and nothing else. It reads b once, allocates only for member
// names, and never recurses deeper than [MaxDepth].
func Check(b []byte) error { return check(b, false) }

func check(b []byte, noNull bool) error {
	c := checker{b: b, noNull: noNull}
	if err := c.value(0); err != nil {
		return fmt.Errorf("%w: byte %d: %w", ErrForm, c.i, err)
	}
	if c.i != len(b) {
		return fmt.Errorf("%w: byte %d: bytes after the end", ErrForm, c.i)
	}
	return nil
}

type checker struct {
	b      []byte
	i      int
	noNull bool
}

// syntax is a reason; Check wraps it with ErrForm and the place.
type syntax string

func (s syntax) Error() string { return string(s) }

func (c *checker) peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0 // NUL begins no JSON token, so the end reads as an error
}

func (c *checker) value(depth int) error {
	p := c.peek()
	if depth >= MaxDepth && (p == '{' || p == '[') {
		return syntax("nested too deep")
	}
	switch {
	case p == '{':
		return c.object(depth)
	case p == '[':
		return c.array(depth)
	case p == '"':
		_, err := c.str()
		return err
	case p == '-' || p >= '0' && p <= '9':
		return c.number()
	}
	for _, w := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(c.b[c.i:min(c.i+len(w), len(c.b))]), w) {
			if w == "null" && c.noNull {
				return syntax("null")
			}
			c.i += len(w)
			return nil
		}
	}
	return syntax("expected a value")
}

func (c *checker) object(depth int) error {
	c.i++
	if c.peek() == '}' {
		c.i++
		return nil
	}
	for last, first := "", true; ; first = false {
		if c.peek() != '"' {
			return syntax("expected a member name")
		}
		name, err := c.str()
		if err != nil {
			return err
		}
		if !first && !less(last, name) {
			return syntax("member name repeated or out of order")
		}
		last = name
		if c.peek() != ':' {
			return syntax("expected ':'")
		}
		c.i++
		if err := c.value(depth + 1); err != nil {
			return err
		}
		if done, err := c.next('}'); done || err != nil {
			return err
		}
	}
}

func (c *checker) array(depth int) error {
	c.i++
	if c.peek() == ']' {
		c.i++
		return nil
	}
	for {
		if err := c.value(depth + 1); err != nil {
			return err
		}
		if done, err := c.next(']'); done || err != nil {
			return err
		}
	}
}

// next steps over ',' or the closing byte.
func (c *checker) next(end byte) (done bool, err error) {
	switch c.peek() {
	case ',':
		c.i++
		return false, nil
	case end:
		c.i++
		return true, nil
	}
	return false, syntax("expected ',' or the end")
}

// number accepts integers only, in their one decimal form.
func (c *checker) number() error {
	start := c.i
	if c.peek() == '-' {
		c.i++
	}
	digits := c.i
	for c.peek() >= '0' && c.peek() <= '9' {
		c.i++
	}
	n := c.i - digits
	if n == 0 || n > 1 && c.b[digits] == '0' || n == 1 && c.b[digits] == '0' && digits > start {
		return syntax("number is not in its shortest form")
	}
	if p := c.peek(); p == '.' || p == 'e' || p == 'E' {
		return syntax("number is not an integer")
	}
	if v, err := strconv.ParseInt(string(c.b[digits:c.i]), 10, 64); err != nil || v > MaxInt {
		return syntax("number is beyond 2^53 - 1")
	}
	return nil
}

// str reads a string and returns its content, escapes resolved.
func (c *checker) str() (string, error) {
	c.i++
	start := c.i
	for c.i < len(c.b) && c.b[c.i] >= 0x20 && c.b[c.i] != '"' && c.b[c.i] != '\\' && c.b[c.i] < utf8.RuneSelf {
		c.i++
	}
	if c.peek() == '"' {
		c.i++
		return string(c.b[start : c.i-1]), nil
	}
	var s strings.Builder
	s.Write(c.b[start:c.i])
	for c.i < len(c.b) {
		switch p := c.b[c.i]; {
		case p == '"':
			c.i++
			return s.String(), nil
		case p == '\\':
			r, err := c.escape()
			if err != nil {
				return "", err
			}
			s.WriteByte(r)
		case p < 0x20:
			return "", syntax("control character in a string")
		default:
			r, n := utf8.DecodeRune(c.b[c.i:])
			if r == utf8.RuneError && n < 2 {
				return "", syntax("not UTF-8")
			}
			s.WriteRune(r)
			c.i += n
		}
	}
	return "", syntax("string does not end")
}

// escape accepts exactly the escapes of RFC 8785 section 3.2.2.2.
func (c *checker) escape() (byte, error) {
	if c.i+1 >= len(c.b) {
		return 0, syntax("string does not end")
	}
	if k := strings.IndexByte(`"\bfnrt`, c.b[c.i+1]); k >= 0 {
		c.i += 2
		return "\"\\\b\f\n\r\t"[k], nil
	}
	if c.i+6 <= len(c.b) && string(c.b[c.i:c.i+4]) == `\u00` {
		h := string(c.b[c.i+4 : c.i+6])
		v, err := strconv.ParseUint(h, 16, 8)
		short := strings.IndexByte("\b\f\n\r\t", byte(v)) >= 0
		if err == nil && v < 0x20 && !short && strings.ToLower(h) == h {
			c.i += 6
			return byte(v), nil
		}
	}
	return 0, syntax("escape is not in its one form")
}

// less orders names by UTF-16 code units (RFC 8785 section 3.2.3), which for
// ASCII is the order of bytes.
func less(a, b string) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			if a[i] < utf8.RuneSelf && b[i] < utf8.RuneSelf {
				return a[i] < b[i]
			}
			return less16(a, b)
		}
	}
	return len(a) < len(b)
}

func less16(a, b string) bool {
	x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}
