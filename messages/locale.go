package messages

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

// Choose returns the Catalogue that a person asked for: by asked, a BCP 47 tag,
// or if that is "" by the environment, LC_ALL before LC_MESSAGES before LANG. A
// language asked for that there is no file of is an error that says which there
// are; one in the environment is not, then it is English.
func Choose(asked string, getenv func(name string) string) (*Catalogue, error) {
	if asked == "" {
		return Open(system(getenv))
	}
	c, err := Open(asked)
	if err != nil {
		return nil, err
	}
	want, perr := language.Parse(asked)
	base, _ := want.Base()
	if got, _ := c.tag.Base(); perr != nil || got != base {
		names, err := Languages()
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("language %.40q: %w; there are: %s", asked, ErrNoLanguage, strings.Join(names, ", "))
	}
	return c, nil
}

// system turns ar_EG.UTF-8@mod into ar-EG; C and POSIX are no wish.
func system(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		v := getenv(name)
		if v == "" {
			continue
		}
		v, _, _ = strings.Cut(v, "@")
		v, _, _ = strings.Cut(v, ".")
		if v == "C" || v == "POSIX" {
			return ""
		}
		return strings.ReplaceAll(v, "_", "-")
	}
	return ""
}
