package messages_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"holdfast/messages"
)

// tongue is a language file as a translator sees it.
type tongue struct {
	Tag         string                     `json:"tag"`
	Name        string                     `json:"name"`
	EnglishName string                     `json:"english_name"`
	Dir         string                     `json:"dir"`
	ReviewedBy  *string                    `json:"reviewed_by"`
	Texts       map[string]json.RawMessage `json:"texts"`
}

func (l *tongue) forms(t *testing.T, key string) map[string]string {
	t.Helper()
	var one string
	if json.Unmarshal(l.Texts[key], &one) == nil {
		return map[string]string{"": one}
	}
	var many map[string]string
	if err := json.Unmarshal(l.Texts[key], &many); err != nil {
		t.Fatalf("%s: %s: %v", l.Tag, key, err)
	}
	return many
}

func tongues(t *testing.T) map[string]*tongue {
	t.Helper()
	files, err := filepath.Glob("lang/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d languages, %v", len(files), err)
	}
	out := map[string]*tongue{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		l := new(tongue)
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(l); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if l.Tag+".json" != filepath.Base(f) || l.Name == "" || l.EnglishName == "" || l.ReviewedBy == nil {
			t.Errorf("%s: tag %q, name %q, english_name %q, or no reviewed_by", f, l.Tag, l.Name, l.EnglishName)
		}
		out[l.Tag] = l
	}
	return out
}

func TestEveryLanguageHasEverySentence(t *testing.T) {
	all := tongues(t)
	for _, l := range all {
		for k := range all["en"].Texts {
			if l.Texts[k] == nil {
				t.Errorf("%s lacks %s", l.Tag, k)
			}
		}
		for k := range l.Texts {
			if all["en"].Texts[k] == nil {
				t.Errorf("%s has %s, which no code knows", l.Tag, k)
			}
		}
	}
}

var (
	place   = regexp.MustCompile(`\{[^}]*\}`)
	command = regexp.MustCompile("`[^`]*`")
)

// A translation fills the same places and shows the same commands. Only where a
// form stands for exactly one number may the number be a word.
func TestPlacesAreTheSameInEveryLanguage(t *testing.T) {
	all := tongues(t)
	for _, l := range all {
		for k := range l.Texts {
			if all["en"].Texts[k] == nil {
				continue
			}
			want := all["en"].forms(t, k)
			model := want["other"] + want[""]
			for form, text := range l.forms(t, k) {
				drop := ""
				if single(l.Tag, form) && !strings.Contains(text, "{n}") {
					drop = "{n}"
				}
				if a, b := sorted(place, model, drop), sorted(place, text, drop); !slices.Equal(a, b) {
					t.Errorf("%s: %s[%s] has places %q, English %q", l.Tag, k, form, b, a)
				}
				if a, b := sorted(command, model, ""), sorted(command, text, ""); !slices.Equal(a, b) && k != "page.language" {
					t.Errorf("%s: %s[%s] has commands %q, English %q", l.Tag, k, form, b, a)
				}
				if strings.Count(text, "`")%2 != 0 {
					t.Errorf("%s: %s[%s]: a backquote is alone", l.Tag, k, form)
				}
			}
		}
	}
}

func sorted(re *regexp.Regexp, s, drop string) []string {
	found := slices.DeleteFunc(re.FindAllString(s, -1), func(p string) bool { return p == drop })
	slices.Sort(found)
	return found
}

var categories = map[plural.Form]string{plural.Other: "other", plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}

// needed counts how many numbers up to a thousand fall into each category.
func needed(tag string) map[string]int {
	out := map[string]int{"other": 0}
	for n := range 1001 {
		out[categories[plural.Cardinal.MatchPlural(language.Make(tag), n, 0, 0, 0, 0)]]++
	}
	return out
}

func single(tag, form string) bool { return needed(tag)[form] == 1 }

