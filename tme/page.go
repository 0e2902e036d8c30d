package tme

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"holdfast/canon"
)

// Page is what one page says.
type Page struct {
	At      Address
	Channel string     // its number, decimal; "" where no post of the page states it
	Title   canon.Text // of the channel; may be ""
	Posts   []Post     // in the page's order, oldest first
	Missing bool       // of an embedded post: the page says "Post not found", and nothing else
	Unread  []string   // why blocks are not among Posts
}

// Lowest is the smallest number of a post on the page, 0 if there is none.
func (p *Page) Lowest() (low int64) {
	for _, x := range p.Posts {
		if low == 0 || x.ID < low {
			low = x.ID
		}
	}
	return low
}

// Read reads a page of UTF-8 that was received from an address. Errors: [ErrPage].
// It keeps nothing of b.
func Read(b []byte, at Address) (*Page, error) {
	if len(b) > MaxPage {
		return nil, fmt.Errorf("%d bytes, at most %d are read: %w", len(b), MaxPage, ErrPage)
	}
	if !bytes.Contains(b[max(0, len(b)-4096):], []byte("</html>")) {
		return nil, fmt.Errorf("its end is missing: %w", ErrPage)
	}
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrPage)
	}
	r := reader{page: Page{At: at}}
	r.walk(doc, 0)
	return r.end()
}

// notFound is what the page of an embedded post says where there is none.
const notFound = "Post not found"

type reader struct {
	page   Page
	blocks int
	errors []string // texts of the page's own errors
	deep   bool
}

// walk finds the posts, the page's own errors, and the channel's title.
func (r *reader) walk(n *html.Node, depth int) {
	if depth > maxDepth {
		r.deep = true
		return
	}
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		switch {
		case k.Type != html.ElementNode:
		case has(k, "tgme_widget_message") && attr(k, "data-post") != "":
			r.block(k)
		case has(k, "tgme_widget_message_error"):
			r.errors = append(r.errors, strings.TrimSpace(plain(k)))
		case has(k, "tgme_channel_info_header_title") && r.page.Title == "":
			r.page.Title = canon.Text(short(strings.TrimSpace(plain(k)), 1024))
		default:
			r.walk(k, depth+1)
		}
	}
}

func (r *reader) block(n *html.Node) {
	r.blocks++
	if r.blocks > maxPosts {
		return
	}
	p, err := readPost(n, r.page.At.Channel)
	if err == nil {
		err = r.number(n)
	}
	if err != nil {
		r.page.Unread = append(r.page.Unread, fmt.Sprintf("block %d: %v", r.blocks, err))
		return
	}
	if r.page.Title == "" {
		r.page.Title = p.owner
	}
	r.page.Posts = append(r.page.Posts, p.Post)
}

// number takes the channel's number from a block; all must state the same.
func (r *reader) number(n *html.Node) error {
	for _, s := range []string{viewNumber(attr(n, "data-view")), peerNumber(attr(n, "data-peer"))} {
		switch {
		case s == "":
		case r.page.Channel == "":
			r.page.Channel = s
		case r.page.Channel != s:
			return fmt.Errorf("it is of channel %s, and others of %s", s, r.page.Channel)
		}
	}
	return nil
}

// viewNumber reads data-view: JSON in base64, with the channel's number as a
// negative `c`.
func viewNumber(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	}
	var v struct{ C int64 }
	if err != nil || json.Unmarshal(b, &v) != nil || v.C >= 0 || v.C < -1<<52 {
		return ""
	}
	return strconv.FormatInt(-v.C, 10)
}

// peerNumber reads data-peer: c, the channel's number, and what is given out anew.
func peerNumber(s string) string {
	digits, _, _ := strings.Cut(strings.TrimPrefix(s, "c"), "_")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !strings.HasPrefix(s, "c") || n <= 0 || n > 1<<52 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (r *reader) end() (*Page, error) {
	p := &r.page
	if r.blocks > maxPosts {
		p.Unread = append(p.Unread, fmt.Sprintf("%d blocks, at most %d are read", r.blocks, maxPosts))
	}
	if r.deep {
		p.Unread = append(p.Unread, fmt.Sprintf("elements more than %d deep are not looked at", maxDepth))
	}
	p.Missing = p.At.Post > 0 && r.blocks == 0 && !r.deep && len(r.errors) == 1 && r.errors[0] == notFound
	seen := map[int64]bool{}
	for _, x := range p.Posts {
		if seen[x.ID] {
			return nil, fmt.Errorf("post %d is there twice: %w", x.ID, ErrPage)
		}
		seen[x.ID] = true
	}
	return p, nil
}

// has says whether an element is of a class.
func has(n *html.Node, class string) bool {
	for _, c := range strings.Fields(attr(n, "class")) {
		if c == class {
			return true
		}
	}
	return false
}

// attr is an element's attribute; "" where there is no such, or no element.
func attr(n *html.Node, name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.Attr {
		if a.Namespace == "" && a.Key == name {
			return a.Val
		}
	}
	return ""
}

// plain is the text of an element, br as a new line.
func plain(n *html.Node) string {
	t := texter{}
	t.walk(n, 0)
	return t.text.String()
}

// short cuts at a character's beginning.
func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}
