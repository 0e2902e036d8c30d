// Package canon reads and writes the one JSON form that holdfast signs:
// RFC 8785 (JCS), narrowed to integers (docs/bundle.md, section 1).
//
// A document has exactly one spelling, so equal content means equal bytes and
// equal digests, and a parser has nothing to choose: duplicate members, other
// orders, spaces, escapes and number forms are refused before any field is read.
package canon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of arrays and objects that Check accepts.
const MaxDepth = 32

// MaxInt is the largest absolute value of a number: 2^53 - 1. Above it readers
// that use floating point, which RFC 8785 prescribes, would round.
const MaxInt = 1<<53 - 1

// ErrForm is wrapped by every error that says "not canonical".
var ErrForm = errors.New("not canonical JSON")

// Marshal encodes v canonically. Structs must declare their members in the
// order of their JSON names and hold no floating-point numbers; the result is
// checked, so a wrong type is an error here and never a wrong document.
func Marshal(v any) ([]byte, error) {
	b, err := Append(nil, v)
	if err != nil {
		return nil, err
	}
	if err := Check(b); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// Append is Marshal without the check, for hot paths whose types a test has
// checked. It appends to dst.
func Append(dst []byte, v any) ([]byte, error) {
	w := bytes.NewBuffer(dst)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	b := bytes.TrimSuffix(w.Bytes(), []byte("\n")) // dst, and behind it v
	if !bytes.Contains(b[len(dst):], []byte(`\u202`)) {
		return b, nil
	}
	return append(dst, unescape(b[len(dst):])...), nil
}

// unescape turns encoding/json's \u2028 and \u2029, the only escapes in which
// it differs from RFC 8785 section 3.2.2.2, into the characters themselves.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 >= len(b) {
			out = append(out, b[i])
			continue
		}
		if e := b[i:min(i+6, len(b))]; string(e) == `\u2028` || string(e) == `\u2029` {
			out = append(out, 0xe2, 0x80, 0xa0|e[5]&0x0f)
			i += 5
			continue
		}
		out = append(out, b[i], b[i+1]) // an escaped backslash hides what follows it
		i++
	}
	return out
}

// Unmarshal reads canonical b into v and refuses, with an error wrapping
// [ErrForm], anything that v's own encoding would not give back byte for byte:
// unknown members, case variants, a member that is empty where v leaves it out.
// It refuses null, which would pass for an empty list; [UnmarshalNullable] does
// not.
func Unmarshal(b []byte, v any) error { return unmarshal(b, v, true) }

// UnmarshalNullable is Unmarshal for documents that have members with null.
// The caller checks that no list is nil.
func UnmarshalNullable(b []byte, v any) error { return unmarshal(b, v, false) }

func unmarshal(b []byte, v any, noNull bool) error {
	if err := check(b, noNull); err != nil {
		return err
	}
	// Unmarshal passes over unknown members, which the comparison then misses; a
	// Decoder, which refuses them itself, would copy the whole document first.
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w: %w", v, ErrForm, err)
	}
	again := &comparer{rest: b}
	if err := encodeTo(again, v); err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	if again.differs || len(again.rest) > 0 {
		return fmt.Errorf("decode %T: %w: a member is misspelt, missing or empty near byte %d", v, ErrForm, len(b)-len(again.rest))
	}
	return nil
}

// comparer holds an encoding against the bytes that were read, so that a large
// document is not in memory once more. No Write may end within an escape.
type comparer struct {
	rest    []byte
	differs bool
}

func (c *comparer) Write(p []byte) (int, error) {
	again := p
	if bytes.IndexByte(p, '\\') >= 0 {
		again = unescape(p)
	}
	n := min(len(again), len(c.rest))
	same := n
	if !bytes.Equal(again[:n], c.rest[:n]) {
		for same = 0; again[same] == c.rest[same]; same++ {
		}
	}
	if !c.differs {
		c.rest = c.rest[same:]
	}
	c.differs = c.differs || same < len(again)
	return len(p), nil
}

// Text is bytes from outside that are usually, not always, UTF-8. It encodes
// as a string, or as {"base64":"…"} exactly when it is not valid UTF-8.
type Text string

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return Append(nil, string(t))
	}
	return Append(nil, struct {
		Base64 []byte `json:"base64"`
	}{[]byte(t)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	var o struct {
		Base64 string `json:"base64"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(o.Base64)
	*t = Text(raw)
	return err
}
