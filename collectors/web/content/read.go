package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Read reads a document as the browser serialised it, in UTF-8: in one pass, without
// a tree, within the bounds of a Document. base is the page's address. What is no
// HTML is a Document without much in it. Errors are r's or ctx's.
func Read(ctx context.Context, r io.Reader, base string) (*Document, error) {
	u, err := url.Parse(base)
	if err != nil {
		u = &url.URL{}
	}
	in := &io.LimitedReader{R: r, N: maxDocument}
	p := &reader{patterns: compiled(), base: u, seen: map[string]bool{}}
	z := html.NewTokenizer(in)
	z.SetMaxBuf(maxToken)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); err != io.EOF && err != html.ErrBufferExceeded {
				return nil, fmt.Errorf("read document: %w", err)
			}
			p.d.Cut = p.d.Cut || z.Err() == html.ErrBufferExceeded || in.N == 0
			p.endBlock()
			p.d.Title = p.titleOf(p.title.String())
			return &p.d, nil
		case html.TextToken:
			p.text(string(z.Text()))
		case html.StartTagToken:
			p.start(tagOf(z))
		case html.SelfClosingTagToken:
			t := tagOf(z)
			p.start(t)
			if !void(t.is) {
				p.end(t.name)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			p.end(string(name))
		}
	}
}

type reader struct {
	patterns
	d     Document
	base  *url.URL
	based bool
	seen  map[string]bool
	stack []element
	block Block
	parts int
	title strings.Builder
}

// element is one that is open.
type element struct {
	name    string
	is      atom.Atom
	reason  Reason
	named   bool // its reason is the page's own name for it
	silent  bool // its text is none: script, style, time with an attribute
	sure    bool // named a counter,
	perhaps bool // or perhaps
	content bool // inside main or article
	at      int  // of its first Part in the block
	blocks  int  // that there were before it
}

type tag struct {
	name  string
	is    atom.Atom
	attrs map[string]string
}

func tagOf(z *html.Tokenizer) tag {
	name, more := z.TagName()
	t := tag{name: string(name), is: atom.Lookup(name), attrs: map[string]string{}}
	for i := 0; more && i < 64; i++ {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, twice := t.attrs[string(k)]; !twice {
			t.attrs[string(k)] = string(v)
		}
	}
	return t
}

func (p *reader) top() element {
	if n := len(p.stack); n > 0 {
		return p.stack[n-1]
	}
	return element{}
}

func (p *reader) start(t tag) {
	if len(p.stack) >= maxDepth {
		p.d.Cut = true
		return
	}
	in := p.top()
	if isBlock(t.is) {
		p.endBlock()
		if level := headingLevel(t.is); level > 0 {
			p.block = Block{Kind: Heading, Level: level}
		}
	}
	e := element{name: t.name, is: t.is, reason: in.reason, named: in.named, silent: in.silent, content: in.content, at: len(p.block.Parts), blocks: len(p.d.Blocks)}
	p.judge(&e, t)
	p.special(&e, t)
	if !void(t.is) {
		p.stack = append(p.stack, e)
	}
}

// judge decides whether an element counts. What is outside of what counts stays so;
// the main part of a page counts wherever it stands, unless it is hidden.
func (p *reader) judge(e *element, t tag) {
	role := strings.ToLower(t.attrs["role"])
	switch {
	case t.is == atom.Main || role == "main":
		e.content = true
		if e.named && e.reason != Hidden {
			e.reason, e.named = "", false
		}
	case t.is == atom.Article:
		e.content = true
	}
	if e.reason != "" {
		return
	}
	if e.reason = p.reason(t, role, e.content); e.reason != "" {
		return
	}
	if t.is == atom.Html || t.is == atom.Body || t.is == atom.Main || t.is == atom.Article {
		return // names there say how the page stands
	}
	for _, name := range append(strings.Fields(t.attrs["class"]), t.attrs["id"]) {
		words := nameWords(name)
		if r := namedReason(words); r != "" && e.reason == "" {
			e.reason, e.named = r, true
		}
		sure, perhaps := namedCounter(words)
		e.sure, e.perhaps = e.sure || sure, e.perhaps || perhaps
	}
}

