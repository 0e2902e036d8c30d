package verifycmd

import (
	"strings"

	"holdfast/messages"
)

// Languages returns the wishes for [messages.Open], best first: what was asked
// for by hand, else what LC_ALL, LC_MESSAGES or LANG says (the first that is
// set, as POSIX has it), else what the system's settings say. It reads no file.
func Languages(asked string, env func(string) string) []string {
	if asked != "" {
		return []string{tag(asked)}
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := env(name); v != "" {
			if t := tag(v); t != "" {
				return []string{t}
			}
			return nil // C or POSIX: English
		}
	}
	return systemLanguages()
}

// tag makes a BCP 47 tag of a locale such as fr_FR.UTF-8 or sr_RS@latin.
func tag(locale string) string {
	locale, modifier, _ := strings.Cut(locale, "@")
	locale, _, _ = strings.Cut(locale, ".")
	locale = strings.ReplaceAll(locale, "_", "-")
	if locale == "C" || locale == "POSIX" {
		return ""
	}
	if modifier == "latin" {
		language, region, _ := strings.Cut(locale, "-")
		return strings.TrimSuffix(language+"-Latn-"+region, "-")
	}
	return locale
}

// open returns the sentences in the language of the options.
func (o *Options) open() (*messages.Catalogue, error) {
	return messages.Open(Languages(o.Lang, o.Env)...)
}
