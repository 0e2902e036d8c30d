package telegram

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/collectors"
	"holdfast/tl"
)

// Bounds of following a channel.
const (
	fewer      = 10             // events that are asked for where 100 cannot be read; the service takes no less
	heartbeat  = 24 * time.Hour // after which an answer without news is kept all the same
	usualWait  = 30 * time.Second
	countsWait = 30 * time.Second // after an answer that told of nothing but counters
	shortWait  = time.Second
	longWait   = time.Hour
	firstPause = time.Minute // before a channel is asked about again that could not be read
	longPause  = 6 * time.Hour
)

// following is where a follower is: a cursor of events, and what was told last.
type following struct {
	Asked int64  `json:"asked,omitempty"` // when the channel itself was asked about the last time, Unix time
	PTS   int    `json:"pts,omitempty"`   // what happened up to here is known; 0: to be asked for, with the channel
	Last  int    `json:"last,omitempty"`  // the highest id that was seen
	Kept  int64  `json:"kept,omitempty"`  // when the last Capture was made, Unix time
	Few   bool   `json:"few,omitempty"`   // an answer could not be read: from the same place, fewer are asked for
	Lost  string `json:"lost,omitempty"`  // why the channel could not be read the last time
	By    string `json:"by,omitempty"`    // by which account
	Since int64  `json:"since,omitempty"` // and since when, Unix time

	Member int8 `json:"member,omitempty"` // whether the account has joined the channel: 0 is not known
	Pause  int  `json:"pause,omitempty"`  // in s, which the service wanted between two answers; 0: it has not said
}

// The account has joined, or not.
const (
	joined    = 1
	notJoined = 2
)

func memberOf(ch *tg.Channel) int8 {
	if ch.Left {
		return notJoined
	}
	return joined
}

// Follows is how a channel is followed.
type Follows struct {
	Account string        // that asks, by the node's own word
	Joined  bool          // the service tells by itself that something has happened
	Pause   time.Duration // between two questions, as the service wanted it last, or as it usually does
}

// FollowsOf says how a Task follows a channel, by its Cursor; known is false as long as
// no answer has told whether the account has joined.
func FollowsOf(cur []byte) (f Follows, known bool) {
	c, err := readCursor(cur)
	if err != nil || c.Channel == 0 || c.Follow.PTS == 0 {
		return f, false
	}
	f.Account, f.Joined, f.Pause = c.Account, c.Follow.Member == joined, time.Duration(c.Follow.Pause)*time.Second
	if f.Pause == 0 {
		f.Pause = usualWait
	}
	return f, c.Follow.Member != 0
}

// follow asks what has happened since the place of the cursor. A channel that was
// not found yet, or by another account, or whose place is not known, is asked about
// first, and once a day what it is called and says of itself. A crash before the answer is kept leaves the place: what it told is told
// again.
func (t *act) follow(ctx context.Context) error {
	about := func() error { return t.channel(ctx) }
	if t.cur.Channel > 0 && t.cur.Account == t.c.account { // its name is not resolved again
		about = func() error { return t.about(ctx, &tg.Channel{ID: t.cur.Channel, AccessHash: t.cur.Hash}) }
	}
	if t.cur.Account != t.c.account || t.cur.Follow.PTS == 0 || t.c.o.Now().Sub(time.Unix(t.cur.Follow.Asked, 0)) >= heartbeat {
		if err := about(); err != nil || t.a.Next != nil {
			return err
		}
		return t.lost()
	}
	limit := pageSize
	if t.cur.Follow.Few {
		limit = fewer
	}
	x, bad, err := t.ask(ctx, &tg.UpdatesGetChannelDifferenceRequest{Channel: &tg.InputChannel{ChannelID: t.cur.Channel, AccessHash: t.cur.Hash},
		Filter: &tg.ChannelMessagesFilterEmpty{}, Pts: t.cur.Follow.PTS, Limit: limit})
	if err != nil {
		return err
	}
	if bad != nil {
		if err := t.fail("", x, bad); err != nil {
			return err
		}
		return t.lost()
	}
	a, err := tl.Split(x.Answer)
	if err != nil || !a.Difference() {
		t.reject("unread", fmt.Sprintf("this is no answer of what has happened: %v", err))
		if t.pieces, err = t.c.exchangeOf("", x, nil); err != nil {
			return err
		}
		return t.lost()
	}
	return t.difference(ctx, x, a)
}

