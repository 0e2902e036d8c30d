package telegram

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/hashing"
	"holdfast/tl"
)

// post is one line of posts.jsonl (docs/bundle.md, section 3). Members stand in
// canonical order; what is empty is left out.
type post struct {
	Action     string         `json:"action,omitempty"` // of a service message, as the schema names it
	Album      string         `json:"album,omitempty"`
	Author     canon.Text     `json:"author,omitempty"`
	Buttons    []button       `json:"buttons,omitempty"`
	Content    hashing.Digest `json:"content"`
	EditHidden bool           `json:"edit_hidden,omitempty"`
	Edited     string         `json:"edited,omitempty"`
	FactCheck  canon.Text     `json:"factcheck,omitempty"` // what the service has put below it, where it was told
	Forward    *forward       `json:"forward,omitempty"`
	Forwards   int            `json:"forwards,omitempty"`
	From       string         `json:"from,omitempty"` // the other channel that it was written as
	ID         int            `json:"id"`
	Kind       string         `json:"kind"`
	Links      []canon.Text   `json:"links,omitempty"`
	Media      []media        `json:"media,omitempty"`
	Mentions   []canon.Text   `json:"mentions,omitempty"`
	Person     int            `json:"person,omitempty"` // which of the people in this answer wrote it, from 1
	Poll       *poll          `json:"poll,omitempty"`
	Posted     string         `json:"posted,omitempty"`
	Reactions  int            `json:"reactions,omitempty"`
	Replies    int            `json:"replies,omitempty"`
	ReplyTo    int            `json:"reply_to,omitempty"`
	Restricted []canon.Text   `json:"restricted,omitempty"`
	Rich       bool           `json:"rich,omitempty"`  // it has blocks, whose text is not in Text
	Slice      string         `json:"slice,omitempty"` // where it lies in the answer; "" is m-<id>
	Text       canon.Text     `json:"text,omitempty"`
	TextDigest hashing.Digest `json:"text_digest"`
	Topic      int            `json:"topic,omitempty"`
	TTL        int            `json:"ttl,omitempty"` // after so many s the service takes it away
	Via        string         `json:"via,omitempty"`
	Views      int            `json:"views,omitempty"`
}

// forward is where a forwarded post came from. A person's number is not in it.
type forward struct {
	Channel string     `json:"channel,omitempty"`
	Date    string     `json:"date,omitempty"`
	ID      int        `json:"id,omitempty"`
	Name    canon.Text `json:"name,omitempty"`
}

// media is something beside the text.
type media struct {
	Channel string     `json:"channel,omitempty"` // of a story: whose
	File    string     `json:"file,omitempty"`
	Kind    string     `json:"kind"`
	MIME    canon.Text `json:"mime,omitempty"`
	Name    canon.Text `json:"name,omitempty"`
	Place   string     `json:"place,omitempty"` // latitude and longitude, in degrees
	Size    int64      `json:"size,omitempty"`
}

// maxListed bounds each list of a post: a stranger wrote it.
const maxListed = 256

// normalise reads a message; nil for what is none (messageEmpty).
func normalise(w *tl.Writer, m tg.MessageClass) (*post, error) {
	content, err := w.Content(m)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *tg.Message:
		p := ofMessage(m)
		p.Content = content
		return p, nil
	case *tg.MessageService:
		p := &post{Content: content, ID: m.ID, Kind: "service", TTL: max(m.TTLPeriod, 0), Posted: unix(m.Date), TextDigest: hashing.Of(nil), Reactions: sum(m.Reactions)}
		if m.Action != nil {
			p.Action = m.Action.TypeName()
		}
		p.answers(m.ReplyTo)
		return p, nil
	}
	return nil, nil
}

