package telegram

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotd/td/tg"

	"holdfast/collectors"
	"holdfast/tl"
)

// thread is the post below which the posts of an answer stand.
type thread struct {
	Channel string `json:"channel"`
	Post    int    `json:"post"`
}

// comments asks which post of the discussion group stands for the channel's, and
// then, page by page, for what was answered to it, the newest first. What comes are
// posts of the group.
func (t *act) comments(ctx context.Context) error {
	if t.cur.Also.Group == 0 {
		return t.discussion(ctx)
	}
	at := t.cur.Also
	x, bad, err := t.ask(ctx, &tg.MessagesGetRepliesRequest{Peer: t.cur.peer(), MsgID: t.name.Post, OffsetID: at.Before, AddOffset: at.Skip, Limit: pageSize})
	if err != nil {
		return err
	}
	a, err := t.splitOnly(x, bad, "comments")
	if a == nil {
		return err
	}
	if err := t.beneath(x, a, at.Group); err != nil {
		return err
	}
	ids := slices.DeleteFunc(idsOf(a), func(id int) bool { return at.Before > 0 && id >= at.Before })
	next := also{Group: at.Group, Before: at.Before, Skip: at.Skip}
	if len(ids) > 0 {
		next.Before, next.Skip = slices.Min(ids), 0
	}
	switch {
	case a.Listed && len(ids) == 0, next.Before == 1:
		return nil
	case !a.Listed:
		if next.Skip++; next.Skip > maxSkip {
			t.partial(collectors.Reason{Code: "too-many-unread", Detail: "many comments in a row cannot be read, so nobody knows where the older ones begin"})
			return nil
		}
	}
	return t.goes(next)
}

// discussion finds the group. That a post has no discussion is an answer too.
func (t *act) discussion(ctx context.Context) error {
	x, bad, err := t.ask(ctx, &tg.MessagesGetDiscussionMessageRequest{Peer: t.cur.peer(), MsgID: t.name.Post})
	if err != nil {
		return err
	}
	a, err := t.splitOnly(x, bad, "where a post is discussed")
	if a == nil {
		return err
	}
	group := int64(0)
	for _, m := range a.Messages {
		if p := peerOf(m.TL); p != 0 {
			group = p
			break
		}
	}
	if group == 0 {
		t.reject("no-discussion", fmt.Sprintf("the answer does not say where post %d is discussed", t.name.Post))
		t.pieces, err = t.c.exchangeOf("", x, nil)
		return err
	}
	if err := t.beneath(x, a, group); err != nil {
		return err
	}
	return t.goes(also{Group: group})
}

// beneath keeps an answer of the group's posts below the channel's. The answer itself,
// and its messages in the words of the schema, have people's names and numbers in
// them: they are restricted, and shown to whoever asks for that.
func (t *act) beneath(x *Exchange, a *tl.Answer, group int64) error {
	pieces, why, err := t.c.posts(x, a, head{Channel: number(group), Thread: &thread{number(t.cur.Channel), t.name.Post}})
	if err != nil {
		return err
	}
	for i := range pieces {
		pieces[i].restricted = pieces[i].name == nameAnswer || pieces[i].name == nameMessages
	}
	t.pieces = pieces
	t.partial(why...)
	return nil
}

// peerOf is the channel that a message is of; 0: none is named.
func peerOf(m tg.MessageClass) int64 {
	if k, ok := m.(interface{ GetPeerID() tg.PeerClass }); ok {
		if p, ok := k.GetPeerID().(*tg.PeerChannel); ok {
			return p.ChannelID
		}
	}
	return 0
}

// discussed asks for the comments of each post that has some.
func (t *act) discussed(list []tl.Message) error {
	if !t.wish.Comments {
		return nil
	}
	album := t.albumOf(list)
	for _, m := range list {
		k, ok := m.TL.(*tg.Message)
		if !ok || !k.Replies.Comments || k.Replies.Replies < 1 || k.ID < 1 || len(t.a.Further) >= maxAsked {
			continue
		}
		if t.name.Post > 0 && k.ID != t.name.Post && (album == 0 || k.GroupedID != album) {
			continue
		}
		if err := t.askAlone(Name{Channel: t.name.Channel, Post: k.ID}.Source(), OnlyComments, fmt.Sprintf("%s/%d", OnlyComments, k.ID), t.cur.Channel, t.cur.Hash); err != nil {
			return err
		}
	}
	return nil
}

// people numbers those who wrote the messages of an answer, from 1, in its order:
// neither a name nor a number of theirs stands in a line.
func people(list []entry) map[int64]int {
	known := map[int64]int{}
	for _, e := range list {
		if p := personOf(e.post); p != 0 && known[p] == 0 {
			known[p] = len(known) + 1
		}
	}
	return known
}

// personOf is who wrote a message; 0: a channel, or nobody that is named.
func personOf(m tg.MessageClass) int64 {
	if k, ok := m.(interface{ GetFromID() (tg.PeerClass, bool) }); ok {
		if from, ok := k.GetFromID(); ok {
			if p, ok := from.(*tg.PeerUser); ok {
				return p.UserID
			}
		}
	}
	return 0
}

// sender is the channel or group that a message was written as, where that is not
// the one that it stands in.
func sender(m tg.MessageClass) string {
	if k, ok := m.(interface{ GetFromID() (tg.PeerClass, bool) }); ok {
		if from, ok := k.GetFromID(); ok {
			if p, ok := from.(*tg.PeerChannel); ok && p.ChannelID != peerOf(m) {
				return number(p.ChannelID)
			}
		}
	}
	return ""
}
