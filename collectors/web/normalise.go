package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
)

// Page is the normalised view of a captured page: what can be searched and
// compared. It is derived; where it and the document differ, the document
// stands. Text that is not UTF-8 is {"base64": …}. Lists are in document order
// and bounded; Cut says that a bound was met.
type Page struct {
	Canonical   canon.Text     `json:"canonical"` // link rel=canonical, absolute; ""
	Cut         bool           `json:"cut"`
	Dates       []Named        `json:"dates"`       // what the document says of when it was published or changed
	Fingerprint string         `json:"fingerprint"` // see simhash; "" without words
	Kind        string         `json:"kind"`        // "page"
	Language    canon.Text     `json:"language"`    // of the html element
	Links       []canon.Text   `json:"links"`       // http and https, absolute, without fragment, each once
	OpenGraph   []Named        `json:"opengraph"`   // meta og:, article: and twitter:
	TextDigest  hashing.Digest `json:"text_digest"` // of the visible text, UTF-8
	TextLength  int64          `json:"text_length"` // bytes
	Title       canon.Text     `json:"title"`
	Version     int            `json:"version"` // 1
}

// Named is a value and what the document calls it.
type Named struct {
	Name  canon.Text `json:"name"`
	Value canon.Text `json:"value"`
}

// Bounds of a Page.
const (
	maxDocument = 64 << 20
	maxToken    = 4 << 20
	maxLinks    = 1000
	maxDates    = 50
	maxGraph    = 100
	maxValue    = 2048
	maxPage     = collectors.MaxInline // of the whole Page: it rides in a message
)

// Normaliser derives a Page from the Objects of a capture by this room.
type Normaliser struct{}

// Normalise reads dom.html (else source.html, of whatever encoding) and
// text.txt by name through open, which says fs.ErrNotExist for an Object that
// the capture lacks. address is where the page was found. It returns the
// canonical JSON of a [Page] and the names read, or nothing when the capture
// has no document. Equal Objects give equal bytes.
func (Normaliser) Normalise(ctx context.Context, address string, open func(name string) (io.ReadCloser, error)) (page []byte, inputs []string, err error) {
	r, name, err := document(open)
	if err != nil || r == nil {
		return nil, nil, err
	}
	defer r.Close()
	base, err := url.Parse(address)
	if err != nil {
		base = &url.URL{}
	}
	p := &parser{base: base, seen: map[string]bool{}, text: newTextSum(),
		page: Page{Kind: "page", Version: 1, Dates: []Named{}, Links: []canon.Text{}, OpenGraph: []Named{}}}
	in := &io.LimitedReader{R: r, N: maxDocument}
	src, err := utf8From(in, name)
	if err == nil {
		err = p.run(ctx, src)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("normalise %s: %w", name, err)
	}
	p.page.Cut = p.page.Cut || in.N == 0
	inputs = []string{name}
	if t, err := open("text.txt"); err == nil {
		defer t.Close()
		p.text = newTextSum() // the browser knows better what is visible
		if _, err := io.Copy(p.text, t); err != nil {
			return nil, nil, fmt.Errorf("normalise text.txt: %w", err)
		}
		inputs = append(inputs, "text.txt")
	}
	p.page.TextDigest, p.page.TextLength, p.page.Fingerprint = p.text.sum()
	page, err = p.page.encode()
	return page, inputs, err
}

// encode returns the canonical form of at most maxPage bytes: a document full of
// long links, each within its own bound, loses the last of them and not its Page.
func (p Page) encode() ([]byte, error) {
	for {
		b, err := canon.Marshal(p)
		if err != nil || len(b) <= maxPage || len(p.Links)+len(p.OpenGraph) == 0 {
			return b, err
		}
		p.Cut = true
		if len(p.Links) > 0 {
			p.Links = p.Links[:len(p.Links)*3/4]
		} else {
			p.OpenGraph = p.OpenGraph[:len(p.OpenGraph)*3/4]
		}
	}
}

func document(open func(string) (io.ReadCloser, error)) (io.ReadCloser, string, error) {
	for _, name := range []string{"dom.html", "source.html"} {
		r, err := open(name)
		if err == nil {
			return r, name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", fmt.Errorf("normalise %s: %w", name, err)
		}
	}
	return nil, "", nil
}

// utf8From: a serialised document is UTF-8, a source says what it is.
func utf8From(r io.Reader, name string) (io.Reader, error) {
	if name == "dom.html" {
		return r, nil
	}
	br := bufio.NewReaderSize(r, 4096)
	if _, err := br.Peek(1); err == io.EOF {
		return br, nil
	}
	return charset.NewReader(br, "text/html")
}

// parser reads a document token by token; it builds no tree.
type parser struct {
	page  Page
	base  *url.URL
	based bool
	seen  map[string]bool
	text  *textSum
	skip  atom.Atom // inside an element whose content is no text
	title bool
	done  bool // the first title counts
	ld    bool // inside a script of JSON-LD
}

func (p *parser) run(ctx context.Context, r io.Reader) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxToken)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == html.ErrBufferExceeded {
				p.page.Cut = true // one element of megabytes: what came before it stands
				return nil
			}
			if z.Err() == io.EOF {
				return nil
			}
			return z.Err()
		case html.TextToken:
			p.words(z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			p.open(z)
		case html.EndTagToken:
			name, _ := z.TagName()
			p.close(atom.Lookup(name))
		}
	}
}

