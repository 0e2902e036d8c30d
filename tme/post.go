package tme

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"

	"holdfast/canon"
	"holdfast/hashing"
)

// Kinds of a Post.
const (
	Message = "message"
	Service = "service"
)

// Post is a line of posts.jsonl with the method "web". Members stand in canonical
// order; what is empty is left out.
type Post struct {
	Author     canon.Text     `json:"author,omitempty"` // who signed it
	Content    hashing.Digest `json:"content"`          // see content
	EditedMark bool           `json:"edited_mark,omitempty"`
	Forward    *Forward       `json:"forward,omitempty"`
	Grouped    bool           `json:"grouped,omitempty"` // an album, shown as one post: this one stands for all
	ID         int64          `json:"id"`
	Kind       string         `json:"kind"`
	Links      []canon.Text   `json:"links,omitempty"`
	Media      []Media        `json:"media,omitempty"`
	Mentions   []canon.Text   `json:"mentions,omitempty"`
	NotShown   bool           `json:"not_shown,omitempty"` // the page says that it does not show it
	Posted     string         `json:"posted,omitempty"`
	ReplyTo    int64          `json:"reply_to,omitempty"`
	Text       canon.Text     `json:"text,omitempty"`
	TextDigest hashing.Digest `json:"text_digest"`
	ViaName    canon.Text     `json:"via_name,omitempty"` // the bot's, without @
	Views      int64          `json:"views,omitempty"`    // where the page does not round it
	ViewsShown string         `json:"views_shown,omitempty"`
}

// Forward is where it says that a post came from.
type Forward struct {
	Author   canon.Text `json:"author,omitempty"`
	ID       int64      `json:"id,omitempty"`
	Name     canon.Text `json:"name,omitempty"`     // as shown
	Username canon.Text `json:"username,omitempty"` // of a public channel
}

// Media is something beside the text. Kinds are those of posts.jsonl, and
// `roundvideo`, `location`, `contact`, `invoice`, `game`.
type Media struct {
	Kind string     `json:"kind"`
	Name canon.Text `json:"name,omitempty"` // a file's, a poll's question, a preview's title
	Post int64      `json:"post,omitempty"` // of an album: which post it belongs to
}

// block is a post while it is read.
type block struct {
	Post
	channel string
	owner   canon.Text
	texts   int
	marks   string
	missing bool // a place that says that something is not shown
	over    bool
}

var (
	dataPost = regexp.MustCompile(`^([A-Za-z0-9_]{4,32})/([1-9][0-9]{0,9})$`)
	exact    = regexp.MustCompile(`^[0-9]{1,9}$`)
)

// readPost reads one block of a channel's page.
func readPost(n *html.Node, channel string) (*block, error) {
	m := dataPost.FindStringSubmatch(attr(n, "data-post"))
	if m == nil || !strings.EqualFold(m[1], channel) {
		return nil, fmt.Errorf("it is post %.60q, of no channel that was asked for", attr(n, "data-post"))
	}
	b := &block{channel: channel, Post: Post{Kind: Message}}
	var ok bool
	if b.ID, ok = parseID(m[2]); !ok {
		return nil, fmt.Errorf("its number is %.20s", m[2])
	}
	if has(n, "service_message") {
		b.Kind = Service
	}
	b.walk(n, 0)
	switch {
	case b.over:
		return nil, fmt.Errorf("post %d is longer or deeper than is read", b.ID)
	case b.texts > 1:
		return nil, fmt.Errorf("post %d has %d texts", b.ID, b.texts)
	}
	b.NotShown = b.missing && b.Text == "" && len(b.Media) == 0
	b.TextDigest = hashing.Of([]byte(b.Text))
	return b, b.digest()
}

// digest computes Content: of what a reader of the post is shown and only an edit
// can change. What counts, the mark of an edit, previews of links, which come later
// and change by themselves, and names of others, which they change, are not in it.
func (b *block) digest() error {
	said := content{ID: b.ID, Kind: b.Kind, Marks: canon.Text(b.marks), Posted: b.Posted, Media: []Media{}}
	for _, m := range b.Media {
		if m.Kind != "webpage" {
			said.Media = append(said.Media, Media{Kind: m.Kind, Name: m.Name})
		}
	}
	c, err := canon.Append(nil, said)
	if err != nil {
		return fmt.Errorf("post %d: %w", b.ID, err)
	}
	b.Content = hashing.Of(c)
	return nil
}

// content is what Content is the Digest of. Members stand in canonical order.
type content struct {
	ID     int64      `json:"id"`
	Kind   string     `json:"kind"`
	Marks  canon.Text `json:"marks"` // the text with its marks
	Media  []Media    `json:"media"`
	Posted string     `json:"posted"`
}

