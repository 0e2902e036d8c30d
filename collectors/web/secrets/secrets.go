// Package secrets finds values that give access in bytes of any kind, in the forms that
// pages and protocols write them in, and overwrites them.
//
// The forms: as it is; with %XX, in either case, all or what must be; with what the
// value is once %XX is undone; in JSON and HTML; in hexadecimal; in base64 of both
// alphabets wherever in it the value begins; in UTF-16, little endian. What is
// compressed or encrypted must be undone before.
package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// Least is how many bytes a value has at least that is looked for: shorter ones stand
// everywhere by chance.
const Least = 8

// maxForms bounds the forms of all values together.
const maxForms = 50_000

// Set is a number of values. It may be read by several at once.
type Set struct {
	forms [][]byte
	by    map[uint32][]int // by their first four bytes; longer forms first
	bits  [1 << 16]bool    // whether a form begins with four bytes of that hash
}

// New makes the Set of those values that have Least bytes or more: of the first ones, as
// many as there is room for, and left says how many are not in it. A site can send more
// than anybody can look for; whoever has some left must not let out what may have them.
func New(values ...string) (s *Set, left int) {
	all := map[string]bool{}
	for i, v := range values {
		if len(v) < Least {
			continue
		}
		list := forms(v)
		if len(all)+len(list) > maxForms {
			left = len(values) - i
			break
		}
		for _, f := range list {
			if len(f) >= Least {
				all[f] = true
			}
		}
	}
	s = &Set{by: map[uint32][]int{}}
	for f := range all {
		s.forms = append(s.forms, []byte(f))
	}
	slices.SortFunc(s.forms, func(a, b []byte) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return bytes.Compare(a, b)
	})
	for i, f := range s.forms {
		k := binary.LittleEndian.Uint32(f)
		s.by[k] = append(s.by[k], i)
		s.bits[hash(k)] = true
	}
	return s, left
}

func hash(k uint32) uint32 { return k * 2654435761 >> 16 }

func forms(v string) []string {
	list := []string{v, url.QueryEscape(v), url.PathEscape(v), percent(v, "%%%02X"), percent(v, "%%%02x"), strings.ToLower(url.QueryEscape(v)),
		html.EscapeString(v), strings.ReplaceAll(v, "/", `\/`), hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v)))}
	if u, err := url.QueryUnescape(v); err == nil && u != v {
		list = append(list, u)
	}
	if u, err := url.PathUnescape(v); err == nil && u != v {
		list = append(list, u)
	}
	if b, err := json.Marshal(v); err == nil {
		list = append(list, string(b[1:len(b)-1]))
	}
	var wide []byte
	for _, c := range []byte(v) {
		wide = append(wide, c, 0)
	}
	list = append(list, string(wide))
	for shift := range 3 { // where in a group of three it begins
		b := append(make([]byte, shift), v...)
		begin, end := (shift*8+5)/6, len(b)*8/6 // letters that are of the value alone
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			list = append(list, e.EncodeToString(b)[begin:end])
		}
	}
	return list
}

func percent(v, format string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// find gives where the first form lies at or behind from, and its length; -1 is none.
func (s *Set) find(b []byte, from int) (at, length int) {
	for i := from; i+4 <= len(b); i++ {
		k := binary.LittleEndian.Uint32(b[i:])
		if !s.bits[hash(k)] {
			continue
		}
		for _, n := range s.by[k] {
			if bytes.HasPrefix(b[i:], s.forms[n]) {
				return i, len(s.forms[n])
			}
		}
	}
	return -1, 0
}

// In reports whether any form is in b.
func (s *Set) In(b []byte) bool {
	at, _ := s.find(b, 0)
	return at >= 0
}

// Overwrite puts asterisks in the place of each form in b, and counts them.
func (s *Set) Overwrite(b []byte) (n int) {
	for from := 0; ; n++ {
		at, length := s.find(b, from)
		if at < 0 {
			return n
		}
		for i := at; i < at+length; i++ {
			b[i] = '*'
		}
		from = at + length
	}
}

// Text is s with asterisks in the place of each form.
func (s *Set) Text(text string) string {
	if b := []byte(text); s.Overwrite(b) > 0 {
		return string(b)
	}
	return text
}
