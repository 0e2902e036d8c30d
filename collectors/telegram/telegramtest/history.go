package telegramtest

import (
	"slices"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// maxPage is the service's own bound on messages in one answer.
const maxPage = 100

// list is messages.channelMessages of messages that are encoded already.
type list struct {
	pts, count int
	messages   []raw
	chats      []raw
	users      []raw
}

// Encode implements bin.Encoder.
func (l list) Encode(b *bin.Buffer) error {
	b.PutID(tg.MessagesChannelMessagesTypeID)
	b.PutUint32(0) // flags
	b.PutInt(l.pts)
	b.PutInt(l.count)
	putAll(b, l.messages)
	putAll(b, nil) // topics
	putAll(b, l.chats)
	putAll(b, l.users)
	return nil
}

func putAll(b *bin.Buffer, list []raw) {
	b.PutVectorHeader(len(list))
	for _, r := range list {
		b.Put(r)
	}
}

// difference is updates.channelDifference likewise.
type difference struct {
	final        bool
	pts, timeout int
	fresh, other []raw
	chats        []raw
}

// Encode implements bin.Encoder.
func (d difference) Encode(b *bin.Buffer) error {
	flags := bin.Fields(2)
	if d.final {
		flags |= 1
	}
	if len(d.fresh)+len(d.other) == 0 {
		b.PutID(tg.UpdatesChannelDifferenceEmptyTypeID)
	} else {
		b.PutID(tg.UpdatesChannelDifferenceTypeID)
	}
	b.PutUint32(uint32(flags))
	b.PutInt(d.pts)
	b.PutInt(d.timeout)
	if len(d.fresh)+len(d.other) > 0 {
		putAll(b, d.fresh)
		putAll(b, d.other)
		putAll(b, d.chats)
		putAll(b, nil)
	}
	return nil
}

// find returns the channel that a request names, or the error for it.
func (w *World) find(in tg.InputChannelClass) (*Channel, error) {
	c, ok := in.(*tg.InputChannel)
	if !ok {
		return nil, tgerr.New(400, "CHANNEL_INVALID")
	}
	ch := w.channels[c.ChannelID]
	switch {
	case ch == nil || ch.AccessHash != c.AccessHash:
		return nil, tgerr.New(400, "CHANNEL_INVALID")
	case ch.gone != "":
		return nil, tgerr.New(400, ch.gone)
	}
	return ch, nil
}

// history is messages.getHistory: newest first, those before offset_id, moved by
// add_offset (negative: towards the newer).
func (w *World) history(r *tg.MessagesGetHistoryRequest) (bin.Encoder, error) {
	peer, ok := r.Peer.(*tg.InputPeerChannel)
	if !ok {
		return nil, tgerr.New(400, "PEER_ID_INVALID")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.find(&tg.InputChannel{ChannelID: peer.ChannelID, AccessHash: peer.AccessHash})
	if err != nil {
		return nil, err
	}
	from, to := 0, len(c.order) // ascending: those that are asked for at all
	if r.MinID > 0 {
		from, _ = slices.BinarySearch(c.order, r.MinID+1)
	}
	if r.MaxID > 0 {
		to, _ = slices.BinarySearch(c.order, r.MaxID)
	}
	top := to // behind the newest that is told
	if r.OffsetID > 0 {
		top, _ = slices.BinarySearch(c.order, r.OffsetID)
	}
	if r.OffsetDate > 0 { // those from before that time
		top = 0
		for top < to && c.dateOf(c.order[top]) < r.OffsetDate {
			top++
		}
	}
	top = min(max(top-r.AddOffset, from), to)
	bottom := max(top-min(max(r.Limit, 1), maxPage), from)
	l := list{pts: c.pts, count: len(c.bytes), chats: []raw{encoded(c.chat())}}
	for i := top - 1; i >= bottom; i-- {
		l.messages = append(l.messages, c.bytes[c.order[i]])
	}
	return l, nil
}

// dateOf is when a message was posted.
func (c *Channel) dateOf(id int) int {
	if m := c.messages[id]; m != nil {
		return m.Date
	}
	return 0
}

// byID is channels.getMessages: what is not there is messageEmpty.
func (w *World) byID(r *tg.ChannelsGetMessagesRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.find(r.Channel)
	if err != nil {
		return nil, err
	}
	if len(r.ID) > maxPage {
		return nil, tgerr.New(400, "MSG_IDS_TOO_MANY") // the service cuts the list or refuses it
	}
	l := list{pts: c.pts, count: len(r.ID), chats: []raw{encoded(c.chat())}}
	for _, in := range r.ID {
		id, ok := in.(*tg.InputMessageID)
		if !ok {
			return nil, tgerr.New(400, "MESSAGE_IDS_INVALID")
		}
		b := c.bytes[id.ID]
		if b == nil {
			b = encoded(&tg.MessageEmpty{ID: id.ID})
		}
		l.messages = append(l.messages, b)
	}
	return l, nil
}

// channelDifference tells what happened since a pts: as the service does, new
// messages apart from all else, and each message in its present state.
func (w *World) channelDifference(r *tg.UpdatesGetChannelDifferenceRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.find(r.Channel)
	if err != nil {
		return nil, err
	}
	if r.Pts < 1 || r.Limit < 1 || r.Pts > c.pts {
		return nil, tgerr.New(400, "PERSISTENT_TIMESTAMP_INVALID")
	}
	if r.Pts < c.horizon {
		return c.tooLong(), nil
	}
	d := difference{final: true, pts: c.pts, timeout: c.timeout, chats: []raw{encoded(c.chat())}}
	told := 0
	for _, u := range c.updates {
		if u.pts <= r.Pts {
			continue
		}
		if told++; told > min(r.Limit, maxPage) {
			d.final = false
			break
		}
		d.pts = u.pts
		if m := c.state(u); u.fresh && m != nil {
			d.fresh = append(d.fresh, m)
		} else if one := c.update(u); !u.fresh && one != nil {
			d.other = append(d.other, one)
		}
	}
	if d.final {
		d.pts = c.pts
	}
	return d, nil
}

// state is the message that an update is about, as it is told; nil: it is not.
func (c *Channel) state(u update) raw {
	if c.verbatim {
		return u.then
	}
	return c.bytes[u.id]
}

// update is an update as it is told; nil: it is not.
func (c *Channel) update(u update) raw {
	if u.id == 0 {
		return u.other
	}
	m := c.state(u)
	if m == nil {
		return nil
	}
	var b bin.Buffer
	if b.PutID(tg.UpdateEditChannelMessageTypeID); u.fresh {
		b.Buf = b.Buf[:0]
		b.PutID(tg.UpdateNewChannelMessageTypeID)
	}
	b.Put(m)
	b.PutInt(u.pts)
	b.PutInt(u.count)
	return raw(b.Buf)
}

// tooLong has the newest messages in it, as the service's has.
func (c *Channel) tooLong() bin.Encoder {
	d := &tg.Dialog{Peer: &tg.PeerChannel{ChannelID: c.ID}, TopMessage: c.next - 1}
	d.SetPts(c.pts)
	t := &tg.UpdatesChannelDifferenceTooLong{Final: true, Dialog: d, Chats: []tg.ChatClass{c.chat()}}
	for _, id := range c.order[max(0, len(c.order)-3):] {
		t.Messages = append(t.Messages, clone(c.messages[id]))
	}
	t.SetTimeout(c.timeout)
	return encoded(t)
}
