package telegram

import (
	"context"

	"github.com/gotd/td/tg"
)

// maxPushed is how many pushes wait for a reader before they are dropped.
const maxPushed = 1024

// Pushed gives the number of each channel that the service says, by itself, has
// moved; nil without [Options.Pushes]. It is a wake-up and no record: what moved is
// asked for. A channel may be named often, one that the account has not joined
// never; a push that finds 1,024 unread ones is dropped, and any may be lost on the
// way. So whoever reads must ask in any case, when its time has come. With a minus
// before it, the service says that nothing but what is counted of a post has changed
// (reactions), of which there may be thousands a minute.
func (l *Line) Pushed() <-chan int64 { return l.pushed }

// pushes takes what the service tells by itself.
type pushes chan int64

// Handle implements telegram.UpdateHandler. It never waits: what is answered to a
// question comes over the same connection.
func (p pushes) Handle(_ context.Context, u tg.UpdatesClass) error {
	var all []tg.UpdateClass
	switch u := u.(type) {
	case *tg.Updates:
		all = u.Updates
	case *tg.UpdatesCombined:
		all = u.Updates
	case *tg.UpdateShort:
		all = []tg.UpdateClass{u.Update}
	}
	last := int64(0)
	for _, one := range all {
		id := channelOf(one)
		if counted(one) {
			id = -id
		}
		if id == 0 || id == last {
			continue
		}
		last = id
		select {
		case p <- id:
		default:
		}
	}
	return nil
}

// counted says whether an update is an edit that the service calls none: what is
// counted of the post has changed.
func counted(u tg.UpdateClass) bool {
	e, ok := u.(*tg.UpdateEditChannelMessage)
	if !ok {
		return false
	}
	m, ok := e.Message.(*tg.Message)
	return ok && m.EditHide
}

// channelOf is the channel that an update says has moved; 0: it says it of none.
func channelOf(u tg.UpdateClass) int64 {
	switch u := u.(type) {
	case *tg.UpdateNewChannelMessage:
		return channelOfPost(u.Message)
	case *tg.UpdateEditChannelMessage:
		return channelOfPost(u.Message)
	case *tg.UpdateDeleteChannelMessages:
		return u.ChannelID
	case *tg.UpdateChannelTooLong:
		return u.ChannelID
	case *tg.UpdatePinnedChannelMessages:
		return u.ChannelID
	case *tg.UpdateChannelWebPage:
		return u.ChannelID
	case *tg.UpdateChannel: // access, or the channel itself, has changed
		return u.ChannelID
	}
	return 0
}

func channelOfPost(m tg.MessageClass) int64 {
	if m, ok := m.(interface{ GetPeerID() tg.PeerClass }); ok {
		if p, ok := m.GetPeerID().(*tg.PeerChannel); ok {
			return p.ChannelID
		}
	}
	return 0
}
