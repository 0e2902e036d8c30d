package export

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
)

//go:embed page.html
var pageHTML string

// headHTML begins every page that is written here: what it may load, its style, and
// that it is a rehearsal.
//
//go:embed head.html
var headHTML string

//go:embed page.css
var pageCSS string

// Bounds of the page: what is longer is listed, or linked to, instead.
const (
	maxCards        = 100
	maxPicture      = 4 << 20
	maxPictureBytes = 24 << 20 // of all pictures
)

// page writes 00-READ-ME-FIRST.html: one file without script and without any
// request, which says what is here and how to check it, and gives no verdict.
// It escapes every text from outside and makes invisible characters visible.
func (w *writer) page(ctx context.Context) error {
	texts, err := messages.Open(w.Languages...)
	if err != nil {
		return err
	}
	t, err := template.New("page").Parse(headHTML + pageHTML)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	english, err := messages.Open()
	if err != nil {
		return err
	}
	p := &pageView{Catalogue: texts, english: english, w: w, ctx: ctx}
	return w.zip.stream(pathReadMe, -1, func(dst io.Writer) error {
		if err := t.Execute(dst, p); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
		return p.err
	})
}

// pageView is what the template reads. Exhibits are read again one by one, so
// that the page of a large Bundle needs no more memory than that of a small one.
type pageView struct {
	*messages.Catalogue
	english  *messages.Catalogue
	w        *writer
	ctx      context.Context
	err      error // of reading an exhibit, while the template ran
	pictures int64 // bytes shown so far
}

// Heading is the page's title as plain text.
func (p *pageView) Heading() string { return p.Plain("page.title", "name", p.Name()) }

// Say returns a sentence; pairs are the names and values of its places, as
// [messages.Args] wants them. Plain is the same for attributes and the title,
// which hold no elements.
func (p *pageView) Say(key string, pairs ...any) template.HTML {
	return say(p.Catalogue, key, pairs...)
}

func (p *pageView) Plain(key string, pairs ...any) string { return p.Text(key, args(pairs)) }

// say is safe: HTML escapes the sentence and every value.
func say(c *messages.Catalogue, key string, pairs ...any) template.HTML {
	return template.HTML(c.HTML(key, args(pairs)))
}

func args(pairs []any) messages.Args {
	args := messages.Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return args
}

// value is one value, escaped and isolated.
func value(c *messages.Catalogue, v any) template.HTML { return template.HTML(c.Value(v)) }

func (p *pageView) Lang() string            { return p.Tag() }
func (p *pageView) Style() template.CSS     { return template.CSS(pageCSS) }
func (p *pageView) Training() bool          { return p.w.Training }
func (p *pageView) Node() string            { return p.w.Node }
func (p *pageView) Count() int              { return len(p.w.doc.Exhibits) }
func (p *pageView) Rest() int               { return max(0, p.Count()-maxCards) }
func (p *pageView) Exported() template.HTML { return value(p.Catalogue, p.w.Exported.UTC()) }
func (p *pageView) Agent() template.HTML    { return agent(p.Catalogue, p.w.Agent) }
func (p *pageView) Software() template.HTML {
	return value(p.Catalogue, messages.Code(strings.TrimSpace(p.w.Software.Name+" "+p.w.Software.Version)))
}
func (p *pageView) Limits() []string         { return limits() }
func (p *pageView) Operators() template.HTML { return value(p.Catalogue, p.w.operators()) }

// InEnglish is what a reader of another language needs to know about this page,
// "" on an English one.
func (p *pageView) InEnglish() template.HTML {
	if p.Tag() == p.english.Tag() {
		return ""
	}
	return say(p.english, "page.language", "language", messages.Said(p.EnglishName()))
}

// Review says who answers for the wording in this language, or that nobody does.
func (p *pageView) Review() template.HTML {
	if who := p.Reviewer(); who != "" {
		return p.Say("page.reviewed", "name", who)
	}
	return p.Say("page.unreviewed")
}

// PartText says which of several Bundles this is; "" for an only one.
func (p *pageView) PartText() template.HTML {
	if k := p.w.Part; k != nil {
		return p.Say("page.part.text", "k", k.Number, "n", k.Of)
	}
	return ""
}

