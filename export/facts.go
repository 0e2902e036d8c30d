package export

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"holdfast"
	"holdfast/messages"
)

// facts is the collection data of Berkeley Protocol para. 155.
func (e *exhibitView) facts(m *holdfast.Manifest) {
	if m.Web != nil {
		e.add("url", messages.Code(m.Web.Asked))
		for _, r := range m.Web.Redirects {
			e.add("redirect", messages.Code(fmt.Sprintf("%d %s", r.Status, r.URL)))
		}
		e.add("final", messages.Code(m.Web.Final))
	} else {
		e.add("source", messages.Code(m.Source))
	}
	if m.Collection.Egress == "none" && !m.Source.IsReceived() {
		e.add("origin", e.Say("page.derived.capture"))
	}
	e.add("received", e.Say("page.received.text", "from", m.Started.UTC(), "to", m.Ended.UTC()))
	c := m.Completeness
	e.add("completeness", e.Say("page.completeness.text", "n", c.Asked, "outcome", messages.Said(e.Plain("outcome."+c.Outcome)),
		"failed", len(c.Failed), "blocked", len(c.Blocked), "truncated", len(c.Truncated)))
	e.reasons(c.Reasons)
	e.outside(m.X)
	e.add("captured.by", agent(e.texts, m.Agent))
	if m.Source.IsReceived() {
		e.add("received.how", m.Found.How)
	} else {
		e.add("found.how", m.Found.How)
	}
	e.add("found.why", m.Found.Why)
	e.collection(&m.Collection)
}

// outside says what of its Case's scope a Capture does not keep to, and why it
// was made all the same, as `x` of its Manifest has it. Of any other `x` it says
// nothing.
func (e *exhibitView) outside(x json.RawMessage) {
	var o struct {
		Outside []string `json:"outside"`
		Reason  string   `json:"reason"`
	}
	if json.Unmarshal(x, &o) != nil || len(o.Outside) == 0 {
		return
	}
	why := any(o.Reason)
	if o.Reason == "" {
		why = messages.Said(e.Plain("page.none"))
	}
	e.add("outside", e.Say("page.outside.text", "why", why), strings.Join(o.Outside, "; "))
}

// unobserved stands for the peer in a Manifest when a proxy spoke to it.
const unobserved = "not observed"

// collection says what the Capture was made with, and whom it met. Behind a
// proxy the node does not see the server: then it says so, not nothing.
func (e *exhibitView) collection(c *holdfast.Collection) {
	e.add("node", messages.Code(c.Node))
	e.add("software", messages.Code(c.Software.Name+" "+c.Software.Version))
	if b := c.Browser; b != nil {
		e.add("browser", messages.Code(strings.Join([]string{b.Name, b.Version, b.Viewport, b.Locale, b.Timezone}, " ")))
	}
	if s := c.Server; s != nil {
		switch s.Peer {
		case "":
			e.add("server", e.Say("page.notobserved"), messages.Code(s.Protocol))
		case unobserved:
			e.add("server", e.Say("page.notobserved.proxy"), messages.Code(s.Protocol))
		default:
			e.add("server", messages.Code(s.Peer+" "+s.Protocol))
		}
		if t := s.TLS; t != nil {
			verdict := e.Say("page.tls.ok")
			if t.Verdict != "ok" {
				verdict = e.Say("page.tls.unverified", "why", messages.Code(t.Verdict))
			}
			e.add("tls", messages.Code(t.Version+" "+t.Cipher), verdict)
		}
	}
	e.word("egress", c.Egress, "unknown")
	e.word("identity", c.Identity, "none")
}

// word adds a value that is a code, or the one word of the format that stands for
// none, said in the page's language.
func (e *exhibitView) word(key, v, none string) {
	if v == none {
		e.add(key, e.Say("page."+key+"."+none))
		return
	}
	e.add(key, messages.Code(v))
}

// add adds a fact under the name page.<key>: values of the page's own words, of
// code, or text from outside, each isolated. Empty ones are left out.
func (e *exhibitView) add(key string, values ...any) {
	f := factView{Name: e.Say("page." + key)}
	for _, v := range values {
		if html, ok := v.(template.HTML); ok {
			f.Values = append(f.Values, html)
		} else if s := strings.TrimSpace(fmt.Sprint(v)); s != "" {
			f.Values = append(f.Values, value(e.texts, v))
		}
	}
	if len(f.Values) > 0 {
		e.Facts = append(e.Facts, f)
	}
}

// reasons explains each reason, and keeps what the collector wrote.
func (e *exhibitView) reasons(list []string) {
	var values []any
	for _, r := range list {
		code, _, _ := strings.Cut(r, ":")
		key := "reason." + code
		if role, ok := strings.CutSuffix(code, "-failed"); ok && !e.texts.Has(key) && e.texts.Has("page.role."+role) {
			key = "reason.view-failed"
		}
		if e.texts.Has(key) {
			values = append(values, e.Say(key)+" "+template.HTML("<small>")+value(e.texts, messages.Code(r))+template.HTML("</small>"))
		} else {
			values = append(values, r)
		}
	}
	e.add("reasons", values...)
}
