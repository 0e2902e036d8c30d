package export

import (
	"html/template"
	"reflect"
	"strconv"

	"holdfast"
)

// record is what the page says of a Case's record: every field, and of a Case
// without any that there is none.
func (p *pageView) record(r *Record) (out []factView) {
	if r == nil {
		return nil
	}
	if reflect.ValueOf(*r).IsZero() {
		return []factView{{Name: p.Say("page.case.record"), Values: []template.HTML{p.Say("page.case.none")}}}
	}
	depth := ""
	if r.Depth != nil {
		depth = strconv.Itoa(*r.Depth)
	}
	field := func(key string, values ...any) {
		f := factView{Name: p.Say("page.case." + key)}
		for _, v := range values {
			if v != "" {
				f.Values = append(f.Values, value(p.Catalogue, v))
			}
		}
		if len(f.Values) == 0 {
			f.Values = []template.HTML{p.Say("page.case.none")}
		}
		out = append(out, f)
	}
	field("reference", r.Reference)
	field("mandate", r.Mandate)
	field("basis", r.LegalBasis)
	field("purpose", r.Purpose)
	field("sources", anys(r.Sources)...)
	field("since", period(r.Since))
	field("until", period(r.Until))
	field("egress", r.Egress)
	field("keywords", anys(r.Keywords)...)
	field("depth", depth)
	if len(r.Canary) > 0 {
		field("canary", anys(r.Canary)...)
	}
	if r.Comments {
		out = append(out, factView{Name: p.Say("page.case.comments"), Values: []template.HTML{p.Say("page.case.comments.yes")}})
	}
	return append(out, factView{Name: p.Say("page.case.record"), Values: []template.HTML{p.Say("page.case.changed")}})
}

func period(t holdfast.Time) any {
	if t.IsZero() {
		return ""
	}
	return t.UTC()
}

func anys(list []string) (out []any) {
	for _, s := range list {
		out = append(out, s)
	}
	return out
}
