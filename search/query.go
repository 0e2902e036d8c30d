package search

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a question.
const (
	MaxQuery  = 2000 // bytes
	MaxTerms  = 32
	MaxWords  = 256 // in all terms
	minHash   = 8   // hexadecimal digits
	maxHash   = 64
	minPrefix = 2 // characters before *
)

// ErrQuery is wrapped by every error of Parse: its text says what to change.
var ErrQuery = errors.New("this cannot be looked for")

// Kind says what a Term looks at.
type Kind int

// The kinds.
const (
	Phrase Kind = iota // Words side by side in the text
	Handle             // Words[0] is part of a handle in the text
	URL                // Words side by side in an address of the page, or of a link
	Hash               // Words[0] begins the SHA-256 of an Object, a Manifest or a text
)

// Term is one of the things that a Query asks for.
type Term struct {
	Kind   Kind
	Not    bool
	Words  []string // folded; at least one
	Prefix bool     // the last of Words may go on; always so for Handle and Hash
}

// Query asks for texts to which each Term applies, or does not where Not is set. At
// least one of them is without Not.
type Query struct {
	Terms []Term
}

// Parse reads a question: words, all of which must be there; "a phrase" (also in the
// quotation marks of other languages); begin*; @part, of a handle; url:part, of an address; hash:SHA-256, or its first
// 8 digits or more; - before any of these, but hash:, for what must not be there. The
// error wraps [ErrQuery] and says what is wrong.
func Parse(s string) (Query, error) {
	var q Query
	if len(s) > MaxQuery {
		return q, refuse("it has %d bytes, at most %d are taken", len(s), MaxQuery)
	}
	if !utf8.ValidString(s) {
		return q, refuse("it is not UTF-8")
	}
	p := parser{rest: plainSigns(s)}
	for p.space(); p.rest != ""; p.space() {
		t, ok, err := p.term()
		if err != nil {
			return Query{}, err
		}
		if ok {
			q.Terms = append(q.Terms, t)
		}
	}
	return q, q.check()
}

// plainSigns makes the signs of a question plain: those of full width, as keyboards of
// East Asia type them, and without what sets directions, which is copied along with
// words from right to left and stands unseen before a sign. In words neither counts.
func plainSigns(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '＂':
			return '"'
		case '－', '−', '﹣':
			return '-'
		case '＠', '﹫':
			return '@'
		case '＊':
			return '*'
		case '：':
			return ':'
		case '\u200b', '\u200e', '\u200f', '\u061c', '\u202a', '\u202b', '\u202c', '\u202d', '\u202e', '\u2066', '\u2067', '\u2068', '\u2069', '\ufeff':
			return -1
		}
		return r
	}, s)
}

func refuse(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrQuery, fmt.Errorf(format, a...))
}

func (q Query) check() error {
	words, asked := 0, false
	for _, t := range q.Terms {
		words += len(t.Words)
		asked = asked || !t.Not
	}
	switch {
	case len(q.Terms) == 0:
		return refuse("there is no word in it: letters, digits or symbols")
	case !asked:
		return refuse("it says only what must not be there; say a word that must")
	case len(q.Terms) > MaxTerms || words > MaxWords:
		return refuse("it asks for %d things in %d words, at most %d in %d are taken", len(q.Terms), words, MaxTerms, MaxWords)
	}
	return nil
}

type parser struct{ rest string }

func (p *parser) space() { p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace) }

func (p *parser) take(prefix string) bool {
	var ok bool
	p.rest, ok = strings.CutPrefix(p.rest, prefix)
	return ok
}

