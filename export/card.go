package export

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
)

// exhibitView is what the template shows of one exhibit.
type exhibitView struct {
	texts       *messages.Catalogue
	Number      string
	URL         string
	Received    string
	State       string
	Open        bool // not sealed
	Training    bool
	Picture     template.URL // data: URI, "" if there is none or it is too large
	PictureHref string       // too large: where it lies
	PictureHex  string
	NoPicture   string // key of the reason
	Seal        string
	SealID      string
	Manifest    string
	Facts       []factView
	Objects     []objectView
	Derived     string
}

type factView struct {
	Name   string
	Values []string
}

type objectView struct {
	Name, Hex, Role, Withheld string
	Size                      int64
}

// Say is as in pageView.
func (e *exhibitView) Say(key string, pairs ...any) string { return say(e.texts, key, pairs...) }

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
		texts: p.Catalogue, Number: x.Number, URL: messages.Visible(string(m.Source)), Received: instant(m.Started), State: p.Say("state." + string(state)),
		Open: state != Sealed, Training: m.Training, Manifest: x.Manifest.Hex(), SealID: x.Seal,
	}
	e.seal(p.w.seals[x.Seal], state)
	if i >= maxCards {
		return e, nil
	}
	plan, err := p.w.plan(m)
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
		var ops []string
		for _, o := range s.operators {
			ops = append(ops, messages.Visible(o))
		}
		e.Seal = e.Say("page.seal.sealed", "time", upTo(s.t), "operators", strings.Join(ops, ", "))
	case Signed:
		e.Seal = e.Say("page.seal.signed", "why", s.why)
	default:
		e.Seal = e.Say("page.seal.none")
	}
}

// facts is the collection data of Berkeley Protocol para. 155.
func (e *exhibitView) facts(m *holdfast.Manifest) {
	add := e.add
	if m.Web != nil {
		add("url", string(m.Web.Asked))
		for _, r := range m.Web.Redirects {
			add("redirect", fmt.Sprintf("%d %s", r.Status, r.URL))
		}
		add("final", string(m.Web.Final))
	} else {
		add("source", string(m.Source))
	}
	add("received", instant(m.Started)+" – "+instant(m.Ended))
	c := m.Completeness
	add("completeness", e.Say("page.completeness.text", "n", c.Asked, "outcome", e.Say("outcome."+c.Outcome),
		"failed", len(c.Failed), "blocked", len(c.Blocked), "truncated", len(c.Truncated)))
	add("reasons", c.Reasons...)
	add("captured.by", agent(e.texts, m.Agent))
	if m.Source.IsReceived() {
		add("received.how", m.Found.How)
	} else {
		add("found.how", m.Found.How)
	}
	add("found.why", m.Found.Why)
	add("node", m.Collection.Node)
	add("software", m.Collection.Software.Name+" "+m.Collection.Software.Version)
	if b := m.Collection.Browser; b != nil {
		add("browser", strings.Join([]string{b.Name, b.Version, b.Viewport, b.Locale, b.Timezone}, " "))
	}
	if s := m.Collection.Server; s != nil {
		add("server", s.Peer+" "+s.Protocol)
		if s.TLS != nil {
			add("tls", s.TLS.Version+" "+s.TLS.Cipher+": "+s.TLS.Verdict)
		}
	}
	add("egress", m.Collection.Egress)
	add("identity", m.Collection.Identity)
}

// add adds the values that are not empty under the name page.<key>.
func (e *exhibitView) add(key string, values ...string) {
	f := factView{Name: e.Say("page." + key)}
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			f.Values = append(f.Values, messages.Visible(v))
		}
	}
	if len(f.Values) > 0 {
		e.Facts = append(e.Facts, f)
	}
}

func (e *exhibitView) objects(m *holdfast.Manifest, plan *shown) {
	for _, o := range m.Objects {
		role := "page.role." + o.Role
		if !e.texts.Has(role) {
			role = o.Role + " (" + o.Type + ")"
		} else {
			role = e.Say(role)
		}
		e.Objects = append(e.Objects, objectView{Name: o.Name, Hex: o.Digest.Hex(), Role: messages.Visible(role), Withheld: plan.withheld[o.Name], Size: o.Size})
	}
	for _, s := range plan.slices {
		e.Objects = append(e.Objects, objectView{
			Name: "slices/" + s.object.Name + "/" + s.slice.Name, Hex: s.slice.Commitment.Hex(), Role: e.Say("page.slice", "object", s.object.Name), Size: s.slice.Length,
		})
	}
	var derived []string
	for _, t := range m.Transformations {
		derived = append(derived, t.Output+" ("+t.Action+")")
	}
	e.Derived = strings.Join(derived, ", ")
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
