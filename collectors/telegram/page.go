package telegram

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/gotd/td/tg"
	"golang.org/x/sync/errgroup"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/tl"
)

// Roles and names of a Capture's Objects (docs/bundle.md, section 3).
const (
	RoleRequest  = "request"
	RoleAnswer   = "answer"
	RoleExchange = "exchange"
	RoleSchema   = "schema-json"
	RolePosts    = "posts"
	RoleChannel  = "channel"

	nameRequest  = "request.tl"
	nameAnswer   = "answer.tl"
	nameExchange = "exchange.json"
	nameMessages = "messages.jsonl"
	namePosts    = "posts.jsonl"
	nameChannel  = "channel.json"
)

// Limits of what is derived from one answer. The service puts 100 messages into
// one; what has more is kept, and read so far.
const (
	maxMessages  = 2000
	maxPostLine  = 1 << 20
	maxPostBytes = 16 << 20
)

// exchangeDoc is exchange.json. Members stand in canonical order.
type exchangeDoc struct {
	Account  string          `json:"account"`
	Answer   *hashing.Digest `json:"answer,omitempty"` // absent: none was kept
	DC       int             `json:"dc"`
	Error    *refusal        `json:"error,omitempty"` // the service's answer was an error
	Kind     string          `json:"kind"`
	Layer    int             `json:"layer"`
	Method   string          `json:"method"`
	Received string          `json:"received"`
	Request  hashing.Digest  `json:"request"`
	Sent     string          `json:"sent"`
	Training bool            `json:"training"`
	Version  int             `json:"version"`
}

// refusal is an error of the service's.
type refusal struct {
	Code int        `json:"code"`
	Type canon.Text `json:"type"` // e.g. "CHANNEL_PRIVATE"
}

// head is the first line of posts.jsonl. Members stand in canonical order.
type head struct {
	Absent   []int      `json:"absent,omitempty"`
	Asked    []int      `json:"asked,omitempty"`
	Channel  string     `json:"channel"`
	Count    int        `json:"count"`
	Deleted  []int      `json:"deleted,omitempty"`
	Final    bool       `json:"final,omitempty"` // of a difference: then there was no more
	Kind     string     `json:"kind"`
	Method   string     `json:"method"`
	Names    []string   `json:"names,omitempty"`
	PTS      int        `json:"pts,omitempty"`
	PTSFrom  int        `json:"pts_from,omitempty"` // what a difference was asked from, if all of it could be read
	Received string     `json:"received"`
	Thread   *thread    `json:"thread,omitempty"` // of comments: the post below which they stand
	Title    canon.Text `json:"title,omitempty"`
	TooLong  bool       `json:"too_long,omitempty"`
	Total    int        `json:"total,omitempty"`
	Training bool       `json:"training"`
	Unread   *unread    `json:"unread"`
	Version  int        `json:"version"`
}

// unread says from where on an answer could not be read.
type unread struct {
	Byte int        `json:"byte"`
	Why  canon.Text `json:"why"`
}

// piece is an Object before it is decided where it lies.
type piece struct {
	name, role, media string
	b                 []byte
	slices            []collectors.Slice
	restricted        bool
	from              string // what it was derived from; "" is raw
	action            string
}

const (
	typeTL    = "application/octet-stream"
	typeLines = "application/jsonl"
	typeJSON  = "application/json"
)

// exchangeOf are the Objects that every exchange has.
func (c *Collector) exchangeOf(prefix string, x *Exchange, bad *refusal) ([]piece, error) {
	e := exchangeDoc{Account: c.account, DC: c.o.Line.DC(), Error: bad, Kind: RoleExchange, Layer: tl.Layer, Method: x.Method, Received: stamp(x.Received),
		Request: hashing.Of(x.Request), Sent: stamp(x.Sent), Training: c.o.Training, Version: 1}
	all := []piece{{name: prefix + nameRequest, role: RoleRequest, media: typeTL, b: x.Request}}
	if x.Answer != nil {
		d := hashing.Of(x.Answer)
		e.Answer = &d
		all = append(all, piece{name: prefix + nameAnswer, role: RoleAnswer, media: typeTL, b: x.Answer})
	}
	b, err := canon.Marshal(e)
	return append(all, piece{name: prefix + nameExchange, role: RoleExchange, media: typeJSON, b: b}), err
}