// A sentence with a count has the forms that CLDR names for the language, no
// fewer and no others.
func TestPluralFormsOfEveryLanguage(t *testing.T) {
	all := tongues(t)
	counted := 0
	for k := range all["en"].Texts {
		if len(all["en"].forms(t, k)) == 1 {
			continue
		}
		counted++
		for _, l := range all {
			if l.Texts[k] == nil {
				continue
			}
			want, got := slices.Sorted(maps.Keys(needed(l.Tag))), slices.Sorted(maps.Keys(l.forms(t, k)))
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s has forms %q, needs %q", l.Tag, k, got, want)
			}
		}
	}
	if counted < 5 {
		t.Errorf("only %d sentences have a count", counted)
	}
}

func TestPluralsRead(t *testing.T) {
	for tag, want := range map[string]map[int]string{
		"fr": {0: "0 pièce.", 1: "1 pièce.", 2: "2 pièces."},
		"ru": {1: "1 приложение.", 3: "3 приложения.", 11: "11 приложений.", 21: "21 приложение.", 25: "25 приложений."},
		"ar": {0: "لا مستندات.", 1: "مستند واحد.", 2: "مستندان.", 3: "3 مستندات.", 11: "11 مستندا.", 100: "100 مستند.", 103: "103 مستندات."},
		"es": {0: "0 pruebas.", 1: "1 prueba.", 2: "2 pruebas."},
		"zh": {0: "共 0 件证物。", 1: "共 1 件证物。", 7: "共 7 件证物。"},
	} {
		c := english(t, tag)
		for n, text := range want {
			if got := c.Text("page.exhibits", messages.Args{"n": n}); got != text {
				t.Errorf("%s %d: %q, want %q", tag, n, got, text)
			}
		}
	}
}

// Nothing was left in English, and nobody typed a character that reorders.
func TestTranslationsAreTranslated(t *testing.T) {
	script := map[string]*unicode.RangeTable{"ar": unicode.Arabic, "ru": unicode.Cyrillic, "zh": unicode.Han}
	all := tongues(t)
	for _, l := range all {
		for k := range l.Texts {
			for form, text := range l.forms(t, k) {
				bare := command.ReplaceAllString(place.ReplaceAllString(text, ""), "")
				if strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Cc) }) {
					t.Errorf("%s: %s[%s] holds an invisible character", l.Tag, k, form)
				}
				if text == "" || k != "separator" && strings.TrimSpace(text) != text {
					t.Errorf("%s: %s[%s] is empty, or begins or ends with a space", l.Tag, k, form)
				}
				if l.Tag == "en" || len(strings.Fields(bare)) < 2 {
					continue
				}
				for _, e := range all["en"].forms(t, k) {
					if e == text && k != "report.policy.file" {
						t.Errorf("%s: %s is English", l.Tag, k)
					}
				}
				if s := script[l.Tag]; s != nil && k != "report.policy.file" && !strings.ContainsFunc(bare, func(r rune) bool { return unicode.Is(s, r) }) {
					t.Errorf("%s: %s[%s] has no letter of its script", l.Tag, k, form)
				}
			}
		}
	}
	for k := range all["ar"].Texts {
		for _, text := range all["ar"].forms(t, k) {
			bare := command.ReplaceAllString(text, "")
			if strings.ContainsAny(bare, ",;?") || strings.ContainsFunc(bare, func(r rune) bool { return r >= 0x64B && r <= 0x652 }) {
				t.Errorf("ar: %s has punctuation of another script, or vowel signs: %s", k, text)
			}
		}
	}
	if all["ar"].Dir != "rtl" || all["zh"].Dir != "ltr" {
		t.Error("a direction is wrong")
	}
}

