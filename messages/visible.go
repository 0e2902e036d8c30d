package messages

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns text from outside so that it can be shown on a terminal or a
// page without acting there: each control character (newline and tab too), each
// character that reorders, joins or hides others, each one without a glyph, each
// combining mark with nothing of s to stand on (it would join what is printed
// before) and each byte that is not UTF-8 is written as ⟨U+202E⟩ or ⟨byte FF⟩.
// All other text, right-to-left scripts and marks on a base included, is
// unchanged.
//
// It does not escape HTML; templates do that.
func Visible(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	base := false // a mark now would stand on text of s
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString("⟨byte " + strings.ToUpper(strconv.FormatInt(int64(s[i]), 16)) + "⟩")
			base = false
		case hidden(r) || unicode.Is(unicode.M, r) && !base:
			b.WriteString(codePoint(r))
			base = false
		default:
			b.WriteString(s[i : i+n])
			base = true
		}
		i += n
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// hidden reports whether r acts on its surroundings or shows nothing. The zero
// width joiner and non-joiner are needed in Persian and Indic words and in
// emoji, but between others they hide; they are always shown, since this is a
// record and not a layout.
func hidden(r rune) bool {
	switch {
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
		return true
	case unicode.Is(unicode.Zs, r):
		return r != ' ' && r != 0x3000
	case unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return true
	case strings.ContainsRune(blank, r):
		return true
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S) && r != ' ' && r != 0x3000
}

// blank are letters, marks and symbols that no property tells of and that fonts
// draw as nothing, or as what stands for something else: the Braille pattern
// without dots, the note without a head, the Egyptian blanks, the fillers and
// joiners of Khitan, Brahmi and Tifinagh, and the object replacement.
const blank = "\u2800\ufffc\u2d7f\U0001107f\U00013441\U00013442\U00016fe4\U0001d159"
