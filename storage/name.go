package storage

import (
	"fmt"
	"strings"
)

// MaxName is the greatest length of a name, in bytes; MaxSegment that of one
// segment, which is what file systems allow.
const (
	MaxName    = 512
	MaxSegment = 255
)

// CheckName returns nil if name can be created: 1 to MaxName bytes of
// `[a-z0-9._/-]`; segments between slashes are not empty, not `.` or `..`, not
// longer than MaxSegment, and do not begin with `-`, which a tool might take
// for an option. The first segment is not `objects` or `tmp`: there a store
// keeps the Objects and its spool. The error wraps ErrName.
func CheckName(name string) error {
	if len(name) > MaxName {
		return nameError(name, fmt.Sprintf("longer than %d bytes", MaxName))
	}
	for i, seg := range strings.Split(name, "/") {
		if why := badSegment(seg); why != "" {
			return nameError(name, why)
		}
		if i == 0 && Reserved(seg) {
			return nameError(name, "begins with a reserved folder")
		}
	}
	return nil
}

// CheckPrefix returns nil if prefix can begin a name. The error wraps ErrName.
func CheckPrefix(prefix string) error {
	// A prefix that ends in a slash or is empty lacks its last segment; one that
	// ends in "." or "tmp" may go on to become a good one ("tmpl/x").
	if i := strings.LastIndexByte(prefix, '/') + 1; i > 0 {
		if err := CheckName(prefix[:i-1]); err != nil {
			return err
		}
		prefix = prefix[i:]
	}
	if len(prefix) > MaxSegment || strings.HasPrefix(prefix, "-") || strings.ContainsFunc(prefix, badRune) {
		return nameError(prefix, "no name begins so")
	}
	return nil
}

// Reserved reports whether a first segment belongs to the store itself.
func Reserved(segment string) bool { return segment == "objects" || segment == "tmp" }

func badSegment(seg string) string {
	switch {
	case seg == "":
		return "empty, or an empty segment"
	case seg == "." || seg == "..":
		return "a segment is . or .."
	case seg[0] == '-':
		return "a segment begins with -"
	case len(seg) > MaxSegment:
		return fmt.Sprintf("a segment is longer than %d bytes", MaxSegment)
	case strings.ContainsFunc(seg, badRune):
		return "only a-z 0-9 . _ / - are allowed"
	}
	return ""
}

func badRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

func nameError(name, why string) error {
	return fmt.Errorf("check name %.80q: %s: %w", name, why, ErrName)
}