// Every Finding names at least one innocent cause, in every language.
func TestCausesOfEveryFinding(t *testing.T) {
	all := tongues(t)
	n := 0
	for k := range all["en"].Texts {
		name, ok := strings.CutPrefix(k, "finding.")
		if !ok || strings.HasSuffix(name, ".causes") {
			continue
		}
		n++
		for tag := range all {
			meaning, causes, ok := english(t, tag).Finding(name)
			if !ok || len(meaning) < 10 || len(causes) < 10 || strings.Contains(causes, "⟦") {
				t.Errorf("%s: finding %s: %q, causes %q", tag, name, meaning, causes)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d findings", n)
	}
}

func TestIsolates(t *testing.T) {
	at := time.Date(2026, 11, 22, 5, 0, 11, 0, time.UTC)
	ar, en := english(t, "ar"), english(t)
	args := messages.Args{"from": at, "to": at, "node": messages.Code("office.0123"), "outcome": messages.Said("x")}
	if got := ar.Text("report.stated.time", args); strings.Count(got, "\u2066") != 3 || strings.Count(got, "\u2069") != 3 || !strings.Contains(got, "\u20662026-11-22 05:00:11.000 UTC\u2069") {
		t.Errorf("%+q", got)
	}
	if got := en.Text("report.stated.time", args); strings.ContainsAny(got, "\u2066\u2068\u2069") {
		t.Errorf("plain English holds isolates: %+q", got)
	}
	if got := en.Text("page.title", messages.Args{"name": "حريق"}); got != "Captured evidence: \u2068حريق\u2069" {
		t.Errorf("%+q", got)
	}
	if got := ar.HTML("report.proven.time", messages.Args{"time": at}); !strings.Contains(got, `<time dir="ltr" datetime="2026-11-22T05:00:11.000Z">2026-11-22 05:00:11.000 UTC</time>`) {
		t.Error(got)
	}
	if got := ar.HTML("page.custody.text", messages.Args{"n": 3}); !strings.Contains(got, `<code dir="ltr">data/custody.jsonl</code>`) {
		t.Error(got)
	}
	if got := en.HTML("page.title", messages.Args{"name": "<b>\u202e`{name}"}); got != "Captured evidence: <bdi>&lt;b&gt;⟨U+202E⟩`{name}</bdi>" {
		t.Error(got)
	}
	if got := ar.Value([]messages.Code{"a<b", "c"}); got != `<bdi dir="ltr">a&lt;b</bdi>، <bdi dir="ltr">c</bdi>` {
		t.Error(got)
	}
}

func TestChoose(t *testing.T) {
	for _, tc := range []struct {
		asked, env, want string
	}{
		{"", "", "en"}, {"", "LC_ALL=C", "en"}, {"", "LANG=fr_CA.UTF-8", "fr"}, {"", "LANG=zh_CN.GB18030", "zh"}, {"", "LANG=ar_EG.UTF-8@x", "ar"},
		{"", "LC_MESSAGES=ru_RU LANG=es_ES", "ru"}, {"", "LC_ALL=POSIX LANG=es_ES", "en"}, {"", "LANG=uk_UA.UTF-8", "en"}, {"", "LANG=../../x", "en"},
		{"es", "LANG=fr_FR", "es"}, {"es-MX", "", "es"}, {"de", "LANG=fr_FR", ""}, {"uk", "", ""}, {"x\u202e", "", ""}, {"fr.json", "", ""},
	} {
		c, err := messages.Choose(tc.asked, func(name string) string {
			for _, kv := range strings.Fields(tc.env) {
				if k, v, _ := strings.Cut(kv, "="); k == name {
					return v
				}
			}
			return ""
		})
		switch {
		case tc.want == "" && !errors.Is(err, messages.ErrNoLanguage):
			t.Errorf("%+v: %v", tc, err)
		case tc.want != "" && (err != nil || c.Tag() != tc.want):
			t.Errorf("%+v: %v, %v", tc, c, err)
		}
	}
}

// Until a lawyer's name is in a file, nobody answers for its wording.
func TestReviewer(t *testing.T) {
	for tag, l := range tongues(t) {
		if got := english(t, tag).Reviewer(); got != *l.ReviewedBy {
			t.Errorf("%s: %q", tag, got)
		}
	}
}