func ofMessage(m *tg.Message) *post {
	p := &post{ID: m.ID, Kind: "message", Author: canon.Text(m.PostAuthor), Text: canon.Text(m.Message), TextDigest: hashing.Of([]byte(m.Message)),
		Posted: unix(m.Date), Edited: unix(m.EditDate), EditHidden: m.EditHide, Views: max(m.Views, 0), Forwards: max(m.Forwards, 0),
		Reactions: sum(m.Reactions), Replies: max(m.Replies.Replies, 0), Album: number(m.GroupedID), Via: number(m.ViaBotID), Media: mediaOf(m.Media, 0)}
	if q, ok := m.Media.(*tg.MessageMediaPoll); ok {
		p.Poll = pollOf(q)
	}
	p.TTL, p.FactCheck, p.Buttons, p.Rich = max(m.TTLPeriod, 0), canon.Text(m.Factcheck.Text.Text), buttonsOf(m.ReplyMarkup), len(m.RichMessage.Blocks) > 0
	p.answers(m.ReplyTo)
	p.links(m)
	for _, r := range m.RestrictionReason {
		if len(p.Restricted) < maxListed {
			p.Restricted = append(p.Restricted, canon.Text(r.Platform+": "+r.Reason+": "+r.Text))
		}
	}
	if f, ok := m.GetFwdFrom(); ok {
		w := &forward{Date: unix(f.Date), ID: max(f.ChannelPost, 0), Name: canon.Text(f.FromName)}
		if c, ok := f.FromID.(*tg.PeerChannel); ok {
			w.Channel = number(c.ChannelID)
		}
		if w.Name == "" {
			w.Name = canon.Text(f.PostAuthor)
		}
		p.Forward = w
	}
	return p
}

// answers says which post it answers, if that is one of the same channel, and in
// which topic it stands.
func (p *post) answers(r tg.MessageReplyHeaderClass) {
	h, ok := r.(*tg.MessageReplyHeader)
	if !ok {
		return
	}
	if h.ReplyToPeerID == nil {
		p.ReplyTo = max(h.ReplyToMsgID, 0)
	}
	if h.ForumTopic {
		if p.Topic = max(h.ReplyToTopID, 0); p.Topic == 0 {
			p.Topic, p.ReplyTo = p.ReplyTo, 0
		}
	}
}

// links finds the addresses and names in the text, its entities and its keyboard.
func (p *post) links(m *tg.Message) {
	link := func(s string) {
		if t := canon.Text(s); s != "" && len(p.Links) < maxListed && !slices.Contains(p.Links, t) {
			p.Links = append(p.Links, t)
		}
	}
	at := units{s: m.Message}
	for _, e := range m.Entities {
		switch e := e.(type) {
		case *tg.MessageEntityTextURL:
			link(e.URL)
		case *tg.MessageEntityURL:
			link(at.cut(e.Offset, e.Length))
		case *tg.MessageEntityMention:
			name := canon.Text(strings.ToLower(strings.TrimPrefix(at.cut(e.Offset, e.Length), "@")))
			if name != "" && len(p.Mentions) < maxListed && !slices.Contains(p.Mentions, name) {
				p.Mentions = append(p.Mentions, name)
			}
		}
	}
	if w, ok := m.Media.(*tg.MessageMediaWebPage); ok {
		if page, ok := w.Webpage.(*tg.WebPage); ok {
			link(page.URL)
		}
	}
	if k, ok := m.ReplyMarkup.(*tg.ReplyInlineMarkup); ok {
		for _, row := range k.Rows {
			for _, b := range row.Buttons {
				if u, ok := b.(interface{ GetURL() string }); ok {
					link(u.GetURL())
				}
			}
		}
	}
}

// units cuts a text by UTF-16 code units, in which entities count. What is asked
// for in order costs one walk over the text.
type units struct {
	s        string
	at, unit int // byte and code unit that the walk has come to
}

func (u *units) cut(offset, length int) string {
	if offset < 0 || length <= 0 {
		return ""
	}
	if offset < u.unit {
		u.at, u.unit = 0, 0
	}
	from, ok := u.walk(offset)
	if !ok {
		return ""
	}
	to, ok := u.walk(offset + length)
	if !ok {
		return ""
	}
	return u.s[from:to]
}

func (u *units) walk(unit int) (int, bool) {
	for u.unit < unit {
		r, n := utf8.DecodeRuneInString(u.s[u.at:])
		if n == 0 {
			return 0, false
		}
		u.at += n
		if u.unit++; r > 0xffff {
			u.unit++
		}
	}
	return u.at, u.unit == unit
}

func sum(r tg.MessageReactions) (n int) {
	for _, c := range r.Results {
		n += min(max(c.Count, 0), 1<<31)
	}
	return n
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// unix writes a time of the service's, which has whole seconds; "" for none.
func unix(s int) string {
	if s <= 0 {
		return ""
	}
	return stamp(time.Unix(int64(s), 0))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
