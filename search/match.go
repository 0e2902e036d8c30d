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

// Match reports whether q applies to d: the answer that a catalog gives too.
func (q Query) Match(d Doc) bool {
	words, parts := Index(d.Title, d.Text)
	text, handles := split(words), split(parts)
	var addresses [][][]byte
	for _, t := range q.Terms {
		if t.Kind == URL && addresses == nil {
			for _, a := range d.Addresses {
				addresses = append(addresses, split(Address(a)))
			}
		}
		if t.in(text, handles, addresses, d.Hashes) == t.Not {
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