// term reads one. ok is false for what only stands between words, as a lone dash.
func (p *parser) term() (t Term, ok bool, err error) {
	whole := p.rest
	t.Not = p.take("-") || p.take("–") && p.rest != "" && !unicode.IsSpace(first(p.rest)) // as some programs write it
	switch {
	case p.takeFold("hash:"):
		t.Kind = Hash
	case p.takeFold("url:"):
		t.Kind = URL
	case p.take("@"):
		t.Kind = Handle
	}
	text, quoted, err := p.value()
	if err != nil {
		return t, false, err
	}
	whole = whole[:len(whole)-len(p.rest)]
	if !quoted && t.Kind != Hash && strings.HasSuffix(text, "*") {
		text, t.Prefix = strings.TrimRight(text, "*"), true
	}
	switch t.Kind {
	case Hash:
		err = t.hash(text)
	case Handle:
		raw := handleAt(text)
		if strings.ContainsFunc(text[len(raw):], func(r rune) bool { return unicode.In(r, unicode.L, unicode.N) }) {
			return t, false, refuse("%.80q: a handle has letters, digits and _ only; one post is --source t.me/NAME/ID", whole)
		}
		t.Words, t.Prefix = []string{foldHandle(raw)}, true
		if utf8.RuneCountInString(t.Words[0]) < minPart {
			err = refuse("%.80q: a part of a handle has %d characters or more", whole, minPart)
		}
	default:
		ok, err = t.phrase(text, whole)
		return t, ok, err
	}
	return t, err == nil, err
}

func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func (p *parser) takeFold(prefix string) bool {
	if len(p.rest) < len(prefix) || !strings.EqualFold(p.rest[:len(prefix)], prefix) {
		return false
	}
	p.rest = p.rest[len(prefix):]
	return true
}

// value is what is quoted, or goes to the next space.
func (p *parser) value() (text string, quoted bool, err error) {
	for _, marks := range [][2]string{{`"`, `"`}, {"“", "”"}, {"„", "“”"}, {"”", "”"}, {"«", "»"}, {"»", "«»"}, {"「", "」"}, {"『", "』"}, {"《", "》"}} {
		rest, ok := strings.CutPrefix(p.rest, marks[0])
		if !ok {
			continue
		}
		end := strings.IndexAny(rest, marks[1])
		if end < 0 {
			return "", true, refuse("%.80q: the quotation mark is not closed", p.rest)
		}
		_, n := utf8.DecodeRuneInString(rest[end:])
		text, p.rest = rest[:end], rest[end+n:]
		return text, true, nil
	}
	end := strings.IndexFunc(p.rest, unicode.IsSpace)
	if end < 0 {
		end = len(p.rest)
	}
	text, p.rest = p.rest[:end], p.rest[end:]
	return text, false, nil
}

func (t *Term) phrase(text, whole string) (ok bool, err error) {
	Words(text, func(w []byte, _, _ int) bool {
		t.Words = append(t.Words, string(w))
		return len(t.Words) <= MaxWords
	})
	switch {
	case len(t.Words) == 0 && t.Kind == Phrase && !t.Prefix && (!t.Not || whole == "-"):
		return false, nil // it stands between words in a text too
	case len(t.Words) == 0:
		return false, refuse("%.80q: there is no letter, digit or symbol in it", whole)
	case t.Prefix && utf8.RuneCountInString(t.Words[len(t.Words)-1]) < minPrefix && !alone1(t.Words[len(t.Words)-1]):
		return false, refuse("%.80q: %d characters or more must stand before *", whole, minPrefix)
	}
	return true, nil
}

// alone1 reports whether a word is one of those that are one character always.
func alone1(w string) bool {
	r, _ := utf8.DecodeRuneInString(w)
	k, _ := classify(r)
	return k == alone
}

func (t *Term) hash(text string) error {
	h, said := strings.CutPrefix(strings.ToLower(text), "sha256:")
	switch {
	case !said && (len(h) == 32 || len(h) == 40) && strings.Trim(h, "0123456789abcdef") == "":
		return refuse("hash:%s: it has as many digits as %s, and only SHA-256 is looked for; if it is the beginning of one, write hash:sha256:%s", h, map[int]string{32: "MD5", 40: "SHA-1"}[len(h)], h)
	case t.Not:
		return refuse("-hash: is not taken")
	case strings.Trim(h, "0123456789abcdef") != "" || len(h) < minHash || len(h) > maxHash:
		return refuse("hash:%.80s: only SHA-256 is looked for, %d to %d hexadecimal digits of it; these are %d (MD5 has 32, SHA-1 40, SHA-512 128)", text, minHash, maxHash, len(h))
	}
	t.Words, t.Prefix = []string{h}, true
	return nil
}
