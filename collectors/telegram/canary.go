package telegram

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/tl"
)

// Errors of a Canary.
var (
	// ErrAnotherChannel is wrapped where the name leads to another channel than the
	// one that is followed.
	ErrAnotherChannel = errors.New("the name leads to another channel")
	// ErrMayNot is wrapped where the service does not let the account write.
	ErrMayNot = errors.New("the account may not write there")
	// ErrUnclear is wrapped where a request was sent and nothing of what came says
	// whether it was carried out.
	ErrUnclear = errors.New("whether it was carried out is not known")
)

// Bounds of a Canary.
const (
	tokenBytes = 16 // of a token, which is written in hex
	maxFind    = 20 // pages of the history that Find looks through
)

// Canary writes posts of its own into one channel, edits and deletes them, so that it
// can be seen whether a follower sees it. It is the only thing in this room that
// writes, and what it may write is held against its bounds before a byte leaves:
// three methods, this channel, a text of its own form, and no post but its own. It is
// not safe for concurrent use.
type Canary struct {
	l       *Line
	name    Name
	channel int64
	hash    int64
	own     map[int]bool // posts that it has written, or has found and that have its form
}

// Wrote is what the service answered to one act.
type Wrote struct {
	ID       int // of the post
	PTS      int // the number of the change; 0: not said
	Answered time.Time
}

// RunCanary connects as [Options.Run] does, finds the channel by its name, and hands
// over a Canary that can write there and nowhere else. channel is its number, by what
// followed it. The account should be one that does nothing else. Errors: those of
// Run, and [ErrAnotherChannel].
func (o Options) RunCanary(ctx context.Context, a Account, n Name, channel int64, f func(ctx context.Context, c *Canary) error) error {
	o.Pushes = false
	return o.Run(ctx, a, func(ctx context.Context, l *Line) error {
		c := &Canary{l: l, name: n, channel: channel, own: map[int]bool{}}
		if err := c.find(ctx); err != nil {
			return err
		}
		l.writes = c.writes
		return f(ctx, c)
	})
}

// find asks who has the name: the account needs a handle of its own.
func (c *Canary) find(ctx context.Context) error {
	x, err := c.l.ask(ctx, &tg.ContactsResolveUsernameRequest{Username: c.name.Channel})
	if err != nil {
		return fmt.Errorf("find @%s: %w", c.name.Channel, c.words(err))
	}
	var r tg.ContactsResolvedPeer
	if err := tl.Decode(x.Answer, &r); err != nil {
		return fmt.Errorf("find @%s: %w", c.name.Channel, err)
	}
	p, ok := r.Peer.(*tg.PeerChannel)
	if !ok || p.ChannelID != c.channel {
		return fmt.Errorf("@%s is followed as channel %d, and is not that for this account: %w", c.name.Channel, c.channel, ErrAnotherChannel)
	}
	for _, k := range r.Chats {
		if ch, ok := k.(*tg.Channel); ok && ch.ID == c.channel {
			c.hash = ch.AccessHash
			return nil
		}
	}
	return fmt.Errorf("@%s cannot be read by this account: %w", c.name.Channel, ErrMayNot)
}

// CanaryText is what a Canary writes: the first form is posted, the second is what
// the post is edited to. token is 32 hex digits.
func CanaryText(token string, form int) string {
	return fmt.Sprintf("holdfast canary %s, form %d. This post tests whether it is seen; it will be deleted.", token, form)
}

// tokenOf returns the token of a text of a Canary's form; "" if it is none.
func tokenOf(text string) string {
	rest, ok := strings.CutPrefix(text, "holdfast canary ")
	token, _, _ := strings.Cut(rest, ",")
	if b, err := hex.DecodeString(token); !ok || err != nil || len(b) != tokenBytes || token != strings.ToLower(token) {
		return ""
	}
	if text != CanaryText(token, 1) && text != CanaryText(token, 2) {
		return ""
	}
	return token
}

