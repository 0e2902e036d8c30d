package messages_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"holdfast/messages"
)

func english(t *testing.T, wishes ...string) *messages.Catalogue {
	t.Helper()
	c, err := messages.Open(wishes...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every Finding that the specification names has a meaning and its causes.
func TestFindingsOfTheSpecification(t *testing.T) {
	spec, err := os.ReadFile("../docs/bundle.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(spec), "\n## 12. Verify")
	section, _, _ = strings.Cut(section, "\n## 13")
	c, n := english(t), 0
	for _, row := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(section, -1) {
		cells := strings.Split(row, "|")
		for _, name := range regexp.MustCompile("`([a-z]+(?:-[a-z]+)*)`").FindAllStringSubmatch(cells[1]+cells[2], -1) {
			n++
			meaning, causes, ok := c.Finding(name[1])
			if !ok || meaning == "" || strings.Contains(causes, "⟦") {
				t.Errorf("finding %s: no meaning or no causes", name[1])
			}
		}
	}
	if n < 50 {
		t.Errorf("found only %d findings in the specification", n)
	}
	if _, _, ok := c.Finding("no-such"); ok {
		t.Error("an unknown finding has a meaning")
	}
}

func TestPlural(t *testing.T) {
	c := english(t)
	for n, want := range map[int]string{0: "0 exhibits.", 1: "1 exhibit.", 2: "2 exhibits.", 10_000_001: "10000001 exhibits."} {
		if got := c.Text("page.exhibits", messages.Args{"n": n}); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestPlacesAreFilledOnceAndVisible(t *testing.T) {
	c := english(t)
	got := c.Text("page.title", messages.Args{"name": "{name}\u202egnp"})
	if want := "Captured evidence: {name}⟨U+202E⟩gnp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.Text("no.such.key", nil); got != "⟦no.such.key⟧" {
		t.Errorf("got %q", got)
	}
}

func TestLanguageIsMatched(t *testing.T) {
	for _, wishes := range [][]string{nil, {"en-GB"}, {"xx-nonsense-!", "en"}, {"tlh"}, {""}} {
		if c := english(t, wishes...); c.Tag() != "en" || c.Dir() != "ltr" {
			t.Errorf("%q: %s %s", wishes, c.Tag(), c.Dir())
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain text ~":       "plain text ~",
		"a\nb\tc\x1b[31m":    "a⟨U+000A⟩b⟨U+0009⟩c⟨U+001B⟩[31m",
		"\u202eevil\u2066":   "⟨U+202E⟩evil⟨U+2066⟩",
		"\ufeff\u200b\u00ad": "⟨U+FEFF⟩⟨U+200B⟩⟨U+00AD⟩",
		"\xff\xc3(":          "⟨byte FF⟩⟨byte C3⟩(",
		"عربي עברית 中文　 naïve é": "عربي עברית 中文　 naïve é",
		"e\u0301":            "e\u0301",
		"\U000E0041":         "⟨U+E0041⟩",
		"\u00a0\u2028\u0085": "⟨U+00A0⟩⟨U+2028⟩⟨U+0085⟩",
		"\u3164\ufe0f\u034f": "⟨U+3164⟩⟨U+FE0F⟩⟨U+034F⟩",
		"emoji \U0001F600":   "emoji \U0001F600",
		"\u2800\ufffc":       "⟨U+2800⟩⟨U+FFFC⟩",
		"a\U0001D159b":       "a⟨U+1D159⟩b",
		"\u0301e\u0301":      "⟨U+0301⟩e\u0301",
		"\n\u0301\u0302":     "⟨U+000A⟩⟨U+0301⟩⟨U+0302⟩",
		"\xff\u20dd":         "⟨byte FF⟩⟨U+20DD⟩",
		"ខ្មែរ မြန်မာ བོད་": "ខ្មែរ မြန်မာ བོད་",
		"\x7f": "⟨U+007F⟩",
	} {
		if got := messages.Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestVisibleOfEveryCodePoint: what Unicode gives no glyph is shown, wherever it
// stands: control, format, private, unassigned and separating characters,
// default ignorable ones, selectors, fillers. A letter, a number and a mark on a
// letter stay.
func TestVisibleOfEveryCodePoint(t *testing.T) {
	// Other letters, marks and symbols that are blank in fonts, as Unicode's
	// charts say of them; nothing in its database does.
	blank := "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\u2d7f\U0001107f\U00013441\U00013442\U00016fe4\U0001d159"
	ignorable := []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.C, unicode.Z}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue // no text holds a surrogate
		}
		assigned := unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.C, unicode.Z)
		silent := unicode.In(r, ignorable...) || !assigned || strings.ContainsRune(blank, r)
		kept := messages.Visible("a"+string(r)) == "a"+string(r)
		if want := !silent || r == ' ' || r == 0x3000; kept != want {
			t.Errorf("%U: kept %v, want %v", r, kept, want)
		}
		if unicode.Is(unicode.M, r) && strings.ContainsRune(messages.Visible(string(r)), r) {
			t.Errorf("%U joins what stands before the text", r)
		}
	}
}

func FuzzVisible(f *testing.F) {
	for _, s := range []string{"a", "\u202e", "\xff", "\u3164"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := messages.Visible(s)
		if !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Fatalf("%q became %q", s, v)
		}
		if messages.Visible(v) != v {
			t.Fatalf("%q is not stable", v)
		}
	})
}
