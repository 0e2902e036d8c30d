package tme

import (
	"net/url"

	"golang.org/x/net/html"
)

// mediaKind is the kind that an element of a class is of; "" if it is none.
func mediaKind(class string) string {
	switch class {
	case "tgme_widget_message_photo_wrap":
		return "photo"
	case "tgme_widget_message_video_player":
		return "video"
	case "tgme_widget_message_roundvideo_player":
		return "roundvideo"
	case "tgme_widget_message_voice_player":
		return "voice"
	case "tgme_widget_message_document_wrap":
		return "document"
	case "tgme_widget_message_sticker_wrap":
		return "sticker"
	case "tgme_widget_message_link_preview":
		return "webpage"
	case "tgme_widget_message_poll":
		return "poll"
	case "tgme_widget_message_location_wrap":
		return "location"
	case "tgme_widget_message_contact_wrap":
		return "contact"
	case "tgme_widget_message_invoice_wrap", "tgme_widget_message_invoice":
		return "invoice"
	case "tgme_widget_message_game", "tgme_widget_message_game_wrap":
		return "game"
	}
	return ""
}

// media notes one, with what names it.
func (b *block) media(n *html.Node, kind string) {
	m := Media{Kind: kind}
	switch kind {
	case "document":
		m.Name = value(find(n, "tgme_widget_message_document_title"))
		if icon := find(n, "tgme_widget_message_document_icon"); icon != nil && has(icon, "audio") {
			m.Kind = "audio"
		}
	case "poll":
		m.Name = value(find(n, "tgme_widget_message_poll_question"))
	case "webpage":
		m.Name = value(find(n, "link_preview_title"))
		b.Links = note(b.Links, web(attr(n, "href")))
	}
	if b.Grouped {
		m.Post = b.single(attr(n, "href"))
	}
	if len(b.Media) < maxList {
		b.Media = append(b.Media, m)
	} else {
		b.over = true
	}
}

// single is which post of an album a medium's own address names.
func (b *block) single(href string) int64 {
	if u, err := url.Parse(href); err != nil || !u.Query().Has("single") {
		return 0
	}
	return b.own(href)
}

// find is the first element of a class below n.
func find(n *html.Node, class string) *html.Node { return findAt(n, class, 0) }

func findAt(n *html.Node, class string, depth int) *html.Node {
	if n == nil || depth > maxDepth {
		return nil
	}
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		if k.Type != html.ElementNode {
			continue
		}
		if has(k, class) {
			return k
		}
		if found := findAt(k, class, depth+1); found != nil {
			return found
		}
	}
	return nil
}

// child is the first element of a name within n.
func child(n *html.Node, name string) *html.Node {
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		if k.Type == html.ElementNode && k.Data == name {
			return k
		}
	}
	return nil
}
