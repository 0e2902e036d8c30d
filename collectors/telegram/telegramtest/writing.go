package telegramtest

import (
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

// OtherID is the user that has the number Server.Other.
const OtherID = selfID + 1

// number is the user who has a number; 0: nobody.
func (s *Server) number(phone string) int64 {
	switch strings.TrimPrefix(phone, "+") {
	case s.Phone:
		return selfID
	case s.Other:
		return OtherID
	}
	return 0
}

// user is who asks.
func (s *Server) user(req *tgtest.Request) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := s.users[req.Session.AuthKey.ID]; id != 0 {
		return id
	}
	return selfID
}

// Admin lets a user write in the channel, edit and delete.
func (c *Channel) Admin(user int64) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.admins[user] = true
}

// Leave makes it a channel that nobody has joined. What happens next is the last thing
// in it that is pushed, so that a test can wait until a follower knows.
func (c *Channel) Leave() { c.setLeft(true) }

// Join is as if all accounts had joined it, which is so from the begin.
func (c *Channel) Join() { c.setLeft(false) }

func (c *Channel) setLeft(left bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.left, c.leftAt = left, c.pts+1
}

// quiet says whether what has happened in it is pushed to nobody.
func (c *Channel) quiet() bool {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.left && c.pts > c.leftAt
}

// writingMethods are those of accounts that may write in a channel. What they do is
// in its life as if the test had done it.
func writingMethods() map[uint32]method {
	all := map[uint32]method{}
	add := func(id uint32, m method) { all[id] = m }
	add(on("messages.sendMessage", false, func(s *Server, req *tgtest.Request, in *tg.MessagesSendMessageRequest) (bin.Encoder, error) {
		c, err := s.World.writable(in.Peer, s.user(req), "CHAT_WRITE_FORBIDDEN")
		if err != nil {
			return nil, err
		}
		if in.Message == "" {
			return nil, tgerr.New(400, "MESSAGE_EMPTY")
		}
		if !c.fresh(in.RandomID) {
			return nil, tgerr.New(500, "RANDOM_ID_DUPLICATE")
		}
		id := c.Post(in.Message, func(m *tg.Message) { m.Silent = in.Silent })
		return c.told(&tg.UpdateMessageID{ID: id, RandomID: in.RandomID}), nil
	}))
	add(on("messages.editMessage", false, func(s *Server, req *tgtest.Request, in *tg.MessagesEditMessageRequest) (bin.Encoder, error) {
		c, err := s.World.writable(in.Peer, s.user(req), "CHAT_ADMIN_REQUIRED")
		if err != nil {
			return nil, err
		}
		switch c.text(in.ID) {
		case "":
			return nil, tgerr.New(400, "MESSAGE_ID_INVALID")
		case in.Message:
			return nil, tgerr.New(400, "MESSAGE_NOT_MODIFIED")
		}
		c.Edit(in.ID, in.Message)
		return c.told(nil), nil
	}))
	add(on("channels.deleteMessages", false, func(s *Server, req *tgtest.Request, in *tg.ChannelsDeleteMessagesRequest) (bin.Encoder, error) {
		ch, ok := in.Channel.(*tg.InputChannel)
		if !ok {
			return nil, tgerr.New(400, "CHANNEL_INVALID")
		}
		c, err := s.World.writable(&tg.InputPeerChannel{ChannelID: ch.ChannelID, AccessHash: ch.AccessHash}, s.user(req), "MESSAGE_DELETE_FORBIDDEN")
		if err != nil {
			return nil, err
		}
		before := c.PTS()
		c.Delete(in.ID...)
		return encoded(&tg.MessagesAffectedMessages{Pts: c.PTS(), PtsCount: c.PTS() - before}), nil
	}))
	return all
}

// writable finds a channel that a user may write in, or the error for it.
func (w *World) writable(in tg.InputPeerClass, user int64, no string) (*Channel, error) {
	peer, ok := in.(*tg.InputPeerChannel)
	if !ok {
		return nil, tgerr.New(400, "PEER_ID_INVALID")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.find(&tg.InputChannel{ChannelID: peer.ChannelID, AccessHash: peer.AccessHash})
	if err == nil && !c.admins[user] {
		err = tgerr.New(403, no)
	}
	return c, err
}

// fresh notes that something was written with a random id, once.
func (c *Channel) fresh(id int64) bool {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.random[id] {
		return false
	}
	c.random[id] = true
	return true
}

// text is that of a message; "" of one that is not there.
func (c *Channel) text(id int) string {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if m := c.messages[id]; m != nil {
		return m.Message
	}
	return ""
}

// told are updates as the service answers who has written: what was done, with the
// id that a new message got before it.
func (c *Channel) told(first *tg.UpdateMessageID) bin.Encoder {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	var all []raw
	if first != nil {
		all = append(all, encoded(first))
	}
	if n := len(c.updates); n > 0 && c.update(c.updates[n-1]) != nil {
		all = append(all, c.update(c.updates[n-1]))
	}
	var b bin.Buffer
	b.PutID(tg.UpdatesTypeID)
	putAll(&b, all)
	putAll(&b, nil) // users
	putAll(&b, []raw{encoded(c.chat())})
	b.PutInt(int(c.w.Now().Unix()))
	b.PutInt(0) // seq
	return raw(b.Buf)
}