// reason is what the element itself says, whatever its name.
func (p *reader) reason(t tag, role string, content bool) Reason {
	_, hidden := t.attrs["hidden"]
	style := strings.ReplaceAll(strings.ToLower(t.attrs["style"]), " ", "")
	switch {
	case hidden, strings.Contains(style, "display:none"), strings.Contains(style, "visibility:hidden"), t.is == atom.Template, t.is == atom.Noscript:
		return Hidden
	case t.is == atom.Nav, t.is == atom.Aside, t.is == atom.Menu, slices.Contains([]string{"navigation", "complementary", "menu", "menubar", "search", "toolbar", "tablist"}, role):
		return Navigation
	case (t.is == atom.Header || t.is == atom.Footer) && !content, role == "banner" || role == "contentinfo":
		return Navigation
	case t.is == atom.Button, t.is == atom.Input, t.is == atom.Select, t.is == atom.Textarea, role == "button", role == "textbox":
		return Control
	case t.is == atom.Ins && strings.Contains(t.attrs["class"], "adsby"), t.is == atom.Iframe, strings.Contains(t.attrs["rel"], "sponsored"), strings.EqualFold(t.attrs["aria-label"], "advertisement"):
		return Advertisement
	}
	return ""
}

// special takes what elements say by their attributes.
func (p *reader) special(e *element, t tag) {
	switch t.is {
	case atom.Script, atom.Style, atom.Svg, atom.Title, atom.Head:
		e.silent = t.is != atom.Head
	case atom.Br:
		p.words(" ", e.reason, false)
	case atom.Base:
		if u, err := p.base.Parse(strings.TrimSpace(t.attrs["href"])); err == nil && t.attrs["href"] != "" && !p.based {
			p.base, p.based = u, true
		}
	case atom.Time:
		if at := strings.TrimSpace(t.attrs["datetime"]); at != "" {
			e.silent = true
			p.words(cut(at, 100), e.reason, false)
		}
	case atom.A, atom.Area:
		p.link(t.attrs["href"], e.reason)
	case atom.Img, atom.Video, atom.Audio, atom.Source, atom.Embed, atom.Object:
		p.media(t, e.reason)
	case atom.Html:
		p.field("lang", t.attrs["lang"])
	case atom.Link:
		if slices.Contains(strings.Fields(strings.ToLower(t.attrs["rel"])), "canonical") {
			p.field("canonical", t.attrs["href"])
		}
	case atom.Meta:
		for _, k := range []string{"name", "property", "itemprop", "http-equiv"} {
			if v := t.attrs[k]; v != "" {
				p.field("meta "+strings.ToLower(v), t.attrs["content"])
				break
			}
		}
	}
}

func (p *reader) end(name string) {
	i := len(p.stack) - 1
	for i >= 0 && p.stack[i].name != name {
		i--
	}
	if i < 0 {
		return
	}
	for len(p.stack) > i {
		e := p.top()
		p.counters(e)
		if isBlock(e.is) {
			p.endBlock()
		}
		p.stack = p.stack[:len(p.stack)-1]
	}
}

// counters judges a short element that ends: one that the page names a counter.
func (p *reader) counters(e element) {
	if !e.sure || e.blocks != len(p.d.Blocks) || e.at > len(p.block.Parts) {
		return
	}
	own := p.block.Parts[e.at:]
	if s := readable(own, true); p.hasNumber(s) && len(strings.Fields(s)) <= shortWords {
		for i := range own {
			if own[i].Ignored == "" {
				own[i].Ignored = Counter
			}
		}
	}
}

func (p *reader) text(s string) {
	in := p.top()
	if in.is == atom.Title && p.title.Len() < maxValue && p.d.Title == "" && !slices.ContainsFunc(p.stack, func(e element) bool { return e.is == atom.Svg }) {
		p.title.WriteString(cut(strings.ToValidUTF8(s, "\ufffd"), maxValue))
	}
	if in.silent {
		return
	}
	reason := in.reason
	if in.perhaps && reason == "" && p.hasNumber(s) && len(strings.Fields(s)) <= shortWords {
		p.words(s, "", true)
		return
	}
	p.words(s, reason, false)
}

