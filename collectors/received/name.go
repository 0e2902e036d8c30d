package received

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Lengths of the parts of an Object's name in bytes: whole it has at most 100.
const (
	maxStem = 64
	maxExt  = 12
)

// objectName makes a name that every file system, ZIP and shell takes, from any
// bytes: the file's place among count files, then what is left of its name. The
// place keeps names apart and in order, and off the fixed names, which begin
// with a letter. The exact name is in received.json.
func objectName(place, count int, name string) string {
	stem, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		stem, ext = name[:i], plain(name[i+1:], maxExt)
	}
	if stem = plain(stem, maxStem); stem == "" {
		stem = "file"
	}
	if ext != "" {
		stem += "." + ext
	}
	return fmt.Sprintf("%0*d-%s", len(strconv.Itoa(count)), place, stem)
}

// plain keeps a to z and 0 to 9, letters without their accents and in lower
// case, and one dash for any run of anything else.
func plain(s string, limit int) string {
	var b strings.Builder
	dash := false
	for _, r := range norm.NFKD.String(s[:min(len(s), 4096)]) {
		r = unicode.ToLower(r)
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			dash = false
		case !unicode.Is(unicode.Mn, r):
			dash = true
		}
	}
	return strings.Trim(b.String()[:min(b.Len(), limit)], "-")
}