// posts are the Objects of an answer of messages.
func (c *Collector) posts(x *Exchange, a *tl.Answer, h head) (all []piece, why []collectors.Reason, err error) {
	if all, err = c.exchangeOf("", x, nil); err != nil {
		return nil, nil, err
	}
	list := entriesOf(a)
	who, forum := people(list), isForum(a, h.Channel)
	for i := range list {
		list[i].person, list[i].forum = who[personOf(list[i].post)], forum
	}
	if len(list) > maxMessages {
		why = append(why, collectors.Reason{Code: "too-many", Detail: fmt.Sprintf("%d messages and updates in one answer; the first %d are read", len(list), maxMessages)})
		list = list[:maxMessages]
	}
	if a.Unread != nil {
		said := a.Unread.Error()
		h.Unread = &unread{Byte: a.Read, Why: canon.Text(said[:min(len(said), 500)])}
		why = append(why, unreadOf(a, len(x.Answer)))
	}
	lines := derive(list)
	raw, schema, posts := &all[1], lineFile{}, lineFile{}
	raw.slices = slicesOf(a)
	bad := 0
	for i, l := range lines {
		if l.err != nil {
			bad++
			continue
		}
		schema.add(list[i].name, l.schema)
		if empty, ok := list[i].post.(*tg.MessageEmpty); ok && empty.ID > 0 {
			h.Absent = append(h.Absent, empty.ID)
		}
		switch {
		case l.post == nil:
		case list[i].id() < 1 || list[i].elsewhere(h.Channel) || h.Thread != nil && number(peerOf(list[i].post)) != h.Channel || len(l.post) > maxPostLine || len(posts.b)+len(l.post) > maxPostBytes-maxPostLine:
			bad++
		default:
			posts.add(list[i].name, l.post)
			h.Count++
		}
	}
	ids, more := deletions(a, h.Channel)
	if h.Deleted = ids; more {
		why = append(why, collectors.Reason{Code: "not-normalised", Detail: fmt.Sprintf("more than %d deletions are told; the others are in the answer only", maxDeleted)})
	}
	if bad > 0 {
		why = append(why, collectors.Reason{Code: "not-normalised", Detail: fmt.Sprintf("%d messages are in the answer only: what they hold fits into no line, or is of another channel", bad)})
	}
	if len(why) > 0 { // nobody is to think that all is known from there on
		h.PTSFrom = 0
	}
	c.fill(&h, x, a)
	first, err := canon.Append(nil, h)
	if err != nil {
		return nil, nil, err
	}
	posts.begin("head", first)
	all = append(all, piece{name: nameMessages, role: RoleSchema, media: typeLines, b: schema.b, slices: schema.slices, from: nameAnswer, action: "schema-json"},
		piece{name: namePosts, role: RolePosts, media: typeLines, b: posts.b, slices: posts.slices, from: nameAnswer, action: "normalise"})
	return all, why, nil
}

// fill says in the head what is of the answer as a whole.
func (c *Collector) fill(h *head, x *Exchange, a *tl.Answer) {
	h.Kind, h.Version, h.Training, h.Method, h.Received = RolePosts, 1, c.o.Training, x.Method, stamp(x.Received)
	h.PTS, h.Total, h.TooLong, h.Final = max(a.PTS, 0), max(a.Total, 0), a.TooLong, a.Final
	for _, k := range a.Chats {
		if ch, ok := k.(*tg.Channel); ok && number(ch.ID) == h.Channel {
			h.Names, h.Title = namesOf(ch), canon.Text(ch.Title)
		}
	}
	if len(h.Title) > 1024 { // the service allows 128 characters
		h.Title = ""
	}
}

// namesOf are the names under which a channel can be found now, in lower case.
func namesOf(ch *tg.Channel) (names []string) {
	add := func(s string) {
		if n, err := ParseName("@" + s); err == nil && len(names) < 64 {
			names = append(names, n.Channel)
		}
	}
	if ch.Username != "" {
		add(ch.Username)
	}
	for _, u := range ch.Usernames {
		if u.Active {
			add(u.Username)
		}
	}
	return names
}

// slicesOf says where in the answer each message and update lies. Of two with one
// name the first has a slice.
func slicesOf(a *tl.Answer) []collectors.Slice {
	list := a.Messages[:min(len(a.Messages), maxMessages)]
	out, seen := make([]collectors.Slice, 0, len(list)+len(a.Updates)+len(a.Items)), make(map[int]bool, len(list))
	out = appendItems(out, a)
	for _, m := range list {
		if !seen[m.ID] {
			out = append(out, collectors.Slice{Name: "m-" + strconv.Itoa(m.ID), Offset: int64(m.Offset), Length: int64(m.Length)})
		}
		seen[m.ID] = true
	}
	for i, u := range a.Updates[:min(len(a.Updates), maxMessages)] {
		out = append(out, collectors.Slice{Name: "u-" + strconv.Itoa(i), Offset: int64(u.Offset), Length: int64(u.Length)})
	}
	return out
}

