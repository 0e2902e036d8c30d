package holdfast

import "strings"

// validPath reports whether s may name a file under data/.
func validPath(s string) bool { return strings.HasPrefix(s, "data/") && validEntry(s) }

// validEntry is the rule for entry names (bundle.md, section 11).
func validEntry(s string) bool {
	if s == ReadMe {
		return true
	}
	if !validName(s, 512, "._-/") {
		return false
	}
	for seg := range strings.SplitSeq(s, "/") {
		if seg == "" || seg == "." || seg == ".." || seg[0] == '-' {
			return false
		}
	}
	return true
}

// ReadMe is the one entry whose name has capital letters.
const ReadMe = "00-READ-ME-FIRST.html"

// validExhibit accepts `7` and `2-7`, numbers from 1 without leading zeros.
func validExhibit(s string) bool {
	k, n, two := strings.Cut(s, "-")
	number := func(s string) bool { return digits(s, 1, 9) && s[0] != '0' }
	return number(k) && (!two || number(n))
}
