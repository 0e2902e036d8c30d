package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWord is the length of a word in bytes, and somewhat more for the character
// that passes it.
const maxWord = 48

// kind is what a character is to the fold.
type kind int

const (
	between kind = iota // words end here
	letter              // and digits
	alone               // a word of its own, with the marks that follow
	mark                // belongs to what stands before it
	nothing             // is not seen
)

// Words calls yield for each word of s, in order, with the bytes of s that it is
// of; folded is valid during the call only. It ends when yield returns false.
func Words(s string, yield func(folded []byte, from, to int) bool) {
	w := folder{yield: yield}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if stable(r) {
			if !w.rune(r, i, i+n) {
				return
			}
			i += n
			continue
		}
		end := i + n
		for end < len(s) {
			if r, n = utf8.DecodeRuneInString(s[end:]); stable(r) {
				break
			}
			end += n
		}
		if !w.decompose(s[i:end], i) {
			return
		}
		i = end
	}
	w.flush()
}

// stable characters do not come apart, and begin one: what stands before such a one
// comes apart alike without it. They are most of most texts.
func stable(r rune) bool {
	return r < utf8.RuneSelf || 0x0410 <= r && r <= 0x0451 && r != 0x0450 || 0x0621 <= r && r <= 0x064a && (r < 0x0622 || 0x0626 < r) ||
		0x05d0 <= r && r <= 0x05ea || 0x4e00 <= r && r <= 0x9fff
}

// decompose takes in what stands at a place of the whole text.
func (w *folder) decompose(s string, at int) bool {
	w.it.InitString(norm.NFKD, s)
	for from, next := 0, 0; !w.it.Done(); {
		part := w.it.Next()
		to := w.it.Pos()
		if from = next; to > next {
			next = to
		} else { // a part of what one character becomes; the last part moves on
			_, n := utf8.DecodeRuneInString(s[next:])
			to = next + n
		}
		for len(part) > 0 {
			r, n := utf8.DecodeRune(part)
			part = part[n:]
			if r == utf8.RuneError && n == 1 {
				r = ' ' // a byte that is not UTF-8
			}
			if !w.rune(r, at+from, at+to) {
				return false
			}
		}
	}
	return true
}

type folder struct {
	yield    func([]byte, int, int) bool
	word     []byte
	from, to int
	last     rune // the letter that a mark would stand on
	bare     bool // its script's marks go
	alone    bool // word is of kind alone
	compose  bool // marks or Jamo are in word
	stopped  bool
	it       norm.Iter
}

// rune takes the next character; false: yield has had enough.
func (w *folder) rune(r rune, from, to int) bool {
	k, bare := classify(r)
	switch k {
	case nothing:
		if r == zwnj && w.arabic() {
			w.last = 0
			return w.flush()
		}
		return true
	case mark:
		w.mark(r, to)
		return true
	case between:
		w.last = 0
		return w.flush()
	case alone:
		if !w.flush() {
			return false
		}
	case letter:
		if (w.alone || w.full()) && !w.flush() {
			return false
		}
	}
	if len(w.word) == 0 {
		w.from, w.alone = from, k == alone
	}
	w.to, w.last, w.bare = to, r, bare
	if !bare && 0x1100 <= r && r < 0x1200 {
		w.compose = true
	}
	w.word = appendFolded(w.word, r)
	return true
}

// zwnj stands inside a word of Persian where others write a space, or nothing: what it
// parts are words (کتاب‌ها, books, has کتاب, book). In other scripts it is not seen.
const zwnj = '\u200c'

func (w *folder) arabic() bool {
	r, _ := utf8.DecodeLastRune(w.word)
	return 0x0600 <= r && r <= 0x06ff
}

// full: the word is cut here. Jamo are many bytes before they are composed.
func (w *folder) full() bool {
	return len(w.word) >= maxWord && (!w.compose || len(w.word) >= 3*maxWord)
}

// mark adds what stands on a letter, where it is part of the letter.
func (w *folder) mark(r rune, to int) {
	if len(w.word) == 0 {
		return
	}
	w.to = to
	if !w.bare && 0x0900 <= r && r <= 0x097f && w.devanagari(r) {
		return
	}
	if !w.bare {
		if len(w.word) < 3*maxWord {
			w.word, w.compose = utf8.AppendRune(w.word, r), true
		}
		return
	}
	whole := rune(0)
	switch unicode.ToLower(w.last) {
	case 'и':
		whole = 'й'
	case 'у':
		whole = 'ў'
	case 'і':
		whole = 'ї'
	}
	if whole != 0 && (r == '\u0306') == (whole != 'ї') && (r == '\u0306' || r == '\u0308') {
		w.word = utf8.AppendRune(w.word[:len(w.word)-2], whole)
	}
	w.last = 0
}

