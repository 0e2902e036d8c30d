package search

import (
	"bytes"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of what is kept of handles. What is beyond is found by its words only.
const (
	maxHandles   = 1000 // different ones in one text
	maxHandle    = 40   // characters of one
	minPart      = 2    // characters of a part that can be asked for
	maxAddress   = 4096 // bytes of an address
	noWord       = "_"  // what no question asks for: no phrase goes across it
	handleInside = '_'
)

// Index is what a catalog keeps of a text: its words, with a space between, and
// each part of each handle that goes to its end, so that a part anywhere in a handle
// begins one of them. Both hold letters, digits, marks and symbols, spaces and `_`.
func Index(title, text string) (words, parts string) {
	var b strings.Builder
	b.Grow(len(title) + len(text) + len(text)/8)
	appendWords(&b, title)
	if b.Len() > 0 {
		b.WriteString(" " + noWord)
	}
	appendWords(&b, text)
	var p strings.Builder
	seen := map[string]bool{}
	for _, s := range []string{title, text} {
		Handles(s, func(h string) bool {
			if !seen[h] {
				seen[h] = true
				appendParts(&p, h)
			}
			return len(seen) < maxHandles
		})
	}
	return b.String(), p.String()
}

// appendWords stops where a text has become more than letters and spaces could: one
// character may stand for eighteen, and a text of such is no text.
func appendWords(b *strings.Builder, s string) {
	most := b.Len() + 2*len(s) + 1<<16
	Words(s, func(w []byte, _, _ int) bool {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.Write(w)
		return b.Len() < most
	})
}

func appendParts(b *strings.Builder, handle string) {
	left := utf8.RuneCountInString(handle)
	for i, r := range handle {
		if left < minPart {
			return
		}
		left--
		if r == handleInside || unicode.Is(unicode.M, r) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(handle[i:])
	}
}

// Handles calls yield for each handle in s, folded and without its @: `@name` that
// does not follow a letter or digit (so no address of mail), and the name in t.me/name
// and telegram.me/name. A handle may come again.
func Handles(s string, yield func(handle string) bool) {
	for i := 0; i < len(s); {
		at := strings.IndexAny(s[i:], "@/")
		if at < 0 {
			return
		}
		at += i
		i = at + 1
		if s[at] == '@' && follows(s[:at]) || s[at] == '/' && !hostBefore(s[:at]) {
			continue
		}
		raw := handleAt(s[i:])
		i += len(raw)
		if h := foldHandle(raw); utf8.RuneCountInString(h) >= minPart && !yield(h) {
			return
		}
	}
}

func follows(before string) bool {
	r, _ := utf8.DecodeLastRuneInString(before)
	return unicode.In(r, unicode.L, unicode.N)
}

func hostBefore(before string) bool {
	for _, host := range []string{"t.me", "telegram.me"} {
		if n := len(before) - len(host); n >= 0 && strings.EqualFold(before[n:], host) && (n == 0 || before[n-1] == '/' || !follows(before[:n]) && before[n-1] != '.' && before[n-1] != '-') {
			return true
		}
	}
	return false
}

// handleAt is the longest run of what handles are made of.
func handleAt(s string) string {
	n := 0
	for i, r := range s {
		if n++; n > 4*maxHandle || r != '_' && !unicode.In(r, unicode.L, unicode.N, unicode.M) {
			return s[:i]
		}
	}
	return s
}

// foldHandle folds a handle; `_` stays where it is between others.
func foldHandle(raw string) string {
	var b strings.Builder
	last, n := 0, 0
	Words(raw, func(w []byte, from, to int) bool {
		if b.Len() > 0 && strings.Contains(raw[min(last, from):from], "_") {
			b.WriteByte(handleInside)
			n++
		}
		last = to
		for _, r := range string(w) {
			if n < maxHandle {
				b.WriteRune(r)
			}
			n++
		}
		return n < maxHandle
	})
	return b.String()
}

// Address is what a catalog keeps of an address, or of a name of a file: its words,
// and where they are others those with what is escaped in it taken back and its host
// in the script that people read.
func Address(raw string) string {
	raw = raw[:min(len(raw), maxAddress)]
	var b strings.Builder
	appendWords(&b, raw)
	if plain := unescaped(raw); plain != raw {
		b.WriteString(" " + noWord)
		appendWords(&b, plain)
	}
	return b.String()
}

func unescaped(raw string) string {
	plain, err := url.PathUnescape(raw)
	if err != nil {
		plain = raw
	}
	if !strings.Contains(raw, "xn--") {
		return plain
	}
	scheme, rest, ok := strings.Cut(plain, "://")
	if !ok {
		scheme, rest = "", plain
	}
	end := strings.IndexAny(rest, "/?#:")
	if end < 0 {
		end = len(rest)
	}
	host, err := idna.ToUnicode(rest[:end])
	if err != nil {
		return plain
	}
	return scheme + "://" + host + rest[end:]
}

// split is the words of what Index or Address gave.
func split(s string) [][]byte { return bytes.Fields([]byte(s)) }
