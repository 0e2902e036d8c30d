package telegram

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/tl"
)

// What is asked of a channel besides its history, each a Task of its own (Wish.Only).
const (
	OnlyTopics   = "topics"   // of a forum
	OnlyStories  = "stories"  // those that can be seen now, and those that stay
	OnlyComments = "comments" // of one post, in the group where it is discussed
)

// Place is a channel as an account has found it. The hash is the account's.
type Place struct {
	Account string `json:"account"`
	Channel int64  `json:"channel"`
	Hash    int64  `json:"hash"`
}

// also is where a Task of Wish.Only is.
type also struct {
	Group  int64 `json:"group,omitempty"`  // of comments: the channel that they are posts of
	Before int   `json:"before,omitempty"` // it goes on below this id
	Skip   int   `json:"skip,omitempty"`   // how many there cannot be read
	Pinned bool  `json:"pinned,omitempty"` // of stories: those that stay are asked for
	Date   int   `json:"date,omitempty"`   // of topics: of the newest message of the last one
	Topic  int   `json:"topic,omitempty"`
}

// only acquires the next answer of what a Task wants alone.
func (t *act) only(ctx context.Context) error {
	switch t.wish.Only {
	case OnlyTopics:
		return t.topics(ctx)
	case OnlyStories:
		return t.stories(ctx)
	}
	return t.comments(ctx)
}

// place is where a Task begins that another one has asked for: the channel was found.
func (t *act) place() {
	if k := t.wish.Known; k != nil && t.cur.Channel == 0 && k.Account == t.c.account && k.Channel > 0 {
		t.cur = cursor{Account: k.Account, Channel: k.Channel, Hash: k.Hash}
	}
}

// askAlone asks for a Task of its own, which finds the channel where this one has.
func (t *act) askAlone(source, only, key string, ch, hash int64) error {
	w := Wish{Account: t.wish.Account, Only: only, Known: &Place{t.c.account, ch, hash}}
	if only == OnlyStories {
		w.Media, w.MaxSize, w.Recent = t.wish.Media, t.wish.MaxSize, t.wish.Recent
	}
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	t.a.Further = append(t.a.Further, collectors.Further{Source: source, Options: b, Key: key})
	return nil
}

// besides asks, where a channel was found, for what is wanted besides its history.
func (t *act) besides(ch *tg.Channel) error {
	if t.wish.Only != "" || t.name.Post > 0 || len(t.wish.IDs) > 0 || t.wish.DownTo > 0 {
		return nil
	}
	if ch.Forum {
		if err := t.askAlone(t.name.Source(), OnlyTopics, OnlyTopics, ch.ID, ch.AccessHash); err != nil {
			return err
		}
	}
	if t.wish.Stories {
		t.wish.Recent = t.wish.Follow
		return t.askAlone(t.name.Source(), OnlyStories, OnlyStories, ch.ID, ch.AccessHash)
	}
	return nil
}

// listHead is the first line of topics.jsonl and stories.jsonl (docs/bundle.md,
// section 3). Members stand in canonical order.
type listHead struct {
	Channel  string  `json:"channel"`
	Count    int     `json:"count"`
	Kind     string  `json:"kind"`
	Method   string  `json:"method"`
	Received string  `json:"received"`
	Total    int     `json:"total,omitempty"`
	Training bool    `json:"training"`
	Unread   *unread `json:"unread"`
	Version  int     `json:"version"`
}

// items writes the lines of an answer's items, and the same in the words of the
// schema. Of two items with one name the first has the slice.
func (t *act) items(x *Exchange, a *tl.Answer, kind, prefix string, line func(tdp.Object) (any, error)) ([]piece, error) {
	h := listHead{Channel: number(t.cur.Channel), Kind: kind, Method: x.Method, Received: stamp(x.Received), Total: max(a.Total, 0), Training: t.c.o.Training, Version: 1}
	if a.Unread != nil {
		said := a.Unread.Error()
		h.Unread = &unread{Byte: a.Read, Why: canon.Text(said[:min(len(said), 500)])}
	}
	var schema, lines lineFile
	bad := 0
	for _, i := range a.Items[:min(len(a.Items), maxMessages)] {
		name := prefix + strconv.Itoa(i.ID)
		words, err := tl.AppendJSON(nil, i.TL)
		if err != nil || i.ID < 1 {
			bad++
			continue
		}
		schema.add(name, words)
		said, err := line(i.TL)
		if err != nil {
			bad++
			continue
		}
		b, err := canon.Append(nil, said)
		if err != nil || len(b) > maxPostLine {
			bad++
			continue
		}
		lines.add(name, b)
		h.Count++
	}
	if bad > 0 || len(a.Items) > maxMessages {
		t.partial(collectors.Reason{Code: "not-normalised", Detail: fmt.Sprintf("%d of %d %s are in the answer only", bad+max(0, len(a.Items)-maxMessages), len(a.Items), kind)})
	}
	first, err := canon.Append(nil, h)
	if err != nil {
		return nil, err
	}
	lines.begin("head", first)
	return []piece{{name: kind + ".schema.jsonl", role: RoleSchema, media: typeLines, b: schema.b, slices: schema.slices, from: nameAnswer, action: "schema-json"},
		{name: kind + ".jsonl", role: kind, media: typeLines, b: lines.b, slices: lines.slices, from: nameAnswer, action: "normalise"}}, nil
}

// goes is the next step of a Task of Wish.Only.
func (t *act) goes(at also) (err error) {
	n := t.cur
	n.Step++
	n.Also = at
	t.a.Next, err = n.next()
	return err
}

// splitOnly reads an answer of such a Task; nil: it was a refusal, or none of the
// kind, and is kept as that.
func (t *act) splitOnly(x *Exchange, bad *refusal, what string) (*tl.Answer, error) {
	if bad != nil {
		err := t.fail("", x, bad)
		if k := len(t.a.Reasons) - 1; t.wish.Only == OnlyComments && t.a.Reasons[k].Code == "channel-private" {
			t.a.Reasons[k] = collectors.Reason{Code: "discussion-private", Detail: fmt.Sprintf("the group where post %d is discussed cannot be read by this account (Telegram said %s)", t.name.Post, bad.Type)}
		}
		return nil, err
	}
	a, err := tl.Split(x.Answer)
	if err != nil || a.Difference() {
		t.reject("unread", fmt.Sprintf("this is no answer of %s: %v", what, err))
		t.pieces, err = t.c.exchangeOf("", x, nil)
		return nil, err
	}
	return a, nil
}

// peer is the channel as a question names it.
func (c cursor) peer() *tg.InputPeerChannel {
	return &tg.InputPeerChannel{ChannelID: c.Channel, AccessHash: c.Hash}
}
