package export

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
)

// exhibitView is what the template shows of one exhibit.
type exhibitView struct {
	texts       *messages.Catalogue
	Number      string
	URL         string
	Received    template.HTML
	State       template.HTML
	Open        bool // not sealed
	Training    bool
	Picture     template.URL // data: URI, "" if there is none or it is too large
	PictureHref string       // too large: where it lies
	PictureHex  string
	NoPicture   string // key of the reason
	Seal        template.HTML
	SealID      string
	Manifest    string
	Facts       []factView
	Objects     []objectView
	Derived     []messages.Code
}

// maxSliceRows bounds the rows of one card: a page of history has 300 parts.
const maxSliceRows = 30

type factView struct {
	Name   template.HTML
	Values []template.HTML
}

type objectView struct {
	Name, Hex      string
	Role, Withheld template.HTML
	Size           int64
	plain          string // the role as plain text
}

// Say and Plain are as in pageView.
func (e *exhibitView) Say(key string, pairs ...any) template.HTML { return say(e.texts, key, pairs...) }

func (e *exhibitView) Plain(key string, pairs ...any) string { return e.texts.Text(key, args(pairs)) }

// Code is for the template, which cannot name types.
func (e *exhibitView) Code(s string) messages.Code { return messages.Code(s) }

func (p *pageView) exhibit(i int) (*exhibitView, error) {
	x := p.w.doc.Exhibits[i]
	raw, _, err := p.w.Captures.Manifest(p.ctx, x.Capture)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if hashing.Of(raw) != x.Manifest {
		return nil, fmt.Errorf("its manifest changed during the export: %w", hashing.ErrMismatch)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	state := p.w.sum.Exhibits[i].State
	e := &exhibitView{
		texts: p.Catalogue, Number: x.Number, URL: messages.Visible(string(m.Source)), Received: value(p.Catalogue, m.Started.UTC()), State: p.Say("state." + string(state)),
		Open: state != Sealed, Training: m.Training, Manifest: x.Manifest.Hex(), SealID: x.Seal,
	}
	e.seal(p.w.seals[x.Seal], state)
	if i >= maxCards {
		return e, nil
	}
	plan, err := p.w.plan(p.ctx, m)
	if err != nil {
		return nil, err
	}
	came, err := p.w.handover(p.ctx, m, plan)
	if err != nil {
		return nil, err
	}
	e.received(m, plan, came)
	e.facts(m)
	e.objects(m, plan)
	e.originalNames(came)
	return e, p.picture(e, m, plan)
}

func (e *exhibitView) seal(s *seal, state State) {
	switch state {
	case Sealed:
		e.Seal = e.Say("page.seal.sealed", "time", upTo(s.t), "operators", s.operators)
	case Signed:
		why, _, ok := e.texts.Finding(s.lacks)
		if !ok {
			why = s.why
		}
		e.Seal = e.Say("page.seal.signed", "why", messages.Said(why))
	default:
		e.Seal = e.Say("page.seal.none")
	}
}

func (e *exhibitView) objects(m *holdfast.Manifest, plan *shown) {
	for _, o := range m.Objects {
		e.Objects = append(e.Objects, objectView{Name: o.Name, Hex: o.Digest.Hex(), Role: e.role(o), plain: e.plainRole(o), Withheld: e.withheld(plan.withheld[o.Name]), Size: o.Size})
	}
	for i, s := range plan.slices {
		if i == maxSliceRows {
			e.Objects = append(e.Objects, objectView{Name: "slices/…", Role: e.Say("page.slices.more", "more", len(plan.slices)-i)})
			break
		}
		e.Objects = append(e.Objects, objectView{
			Name: "slices/" + s.object.Name + "/" + s.slice.Name, Hex: s.slice.Commitment.Hex(), Role: e.Say("page.slice", "object", messages.Code(s.object.Name)), Size: s.slice.Length,
		})
	}
	for _, t := range m.Transformations {
		e.Derived = append(e.Derived, messages.Code(t.Output+" ("+t.Action+")"))
	}
}

func (e *exhibitView) role(o holdfast.Object) template.HTML {
	if key := "page.role." + o.Role; e.texts.Has(key) {
		return e.Say(key)
	}
	return value(e.texts, messages.Code(o.Role+" ("+o.Type+")"))
}

func (e *exhibitView) plainRole(o holdfast.Object) string {
	if key := "page.role." + o.Role; e.texts.Has(key) {
		return e.Plain(key)
	}
	return messages.Visible(o.Role + " (" + o.Type + ")")
}

// withheld says a reason of the export's own in the page's language, and any
// other one as it stands in the statement.
func (e *exhibitView) withheld(why string) template.HTML {
	key := map[string]string{whyRestricted: "withheld.restricted", whySlices: "withheld.slices", whyBeside: "withheld.beside", whySecret: "withheld.secret"}[why]
	if key != "" {
		return e.Say("page.withheld", "why", messages.Said(e.Plain(key)))
	}
	if why == "" {
		return ""
	}
	return e.Say("page.withheld", "why", why)
}

// picture shows the screenshot inside the page, or says where it lies: it is
// never scaled or re-encoded, since its Digest stands above it.
func (p *pageView) picture(e *exhibitView, m *holdfast.Manifest, plan *shown) error {
	e.NoPicture = "page.caption.noimage"
	for _, o := range m.Objects {
		if o.Role != "screenshot" || o.Type != "image/png" && o.Type != "image/jpeg" && o.Type != "image/webp" {
			continue
		}
		if plan.withheld[o.Name] != "" {
			e.NoPicture = "page.caption.withheld"
			return nil
		}
		e.PictureHex = o.Digest.Hex()
		if o.Size > maxPicture || p.pictures+o.Size > maxPictureBytes {
			e.PictureHref = dirExhibits + e.Number + "/" + o.Name
			return nil
		}
		var b bytes.Buffer
		if err := p.w.copyObject(p.ctx, &b, m.ID, o); err != nil {
			return fmt.Errorf("read picture: %w", err)
		}
		p.pictures += o.Size
		e.Picture = template.URL("data:" + o.Type + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
		return nil
	}
	return nil
}