func (b *block) walk(n *html.Node, depth int) {
	if depth > maxDepth {
		b.over = true
		return
	}
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		if k.Type == html.ElementNode && !b.take(k) {
			b.walk(k, depth+1)
		}
	}
}

// take reads an element that it knows; done says that nothing else is in it.
func (b *block) take(n *html.Node) (done bool) {
	for _, class := range strings.Fields(attr(n, "class")) {
		if kind := mediaKind(class); kind != "" {
			b.media(n, kind)
			return true
		}
		switch class {
		case "tgme_widget_message_reply":
			b.ReplyTo = b.own(attr(n, "href"))
		case "js-message_text":
			b.text(n)
		case "tgme_widget_message_forwarded_from":
			b.forward(n)
		case "tgme_widget_message_from_author":
			b.Author = value(n)
		case "tgme_widget_message_owner_name":
			b.owner = canon.Text(short(string(value(n)), 1024))
		case "tgme_widget_message_via", "tgme_widget_message_via_bot":
			b.ViaName = canon.Text(strings.TrimPrefix(string(value(child(n, "a"))), "@"))
		case "tgme_widget_message_views":
			b.views(n)
		case "tgme_widget_message_inline_button", "tgme_widget_message_inline_button_url":
			b.Links = note(b.Links, web(attr(n, "href")))
		case "tgme_widget_message_meta":
			b.meta(n)
			return false // the date is in it
		case "tgme_widget_message_date":
			b.date(n)
		case "tgme_widget_message_grouped_wrap":
			b.Grouped = true
			return false
		case "message_media_not_supported_wrap":
			b.missing = true
		case "tgme_widget_message_reactions": // they count, and are no part of it
		default:
			continue
		}
		return true
	}
	return n.Data == "script" || n.Data == "style" || n.Data == "svg"
}

func (b *block) text(n *html.Node) {
	t := texter{}
	t.walk(n, 0)
	b.texts, b.over = b.texts+1, b.over || t.over
	b.Text, b.marks = canon.Text(strings.TrimSpace(t.text.String())), strings.TrimSpace(t.marks.String())
	for _, l := range t.links {
		b.Links = note(b.Links, string(l))
	}
	for _, m := range t.mentions {
		b.Mentions = note(b.Mentions, string(m))
	}
}

// own is the number of a post of this channel that an address names.
func (b *block) own(href string) int64 {
	u, err := url.Parse(href)
	if err != nil || u.Host != "t.me" {
		return 0
	}
	m := dataPost.FindStringSubmatch(strings.Trim(u.Path, "/"))
	if m == nil || !strings.EqualFold(m[1], b.channel) {
		return 0
	}
	id, _ := parseID(m[2])
	return id
}

func (b *block) forward(n *html.Node) {
	f := &Forward{}
	name := find(n, "tgme_widget_message_forwarded_from_name")
	f.Name, f.Author = value(name), value(find(n, "tgme_widget_message_forwarded_from_author"))
	if name != nil {
		if u, err := url.Parse(attr(name, "href")); err == nil && u.Host == "t.me" {
			user, post, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
			f.Username = canon.Text(strings.ToLower(short(user, 32)))
			f.ID, _ = parseID(post)
		}
	}
	b.Forward = f
}

func (b *block) views(n *html.Node) {
	s := short(strings.TrimSpace(plain(n)), 16)
	if !exact.MatchString(s) {
		b.ViewsShown = strings.ToValidUTF8(s, "")
		return
	}
	b.Views, _ = strconv.ParseInt(s, 10, 64)
}

// meta has the mark of an edit as text of its own, before the date.
func (b *block) meta(n *html.Node) {
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		if k.Type == html.TextNode && strings.Trim(k.Data, " \t\r\n\u00a0") == "edited" {
			b.EditedMark = true
		}
	}
}

func (b *block) date(n *html.Node) {
	t, err := time.Parse(time.RFC3339, attr(child(n, "time"), "datetime"))
	if err == nil && t.Unix() > 0 && t.Year() < 2100 {
		b.Posted = t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
}

// web is an address of the web, or "".
func web(href string) string {
	if u, err := url.Parse(strings.TrimSpace(href)); err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "tg") {
		return strings.TrimSpace(href)
	}
	return ""
}

// value is an element's text on one line, bounded.
func value(n *html.Node) canon.Text {
	if n == nil {
		return ""
	}
	return canon.Text(short(strings.Join(strings.Fields(plain(n)), " "), maxValue))
}