// devanagari makes one of what is written in two ways: the nukta goes (ज़ is ज), ँ is
// ं, and so is a nasal that has no vowel and begins no word (हिन्दी is हिंदी).
func (w *folder) devanagari(r rune) bool {
	const nukta, candrabindu, anusvara, virama = '\u093c', '\u0901', '\u0902', '\u094d'
	switch last, n := utf8.DecodeLastRune(w.word); {
	case r == nukta:
		return true
	case r == candrabindu:
		r = anusvara
	case r == virama && (last == 'ङ' || last == 'ञ' || last == 'ण' || last == 'न' || last == 'म'):
		if before, _ := utf8.DecodeLastRune(w.word[:len(w.word)-n]); before < 0x0900 || 0x097f < before {
			return false // it begins the word, or stands on a letter that keeps no marks
		}
		w.word, r = w.word[:len(w.word)-n], anusvara
	default:
		return false
	}
	if len(w.word) < 3*maxWord {
		w.word, w.compose = utf8.AppendRune(w.word, r), true
	}
	return true
}

func (w *folder) flush() bool {
	if w.stopped {
		return false
	}
	if len(w.word) == 0 {
		return true
	}
	word := w.word
	if w.compose {
		word = norm.NFC.Bytes(word)
	}
	w.stopped = !w.yield(word, w.from, w.to)
	w.word, w.alone, w.compose = w.word[:0], false, false
	return !w.stopped
}

// classify says what a decomposed character is, and whether its script loses marks.
func classify(r rune) (k kind, bare bool) {
	switch {
	case r < utf8.RuneSelf:
		if '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z' {
			return letter, true
		}
		return between, false
	case 0x0410 <= r && r <= 0x0451 && r != 0x0450, 0x0621 <= r && r <= 0x064a && r != 0x0640, 0x05d0 <= r && r <= 0x05ea:
		return letter, true
	case 0x4e00 <= r && r <= 0x9fff:
		return alone, false
	case 0x0300 <= r && r <= 0x036f && r != '\u034f':
		return mark, false
	case unicode.Is(unicode.M, r):
		if unicode.Is(unicode.Variation_Selector, r) || r == '\u034f' || r == '\u20e3' {
			return nothing, false
		}
		return mark, false
	case 0x02b9 <= r && r <= 0x02bf, r == 0x02ee: // apostrophes that are letters: мʼята is written м'ята too
		return between, false
	case r == 0x0640, unicode.Is(unicode.Cf, r), unicode.Is(unicode.Sk, r):
		return nothing, false
	case unicode.Is(unicode.So, r):
		return alone, false
	case unicode.In(r, unicode.L, unicode.N):
		if unspaced(r) {
			return alone, false
		}
		return letter, unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew, unicode.Nd)
	}
	return between, false
}

// unspaced reports whether r is of a script that puts no spaces between words.
func unspaced(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Thai, unicode.Lao, unicode.Khmer,
		unicode.Myanmar, unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham, unicode.Tai_Viet, unicode.Balinese, unicode.Javanese, unicode.Yi,
		unicode.Tangut, unicode.Nushu, unicode.Khitan_Small_Script)
}

// appendFolded adds a letter without case and in its common form.
func appendFolded(b []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r |= 0x20
		}
		return append(b, byte(r))
	}
	switch { // what most texts are of goes without a look into tables
	case 0x0410 <= r && r < 0x0430:
		r += 0x20
		fallthrough
	case 0x0430 <= r && r <= 0x044f, 0x4e00 <= r && r <= 0x9fff, 0x05d0 <= r && r <= 0x05ea:
		return utf8.AppendRune(b, r)
	case r == 'ё':
		return append(b, "е"...)
	}
	if s := common(r); s != "" {
		return append(b, s...)
	}
	if unicode.Is(unicode.Nd, r) {
		return append(b, '0'+digit(r))
	}
	l := unicode.ToLower(unicode.ToUpper(r)) // both: ς is σ
	if s := common(l); s != "" {
		return append(b, s...)
	}
	return utf8.AppendRune(b, l)
}

// common are letters that people exchange for others and that do not come apart.
func common(r rune) string {
	switch r {
	case 'ß', 'ẞ':
		return "ss"
	case 'ł':
		return "l"
	case 'ø':
		return "o"
	case 'đ', 'ð':
		return "d"
	case 'ħ':
		return "h"
	case 'ŧ':
		return "t"
	case 'ı':
		return "i"
	case 'æ':
		return "ae"
	case 'œ':
		return "oe"
	case 'þ':
		return "th"
	case 'ٱ':
		return "ا"
	case 'ى', 'ی':
		return "ي"
	case 'ک', 'ڪ':
		return "ك"
	case 'ة', 'ہ', 'ە', 'ھ', 'ۃ':
		return "ه"
	}
	return ""
}

// digit is the value of a decimal digit: those of a script stand in a row from 0.
func digit(r rune) byte {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte(r-rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	return 0
}
