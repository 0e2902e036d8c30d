package telegram

import (
	"fmt"
	"slices"

	"github.com/gotd/td/tg"

	"holdfast/collectors"
	"holdfast/tl"
)

// A history from the oldest message to the newest. Each page is asked for above the
// highest id that came, so that what is posted or deleted meanwhile shifts nothing; it
// ends where an answer has nothing above that. The service may fill the page of the
// newest messages with older ones: they are in two Captures then.

// above asks for the messages above an id, or, at the beginning, from a time on.
func (t *act) above() request {
	r := &tg.MessagesGetHistoryRequest{Peer: t.cur.peer(), OffsetID: t.cur.After + 1, AddOffset: -t.cur.limit(), Limit: t.cur.limit(), MinID: t.cur.After}
	if since := t.wish.Since; t.cur.After == 0 && !since.IsZero() {
		r.OffsetID, r.OffsetDate = 0, int(since.Unix())
	}
	return r
}

// afterPage goes on above a page. One that cannot be read to its end lacks its lowest
// ids, which are the next ones: they are asked for by number.
func (t *act) afterPage(a *tl.Answer) (cursor, bool) {
	c := t.cur
	ids := slices.DeleteFunc(idsOf(a), func(id int) bool { return id <= c.After })
	if !a.Listed {
		return t.aboveUnread(c, ids)
	}
	if len(ids) == 0 {
		return c, false
	}
	c.Skip = 0
	last := slices.Max(ids)
	if cut := albumAtTop(a, c.After); cut > 0 && len(ids) >= c.limit() && cut-1 > c.After {
		last = cut - 1 // an album that the page may have cut begins the next one
		ids = slices.DeleteFunc(ids, func(id int) bool { return id > last })
		c.Album = true
	} else {
		c.Album = false
	}
	c.After = last
	if c.Left < 0 {
		return c, true
	}
	c.Left -= len(ids)
	return c, c.Left > 0
}

// aboveUnread asks for the ids from the place on by number, up to those that were read,
// at most a page of them.
func (t *act) aboveUnread(c cursor, ids []int) (cursor, bool) {
	top := c.After + pageSize
	next := top
	if len(ids) > 0 && slices.Min(ids)-1 <= top { // what was read need not come again
		top, next = slices.Min(ids)-1, slices.Max(ids)
		if c.Left > 0 {
			c.Left = max(c.Left-len(ids), 1)
		}
	}
	if c.Skip++; c.Skip > maxSkip {
		t.partial(collectors.Reason{Code: "too-many-unread", Detail: fmt.Sprintf("asked for messages above %d, and again above others, nothing came that can be read", c.After)})
		return c, false
	}
	c.High, c.Low, c.After = max(top, c.After+1), c.After+1, max(next, c.After+1)
	return c, true
}

// albumAtTop is the lowest id above a place of the album that the newest message of an
// answer belongs to; 0 if it belongs to none, or if there is nothing else.
func albumAtTop(a *tl.Answer, after int) int {
	top, group, low, other := 0, int64(0), 0, false
	for _, m := range a.Messages {
		if m.ID > top {
			top, group = m.ID, groupOf(m)
		}
	}
	if group == 0 {
		return 0
	}
	for _, m := range a.Messages {
		switch {
		case m.ID <= after:
		case groupOf(m) != group:
			other = true
		case low == 0 || m.ID < low:
			low = m.ID
		}
	}
	if !other {
		return 0
	}
	return low
}