// lineFile is a file of lines, each a slice without its LF.
type lineFile struct {
	b      []byte
	slices []collectors.Slice
	seen   map[string]bool
}

func (f *lineFile) add(name string, line []byte) {
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	if !f.seen[name] {
		f.slices = append(f.slices, collectors.Slice{Name: name, Offset: int64(len(f.b)), Length: int64(len(line))})
	}
	f.seen[name] = true
	f.b = append(append(f.b, line...), '\n')
}

// begin puts a line before all others.
func (f *lineFile) begin(name string, line []byte) {
	shift := int64(len(line) + 1)
	for i := range f.slices {
		f.slices[i].Offset += shift
	}
	f.slices = append([]collectors.Slice{{Name: name, Length: int64(len(line))}}, f.slices...)
	f.b = append(append(append(make([]byte, 0, len(line)+1+len(f.b)), line...), '\n'), f.b...)
}

// derived is what becomes of one message.
type derived struct {
	schema, post []byte // post is nil for what is none
	err          error
}

// derive reads the messages on all cores: it is most of the work of a backfill.
func derive(list []entry) []derived {
	out, n := make([]derived, len(list)), min(runtime.GOMAXPROCS(0), 1+len(list)/32)
	var g errgroup.Group
	for k := range n {
		g.Go(func() error {
			w := new(tl.Writer)
			for i := k * len(list) / n; i < (k+1)*len(list)/n; i++ {
				out[i] = deriveOne(w, list[i])
			}
			return nil
		})
	}
	_ = g.Wait() // none of them fails
	return out
}

func deriveOne(w *tl.Writer, e entry) (d derived) {
	if e.tl == nil {
		d.err = fmt.Errorf("%s: %w", e.name, tl.ErrAnswer)
		return d
	}
	if d.schema, d.err = w.AppendJSON(make([]byte, 0, 1024), e.tl); d.err != nil || e.post == nil {
		return d
	}
	p, err := normalise(w, e.post)
	if err != nil || p == nil {
		d.err = err
		return d
	}
	if e.update != nil {
		p.Slice = e.name
	}
	p.Person, p.From = e.person, sender(e.post)
	if e.forum && p.Topic == 0 {
		if p.Topic = generalTopic; p.Action == topicCreated {
			p.Topic = p.ID
		}
	}
	d.post, d.err = canon.Append(make([]byte, 0, 1024), p)
	return d
}

// objects decides what rides inline, the smaller first, and keeps the rest.
func (c *Collector) objects(k *keeping, all []piece) ([]collectors.Object, []collectors.Transformation, error) {
	var out []collectors.Object
	var made []collectors.Transformation
	for _, p := range all {
		o := collectors.Object{Name: p.name, Role: p.role, MediaType: p.media, Size: int64(len(p.b)), Restricted: p.restricted, Slices: p.slices}
		if len(p.slices) > 0 {
			o.SliceSecret = make([]byte, 32)
			rand.Read(o.SliceSecret) // never fails
		}
		if err := k.place(&o, p.b); err != nil {
			return nil, nil, fmt.Errorf("keep %s: %w", p.name, err)
		}
		out = append(out, o)
		if p.from != "" {
			made = append(made, collectors.Transformation{Output: p.name, Inputs: strings.Split(p.from, " "), Action: p.action, Tool: c.software()})
		}
	}
	return out, made, nil
}

// unreadOf says how much of an answer could be read.
func unreadOf(a *tl.Answer, size int) collectors.Reason {
	said := a.Unread.Error()
	return collectors.Reason{Code: "unread", Detail: fmt.Sprintf("%d messages were read, up to byte %d of %d: %v", len(a.Messages)+len(a.Items), a.Read, size, canon.Text(said[:min(len(said), 500)]))}
}

// appendItems says where the items of an answer lie, which stand before its messages.
func appendItems(out []collectors.Slice, a *tl.Answer) []collectors.Slice {
	prefix := "s-"
	if a.Type == "messages.forumTopics" {
		prefix = "t-"
	}
	seen := map[int]bool{}
	for _, i := range a.Items[:min(len(a.Items), maxMessages)] {
		if !seen[i.ID] && i.ID > 0 {
			out = append(out, collectors.Slice{Name: prefix + strconv.Itoa(i.ID), Offset: int64(i.Offset), Length: int64(i.Length)})
		}
		seen[i.ID] = true
	}
	return out
}
