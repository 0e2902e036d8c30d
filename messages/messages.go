// Package messages holds the sentences that people read: those of a Bundle's
// page and the meaning of every Finding, by language.
//
// A language is one file in lang/, so that a translator adds a file and changes
// no code. Sentences are looked up by key; what a language lacks is said in
// English. Text from outside that is put into a sentence is made visible first
// (see [Visible]) and isolated (see [Args]), so that no page that was captured can
// reorder or hide words.
package messages

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed lang/*.json
var files embed.FS

// fallback is the language that has every key.
const fallback = "en"

// Errors that callers branch on.
var (
	// ErrLanguage is wrapped by errors about a file of sentences.
	ErrLanguage = errors.New("not a file of sentences")

	// ErrNoLanguage says that there is no file of a language asked for.
	ErrNoLanguage = errors.New("there is no translation")
)

// Catalogue is the sentences of one language. It is read-only: its methods may
// be called concurrently.
type Catalogue struct {
	tag  language.Tag
	file *file
	base map[string]sentence // English
}

// sentence is one form, or several by plural category of CLDR.
type sentence map[string]string

// UnmarshalJSON reads "text" or {"one":"…","other":"…"}.
func (s *sentence) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = sentence{"other": one}
		return nil
	}
	forms := make(map[string]string)
	if err := json.Unmarshal(b, &forms); err != nil {
		return err
	}
	if forms["other"] == "" {
		return fmt.Errorf("a sentence lacks the form %q: %w", "other", ErrLanguage)
	}
	*s = forms
	return nil
}

// file is the content of lang/<tag>.json.
type file struct {
	Tag         string              `json:"tag"`
	Name        string              `json:"name"`         // of the language, in itself
	EnglishName string              `json:"english_name"` // of the language
	Dir         string              `json:"dir"`          // ltr or rtl
	ReviewedBy  string              `json:"reviewed_by"`  // the lawyer who answers for the wording; "" says nobody does yet
	Texts       map[string]sentence `json:"texts"`
}

// Open returns the catalogue that fits the wishes (BCP 47 tags, best first)
// best; without a fit, and without wishes, it is the English one. A relative is
// no fit: who reads Ukrainian is not given Russian.
func Open(wishes ...string) (*Catalogue, error) {
	english, err := load(fallback)
	if err != nil {
		return nil, err
	}
	names, err := Languages()
	if err != nil {
		return nil, err
	}
	tags := make([]language.Tag, len(names))
	for i, n := range names {
		tags[i] = language.Make(n)
	}
	_, best, sure := language.NewMatcher(tags).Match(parse(wishes)...)
	chosen := english
	if sure >= language.High {
		if chosen, err = load(names[best]); err != nil {
			return nil, err
		}
	}
	return &Catalogue{tag: language.Make(chosen.Tag), file: chosen, base: english.Texts}, nil
}

// parse drops wishes that are no tags: they come from the environment.
func parse(wishes []string) (tags []language.Tag) {
	for _, w := range wishes {
		if t, err := language.Parse(w); err == nil {
			tags = append(tags, t)
		}
	}
	return tags
}

// Languages lists the tags that there are sentences for, English first.
func Languages() ([]string, error) {
	found, err := fs.Glob(files, "lang/*.json")
	if err != nil {
		return nil, fmt.Errorf("list languages: %w", err)
	}
	names := []string{fallback}
	for _, f := range found {
		if n := strings.TrimSuffix(path.Base(f), ".json"); n != fallback {
			names = append(names, n)
		}
	}
	return names, nil
}

func load(tag string) (*file, error) {
	raw, err := files.ReadFile("lang/" + tag + ".json")
	if err != nil {
		return nil, fmt.Errorf("load language %s: %w", tag, err)
	}
	f := new(file)
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("load language %s: %w", tag, err)
	}
	if f.Tag != tag || f.Dir != "ltr" && f.Dir != "rtl" {
		return nil, fmt.Errorf("load language %s: tag %q, dir %q: %w", tag, f.Tag, f.Dir, ErrLanguage)
	}
	return f, nil
}

// Tag is the BCP 47 tag, for a page's lang attribute.
func (c *Catalogue) Tag() string { return c.tag.String() }

// Dir is ltr or rtl, for a page's dir attribute.
func (c *Catalogue) Dir() string { return c.file.Dir }

// Name is what the language calls itself, EnglishName what English calls it.
func (c *Catalogue) Name() string        { return c.file.Name }
func (c *Catalogue) EnglishName() string { return c.file.EnglishName }

// Reviewer is the lawyer whose name is in the file, who answers for the wording
// in this language; "" while nobody does.
func (c *Catalogue) Reviewer() string { return c.file.ReviewedBy }

// Has reports whether there is a sentence under key.
func (c *Catalogue) Has(key string) bool { return c.file.Texts[key] != nil || c.base[key] != nil }

// pick returns the sentence under key in its right form. A key that no language
// has comes back in double brackets: a test finds it, and no reader is left
// with nothing.
func (c *Catalogue) pick(key string, args Args) string {
	s, tag := c.file.Texts[key], c.tag
	if s == nil {
		s, tag = c.base[key], language.English
	}
	if s == nil {
		return "⟦" + key + "⟧"
	}
	if n, ok := count(args["n"]); ok {
		if t, ok := s[form(tag, n)]; ok {
			return t
		}
	}
	return s["other"]
}

func count(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	}
	return 0, false
}

// form is the CLDR category of a whole number in a language.
func form(tag language.Tag, n int64) string {
	small := int(n % 10_000_000) // as the plural rules want very large numbers
	if n >= 10_000_000 {
		small += 10_000_000
	}
	names := map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	if f, ok := names[plural.Cardinal.MatchPlural(tag, small, 0, 0, 0, 0)]; ok {
		return f
	}
	return "other"
}

// Finding returns what a Finding of that name means when it is not ok, and what
// may have caused it other than bad will. ok is false for an unknown name.
func (c *Catalogue) Finding(name string) (meaning, causes string, ok bool) {
	key := "finding." + name
	if !c.Has(key) {
		return "", "", false
	}
	return c.Text(key, nil), c.Text(key+".causes", nil), true
}

// Keys lists the keys of the English sentences, sorted, for tests and tools of
// translators.
func (c *Catalogue) Keys() []string {
	keys := make([]string, 0, len(c.base))
	for k := range c.base {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// codePoint is how an invisible character is shown.
func codePoint(r rune) string {
	h := strings.ToUpper(strconv.FormatInt(int64(r), 16))
	return "⟨U+" + strings.Repeat("0", max(0, 4-len(h))) + h + "⟩"
}
