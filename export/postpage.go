package export

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/canon"
	"holdfast/messages"
)

//go:embed post.html
var postHTML string

// Bounds of a post's page; what is beyond them is in post.json.
const (
	maxRows     = 500     // of one table
	maxPostText = 1 << 16 // bytes of one text; the service allows some 4,000 characters
)

// PostPage writes post.html: one file without script and without any request, in
// the first of the languages that there is, else in English. Every text from
// outside is escaped, isolated, and what is invisible in it made visible. The same
// Post and language give the same bytes. It does not change p.
func PostPage(p *Post, languages ...string) ([]byte, error) {
	texts, err := messages.Open(languages...)
	if err != nil {
		return nil, fmt.Errorf("page of post %d: %w", p.ID, err)
	}
	english, err := messages.Open()
	if err != nil {
		return nil, fmt.Errorf("page of post %d: %w", p.ID, err)
	}
	t, err := template.New("post").Parse(headHTML + postHTML)
	if err != nil {
		return nil, fmt.Errorf("page of post %d: %w", p.ID, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, &postView{pageView{Catalogue: texts, english: english}, p}); err != nil {
		return nil, fmt.Errorf("page of post %d: %w", p.ID, err)
	}
	return b.Bytes(), nil
}

// postView is what the template reads.
type postView struct {
	pageView
	p *Post
}

func (v *postView) Training() bool { return v.p.Training }

// Heading is the page's title as plain text.
func (v *postView) Heading() string {
	return v.Plain("post.title", "id", v.p.ID, "name", v.name())
}

// H1 is the same as a heading.
func (v *postView) H1() template.HTML { return v.Say("post.title", "id", v.p.ID, "name", v.name()) }

func (v *postView) name() string {
	if v.p.Title != "" {
		return string(v.p.Title)
	}
	return string(v.p.Source)
}

func (v *postView) Open() bool { return v.p.State == stateAbsent || v.p.State == stateUnknown }

// State says in a word how it is.
func (v *postView) State() template.HTML { return v.state(v.p.State) }

func (v *postView) state(s string) template.HTML { return v.Say("post.state." + s) }

func (v *postView) how(s string) messages.Said {
	if key := "post.how." + s; v.Has(key) {
		return messages.Said(v.Plain(key))
	}
	return messages.Said(messages.Visible(s))
}

func (v *postView) sight(s PostSight) template.HTML {
	return v.Say("post.sight", "time", s.At.UTC(), "how", v.how(s.How), "capture", messages.Code(s.Capture))
}

// Facts are those of the post as a whole.
func (v *postView) Facts() []factView {
	l := v.list()
	l.add("page.source", messages.Code(v.p.Source))
	l.add("post.channel", messages.Code(v.p.Channel))
	l.add("post.asof", v.p.AsOf.UTC())
	return l.facts
}

// factList gathers facts; empty values are left out.
type factList struct {
	v     *postView
	facts []factView
}

func (v *postView) list() *factList { return &factList{v: v} }

func (l *factList) add(key string, values ...any) {
	f := factView{Name: l.v.Say(key)}
	for _, x := range values {
		switch x := x.(type) {
		case nil:
		case template.HTML:
			f.Values = append(f.Values, x)
		case string, messages.Code:
			if fmt.Sprint(x) != "" {
				f.Values = append(f.Values, value(l.v.Catalogue, x))
			}
		default:
			f.Values = append(f.Values, value(l.v.Catalogue, x))
		}
	}
	if len(f.Values) > 0 {
		l.facts = append(l.facts, f)
	}
}

func (l *factList) time(key string, t *holdfast.Time) {
	if t != nil {
		l.add(key, t.UTC())
	}
}

// versionView is one version on the page.
type versionView struct {
	Name  template.HTML
	Text  string // visible; "" has a reason
	None  template.HTML
	Facts []factView
}

// postLine is what the page shows of a line of posts.jsonl. Whatever else is in it
// is in post.json.
type postLine struct {
	Action  string     `json:"action"`
	Album   string     `json:"album"`
	Author  canon.Text `json:"author"`
	Forward *struct {
		Channel string     `json:"channel"`
		Date    string     `json:"date"`
		ID      int64      `json:"id"`
		Name    canon.Text `json:"name"`
	} `json:"forward"`
	Links []canon.Text `json:"links"`
	Media []struct {
		Kind string     `json:"kind"`
		Mime canon.Text `json:"mime"`
		Name canon.Text `json:"name"`
		Size int64      `json:"size"`
	} `json:"media"`
	Buttons []struct {
		Kind string     `json:"kind"`
		Text canon.Text `json:"text"`
		URL  canon.Text `json:"url"`
	} `json:"buttons"`
	FactCheck canon.Text `json:"factcheck"`
	Poll      *struct {
		Answers  []canon.Text `json:"answers"`
		Hidden   bool         `json:"hidden"`
		Multiple bool         `json:"multiple"`
		Public   bool         `json:"public"`
		Question canon.Text   `json:"question"`
		Quiz     bool         `json:"quiz"`
	} `json:"poll"`
	ReplyTo    int64        `json:"reply_to"`
	Restricted []canon.Text `json:"restricted"`
	Text       canon.Text   `json:"text"`
	Topic      int64        `json:"topic"`
	TTL        int64        `json:"ttl"`
	Via        string       `json:"via"`
}

// Versions are all of them, in the order in which they were seen.
func (v *postView) Versions() (out []versionView) {
	for i, x := range v.p.Versions {
		l := v.list()
		l.time("post.posted", x.Posted)
		l.time("post.edited", x.Edited)
		l.add("post.first", v.sight(x.First))
		l.add("post.last", v.sight(x.Last))
		w := versionView{Name: v.Say("post.version", "k", i+1, "m", len(v.p.Versions))}
		var line postLine
		switch err := json.Unmarshal(x.Line, &line); {
		case err != nil:
			w.None = v.Say("post.unreadable")
		case line.Text == "":
			w.None = v.Say("post.notext")
		default:
			w.Text = visibleLines(string(line.Text[:min(len(line.Text), maxPostText)]))
		}
		v.said(l, &line)
		l.add("post.content", messages.Code(x.Content.Hex()))
		w.Facts = l.facts
		out = append(out, w)
	}
	return out
}

// said adds what the line says besides the text. No address is a link.
func (v *postView) said(l *factList, line *postLine) {
	l.add("post.action", messages.Code(line.Action))
	l.add("post.author", string(line.Author))
	if f := line.Forward; f != nil {
		id := ""
		if f.ID != 0 {
			id = strconv.FormatInt(f.ID, 10)
		}
		l.add("post.forward", string(f.Name), messages.Code(f.Channel), messages.Code(id), messages.Code(f.Date))
	}
	if line.ReplyTo != 0 {
		l.add("post.reply", messages.Code(strconv.FormatInt(line.ReplyTo, 10)))
	}
	if line.Topic != 0 {
		l.add("post.topic", messages.Code(strconv.FormatInt(line.Topic, 10)))
	}
	l.add("post.album", messages.Code(line.Album))
	v.polled(l, line)
	var media, links, restricted []any
	for _, m := range line.Media {
		media = append(media, v.Say("post.medium", "kind", messages.Code(m.Kind), "name", string(m.Name), "type", messages.Code(m.Mime), "size", m.Size))
	}
	for _, s := range line.Links {
		links = append(links, messages.Code(s))
	}
	for _, s := range line.Restricted {
		restricted = append(restricted, string(s))
	}
	l.add("post.media", media...)
	l.add("post.links", links...)
	l.add("post.restricted", restricted...)
	var buttons []any
	for _, b := range line.Buttons {
		buttons = append(buttons, v.Say("post.button", "text", string(b.Text), "kind", messages.Code(b.Kind), "address", messages.Code(b.URL)))
	}
	l.add("post.buttons", buttons...)
	l.add("post.via", messages.Code(line.Via))
	l.add("post.factcheck", string(line.FactCheck))
	if line.TTL != 0 {
		l.add("post.ttl", messages.Code(strconv.FormatInt(line.TTL, 10)))
	}
}

// polled adds what a poll asks. How it was answered is a series.
func (v *postView) polled(l *factList, line *postLine) {
	q := line.Poll
	if q == nil {
		return
	}
	var answers, kinds []any
	for _, a := range q.Answers {
		answers = append(answers, string(a))
	}
	for kind, is := range map[string]bool{"hidden": q.Hidden, "multiple": q.Multiple, "public": q.Public, "quiz": q.Quiz} {
		if is {
			kinds = append(kinds, messages.Code(kind))
		}
	}
	slices.SortFunc(kinds, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	l.add("post.poll", string(q.Question))
	l.add("post.poll.answers", answers...)
	l.add("post.poll.kind", kinds...)
}

// visibleLines makes a text visible line by line: its own lines stay.
func visibleLines(s string) string {
	var b bytes.Buffer
	for i, line := range bytes.Split([]byte(s), []byte("\n")) {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(messages.Visible(string(line)))
	}
	return b.String()
}

// Edits are sentences, one for each change.
func (v *postView) Edits() (out []template.HTML) {
	for _, e := range v.p.Edits {
		s := v.Say("post.edit", "k", e.From, "m", e.To, "after", e.After.UTC(), "before", e.Before.UTC(), "how", v.how(e.How))
		if e.Stated != nil {
			s += " " + v.Say("post.edit.stated", "time", e.Stated.UTC())
		}
		out = append(out, s)
	}
	return out
}

// Absences are sentences, one for each time in which it was gone.
func (v *postView) Absences() (out []template.HTML) {
	for _, a := range v.p.Absences {
		key := "post.absence.empty"
		switch {
		case a.State == stateUnknown:
			key = "post.absence.unknown"
		case a.Told:
			key = "post.absence.told"
		}
		s := v.Say(key, "time", a.First.At.UTC(), "how", v.how(a.First.How), "capture", messages.Code(a.First.Capture))
		if a.After != nil {
			s += " " + v.Say("post.absence.after", "time", a.After.UTC())
		}
		s += " " + v.Say("post.absence.last", "time", a.Last.At.UTC(), "capture", messages.Code(a.Last.Capture))
		if a.Back != nil {
			s += " " + v.Say("post.absence.back", "time", a.Back.UTC())
		}
		out = append(out, s)
	}
	return out
}

// Counts are the first rows of the series.
func (v *postView) Counts() []PostCount { return v.p.Series[:min(len(v.p.Series), maxRows)] }

func (v *postView) MoreCounts() template.HTML { return v.more(len(v.p.Series)) }

// Polled says whether it is a poll.
func (v *postView) Polled() bool {
	return slices.ContainsFunc(v.p.Series, func(c PostCount) bool { return c.Poll != nil })
}

// Votes says how a poll was answered: of each answer, then how many people.
func (v *postView) Votes(c PostCount) template.HTML {
	var p struct {
		Closed bool    `json:"closed"`
		Voters int64   `json:"voters"`
		Votes  []int64 `json:"votes"`
	}
	if json.Unmarshal(c.Poll, &p) != nil {
		return ""
	}
	var votes []string
	for _, n := range p.Votes {
		votes = append(votes, strconv.FormatInt(n, 10))
	}
	key := "post.poll.votes"
	switch {
	case len(votes) == 0:
		key = "post.poll.voters"
	case p.Closed:
		key = "post.poll.closed"
	}
	return v.Say(key, "votes", messages.Code(strings.Join(votes, " · ")), "voters", p.Voters)
}

// Captures are the first of what it follows from.
func (v *postView) Captures() []PostCapture { return v.p.Captures[:min(len(v.p.Captures), maxRows)] }

func (v *postView) MoreCaptures() template.HTML { return v.more(len(v.p.Captures)) }

func (v *postView) more(n int) template.HTML {
	if n <= maxRows {
		return ""
	}
	return v.Say("post.more", "more", n-maxRows)
}

// Sealed says how far a Capture had come.
func (v *postView) Sealed(c PostCapture) template.HTML {
	s := v.Say("state." + string(c.State))
	if c.Time != nil {
		s += " – " + v.Say("post.sealed", "time", c.Time.UTC())
	}
	return s
}

func (v *postView) Instant(t holdfast.Time) template.HTML { return value(v.Catalogue, t.UTC()) }
