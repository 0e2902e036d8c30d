package telegram

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/tl"
)

// page asks for the next answer of messages.
func (t *act) page(ctx context.Context) error {
	asked := t.cur.asked(t.wish.IDs)
	x, bad, err := t.ask(ctx, t.request(asked))
	if err != nil {
		return err
	}
	if bad != nil {
		return t.fail("", x, bad)
	}
	a, err := tl.Split(x.Answer)
	if err != nil {
		t.reject("unread", fmt.Sprintf("this is no answer of messages: %v", err))
		t.pieces, err = t.c.exchangeOf("", x, nil)
		return err
	}
	pieces, why, err := t.c.posts(x, a, head{Channel: number(t.cur.Channel), Asked: asked})
	if err != nil {
		return err
	}
	t.pieces = pieces
	t.partial(why...)
	t.further(a)
	t.second(a)
	if err := t.discussed(a.Messages); err != nil {
		return err
	}
	if err := t.files(ctx, a.Messages); err != nil {
		return err
	}
	next, more := t.after(a, asked)
	if !more {
		return nil
	}
	next.Step++
	t.a.Next, err = next.next()
	return err
}

func (t *act) request(asked []int) request {
	if len(asked) == 0 && t.cur.Up {
		return t.above()
	}
	if len(asked) == 0 {
		return &tg.MessagesGetHistoryRequest{Peer: &tg.InputPeerChannel{ChannelID: t.cur.Channel, AccessHash: t.cur.Hash},
			OffsetID: t.cur.Before, AddOffset: t.cur.Skip, Limit: t.cur.limit()}
	}
	r := &tg.ChannelsGetMessagesRequest{Channel: &tg.InputChannel{ChannelID: t.cur.Channel, AccessHash: t.cur.Hash}}
	for _, id := range asked {
		r.ID = append(r.ID, &tg.InputMessageID{ID: id})
	}
	return r
}

// after decides what is asked for next.
func (t *act) after(a *tl.Answer, asked []int) (next cursor, more bool) {
	if len(asked) > 0 {
		return t.afterIDs(a, asked)
	}
	c := t.cur
	if c.Up {
		return t.afterPage(a)
	}
	ids := idsOf(a)
	first, last := 0, c.Before
	if len(ids) > 0 { // the highest and the lowest: a stranger has sorted them
		first, last = slices.Max(ids), slices.Min(ids)
	}
	switch {
	case !a.Listed && last == 0: // not even the newest can be read
		if c.Skip++; c.Skip > maxSkip {
			t.partial(collectors.Reason{Code: "too-many-unread", Detail: "the newest messages cannot be read, so nobody knows where the older ones begin"})
			return c, false
		}
		return c, true
	case !a.Listed && c.Skip > 0:
		return c.window(first+pageSize, last-pageSize), true
	case !a.Listed:
		if c.Left > 0 {
			c.Left = max(c.Left-len(ids), 1)
		}
		return c.window(last-1, last-pageSize), last > 1
	case len(ids) == 0 || last == 1:
		return c, false
	case c.Before > 0 && first >= c.Before:
		t.partial(collectors.Reason{Code: "no-progress", Detail: fmt.Sprintf("asked for messages below %d, Telegram answered with %d and others", c.Before, first)})
		return c, false
	}
	if c.Skip > 0 {
		return c.window(first+pageSize, first), true
	}
	return t.below(a, c, ids)
}

// below goes on below a page that was read whole; an album that it may have cut
// begins the next one.
func (t *act) below(a *tl.Answer, c cursor, ids []int) (cursor, bool) {
	if t.tooOld(a) {
		return c, false
	}
	whole, album := len(ids), openAlbum(a)
	if album > 0 && len(ids) >= c.limit() {
		whole = album
	}
	before := c.Before
	c.Before, c.Album = slices.Min(ids), false
	if whole < len(ids) && (before == 0 || ids[whole]+1 < before) {
		c.Before, c.Album = ids[whole]+1, true
	}
	if c.Left < 0 {
		return c, true
	}
	c.Left -= whole
	return c, c.Left > 0
}

