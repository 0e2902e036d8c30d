package content

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/atom"

	"holdfast/hashing"
)

// Fingerprint is the Digest of what counts, under the rules of [Algorithm]: of each
// block one line, with the parts and links that count. ok is false for a document
// that says nothing.
func (d *Document) Fingerprint() (sum hashing.Digest, ok bool) {
	lines := d.lines(false)
	if len(lines) == 0 {
		lines = d.lines(true)
	}
	if len(lines) == 0 && d.Title == "" {
		return sum, false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ntitle\x1f%s\n", Algorithm, d.Title)
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return hashing.Of([]byte(b.String())), true
}

// lines are what counts, block by block; all: also what is only named something that
// does not.
func (d *Document) lines(all bool) (out []string) {
	for _, b := range d.Blocks {
		var words strings.Builder
		for _, k := range b.Parts {
			if !k.Ignored.Counts(all) {
				continue
			}
			if words.WriteByte(0x1f); k.link {
				words.WriteString("link ")
			}
			words.WriteString(k.Words)
		}
		if words.Len() > 0 {
			out = append(out, fmt.Sprintf("%s %d%s", b.Kind, b.Level, words.String()))
		}
	}
	return out
}

// All says whether nothing of the document would count, so that what is only named
// something that does not count, counts.
func (d *Document) All() bool { return len(d.lines(false)) == 0 }

// Counts says whether a part with this reason counts; all is [Document.All].
func (r Reason) Counts(all bool) bool {
	return r == "" || all && r != Counter && r != Control && r != Hidden
}

// Said is the text of a part for reading; "" of one that only says where a link leads.
func (k Part) Said() string {
	if k.link {
		return ""
	}
	return k.Words
}

// titleOf takes the number off that says how many messages are unread.
func (p patterns) titleOf(s string) string {
	return strings.TrimSpace(p.unread.ReplaceAllString(collapse(s), ""))
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

func headingLevel(a atom.Atom) int {
	for i, h := range []atom.Atom{atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6} {
		if a == h {
			return i + 1
		}
	}
	return 0
}

func isBlock(a atom.Atom) bool {
	switch a {
	case atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Body, atom.Caption, atom.Center, atom.Dd, atom.Details, atom.Dialog, atom.Div, atom.Dl, atom.Dt, atom.Fieldset,
		atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.Html, atom.Li, atom.Main, atom.Menu, atom.Nav,
		atom.Ol, atom.P, atom.Pre, atom.Section, atom.Summary, atom.Table, atom.Tbody, atom.Td, atom.Tfoot, atom.Th, atom.Thead, atom.Tr, atom.Ul, atom.Head:
		return true
	}
	return false
}

func void(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}