func (p *parser) words(b []byte) {
	switch {
	case p.ld:
		p.linkedData(b)
	case p.title:
		p.page.Title = cutTo(p.page.Title+canon.Text(b), maxValue)
	case p.skip == 0:
		p.text.Write(b)
	}
}

func (p *parser) close(a atom.Atom) {
	if a == p.skip {
		p.skip, p.ld = 0, false
	}
	if a == atom.Title && p.title {
		p.title, p.done = false, true
		p.page.Title = canon.Text(strings.Join(strings.Fields(string(p.page.Title)), " "))
	}
	switch a {
	case atom.P, atom.Div, atom.Li, atom.Td, atom.H1, atom.H2, atom.H3, atom.Section, atom.Article:
		p.text.Write([]byte("\n"))
	}
}

func (p *parser) open(z *html.Tokenizer) {
	name, more := z.TagName()
	a := atom.Lookup(name)
	attrs := map[string]string{}
	for i := 0; more && i < 64; i++ {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, twice := attrs[string(k)]; !twice {
			attrs[string(k)] = string(v)
		}
	}
	switch a {
	case atom.Script, atom.Style, atom.Noscript, atom.Template:
		if p.skip == 0 {
			p.skip, p.ld = a, a == atom.Script && strings.EqualFold(strings.TrimSpace(attrs["type"]), "application/ld+json")
		}
	case atom.Title:
		p.title = !p.done && p.skip == 0
	case atom.Html:
		if p.page.Language == "" {
			p.page.Language = cutTo(canon.Text(attrs["lang"]), 64)
		}
	case atom.Base:
		p.rebase(attrs["href"])
	case atom.A, atom.Area:
		p.link(attrs["href"])
	case atom.Link:
		if slices.Contains(strings.Fields(strings.ToLower(attrs["rel"])), "canonical") && p.page.Canonical == "" {
			p.page.Canonical = canon.Text(p.absolute(attrs["href"]))
		}
	case atom.Time:
		p.date("time", attrs["datetime"])
	case atom.Meta:
		p.meta(attrs)
	}
}

func (p *parser) rebase(href string) {
	if u, err := p.base.Parse(strings.TrimSpace(href)); err == nil && href != "" && !p.based {
		p.base, p.based = u, true
	}
}

// absolute resolves an address; "" if it is not one of the web or too long.
func (p *parser) absolute(href string) string {
	u, err := p.base.Parse(strings.TrimSpace(href))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	u.Fragment, u.RawFragment = "", ""
	if s := u.String(); len(s) <= maxValue {
		return s
	}
	p.page.Cut = true
	return ""
}

func (p *parser) link(href string) {
	s := p.absolute(href)
	if s == "" || p.seen[s] {
		return
	}
	if len(p.page.Links) >= maxLinks {
		p.page.Cut = true
		return
	}
	p.seen[s] = true
	p.page.Links = append(p.page.Links, canon.Text(s))
}

func (p *parser) date(name, value string) {
	value = strings.TrimSpace(value)
	d := Named{canon.Text(name), cutTo(canon.Text(value), 100)}
	if value == "" || slices.Contains(p.page.Dates, d) {
		return
	}
	if len(p.page.Dates) >= maxDates {
		p.page.Cut = true
		return
	}
	p.page.Dates = append(p.page.Dates, d)
}

func (p *parser) meta(attrs map[string]string) {
	name := strings.ToLower(attrs["property"])
	if name == "" {
		name = strings.ToLower(attrs["name"])
	}
	if name == "" {
		name = strings.ToLower(attrs["itemprop"])
	}
	switch name {
	case "article:published_time", "article:modified_time", "og:updated_time", "date", "pubdate", "publishdate", "last-modified",
		"dc.date", "dc.date.issued", "dcterms.created", "dcterms.modified", "datepublished", "datemodified", "parsely-pub-date", "sailthru.date":
		p.date("meta "+name, attrs["content"])
	}
	if !strings.HasPrefix(name, "og:") && !strings.HasPrefix(name, "article:") && !strings.HasPrefix(name, "twitter:") {
		return
	}
	if len(p.page.OpenGraph) >= maxGraph {
		p.page.Cut = true
		return
	}
	p.page.OpenGraph = append(p.page.OpenGraph, Named{cutTo(canon.Text(name), 100), cutTo(canon.Text(attrs["content"]), maxValue)})
}

// linkedData takes the dates of a JSON-LD block; one that does not parse says
// nothing.
func (p *parser) linkedData(b []byte) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	if dec.Decode(&v) == nil {
		p.walk(v, 0)
	}
}

func (p *parser) walk(v any, depth int) {
	if depth > 16 {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			p.walk(e, depth+1)
		}
	case map[string]any:
		for _, k := range []string{"dateCreated", "dateModified", "datePublished", "uploadDate"} {
			if s, ok := v[k].(string); ok {
				p.date("json-ld "+k, s)
			}
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys) // a map has no order, the result must have one
		for _, k := range keys {
			p.walk(v[k], depth+1)
		}
	}
}

// cutTo bounds text at a character's beginning.
func cutTo(t canon.Text, most int) canon.Text {
	if len(t) <= most {
		return t
	}
	for most > 0 && t[most]&0xc0 == 0x80 {
		most--
	}
	return t[:most]
}
