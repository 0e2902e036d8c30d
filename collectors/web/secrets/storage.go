package secrets

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Least lengths of what is taken for giving access, in bytes, where its name says nothing
// of it: shorter ones are settings, which stand everywhere. maxWhole is how long a value is
// at most that is looked for in one piece if it has others.
const (
	leastUnsaid = 16
	maxWhole    = 4096
	maxNested   = 4
)

// OfStorage are the values that may give access in an item of a browser's local storage:
// of JSON each string in it, of an address what stands behind ? and #, of anything else it
// itself and its parts: of 16 bytes or more, and of [Least] or more where the name speaks of
// a token, a login or the like. Short numbers are none, nor are short words but of a
// password or a token.
func OfStorage(name, value string) []string { return ofStorage(name, value, 0) }

func ofStorage(name, value string, depth int) (all []string) {
	v := strings.TrimSpace(value)
	if depth < maxNested && v != "" && strings.IndexByte(`{["`, v[0]) >= 0 {
		var in any
		if json.Unmarshal([]byte(v), &in) == nil {
			return ofJSON(name, in, depth+1)
		}
	}
	if u, err := url.Parse(v); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		for key, list := range u.Query() {
			for _, k := range list {
				all = append(all, ofStorage(key, k, depth+1)...)
			}
		}
		if p, ok := u.User.Password(); ok {
			all = append(all, p)
		}
		return append(all, parts(name, u.Fragment)...)
	}
	return parts(name, v)
}

func ofJSON(name string, in any, depth int) (all []string) {
	switch k := in.(type) {
	case string:
		return ofStorage(name, k, depth)
	case []any:
		for _, v := range k {
			all = append(all, ofJSON(name, v, depth)...)
		}
	case map[string]any:
		for key, v := range k {
			if Telling(name) {
				key = name
			}
			all = append(all, ofJSON(key, v, depth)...)
		}
	}
	return all
}

// parts are a value, and what of it stands between letters that tokens do not have.
func parts(name, v string) (all []string) {
	if len(v) < leastUnsaid && !(len(v) >= Least && said(name, v)) {
		return nil
	}
	split := strings.FieldsFunc(v, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_+/=.", r)
	})
	for _, part := range split {
		if len(part) >= leastUnsaid {
			all = append(all, part)
		}
	}
	if (len(v) <= maxWhole || len(all) == 0) && !slices.Contains(all, v) {
		all = append(all, v)
	}
	return all
}

// said says of a short value whether its name calls it one that gives access: a word
// (anonymous, required) only where it is a password or the like.
func said(name, v string) bool {
	if strings.Trim(v, "0123456789.-") == "" {
		return false // a time, a number of somebody
	}
	return hasOne(name, "token", "secret", "pass") || Telling(name) && strings.ContainsAny(v, "0123456789")
}

// Telling says whether a name speaks of what gives access.
func Telling(name string) bool {
	return hasOne(name, "token", "secret", "pass", "auth", "session", "key", "jwt", "csrf", "xsrf", "credential", "bearer", "login") || strings.EqualFold(name, "sid")
}

func hasOne(name string, words ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

// OfField are those of a field of a request.
func OfField(name, value string) []string {
	if strings.HasPrefix(strings.ToLower(name), "sec-") || !Telling(name) { // the browser's own words
		return nil
	}
	return parts(name, strings.TrimSpace(value))
}
