package telegram

import (
	"context"

	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/tl"
)

// topicPage is how many topics are asked for at once; the service gives no more.
const topicPage = 100

// topic is one line of topics.jsonl. Members stand in canonical order.
type topic struct {
	Closed  bool       `json:"closed,omitempty"`
	Created string     `json:"created,omitempty"`
	Deleted bool       `json:"deleted,omitempty"`
	Hidden  bool       `json:"hidden,omitempty"`
	Icon    string     `json:"icon,omitempty"` // the number of an emoji of the service's
	ID      int        `json:"id"`
	Kind    string     `json:"kind"`
	Pinned  bool       `json:"pinned,omitempty"`
	Title   canon.Text `json:"title,omitempty"`
	Top     int        `json:"top,omitempty"` // its newest post
}

func topicOf(o tdp.Object) (any, error) {
	switch k := o.(type) {
	case *tg.ForumTopic:
		return topic{Closed: k.Closed, Created: unix(k.Date), Hidden: k.Hidden, Icon: number(k.IconEmojiID), ID: k.ID, Kind: "topic", Pinned: k.Pinned,
			Title: canon.Text(k.Title), Top: max(k.TopMessage, 0)}, nil
	case *tg.ForumTopicDeleted:
		return topic{Deleted: true, ID: k.ID, Kind: "topic"}, nil
	}
	return nil, tl.ErrAnswer
}

// topics asks for the next topics of a forum, with the newest post of each, which the
// service puts beside them.
func (t *act) topics(ctx context.Context) error {
	at := t.cur.Also
	x, bad, err := t.ask(ctx, &tg.MessagesGetForumTopicsRequest{Peer: t.cur.peer(), OffsetDate: at.Date, OffsetID: at.Before, OffsetTopic: at.Topic, Limit: topicPage})
	if err != nil {
		return err
	}
	a, err := t.splitOnly(x, bad, "topics")
	if a == nil {
		return err
	}
	pieces, why, err := t.c.posts(x, a, head{Channel: number(t.cur.Channel)})
	if err != nil {
		return err
	}
	t.partial(why...)
	more, err := t.items(x, a, OnlyTopics, "t-", topicOf)
	if err != nil {
		return err
	}
	t.pieces = append(pieces, more...)
	return t.moreTopics(a)
}

// moreTopics goes on behind the last topic; one that comes twice ends it.
func (t *act) moreTopics(a *tl.Answer) error {
	if a.Unread != nil || len(a.Items) == 0 {
		return nil
	}
	last, ok := a.Items[len(a.Items)-1].TL.(*tg.ForumTopic)
	if !ok || len(a.Items) < topicPage && a.Total <= len(a.Items) {
		return nil
	}
	next := also{Topic: last.ID, Before: last.TopMessage, Date: last.Date}
	for _, m := range a.Messages {
		if d, ok := m.TL.(interface{ GetDate() int }); ok && m.ID == last.TopMessage {
			next.Date = d.GetDate()
		}
	}
	if next == t.cur.Also || t.cur.Also.Before > 0 && next.Before >= t.cur.Also.Before { // they come by their newest post
		return nil
	}
	return t.goes(next)
}

// The topic of what stands in none, and the service message that begins one, whose id
// is the topic's.
const (
	generalTopic = 1
	topicCreated = "messageActionTopicCreate"
)

// isForum says whether the channel of an answer has topics.
func isForum(a *tl.Answer, channel string) bool {
	for _, k := range a.Chats {
		if ch, ok := k.(*tg.Channel); ok && number(ch.ID) == channel {
			return ch.Forum
		}
	}
	return false
}
