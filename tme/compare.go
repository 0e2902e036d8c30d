package tme

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/canon"
)

// Results of a comparison.
const (
	Equal    = "equal"
	Differs  = "differs"
	NotShown = "not shown" // the page does not show it, or not so that it could be compared
)

// Field is one thing that both views say of a post, as each says it.
type Field struct {
	Name   string     `json:"field"`
	Page   canon.Text `json:"page"`
	Record canon.Text `json:"record"`
	Result string     `json:"result"`
}

// record is a line of posts.jsonl of the service's own answer, as far as a page
// shows the same.
type record struct {
	Author     canon.Text
	EditHidden bool `json:"edit_hidden"`
	Edited     string
	Forward    *struct {
		Channel string
		ID      int64
		Name    canon.Text
	}
	ID      int64
	Kind    string
	Links   []canon.Text
	Media   []Media
	Posted  string
	ReplyTo int64 `json:"reply_to"`
	Text    canon.Text
}

// Compare holds the page's line of a post against the service's own, field by field.
// What counts (views, reactions, forwards, answers) is not compared. Both are lines
// of posts.jsonl that a catalog has read. Errors: lines that are none, or of two
// posts.
func Compare(ours, page []byte) ([]Field, error) {
	var r record
	var p Post
	if err := json.Unmarshal(ours, &r); err != nil {
		return nil, fmt.Errorf("compare: read the record: %w", err)
	}
	if err := json.Unmarshal(page, &p); err != nil {
		return nil, fmt.Errorf("compare: read the page's post: %w", err)
	}
	if r.ID != p.ID || r.ID < 1 {
		return nil, fmt.Errorf("compare: post %d with post %d", r.ID, p.ID)
	}
	return []Field{compareAuthor(r, p), compareDate(r, p), compareEdited(r, p), compareForward(r, p), compareKind(r, p), compareLinks(r, p),
		compareMedia(r, p), compareReply(r, p), compareText(r, p)}, nil
}

// Worst is differs, if any field does; else equal.
func Worst(all []Field) string {
	if slices.ContainsFunc(all, func(f Field) bool { return f.Result == Differs }) {
		return Differs
	}
	return Equal
}

func field(name string, ours, page canon.Text) Field {
	f := Field{Name: name, Record: ours, Page: page, Result: Differs}
	if ours == page {
		f.Result = Equal
	}
	return f
}

// shown is a Field where a page that says nothing does not show it.
func (f Field) shown() Field {
	if f.Page == "" && f.Result == Differs {
		f.Result = NotShown
	}
	return f
}

func compareAuthor(r record, p Post) Field { return field("author", r.Author, p.Author).shown() }

func compareDate(r record, p Post) Field {
	return field("date", canon.Text(r.Posted), canon.Text(p.Posted)).shown()
}

// compareEdited: the record has a time, the page a mark. A reaction is no edit.
func compareEdited(r record, p Post) Field {
	f := field("edited", mark(r.Edited != "" && !r.EditHidden), mark(p.EditedMark))
	if p.Kind == Service || p.NotShown {
		return f.shown()
	}
	return f
}

func mark(is bool) canon.Text {
	if is {
		return "edited"
	}
	return ""
}

// compareForward: the record has the channel's number, the page its name.
func compareForward(r record, p Post) Field {
	f := Field{Name: "forward", Result: Equal}
	if r.Forward != nil {
		f.Record = canon.Text(strings.TrimSpace(r.Forward.Channel + " " + post(r.Forward.ID) + string(r.Forward.Name)))
	}
	if p.Forward != nil {
		f.Page = canon.Text(strings.TrimSpace(string(p.Forward.Username) + " " + post(p.Forward.ID) + string(p.Forward.Name)))
	}
	switch a, b := r.Forward, p.Forward; {
	case a == nil && b == nil:
	case a == nil || b == nil:
		f.Result = Differs
		if p.NotShown || p.Kind == Service {
			f.Result = NotShown
		}
	case a.ID > 0 && b.ID > 0:
		if a.ID != b.ID {
			f.Result = Differs
		}
	case a.Channel == "" && a.Name != "" && b.Name != "":
		if a.Name != b.Name {
			f.Result = Differs
		}
	default:
		f.Result = NotShown
	}
	return f
}

func post(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10) + " "
}

func compareKind(r record, p Post) Field {
	return field("kind", canon.Text(r.Kind), canon.Text(p.Kind))
}

// compareLinks: the page leaves out what leads nowhere, and previews.
func compareLinks(r record, p Post) Field {
	ours, page := linkSet(r.Links), linkSet(p.Links)
	f := field("links", joined(ours), joined(page))
	if f.Result == Differs && !slices.ContainsFunc(page, func(s string) bool { return !slices.Contains(ours, s) }) {
		f.Result = NotShown // all that it shows is in the record
	}
	return f
}

// linkSet spells links in one way: people write example.org, and the page makes an
// address of it.
func linkSet(links []canon.Text) (all []string) {
	for _, l := range links {
		s := string(l)
		if !strings.Contains(s, "://") {
			s = "http://" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			all = append(all, s)
			continue
		}
		if u.Scheme == "https" {
			u.Scheme = "http"
		}
		if u.Host = strings.ToLower(u.Host); u.Path == "" {
			u.Path = "/"
		}
		all = append(all, strings.TrimPrefix(u.String(), "http://"))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func joined(all []string) canon.Text { return canon.Text(strings.Join(all, " ")) }

// compareMedia compares kinds, as far as the page tells them apart: of an album
// those of this post, and no previews of links.
func compareMedia(r record, p Post) Field {
	var ours, page []string
	for _, m := range r.Media {
		ours = append(ours, coarse(m.Kind))
	}
	whole := true
	for _, m := range p.Media {
		if p.Grouped && m.Post == 0 {
			whole = false // which post of the album it is of, it does not say
		}
		if !p.Grouped || m.Post == p.ID {
			page = append(page, coarse(m.Kind))
		}
	}
	f := field("media", kinds(ours), kinds(page))
	if f.Result == Differs && (p.NotShown || p.Kind == Service || !whole) {
		f.Result = NotShown
	}
	return f
}

// coarse is the kind as both views know it; "" is none that is compared.
func coarse(kind string) string {
	switch kind {
	case "webpage":
		return ""
	case "animation", "roundvideo":
		return "video"
	case "venue", "geo", "geolive":
		return "location"
	}
	return kind
}

func kinds(all []string) canon.Text {
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.Sort(all)
	return joined(all)
}

func compareReply(r record, p Post) Field {
	return field("reply_to", canon.Text(strings.TrimSpace(post(r.ReplyTo))), canon.Text(strings.TrimSpace(post(p.ReplyTo)))).shown()
}

// compareText compares bytes. A service message has a sentence on the page, and
// none in the record.
func compareText(r record, p Post) Field {
	f := field("text", r.Text, p.Text)
	if f.Result == Differs && (p.NotShown || p.Kind == Service) {
		f.Result = NotShown
	}
	return f
}