// writes is the list of what a Canary may send besides what only reads. Each request
// must be one that it makes itself: whatever else it could say is refused.
func (c *Canary) writes(r request) (string, error) {
	refuse := func(why string) (string, error) {
		return "", fmt.Errorf("canary of channel %d: %s: %w", c.channel, why, ErrMethod)
	}
	switch r := r.(type) {
	case *tg.MessagesSendMessageRequest:
		if tokenOf(r.Message) == "" || !same(r, c.sending(r.Message, r.RandomID)) {
			return refuse("another message, or to another place")
		}
		return "messages.sendMessage", nil
	case *tg.MessagesEditMessageRequest:
		if tokenOf(r.Message) == "" || !c.own[r.ID] || !same(r, c.editing(r.ID, r.Message)) {
			return refuse("an edit of what it has not written, to another text, or in another place")
		}
		return "messages.editMessage", nil
	case *tg.ChannelsDeleteMessagesRequest:
		if len(r.ID) == 0 || slices.ContainsFunc(r.ID, func(id int) bool { return !c.own[id] }) || !same(r, c.deleting(r.ID)) {
			return refuse("a deletion of what it has not written, or in another place")
		}
		return "channels.deleteMessages", nil
	}
	return refuse("no method of a canary")
}

func (c *Canary) peer() *tg.InputPeerChannel {
	return &tg.InputPeerChannel{ChannelID: c.channel, AccessHash: c.hash}
}

func (c *Canary) sending(text string, random int64) *tg.MessagesSendMessageRequest {
	return &tg.MessagesSendMessageRequest{Peer: c.peer(), Message: text, RandomID: random, Silent: true, NoWebpage: true}
}

func (c *Canary) editing(id int, text string) *tg.MessagesEditMessageRequest {
	r := &tg.MessagesEditMessageRequest{Peer: c.peer(), ID: id, NoWebpage: true}
	r.SetMessage(text)
	return r
}

func (c *Canary) deleting(ids []int) *tg.ChannelsDeleteMessagesRequest {
	return &tg.ChannelsDeleteMessagesRequest{Channel: &tg.InputChannel{ChannelID: c.channel, AccessHash: c.hash}, ID: ids}
}

// Post writes a post with a token. Errors: [ErrMayNot], [ErrUnclear]: it may be
// there, and Find shows whether it is; those of the connection and the service.
func (c *Canary) Post(ctx context.Context, token string) (Wrote, error) {
	b, err := hex.DecodeString(token)
	if err != nil || len(b) != tokenBytes {
		return Wrote{}, fmt.Errorf("canary: token %.40q is not %d hex digits", token, 2*tokenBytes)
	}
	w, u, err := c.write(ctx, c.sending(CanaryText(token, 1), int64(binary.BigEndian.Uint64(b))))
	if err != nil {
		return w, err
	}
	for _, one := range u {
		if k, ok := one.(*tg.UpdateMessageID); ok && k.RandomID == int64(binary.BigEndian.Uint64(b)) {
			w.ID = k.ID
		}
	}
	if w.ID <= 0 {
		return w, fmt.Errorf("post in @%s: the answer says no number of it: %w", c.name.Channel, ErrUnclear)
	}
	c.own[w.ID] = true
	return w, nil
}

// Edit edits a post of its own to the second form of its text. Errors: as of Post,
// and [ErrMethod] for a post that is not its own.
func (c *Canary) Edit(ctx context.Context, id int, token string) (Wrote, error) {
	w, _, err := c.write(ctx, c.editing(id, CanaryText(token, 2)))
	w.ID = id
	return w, err
}

// Delete deletes posts of its own. Errors: as of Edit. Deleting what is not there is
// none.
func (c *Canary) Delete(ctx context.Context, ids ...int) (w Wrote, err error) {
	w, _, err = c.write(ctx, c.deleting(ids))
	if len(ids) > 0 {
		w.ID = ids[0]
	}
	return w, err
}

