package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// place is a word of a text and where it stands.
type place struct {
	word     string
	from, to int
}

// maxPlaces bounds how many words of a text Snippet looks at.
const maxPlaces = 1 << 20

// Snippet is the part of a text around the first place that q asks for, at most so
// many characters on either side, with … where it is cut; at the beginning, where
// what was found is not in the text itself. White space becomes one space. Who prints
// it makes the rest visible.
func (q Query) Snippet(text string, around int) string {
	from, to := q.place(text)
	return clip(text, from, to, around)
}

// Shows reports whether the text itself has a word, phrase or handle that q asks for.
func (q Query) Shows(text string) bool {
	_, _, found := q.first(text)
	return found
}

func (q Query) place(text string) (from, to int) {
	from, to, _ = q.first(text)
	return from, to
}

func (q Query) first(text string) (from, to int, found bool) {
	best := place{}
	for _, t := range q.Terms {
		if t.Not {
			continue
		}
		p, ok := place{}, false
		switch t.Kind {
		case Phrase:
			p, ok = t.phraseIn(text)
		case Handle:
			p, ok = t.handleIn(text)
		}
		if ok && (!found || p.from < best.from) {
			best, found = p, true
		}
	}
	return best.from, best.to, found
}

// phraseIn holds a window of as many words as it looks for.
func (t Term) phraseIn(text string) (found place, ok bool) {
	window, seen := make([]place, 0, len(t.Words)), 0
	Words(text, func(w []byte, from, to int) bool {
		if len(window) == len(t.Words) {
			window = append(window[:0], window[1:]...)
		}
		window = append(window, place{string(w), from, to})
		if seen++; len(window) == len(t.Words) && t.is(window) {
			found, ok = place{from: window[0].from, to: to}, true
		}
		return !ok && seen < maxPlaces
	})
	return found, ok
}

func (t Term) is(window []place) bool {
	for i, w := range t.Words {
		if window[i].word != w && !(t.Prefix && i == len(t.Words)-1 && strings.HasPrefix(window[i].word, w)) {
			return false
		}
	}
	return true
}

func (t Term) handleIn(text string) (found place, ok bool) {
	at := 0
	Handles(text, func(h string) bool {
		// Where in the text is not said by Handles: its sign is looked for again.
		for i := at; i < len(text); i++ {
			if text[i] != '@' && text[i] != '/' {
				continue
			}
			raw := handleAt(text[i+1:])
			if foldHandle(raw) == h {
				at = i + 1
				if strings.Contains(h, t.Words[0]) {
					found, ok = place{from: i, to: i + 1 + len(raw)}, true
				}
				break
			}
		}
		return !ok
	})
	return found, ok
}

// clip cuts at characters, and drops a mark that would stand on nothing.
func clip(text string, from, to, around int) string {
	if most := from + 8*around; to > most { // a phrase with a desert in it
		for to = most; to > from && !utf8.RuneStart(text[to]); to-- {
		}
	}
	left, right := from, to
	for n := 0; n < around && left > 0; n++ {
		_, size := utf8.DecodeLastRuneInString(text[:left])
		left -= size
	}
	for n := 0; n < around && right < len(text); n++ {
		_, size := utf8.DecodeRuneInString(text[right:])
		right += size
	}
	cut := text[left:right]
	if left > 0 {
		cut = strings.TrimLeftFunc(cut, func(r rune) bool { return unicode.Is(unicode.M, r) })
	}
	cut = strings.Join(strings.Fields(cut), " ")
	if left > 0 {
		cut = "…" + cut
	}
	if right < len(text) {
		cut += "…"
	}
	return cut
}