// difference keeps an answer of what has happened, or says that nothing has.
func (t *act) difference(ctx context.Context, x *Exchange, a *tl.Answer) error {
	f, now := t.cur.Follow, t.c.o.Now()
	again := now.Add(waitOf(a))
	if a.Quiet() && a.PTS == 0 {
		a.PTS = f.PTS
	}
	quiet := a.Quiet() && a.PTS == f.PTS && f.Lost == ""
	if quiet && now.Sub(time.Unix(f.Kept, 0)) < heartbeat {
		return &collectors.Later{At: again, Idle: true, Heard: x.Received, Why: fmt.Sprintf("nothing new in @%s", t.name.Channel)}
	}
	pieces, why, err := t.c.posts(x, a, head{Channel: number(t.cur.Channel), PTSFrom: f.PTS})
	if err != nil {
		return err
	}
	t.pieces = pieces
	t.partial(why...)
	t.found(now)
	stuck, once := a.PTS <= f.PTS && !a.Quiet(), a.Unread != nil && !a.TooLong && !f.Few
	if !once {
		if err := t.files(ctx, messagesOf(a, number(t.cur.Channel))); err != nil {
			return err
		}
	}
	for _, k := range a.Chats {
		if ch, ok := k.(*tg.Channel); ok && ch.ID == t.cur.Channel && !ch.Min {
			f.Member = memberOf(ch)
		}
	}
	if a.Timeout > 0 {
		f.Pause = int(waitOf(a) / time.Second)
	}
	for _, m := range entriesOf(a) {
		f.Last = max(f.Last, m.id())
	}
	switch {
	case a.TooLong:
		t.partial(collectors.Reason{Code: "difference-too-long", Detail: fmt.Sprintf("what happened behind event %d is told no more, up to event %d: new posts are taken from the history; edits and deletions in between can be known by asking for each post only", f.PTS, a.PTS)})
		f.Few, err = false, t.behind()
	case once: // the same again, in smaller pieces
		f, stuck = t.cur.Follow, false
		f.Few, a.PTS = true, f.PTS
	case a.Unread != nil:
		f.Few, err = false, t.behind()
	default:
		f.Few = f.Few && !a.Final
	}
	if err != nil {
		return err
	}
	if stuck {
		t.partial(collectors.Reason{Code: "no-progress", Detail: fmt.Sprintf("asked for what happened behind event %d, Telegram told of some and of event %d as the last", f.PTS, a.PTS)})
	}
	due := time.Time{} // there is more
	if a.Final && !once || a.Quiet() && a.PTS <= t.cur.Follow.PTS || stuck {
		if due = again; onlyCounts(a) && due.Before(now.Add(countsWait)) {
			due = now.Add(countsWait)
		}
	}
	f.PTS, f.Kept, f.Lost, f.By, f.Since = max(a.PTS, 0), now.Unix(), "", "", 0
	return t.goOn(f, due)
}

// onlyCounts says whether an answer tells of nothing but what is counted of posts. A
// post that thousands react to would else be a Capture each time that it is asked;
// what happens meanwhile is told by the next answer, all of it and in its order.
func onlyCounts(a *tl.Answer) bool {
	return len(a.Messages) == 0 && len(a.Updates) > 0 && !slices.ContainsFunc(a.Updates, func(u tl.Update) bool {
		one, ok := u.TL.(tg.UpdateClass)
		return !ok || !counted(one)
	})
}

// behind asks for the history down to the last post that was seen, as a Task of its
// own: what is new in it was told in no answer, or in none that can be read.
func (t *act) behind() error {
	w := t.wish
	w.Follow, w.DownTo = false, t.cur.Follow.Last
	b, err := json.Marshal(w)
	t.a.Further = append(t.a.Further, collectors.Further{Source: t.name.Source(), Options: b, Key: "behind"})
	return err
}

// found notes that a channel can be read which could not.
func (t *act) found(now time.Time) {
	if f := t.cur.Follow; f.Lost != "" {
		t.a.Reasons = append(t.a.Reasons, collectors.Reason{Code: "readable-again", Detail: fmt.Sprintf("it could not be read since %s (%s)", stamp(time.Unix(f.Since, 0)), f.Lost)})
	}
}

// lost goes on after an answer that was none of the channel's. The first of an account
// is a find, and one a day; what it is asked between is asked later and later, and tells
// nothing new.
func (t *act) lost() error {
	if t.cur.Channel == 0 { // the name leads nowhere: nothing to follow
		return nil
	}
	f, now := t.cur.Follow, t.c.o.Now()
	why := t.a.Reasons[len(t.a.Reasons)-1]
	if f.Lost == "" {
		f.Since = now.Unix()
	}
	again := now.Add(min(max(now.Sub(time.Unix(f.Since, 0)), firstPause), longPause))
	if f.Lost == why.Code && f.By == t.c.account && now.Sub(time.Unix(f.Kept, 0)) < heartbeat {
		return &collectors.Later{At: again, Idle: true, Why: why.Detail}
	}
	f.By = t.c.account
	if f.Lost, f.Kept = why.Code, now.Unix(); f.Lost == "event-unknown" {
		f.PTS = 0 // the channel says where it is now
		if err := t.behind(); err != nil {
			return err
		}
	}
	return t.goOn(f, again)
}

// goOn is the next step, at that time.
func (t *act) goOn(f following, due time.Time) (err error) {
	n := t.cur
	n.Step++
	n.Follow = f
	t.a.Next, err = n.next()
	t.a.Next.Due = due
	return err
}

// begins is where a follower begins whose channel was found just now, at the event
// that the service says is the last; or where it was, if it was somewhere.
func (f following) begins(t *act) following {
	now := t.c.o.Now()
	t.found(now)
	if f.PTS == 0 {
		f.PTS = max(t.pts, 1) // 1: all that is still told, or that it is no more
		f.Kept = now.Unix()
	}
	f.Asked, f.Lost, f.By, f.Since = now.Unix(), "", "", 0
	if t.member != 0 {
		f.Member = t.member
	}
	return f
}

// waitOf is how long after an answer nothing should be asked, by the service's word.
func waitOf(a *tl.Answer) time.Duration {
	if a.Timeout == 0 {
		return usualWait
	}
	return min(max(time.Duration(a.Timeout)*time.Second, shortWait), longWait)
}
