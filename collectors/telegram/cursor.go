package telegram

import (
	"encoding/json"
	"fmt"

	"github.com/gotd/td/tg"

	"holdfast/collectors"
)

// Bounds of a walk.
const (
	pageSize    = 100 // the service's own
	albumSize   = 10  // likewise
	aroundPost  = 10  // ids on each side of a post
	maxIsolated = 100 // messages that are asked for alone, in one Task
	maxSkip     = 100 // unreadable messages in front of the newest readable one
)

// cursor is where a walk is. It rides in the Task; the hash is the account's, so
// with another account the name is resolved again.
type cursor struct {
	Account string `json:"account"`
	Channel int64  `json:"channel"`
	Hash    int64  `json:"hash"`
	Step    uint64 `json:"step"` // which Capture this is

	Before int  `json:"before,omitempty"` // the history goes on below this id; 0 is from the newest
	Left   int  `json:"left,omitempty"`   // messages that are still wanted; -1 is all
	Album  bool `json:"album,omitempty"`  // the last page ended within an album, which begins the next
	Skip   int  `json:"skip,omitempty"`   // how many of the newest cannot be read; upwards, how many pages in a row
	After  int  `json:"after,omitempty"`  // upwards: the history goes on above this id
	Up     bool `json:"up,omitempty"`     // it goes from the oldest message to the newest

	// Ids from High down to Low are asked for by number first; Alone before them.
	High     int  `json:"high,omitempty"`
	Low      int  `json:"low,omitempty"`
	Alone    int  `json:"alone,omitempty"`
	Isolated int  `json:"isolated,omitempty"`
	Only     bool `json:"only,omitempty"` // nothing but these ids is wanted
	Done     int  `json:"done,omitempty"` // so many of the ids that were wished for

	Follow following `json:"follow,omitzero"`
	Also   also      `json:"also,omitzero"`
}

func readCursor(b []byte) (c cursor, err error) {
	if len(b) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read cursor: %w", err)
	}
	if c.Channel <= 0 || c.Step == 0 {
		return c, fmt.Errorf("read cursor: step %d of channel %d", c.Step, c.Channel)
	}
	return c, nil
}

// Known returns the Cursor with which another Task of a channel begins, at step 1,
// where a Task has found it already: its name is not resolved again, which the
// service counts. ok is false if this one has not found it yet.
func Known(of []byte) (cur []byte, ok bool) {
	c, err := readCursor(of)
	if err != nil || c.Channel == 0 {
		return nil, false
	}
	cur, err = json.Marshal(cursor{Account: c.Account, Channel: c.Channel, Hash: c.Hash, Step: 1})
	return cur, err == nil
}

// ChannelOf returns the number of the channel that a Task has found.
func ChannelOf(cur []byte) (id int64, ok bool) {
	c, err := readCursor(cur)
	return c.Channel, err == nil && c.Channel > 0
}

func (c cursor) next() (*collectors.Next, error) {
	b, err := json.Marshal(c)
	return &collectors.Next{Step: c.Step, Cursor: b}, err
}

// begin is the first step after the channel was found, or the same place again if
// it was found by another account.
func (c cursor) begin(t *act, ch *tg.Channel) cursor {
	fresh := c.Channel == 0
	c.Account, c.Channel, c.Hash = t.c.account, ch.ID, ch.AccessHash
	c.Step++
	if t.wish.Follow {
		c.Follow = c.Follow.begins(t)
	}
	if !fresh {
		return c
	}
	return c.first(t)
}

// first is where a Task begins whose channel was found.
func (c cursor) first(t *act) cursor {
	if c.Left = t.wish.Limit; c.Left == 0 {
		c.Left = -1
	}
	c.Up = t.wish.OldestFirst
	if t.name.Post > 0 {
		c.Only, c.Left, c.High, c.Low = true, -1, t.name.Post+aroundPost, max(1, t.name.Post-aroundPost)
	}
	return c
}

// asked are the ids to ask for by number, highest first, of those that were wished
// for if there are any; nil asks for a page of the history.
func (c cursor) asked(wished []int) (ids []int) {
	if c.Alone > 0 {
		return []int{c.Alone}
	}
	if len(wished) > 0 {
		return wished[min(max(c.Done, 0), len(wished)-1):]
	}
	for id := c.High; id > 0 && id >= c.Low && len(ids) < pageSize; id-- {
		ids = append(ids, id)
	}
	return ids
}

// limit is how many messages of the history to ask for.
func (c cursor) limit() int {
	switch {
	case c.Left < 0:
		return pageSize
	case c.Album:
		return min(pageSize, max(c.Left, albumSize))
	}
	return min(pageSize, c.Left)
}

// window is asked for by number before the history goes on below it.
func (c cursor) window(high, low int) cursor {
	c.High, c.Low, c.Before, c.Skip, c.Album = high, max(low, 1), max(low, 1), 0, false
	return c
}
