package catalogtest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
)

// channel is one as its service has it. Answers about it go into captures, and
// into seen, in the order of time: that is what is known of it.
type channel struct {
	id    int64
	names []string
	posts map[int64]*post
	last  int64
	seen  []seen
	pts   int64
	heard []catalog.Heard // the answers that are shown
	below map[catalog.Thread]map[int64]bool
}

// thread is the post below which what an answer of that time shows stands.
func (c *channel) thread(at holdfast.Time) catalog.Thread {
	if c.id%3 != 0 {
		return catalog.Thread{}
	}
	return catalog.Thread{Channel: strconv.FormatInt(c.id+1, 10), Post: 1 + at.UnixMilli()%3}
}

// voters is how many have voted in a poll by that time.
func voters(at holdfast.Time) int64 { return at.UnixMilli() % 1000 }

// asks says whether a post is a poll.
func asks(id int64) bool { return id%4 == 0 }

type post struct {
	text              string
	rev               int // of the content
	posted, edited    holdfast.Time
	views, reactions  int64
	gone, service     bool
	changed, deletion bool // since the last difference
}

// seen is one fact in the words of the test.
type seen struct {
	name    bool // the rest is "" and 0
	what    string
	id      int64
	at      holdfast.Time
	how     string
	capture holdfast.ID
	content hashing.Digest
}

// answer makes a capture of what one channel shows, after it has lived a little.
// An id that is taken gives another Manifest, which nobody is shown.
func (w *World) answer(home int, id holdfast.ID, shown bool) Message {
	if w.channels == nil {
		for i := range int64(3) {
			w.channels = append(w.channels, &channel{id: 1_000_000_000 + i, names: []string{fmt.Sprintf("name%d", i)}, posts: map[int64]*post{}})
		}
	}
	c := w.channels[w.rnd.IntN(len(w.channels))]
	for range 1 + w.rnd.IntN(5) {
		w.live(c)
	}
	if w.rnd.IntN(12) == 0 { // a name moves
		o := w.channels[w.rnd.IntN(len(w.channels))]
		c.names, o.names = o.names, c.names
	}
	w.clock = w.clock.Add(time.Millisecond)
	at := holdfast.At(w.clock)
	body := w.ask(c, at, id, shown)
	m := w.manifest(home, id, holdfast.KindCapture, holdfast.Source("https://t.me/"+c.names[0]))
	o := object("posts.jsonl", body)
	o.Role = catalog.RolePosts
	about := fmt.Appendf(nil, "{%q:1}", at)
	d := object("channel.json", about)
	d.Role = catalog.RoleChannel
	m.Objects = []holdfast.Object{d, o}
	return w.message(m, Message{Small: [][]byte{body, about}, Posts: [][]byte{body}})
}

// Apart adds an answer whose posts lie in no pack, and cuts the batches anew.
func (w *World) Apart() Message {
	w.answer(0, w.id(), true)
	m := &w.Messages[len(w.Messages)-1]
	m.Small, w.Batches = nil, nil
	w.seal(24)
	return *m
}

// live changes one thing.
func (w *World) live(c *channel) {
	if c.last < 3 || w.rnd.IntN(2) == 0 {
		c.last += 1 + int64(w.rnd.IntN(2))
		c.posts[c.last] = &post{text: w.sentence(c.last), posted: holdfast.At(w.clock), service: w.rnd.IntN(9) == 0, changed: true}
		return
	}
	p := c.posts[1+w.rnd.Int64N(c.last)]
	if p == nil || p.gone {
		return
	}
	switch w.rnd.IntN(4) {
	case 0:
		p.gone, p.deletion, p.changed = true, true, false
	case 1, 2: // back to what it was, now and then
		p.rev = (p.rev + 1) % 4
		p.edited, p.changed = holdfast.At(w.clock), true
	case 3:
		p.views, p.reactions = p.views+3, p.reactions+1
	}
}

