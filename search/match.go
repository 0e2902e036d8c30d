package search

import (
	"bytes"
	"strings"
)

// Doc is what a Query is held against. Hashes are SHA-256 in lower hexadecimal.
type Doc struct {
	Title, Text string
	Addresses   []string
	Hashes      []string
}

// Folded is a Doc made ready for many questions.
type Folded struct {
	text, handles [][]byte
	addresses     [][][]byte
	hashes        []string
}

// Fold makes d ready.
func (d Doc) Fold() Folded {
	words, parts := Index(d.Title, d.Text)
	f := Folded{text: split(words), handles: split(parts), hashes: d.Hashes}
	for _, a := range d.Addresses {
		f.addresses = append(f.addresses, split(Address(a)))
	}
	return f
}

// Match reports whether q applies to d: the answer that a catalog gives too.
func (q Query) Match(d Doc) bool { return q.Applies(d.Fold()) }

// Applies is Match for a Doc that is asked more than once.
func (q Query) Applies(f Folded) bool {
	for _, t := range q.Terms {
		if t.in(f.text, f.handles, f.addresses, f.hashes) == t.Not {
			return false
		}
	}
	return len(q.Terms) > 0
}

func (t Term) in(text, handles [][]byte, addresses [][][]byte, hashes []string) bool {
	switch t.Kind {
	case Phrase:
		return t.at(text) >= 0
	case Handle:
		for _, h := range handles {
			if strings.HasPrefix(string(h), t.Words[0]) {
				return true
			}
		}
	case URL:
		for _, a := range addresses {
			if t.at(a) >= 0 {
				return true
			}
		}
	case Hash:
		for _, h := range hashes {
			if strings.HasPrefix(h, t.Words[0]) {
				return true
			}
		}
	}
	return false
}

// at is where the words stand side by side for the first time; -1: nowhere.
func (t Term) at(text [][]byte) int {
next:
	for i := 0; i+len(t.Words) <= len(text); i++ {
		for k, w := range t.Words {
			last := t.Prefix && k == len(t.Words)-1
			if string(text[i+k]) != w && !(last && bytes.HasPrefix(text[i+k], []byte(w))) {
				continue next
			}
		}
		return i
	}
	return -1
}

// HasAny says whether a text has one of parts: as it is written, but for case, or its
// words, folded as those of the text, side by side; the first of them may end a longer
// word and the last begin one.
func HasAny(text string, parts []string) bool {
	var b strings.Builder
	appendWords(&b, text)
	folded, lower := b.String(), strings.ToLower(text)
	for _, part := range parts {
		var p strings.Builder
		if appendWords(&p, part); p.Len() > 0 && strings.Contains(folded, p.String()) || strings.Contains(lower, strings.ToLower(part)) {
			return true
		}
	}
	return false
}