// afterIDs goes on below ids that were asked for by number. The first that did not
// come, of an answer that cannot be read to its end, is the one that cannot be read.
func (t *act) afterIDs(a *tl.Answer, asked []int) (cursor, bool) {
	c, done := t.cur, 0
	switch {
	case c.Alone > 0:
		c.Alone = 0
	case a.Listed:
		done = len(asked)
	default:
		came := map[int]bool{}
		for _, m := range a.Messages {
			came[m.ID] = true
		}
		for done < len(asked)-1 && came[asked[done]] {
			done++
		}
		if len(asked) > 1 && c.Isolated < maxIsolated {
			c.Alone, c.Isolated = asked[done], c.Isolated+1
		}
		done++
	}
	if len(t.wish.IDs) > 0 {
		c.Done += done
		return c, c.Alone > 0 || c.Done < len(t.wish.IDs)
	}
	if done > 0 {
		c.High = asked[done-1] - 1
	}
	if n := len(idsOf(a)); c.Left >= 0 && !c.Only {
		if c.Left -= n; c.Left <= 0 {
			return c, false
		}
	}
	open := c.Alone > 0 || c.High >= c.Low && c.High > 0
	if !open {
		c.High, c.Low = 0, 0
	}
	return c, open || !c.Only && (c.Up || c.Before > 1 && !t.tooOld(a))
}

// tooOld says whether the oldest message is from before what is wanted.
func (t *act) tooOld(a *tl.Answer) bool {
	if ids := idsOf(a); len(ids) > 0 && slices.Min(ids) <= t.wish.DownTo {
		return true
	}
	if t.wish.Since.IsZero() || t.name.Post > 0 {
		return false
	}
	for i := len(a.Messages) - 1; i >= 0; i-- {
		if m, ok := a.Messages[i].TL.(interface{ GetDate() int }); ok {
			return int64(m.GetDate()) < t.wish.Since.Unix()
		}
	}
	return false
}

// idsOf are the ids of the messages that are there, as they came.
func idsOf(a *tl.Answer) (ids []int) {
	for _, m := range a.Messages {
		if _, empty := m.TL.(*tg.MessageEmpty); !empty && m.ID > 0 {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// openAlbum is the index of the first message of the album that an answer ends
// with, among those that are there; 0 if it ends with none, or is all of it.
func openAlbum(a *tl.Answer) int {
	var groups []int64
	for _, m := range a.Messages {
		if _, empty := m.TL.(*tg.MessageEmpty); empty || m.ID <= 0 {
			continue
		}
		g := int64(0)
		if k, ok := m.TL.(*tg.Message); ok {
			g = k.GroupedID
		}
		groups = append(groups, g)
	}
	i := len(groups)
	for i > 0 && groups[i-1] != 0 && groups[i-1] == groups[len(groups)-1] {
		i--
	}
	if i == len(groups) {
		return 0
	}
	return i
}

// further asks for the pages that a post links to, and its album's other posts.
func (t *act) further(a *tl.Answer) {
	if t.name.Post == 0 || !t.wish.Links {
		return
	}
	album := int64(0)
	for _, m := range a.Messages {
		if k, ok := m.TL.(*tg.Message); ok && k.ID == t.name.Post {
			album = k.GroupedID
		}
	}
	seen := map[canon.Text]bool{}
	for _, m := range a.Messages {
		k, ok := m.TL.(*tg.Message)
		if !ok || k.ID != t.name.Post && (album == 0 || k.GroupedID != album) {
			continue
		}
		for _, l := range ofMessage(k).Links {
			s := string(l)
			if !strings.Contains(s, "://") {
				s = "https://" + s // people write example.org/page, and clients take it for that
			}
			if !seen[l] && len(t.a.Further) < maxListed {
				t.a.Further = append(t.a.Further, collectors.Further{Source: s})
			}
			seen[l] = true
		}
	}
}