// ask makes one of the answers that there are.
func (w *World) ask(c *channel, at holdfast.Time, id holdfast.ID, shown bool) []byte {
	var show []state
	var empty, deleted []int64
	method := "messages.getHistory"
	how := catalog.HowHistory
	switch w.rnd.IntN(3) {
	case 0:
		for n := c.last; n > 0 && len(show) < 5; n-- {
			if p := c.posts[n]; p != nil && !p.gone {
				show = append(show, state{n, p.rev})
			}
		}
	case 1:
		method, how = "channels.getMessages", catalog.HowSweep
		for range 1 + w.rnd.IntN(2)*w.rnd.IntN(5) { // often one alone
			n := 1 + w.rnd.Int64N(c.last+2)
			if p := c.posts[n]; p != nil && !p.gone {
				show = append(show, state{n, p.rev})
			} else {
				empty = append(empty, n)
			}
		}
	case 2:
		method, how = "updates.getChannelDifference", catalog.HowDifference
		for n := range c.last + 1 {
			if p := c.posts[n]; p != nil && p.changed {
				for k := int(at.UnixMilli()+n) % 3; k > 0; k-- { // what it was in between, and is perhaps again
					show = append(show, state{n, (p.rev + 2*k) % 4})
				}
				show = append(show, state{n, p.rev})
			} else if p != nil && p.deletion {
				deleted = append(deleted, n)
			}
			if p := c.posts[n]; p != nil && w.rnd.IntN(4) > 0 { // lost otherwise
				p.changed, p.deletion = false, false
			}
		}
	}
	reach := catalog.Reach{To: c.pts + int64(len(show)+len(deleted))}
	if how == catalog.HowDifference {
		reach.From, reach.TooLong, reach.Final = c.pts, c.last%7 == 0, c.last%2 == 0
	}
	c.pts = reach.To
	if shown {
		c.heard = append(c.heard, catalog.Heard{Sight: catalog.Sight{At: at, How: how, Capture: id}, Reach: reach, Posts: int64(len(show)), Gone: int64(len(empty) + len(deleted))})
		c.note(seen{at: at, how: how, capture: id}, show, empty, deleted)
	}
	for _, s := range show {
		if p := c.posts[s.id]; !p.service {
			w.said = append(w.said, saying{channel: strconv.FormatInt(c.id, 10), post: s.id, capture: id, hidden: !shown, text: p.says(s.rev), at: p.posted, addresses: p.links(s.rev)})
		}
	}
	return c.encode(method, at, reach, show, empty, deleted)
}

// state is a post with one of its contents.
type state struct {
	id  int64
	rev int
}

// note writes down what was shown.
func (c *channel) note(s seen, show []state, empty, deleted []int64) {
	if t := c.thread(s.at); t.Post > 0 {
		if c.below == nil {
			c.below = map[catalog.Thread]map[int64]bool{}
		}
		if c.below[t] == nil {
			c.below[t] = map[int64]bool{}
		}
		for _, p := range show {
			c.below[t][p.id] = true
		}
		for _, id := range append(slices.Clone(empty), deleted...) {
			c.below[t][id] = true
		}
	}
	for _, n := range c.names {
		c.seen = append(c.seen, seen{name: true, what: n, at: s.at})
	}
	for _, p := range show {
		s.what, s.id, s.content = "seen", p.id, c.posts[p.id].content(p.rev)
		c.seen = append(c.seen, s)
	}
	s.content = hashing.Digest{}
	for _, id := range empty {
		s.what, s.id = "empty", id
		if len(show) > 0 {
			s.what = "empty beside another"
		}
		c.seen = append(c.seen, s)
	}
	for _, id := range deleted {
		s.what, s.id = "deleted", id
		c.seen = append(c.seen, s)
	}
}

func (p *post) content(rev int) hashing.Digest {
	return hashing.Of(fmt.Appendf(nil, "%s %d", p.text, rev))
}

// encode writes posts.jsonl (bundle.md).
func (c *channel) encode(method string, at holdfast.Time, reach catalog.Reach, show []state, empty, deleted []int64) []byte {
	head := map[string]any{"channel": strconv.FormatInt(c.id, 10), "count": len(show), "kind": "posts", "method": method, "names": c.names,
		"pts": reach.To, "received": at, "title": "Title ü", "too_long": reach.TooLong, "training": true, "unread": nil, "version": 1, "newer": []string{"member"}}
	if len(empty) > 0 {
		head["absent"], head["asked"] = empty, empty
	}
	if len(deleted) > 0 {
		head["deleted"] = deleted
	}
	if reach.From > 0 {
		head["pts_from"] = reach.From
	}
	if reach.Final {
		head["final"] = true
	}
	if t := c.thread(at); t.Post > 0 {
		head["thread"] = map[string]any{"channel": t.Channel, "post": t.Post}
	}
	lines := []any{head}
	for _, s := range show {
		p := c.posts[s.id]
		l := map[string]any{"content": p.content(s.rev), "id": s.id, "kind": "message", "posted": p.posted, "mentions": []string{"x"}}
		if p.service {
			l["kind"] = "service"
		} else {
			l["text"], l["text_digest"] = p.says(s.rev), hashing.Of([]byte(p.says(s.rev)))
			l["links"] = p.links(s.rev)
		}
		if !p.edited.IsZero() {
			l["edited"] = p.edited
		}
		if asks(s.id) {
			l["poll"] = map[string]any{"answers": []string{"yes", "no"}, "closed": voters(at)%2 == 0, "question": "Is it?", "voters": voters(at), "votes": []int64{voters(at), 0}}
		}
		if p.views > 0 {
			l["views"], l["reactions"] = p.views, p.reactions
		}
		lines = append(lines, l)
	}
	var out bytes.Buffer
	for _, l := range lines {
		out.Write(must(canon.Marshal(l)))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// known are the facts of one post, oldest first.
func (c *channel) known(id int64) []seen {
	return slices.DeleteFunc(slices.Clone(c.seen), func(s seen) bool { return s.name || s.id != id })
}
