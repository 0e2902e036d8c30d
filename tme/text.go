package tme

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"holdfast/canon"
)

// texter reads a text: what is to be read of it, the same with its marks, and what
// it links to.
type texter struct {
	text, marks     strings.Builder
	links, mentions []canon.Text
	over            bool // longer, or deeper, than is read
}

func (t *texter) add(s string) {
	if t.text.Len()+len(s) > maxText {
		t.over = true
		return
	}
	t.text.WriteString(s)
	t.marks.WriteString(html.EscapeString(s))
}

func (t *texter) walk(n *html.Node, depth int) {
	if depth > maxDepth {
		t.over = true
		return
	}
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		switch {
		case k.Type == html.TextNode:
			t.add(k.Data)
		case k.Type != html.ElementNode, k.DataAtom == atom.Script, k.DataAtom == atom.Style:
		case k.DataAtom == atom.Br:
			t.add("\n")
		default:
			mark := t.mark(k)
			if mark != "" {
				t.marks.WriteString("<" + mark + ">")
			}
			if has(k, "emoji") { // drawn as a picture; the character is in it
				t.add(strings.TrimSpace(plain(k)))
			} else {
				t.walk(k, depth+1)
			}
			if mark != "" {
				t.marks.WriteString("</>")
			}
		}
	}
}

// mark is how an element changes what the text says; "" if it does not.
func (t *texter) mark(k *html.Node) string {
	switch {
	case k.DataAtom == atom.A:
		return t.link(k)
	case has(k, "emoji"):
		return ""
	}
	switch k.Data {
	case "b", "strong":
		return "b"
	case "i", "em":
		return "i"
	case "s", "del", "strike":
		return "s"
	case "u", "code", "pre", "blockquote", "tg-spoiler":
		return k.Data
	}
	return ""
}

// link notes where an anchor leads. Tags lead into the channel itself, by an
// address that is another one on each kind of page.
func (t *texter) link(k *html.Node) string {
	href, label := strings.TrimSpace(attr(k, "href")), strings.TrimSpace(plain(k))
	u, err := url.Parse(href)
	if err != nil || len(href) > maxValue {
		return "a"
	}
	switch {
	case (strings.HasPrefix(label, "#") || strings.HasPrefix(label, "$")) && u.Query().Get("q") == label:
		return ""
	case strings.HasPrefix(label, "@") && u.Host == "t.me" && strings.EqualFold(u.Path, "/"+label[1:]) && u.RawQuery == "":
		t.mentions = note(t.mentions, strings.ToLower(label[1:]))
		return "@"
	case u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "tg":
		t.links = note(t.links, href)
		return "a " + href
	}
	return "a"
}

// note adds what is not there yet, within bounds.
func note(to []canon.Text, s string) []canon.Text {
	if s == "" || len(s) > maxValue || len(to) >= maxList {
		return to
	}
	for _, t := range to {
		if string(t) == s {
			return to
		}
	}
	return append(to, canon.Text(s))
}