// write sends a request that changes something.
func (c *Canary) write(ctx context.Context, r request) (w Wrote, u []tg.UpdateClass, err error) {
	x, err := c.l.ask(ctx, r)
	if err != nil {
		var said *tgerr.Error
		if x == nil || errors.Is(err, errPaced) || ends(err) || errors.As(err, &said) && said.Code > 0 && said.Code < 500 {
			return w, nil, c.words(err)
		}
		return w, nil, fmt.Errorf("%w: %w", ErrUnclear, err) // no answer, or one about the service's own troubles
	}
	w.Answered = x.Received
	if _, deletes := r.(*tg.ChannelsDeleteMessagesRequest); deletes {
		var got tg.MessagesAffectedMessages
		if tl.Decode(x.Answer, &got) == nil { // that it was answered is enough
			w.PTS = got.Pts
		}
		return w, nil, nil
	}
	var box tg.UpdatesBox
	if err := tl.Decode(x.Answer, &box); err != nil {
		return w, nil, fmt.Errorf("read the answer to %s: %w: %w", x.Method, ErrUnclear, err)
	}
	switch got := box.Updates.(type) {
	case *tg.Updates:
		u = got.Updates
	case *tg.UpdatesCombined:
		u = got.Updates
	}
	for _, one := range u {
		if k, ok := one.(interface{ GetPts() int }); ok {
			w.PTS = max(w.PTS, k.GetPts())
		}
	}
	return w, u, nil
}

// Find looks for posts of a Canary that have one of these tokens, among those that
// were posted since then, and returns their numbers by token. It is how what a run
// that was stopped has left is told from everything else. They count as its own. whole
// is false where there were too many posts since then to look at all of them.
func (c *Canary) Find(ctx context.Context, tokens []string, since time.Time) (found map[string][]int, whole bool, err error) {
	found = map[string][]int{}
	for before, page := 0, 0; page < maxFind; page++ {
		x, err := c.l.ask(ctx, &tg.MessagesGetHistoryRequest{Peer: c.peer(), OffsetID: before, Limit: pageSize})
		if err != nil {
			return nil, false, fmt.Errorf("look through @%s: %w", c.name.Channel, c.words(err))
		}
		a, err := tl.Split(x.Answer)
		if err != nil {
			return nil, false, fmt.Errorf("look through @%s: %w", c.name.Channel, err)
		}
		for _, m := range a.Messages {
			k, ok := m.TL.(*tg.Message)
			if !ok {
				continue
			}
			if token := tokenOf(k.Message); slices.Contains(tokens, token) && token != "" {
				c.own[k.ID] = true
				found[token] = append(found[token], k.ID)
			}
			if time.Unix(int64(k.Date), 0).Before(since) {
				return found, true, nil
			}
		}
		if len(a.Messages) == 0 {
			return found, true, nil
		}
		before = a.Messages[len(a.Messages)-1].ID
	}
	return found, false, nil
}

// words says what to do about what the service does not allow.
func (c *Canary) words(err error) error {
	switch {
	case tgerr.Is(err, "CHAT_ADMIN_REQUIRED", "CHAT_WRITE_FORBIDDEN", "MESSAGE_DELETE_FORBIDDEN", "MESSAGE_AUTHOR_REQUIRED", "USER_BANNED_IN_CHANNEL", "CHAT_SEND_PLAIN_FORBIDDEN", "CHAT_GUEST_SEND_FORBIDDEN"):
		return fmt.Errorf("account %s may not write in @%s: make it an administrator of that channel who may post, edit and delete messages: %w: %w", c.l.Account, c.name.Channel, ErrMayNot, err)
	case tgerr.Is(err, "CHANNEL_PRIVATE", "USERNAME_NOT_OCCUPIED", "CHANNEL_INVALID"):
		return fmt.Errorf("@%s is no channel that account %s can see: %w", c.name.Channel, c.l.Account, err)
	}
	return err
}

// same says whether two requests are the same bytes: a field that one has and the
// other has not, known to this program or not, makes them others.
func same(a, b request) bool {
	var x, y bin.Buffer
	return a.Encode(&x) == nil && b.Encode(&y) == nil && bytes.Equal(x.Raw(), y.Raw())
}
