// Package rules tells what a page is by rules that are data: whether a wall
// stands in place of it or over it, whether a banner asks for consent and which
// of its buttons refuses, and which button gives more of a page and does nothing
// else.
//
// The rules and the words, in many languages, are the files in data. The package
// sees no page: it is given what somebody saw of one ([Page], [Banner], [Button])
// and answers without side effects. A rule is a guess, and its name goes with the
// answer, so that whoever reads it can judge for himself.
package rules

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

//go:embed data/*.json
var data embed.FS

// ErrRules is wrapped by the error for data that is not rules of version 1.
var ErrRules = errors.New("not rules of version 1")

// Rules do not change once made and are safe for concurrent use.
type Rules struct {
	walls   wallRules
	consent consentRules
	more    moreRules
}

// Default returns the rules of this program.
func Default() (*Rules, error) {
	r := &Rules{}
	for name, into := range map[string]interface{ check() error }{"walls": &r.walls, "consent": &r.consent, "more": &r.more} {
		b, err := data.ReadFile("data/" + name + ".json")
		if err == nil {
			err = read(b, into)
		}
		if err != nil {
			return nil, fmt.Errorf("read rules %s: %w", name, err)
		}
	}
	return r, nil
}

// read refuses what it does not know: a rule with a word that is passed over
// would be a wider one.
func read(b []byte, into interface{ check() error }) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrRules, err)
	}
	return into.check()
}

// words are phrases by language.
type words map[string][]string

// all gives them in no order, as [fold] gives text.
func (w words) all() (out []string) {
	for _, list := range w {
		for _, s := range list {
			out = append(out, fold(s))
		}
	}
	return out
}

// fold makes text comparable: compatibility forms, lower case, one kind of quote,
// apostrophe and dash, one blank between words.
func fold(s string) string {
	s = strings.ToLower(norm.NFKC.String(s))
	s = strings.Map(func(r rune) rune {
		switch r {
		case '’', '‘', 'ʼ', '`', '´':
			return '\''
		case '“', '”', '„', '«', '»':
			return '"'
		case '–', '—', '‑':
			return '-'
		case '\u200b', '\u200e', '\u200f', '\u00ad', '\ufeff':
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// has reports which phrase is in folded text: as whole words where words have
// blanks between them, so that "login" is not in "blogging"; "" is none.
func has(text string, phrases []string) string {
	for _, p := range phrases {
		for at := 0; ; {
			i := strings.Index(text[at:], p)
			if i < 0 {
				break
			}
			if begin, end := at+i, at+i+len(p); bounded(text, begin, end) {
				return p
			}
			at += i + len(p)
		}
	}
	return ""
}

// bounded: no letter of the same kind of writing goes on before or behind.
func bounded(text string, begin, end int) bool {
	return !joined(lastRune(text[:begin]), firstRune(text[begin:])) && !joined(lastRune(text[:end]), firstRune(text[end:]))
}

// Has reports which of the phrases is in a text, compared as the rules compare; "" is
// none.
func Has(text string, phrases []string) string {
	text = fold(text)
	for _, p := range phrases {
		if f := fold(p); f != "" && has(text, []string{f}) != "" {
			return p
		}
	}
	return ""
}