// words adds text to the block. doubtful is what the page perhaps names a counter: the
// rest of the block decides.
func (p *reader) words(s string, reason Reason, doubtful bool) {
	if p.parts >= maxParts {
		p.d.Cut = true
		return
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	if strings.TrimSpace(s) == "" {
		if n := len(p.block.Parts); n > 0 && !strings.HasSuffix(p.block.Parts[n-1].Words, " ") && !p.block.Parts[n-1].link {
			p.block.Parts[n-1].Words += " " // once for each part
		}
		return
	}
	p.parts++
	k := Part{Words: s, Ignored: reason}
	if doubtful {
		k.Ignored = doubt
	}
	p.block.Parts = append(p.block.Parts, k)
}

// doubt stands, until a block ends, for what is a counter only beside no sentence.
const doubt Reason = "?"

// endBlock decides what of a block are counters, and keeps it if it says anything.
func (p *reader) endBlock() {
	b := p.block
	p.block = Block{}
	if len(b.Parts) == 0 {
		return
	}
	if b.Kind == "" {
		b.Kind = Text
	}
	p.decide(b.Parts)
	b.Parts = joined(b.Parts)
	if len(b.Parts) == 0 {
		return
	}
	if len(p.d.Blocks) >= maxBlocks {
		p.d.Cut = true
		return
	}
	p.d.Blocks = append(p.d.Blocks, b)
}

// decide: a block that is counters and nothing else is one; so is a part of it, where
// what stands beside it is no sentence.
func (p *reader) decide(parts []Part) {
	whole := p.isCounter(collapse(readable(parts, true)))
	others := 0
	for _, k := range parts {
		if k.Ignored == "" && !k.link && !p.isCounter(collapse(k.Words)) {
			others += len(strings.FieldsFunc(k.Words, func(r rune) bool { return strings.ContainsRune(" \t\r\n\f\u00a0·•|,;/:()-–—", r) }))
		}
	}
	for i := range parts {
		k := &parts[i]
		switch {
		case k.link || k.Ignored != "" && k.Ignored != doubt:
		case whole, others < proseOthers && (k.Ignored == doubt || p.isCounter(collapse(k.Words))):
			k.Ignored = Counter
		default:
			k.Ignored = ""
		}
	}
}

// readable is the text of parts that count, or may.
func readable(parts []Part, all bool) string {
	var b strings.Builder
	for _, k := range parts {
		if !k.link && (k.Ignored == "" || k.Ignored == doubt) && (all || k.Ignored == "") {
			b.WriteString(k.Words)
			if b.Len() > maxCounter*4 && all {
				break // no counter is so long
			}
		}
	}
	return b.String()
}

func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

// joined makes one part of neighbours of one kind, with single spaces. A hostile block
// may have all the parts of a document: each is looked at once.
func joined(parts []Part) (out []Part) {
	for at := 0; at < len(parts); {
		k, end := parts[at], at+1
		if !k.link {
			var b strings.Builder
			b.WriteString(k.Words)
			for ; end < len(parts) && !parts[end].link && parts[end].Ignored == k.Ignored; end++ {
				b.WriteString(parts[end].Words)
			}
			k.Words = collapse(b.String())
		}
		if k.Words != "" {
			out = append(out, k)
		}
		at = end
	}
	return out
}

func (p *reader) absolute(href string) *url.URL {
	if len(href) > maxValue {
		p.d.Cut = true
		return nil
	}
	u, err := p.base.Parse(strings.TrimSpace(href))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	u.Fragment, u.RawFragment, u.User = "", "", nil
	return u
}

func (p *reader) link(href string, reason Reason) {
	u := p.absolute(href)
	if u == nil {
		return
	}
	if s := u.String(); !p.seen[s] && len(s) <= maxValue {
		if len(p.d.Links) < maxLinks {
			p.seen[s] = true
			p.d.Links = append(p.d.Links, Link{Address: s, Ignored: reason})
		} else {
			p.d.Cut = true
		}
	}
	if p.parts < maxParts {
		p.parts++
		p.block.Parts = append(p.block.Parts, Part{Words: u.Host + u.EscapedPath(), Ignored: reason, link: true})
	}
}

// media adds a picture, film or sound: by the last name of its path, since what stands
// before it and behind it (servers, signatures) is another one each time.
func (p *reader) media(t tag, reason Reason) {
	src := t.attrs["src"]
	if src == "" {
		src = t.attrs["data"]
	}
	for _, k := range []string{"width", "height"} {
		if n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(t.attrs[k]), "px")); err == nil && n <= 2 {
			return
		}
	}
	name := ""
	if body, ok := strings.CutPrefix(src, "data:"); ok {
		h := sha256.Sum256([]byte(body))
		name = "data:" + hex.EncodeToString(h[:8])
	} else if u := p.absolute(src); u != nil && src != "" {
		if name = path.Base(u.EscapedPath()); name == "/" || name == "." {
			name = u.Host
		}
	}
	alt := cut(collapse(strings.ToValidUTF8(t.attrs["alt"], "\ufffd")), maxValue)
	if name == "" && alt == "" {
		return
	}
	if len(p.d.Blocks) >= maxBlocks {
		p.d.Cut = true
		return
	}
	b := Block{Kind: Media}
	for _, s := range []string{strings.ToValidUTF8(name, "\ufffd"), alt} {
		if s != "" {
			b.Parts = append(b.Parts, Part{Words: s, Ignored: reason})
		}
	}
	p.d.Blocks = append(p.d.Blocks, b)
}

func (p *reader) field(name, value string) {
	value = cut(collapse(strings.ToValidUTF8(value, "\ufffd")), maxValue)
	if value == "" {
		return
	}
	if len(p.d.Head) >= maxHead {
		p.d.Cut = true
		return
	}
	p.d.Head = append(p.d.Head, Field{cut(strings.ToValidUTF8(name, "\ufffd"), 200), value})
}