// CSP forbids everything but this page's own style and pictures inside it.
func (p *pageView) CSP() string {
	h := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'"
}

// Name is the page's heading: the names of the Cases.
func (p *pageView) Name() string {
	var names []string
	for _, c := range p.w.doc.Cases {
		names = append(names, messages.Visible(c.Name))
	}
	return strings.Join(names, " · ")
}

func (p *pageView) Lines() (n int64) {
	for _, h := range p.w.doc.Custody {
		n += h.Length
	}
	return n
}

type caseView struct {
	Name, ID   string
	Shown, All int
	Record     []factView // nil: nothing is said of it
}

func (p *pageView) Cases() (out []caseView) {
	for i, c := range p.w.doc.Cases {
		out = append(out, caseView{messages.Visible(c.Name), string(c.Case), len(p.w.Options.Cases[i].Captures), len(c.Captures), p.record(p.w.records[i])})
	}
	return out
}

type nodeView struct {
	Name, Fingerprint string
	Keys              []string
}

func (p *pageView) Nodes() (out []nodeView) {
	for _, name := range slices.Sorted(maps.Keys(p.w.nodes)) {
		n := p.w.nodes[name]
		raw, err := n.Encode()
		if err != nil {
			p.err = err
			return nil
		}
		v := nodeView{Name: name, Fingerprint: hashing.Of(raw).Hex()}
		for _, k := range n.Keys {
			v.Keys = append(v.Keys, holdfast.KeyID(k.SPKI))
		}
		out = append(out, v)
	}
	return out
}

func (w *writer) operators() []string {
	seen := map[string]bool{}
	for _, s := range w.seals {
		for _, o := range s.operators {
			seen[o] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Exhibits yields those with a card, Further the others.
func (p *pageView) Exhibits() iter.Seq[*exhibitView] { return p.exhibits(0, min(p.Count(), maxCards)) }
func (p *pageView) Further() iter.Seq[*exhibitView] {
	return p.exhibits(min(p.Count(), maxCards), p.Count())
}

func (p *pageView) exhibits(from, to int) iter.Seq[*exhibitView] {
	return func(yield func(*exhibitView) bool) {
		for i := from; i < to && p.err == nil; i++ {
			e, err := p.exhibit(i)
			if err != nil {
				p.err = fmt.Errorf("exhibit %s: %w", p.w.doc.Exhibits[i].Number, err)
				return
			}
			if !yield(e) {
				return
			}
		}
	}
}

// upTo is a time that nothing may lie behind, so it is rounded up.
func upTo(t time.Time) time.Time {
	return holdfast.At(t.Add(time.Millisecond - 1)).UTC()
}

func agent(c *messages.Catalogue, a holdfast.Agent) template.HTML {
	var parts []string
	for _, s := range []string{a.Pseudonym, a.Role, a.Office} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return say(c, "page.none")
	}
	return value(c, parts)
}

func limits() []string {
	return []string{
		"page.limit.observer", "page.limit.hash", "page.limit.time", "page.limit.complete",
		"page.limit.log", "page.limit.revocation", "page.limit.unsigned",
	}
}

// Commands are the single commands for the first sealed exhibit.
func (p *pageView) Commands() string {
	b := "unzip BUNDLE.zip -d bundle && cd bundle\nsha256sum -c --quiet manifest-sha256.txt tagmanifest-sha256.txt\n"
	for _, e := range p.w.doc.Exhibits {
		s := p.w.seals[e.Seal]
		if s == nil || s.state != Sealed {
			continue
		}
		dir := dirSeals + e.Seal + "/"
		b += "\nsed 's/.*\"sig\":\"\\([^\"]*\\)\".*/\\1/' " + dir + partStatement + " | openssl base64 -d -A >sig.bin\n"
		b += "openssl ts -verify -token_in -in " + dir + s.example + " -data sig.bin -attime " + fmt.Sprint(s.exampleTime) + " -CAfile ROOT.pem\n"
		b += "\ncosign verify-blob-attestation --bundle " + dir + partSigstore + " --trusted-root " + pathTrustedRoot +
			" --key " + dirNodes + s.key + ".pem --use-signed-timestamps --type " + holdfast.PredicateType + " " + dirExhibits + e.Number + "/manifest.json\n"
		break
	}
	return b
}
