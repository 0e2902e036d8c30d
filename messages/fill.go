package messages

import (
	"fmt"
	"html"
	"strings"
	"time"

	"golang.org/x/text/unicode/bidi"
)

// Args are the values for the places `{name}` of a sentence. The place `{n}`
// holds the count that decides between plural forms.
//
// Each value stands isolated from the sentence around it, so that in a text
// from right to left no digest, time or path is reordered, and no value can
// reorder the sentence. By its type a value is
//
//	string     text from outside: made visible, its direction its own
//	Code       made visible, always from left to right
//	time.Time  UTC with milliseconds, always from left to right
//	Said       a sentence of the same language: as it is
//	[]string, []Code  each as above, with the separator of the language between
//	int, int64 a number, in the digits 0 to 9, which every language here reads
type Args map[string]any

// Code is what is written the same in every language: an identifier, a Digest,
// a path, an address, a command.
type Code string

// Said is a sentence that the same Catalogue gave, to be put into another one.
type Said string

// The isolates of Unicode. No file of sentences holds one: they come from here.
const (
	lri = "\u2066" // what follows is from left to right
	fsi = "\u2068" // what follows has the direction of its first strong letter
	pdi = "\u2069" // end
)

// Text returns the sentence under key with its places filled, as plain text for
// a terminal, a title or an attribute. Words in backquotes are commands, and
// keep the backquotes.
func (c *Catalogue) Text(key string, args Args) string {
	return c.fill(c.pick(key, args), args, plainText{rtl: c.Dir() == "rtl"})
}

// HTML is Text as HTML, everything escaped: values are in bdi or time elements,
// words in backquotes in code elements.
func (c *Catalogue) HTML(key string, args Args) string {
	return c.fill(c.pick(key, args), args, hypertext{})
}

// Value is one value as it would stand in a sentence of [Catalogue.HTML].
func (c *Catalogue) Value(v any) string { return c.value(v, hypertext{}) }

// style is how a kind of text marks what is not sentence.
type style interface {
	words(s string) string      // of the sentence itself
	outside(s string) string    // text from outside
	code(s string) string       // always from left to right
	instant(t time.Time) string // a time
	command(s string) string    // what stood in backquotes, already in this style
}

// fill goes through the sentence once: a value that looks like a place, or
// holds a backquote, stays as it is.
func (c *Catalogue) fill(text string, args Args, st style) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 0 {
			b.WriteString(c.places(part, args, st, false))
		} else {
			b.WriteString(st.command(c.places(part, args, st, true)))
		}
	}
	return b.String()
}

func (c *Catalogue) places(text string, args Args, st style, bare bool) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		name, after, closed := strings.Cut(rest, "}")
		v, known := args[name]
		switch {
		case !ok || !closed:
			return b.String() + st.words(text)
		case !known:
			b.WriteString(st.words(before + "{" + name + "}"))
		case bare:
			b.WriteString(st.words(before) + st.words(Visible(fmt.Sprint(v))))
		default:
			b.WriteString(st.words(before) + c.value(v, st))
		}
		text = after
	}
}

func (c *Catalogue) value(v any, st style) string {
	switch v := v.(type) {
	case Said:
		return st.words(string(v))
	case Code:
		return st.code(Visible(string(v)))
	case time.Time:
		return st.instant(v)
	case int, int64:
		return fmt.Sprint(v)
	case []string:
		return joined(c, v, st)
	case []Code:
		return joined(c, v, st)
	}
	return st.outside(Visible(fmt.Sprint(v)))
}

func joined[T any](c *Catalogue, list []T, st style) string {
	var parts []string
	for _, v := range list {
		parts = append(parts, c.value(v, st))
	}
	return strings.Join(parts, st.words(c.pick("separator", nil)))
}

// Instant is how a time is written in every language.
func Instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") + " UTC" }

// plainText has isolates where something could be reordered: in a sentence from
// right to left, and around a value with letters from right to left. All else
// stays as plain as it is, for terminals and tools that know no isolates.
type plainText struct{ rtl bool }

func (plainText) words(s string) string { return s }

func (p plainText) outside(s string) string {
	if p.rtl || hasRTL(s) {
		return fsi + s + pdi
	}
	return s
}

func (p plainText) code(s string) string {
	if p.rtl || hasRTL(s) {
		return lri + s + pdi
	}
	return s
}

func (p plainText) instant(t time.Time) string { return p.code(Instant(t)) }
func (p plainText) command(s string) string    { return "`" + p.code(s) + "`" }

type hypertext struct{}

func (hypertext) words(s string) string   { return html.EscapeString(s) }
func (hypertext) outside(s string) string { return `<bdi>` + html.EscapeString(s) + `</bdi>` }
func (hypertext) code(s string) string    { return `<bdi dir="ltr">` + html.EscapeString(s) + `</bdi>` }

func (hypertext) instant(t time.Time) string {
	return `<time dir="ltr" datetime="` + t.UTC().Format("2006-01-02T15:04:05.000Z") + `">` + Instant(t) + `</time>`
}

func (hypertext) command(s string) string { return `<code dir="ltr">` + s + `</code>` }

func hasRTL(s string) bool {
	for _, r := range s {
		p, _ := bidi.LookupRune(r)
		switch p.Class() {
		case bidi.R, bidi.AL, bidi.AN:
			return true
		}
	}
	return false
}
