package catalog

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// Roles of the Objects that hold what can be read on a page.
const (
	RoleText = "text" // its visible text
	RolePage = "page" // the Page: title, links

	RoleFrames = "frames" // visible text of its frames, which may be other sites'
)

// Limits of what is searched. A text that is longer is not searched, and counted in
// [Unsearched].
const (
	MaxPageText = 4 << 20 // bytes of a page's text
	maxPageJSON = 1 << 20
	maxPageLink = 2000 // links of one page, or of one post
	maxLinkSize = 4096

	// PagePart is the place of a page's text among the parts of a capture; those
	// below are of Objects of role posts.
	PagePart = MaxAnswers
)

// Page is what of a web page is searched.
type Page struct {
	Title, Text string
	Frames      string   // of its frames; it is searched behind Text
	Language    string   // as the document states it
	Addresses   []string // its own, and those that it links to
}

// Digest is of what is searched: captures whose pages read the same share it.
func (p Page) Digest() hashing.Digest {
	if p.Title == "" {
		return hashing.Of([]byte(p.Body()))
	}
	return hashing.Of([]byte(p.Title + "\n\n" + p.Body()))
}

// Body is what is searched besides the title: the text, and behind it that of the frames,
// whose first line is `# address`, so no words of the two follow each other.
func (p Page) Body() string {
	if p.Frames == "" {
		return p.Text
	}
	return p.Text + "\n\n" + p.Frames
}

// PageObjects are the Objects whose bytes ReadPage wants, each at most MaxPageText:
// the text, and then the Page and the text of frames where there are such. None: there is
// no text.
func (a *Accepted) PageObjects() []Small { return a.page }

// ReadPage takes the bytes of PageObjects, in their order. An error leaves a as it
// was: the capture can still be indexed.
func (a *Accepted) ReadPage(bodies [][]byte) error {
	if len(bodies) != len(a.page) || len(bodies) == 0 {
		return fmt.Errorf("read page of capture %s: %d objects, want %d: %w", a.ID, len(bodies), len(a.page), holdfast.ErrForm)
	}
	for i, b := range bodies {
		if got := hashing.Of(b); got != a.page[i].Digest {
			return fmt.Errorf("read page of capture %s: bytes are %s: %w", a.ID, got, hashing.ErrMismatch)
		}
	}
	p := Page{Text: string(bodies[0]), Addresses: a.addresses}
	for i, b := range bodies {
		switch a.pageRoles[i] {
		case RolePage:
			if err := p.read(b); err != nil {
				return fmt.Errorf("read page of capture %s: %w", a.ID, err)
			}
		case RoleFrames:
			p.Frames = string(b)
		}
	}
	a.Page = &p
	return nil
}

func (p *Page) read(b []byte) error {
	if len(b) > maxPageJSON {
		return fmt.Errorf("page of %d bytes: %w", len(b), holdfast.ErrForm)
	}
	m, err := readMembers(bytes.TrimSuffix(b, []byte("\n")))
	if err != nil {
		return err
	}
	var canonical, language, title canon.Text
	var links []canon.Text
	if err := m.read(map[string]any{"canonical": &canonical, "language": &language, "links": &links, "title": &title}); err != nil {
		return err
	}
	p.Title, p.Language = string(title), string(language)
	own := append([]string{}, p.Addresses...) // a's stay as they are
	p.Addresses = addresses(append(own, string(canonical)), links)
	return nil
}

// addresses joins them, each once, without those that nobody would look for.
func addresses(own []string, links []canon.Text) (out []string) {
	seen := make(map[string]bool, len(own)+len(links))
	add := func(s string) {
		if s != "" && len(s) <= maxLinkSize && utf8.ValidString(s) && !seen[s] && len(seen) < maxPageLink {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, s := range own {
		add(s)
	}
	for _, s := range links {
		add(string(s))
	}
	return out
}

// Parts are the parts of a capture that hold text, as its Manifest states them, and
// Read says which of them were read.
func (a *Accepted) Parts() (parts []int) {
	for i := range a.posts {
		parts = append(parts, i)
	}
	if len(a.page) > 0 {
		parts = append(parts, PagePart)
	}
	return parts
}

// HasRead reports whether the text of a part was read.
func (a *Accepted) HasRead(part int) bool {
	if part == PagePart {
		return a.Page != nil
	}
	for _, x := range a.Answers {
		if x.Part == part {
			return true
		}
	}
	return false
}

// Weight is what a costs in memory and time, in posts of half a kilobyte: who gives
// facts to a Writer bounds by it what it holds at once.
func (a *Accepted) Weight() (n int) {
	for _, x := range a.Answers {
		n += x.Count()
		for _, s := range x.Said {
			n += len(s.Text) >> 9
		}
	}
	if a.Page != nil {
		n += 1 + (len(a.Page.Text)+len(a.Page.Frames))>>9
	}
	return n
}
