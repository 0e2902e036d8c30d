package rules

import (
	"unicode"
	"unicode/utf8"
)

func firstRune(s string) rune {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return 0
	}
	return r
}

func lastRune(s string) rune {
	r, n := utf8.DecodeLastRuneInString(s)
	if n == 0 {
		return 0
	}
	return r
}

// joined reports whether two runes beside each other are of one word. Han and
// kana are written without blanks: there every rune may end one.
func joined(a, b rune) bool {
	letter := func(r rune) bool {
		return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
	}
	return letter(a) && letter(b)
}
