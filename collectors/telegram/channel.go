package telegram

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/tl"
)

// channelState is channel.json: what the service says of the channel. Members
// stand in canonical order; what is empty is left out.
type channelState struct {
	About      canon.Text   `json:"about,omitempty"`
	Channel    string       `json:"channel"`
	Created    string       `json:"created,omitempty"`
	Fake       bool         `json:"fake,omitempty"`
	Group      bool         `json:"group,omitempty"` // whoever is in it may write
	Kind       string       `json:"kind"`
	Linked     string       `json:"linked,omitempty"` // the channel of its discussion
	Members    int          `json:"members,omitempty"`
	Names      []string     `json:"names,omitempty"`
	Photo      string       `json:"photo,omitempty"`
	PinnedPost int          `json:"pinned_post,omitempty"`
	PTS        int          `json:"pts,omitempty"`
	Received   string       `json:"received"`
	Restricted []canon.Text `json:"restricted,omitempty"`
	Scam       bool         `json:"scam,omitempty"`
	Title      canon.Text   `json:"title"`
	Training   bool         `json:"training"`
	Verified   bool         `json:"verified,omitempty"`
	Version    int          `json:"version"`
}

// channel asks who has the name, and what the service says of that channel.
func (t *act) channel(ctx context.Context) error {
	x, bad, err := t.ask(ctx, &tg.ContactsResolveUsernameRequest{Username: t.name.Channel})
	if err != nil {
		return err
	}
	if bad != nil {
		return t.fail("resolve.", x, bad)
	}
	ch, person := t.resolved(x)
	if person { // whose record is not kept
		x.Answer = nil
	}
	all, err := t.c.exchangeOf("resolve.", x, nil)
	if err != nil {
		return err
	}
	t.pieces = append(t.pieces, all...)
	if ch == nil {
		return nil
	}
	return t.about(ctx, ch)
}

// about asks what the service says of a channel that was found.
func (t *act) about(ctx context.Context, ch *tg.Channel) error {
	x, bad, err := t.ask(ctx, &tg.ChannelsGetFullChannelRequest{Channel: &tg.InputChannel{ChannelID: ch.ID, AccessHash: ch.AccessHash}})
	if err != nil {
		return err
	}
	if bad != nil {
		return t.fail("channel.", x, bad)
	}
	all, err := t.c.exchangeOf("channel.", x, nil)
	if err != nil {
		return err
	}
	t.pieces = append(t.pieces, all...)
	if err := t.full(x, ch); err != nil {
		return err
	}
	if err := t.photo(ctx, x.Answer, ch); err != nil {
		return err
	}
	if err := t.besides(ch); err != nil {
		return err
	}
	t.a.Next, err = t.cur.begin(t, ch).next()
	return err
}

// resolved finds the channel in the answer; nil, with the reason, if there is none.
// person: it is somebody's name, or may be.
func (t *act) resolved(x *Exchange) (ch *tg.Channel, person bool) {
	peer, chats, err := readResolved(x.Answer)
	p, ok := peer.(*tg.PeerChannel)
	switch {
	case peer != nil && !ok:
		t.reject("not-a-channel", fmt.Sprintf("@%s is the name of a person or a program, not of a channel; the answer was not kept", t.name.Channel))
		return nil, true
	case err != nil:
		t.reject("unread", fmt.Sprintf("who has the name cannot be read from the answer, which is kept as it came: %v", err))
		return nil, false
	}
	for _, k := range chats {
		if ch, ok := k.(*tg.Channel); ok && ch.ID == p.ChannelID {
			t.member = memberOf(ch)
			if t.cur.Channel == 0 || t.cur.Channel == ch.ID {
				return ch, false
			}
			t.reject("another-channel", fmt.Sprintf("@%s is the name of another channel now: it was %d, and is %d", t.name.Channel, t.cur.Channel, ch.ID))
			return nil, false
		}
	}
	t.reject("channel-private", fmt.Sprintf("@%s cannot be read by this account", t.name.Channel))
	return nil, false
}

// readResolved reads an answer of contacts.resolveUsername. Whose name it is stands
// in front, so it is known also of an answer that cannot be read to its end; peer
// is nil where not even that can be read.
func readResolved(answer []byte) (peer tg.PeerClass, chats []tg.ChatClass, err error) {
	var r tg.ContactsResolvedPeer
	if err = tl.Decode(answer, &r); err == nil {
		return r.Peer, r.Chats, nil
	}
	b := bin.Buffer{Buf: answer}
	if b.ConsumeID(tg.ContactsResolvedPeerTypeID) == nil {
		if p, perr := tg.DecodePeer(&b); perr == nil {
			peer = p
		}
	}
	return peer, nil, err
}

// full derives channel.json, and the same in the words of the schema.
func (t *act) full(x *Exchange, ch *tg.Channel) error {
	var f tg.MessagesChatFull
	if err := tl.Decode(x.Answer, &f); err != nil {
		t.partial(collectors.Reason{Code: "unread", Detail: fmt.Sprintf("what is said of the channel cannot be read: %v", err)})
		return nil
	}
	if ch.Title == "" && !slices.ContainsFunc(f.Chats, func(k tg.ChatClass) bool { return k.GetID() == ch.ID }) {
		t.partial(collectors.Reason{Code: "unread", Detail: "the answer says nothing of the channel"})
		return nil
	}
	for _, k := range f.Chats { // newer than the first answer's, if it is there
		if c, ok := k.(*tg.Channel); ok && c.ID == ch.ID {
			ch, t.member = c, memberOf(c)
		}
	}
	s := channelState{Channel: number(ch.ID), Created: unix(ch.Date), Fake: ch.Fake, Group: ch.Megagroup, Kind: RoleChannel, Members: max(ch.ParticipantsCount, 0),
		Names: namesOf(ch), Received: stamp(x.Received), Scam: ch.Scam, Title: canon.Text(ch.Title), Training: t.c.o.Training, Verified: ch.Verified, Version: 1}
	for _, r := range ch.RestrictionReason {
		if len(s.Restricted) < maxListed {
			s.Restricted = append(s.Restricted, canon.Text(r.Platform+": "+r.Reason+": "+r.Text))
		}
	}
	if full, ok := f.FullChat.(*tg.ChannelFull); ok {
		s.About, s.Linked, s.PinnedPost, s.PTS = canon.Text(full.About), number(full.LinkedChatID), max(full.PinnedMsgID, 0), max(full.Pts, 0)
		s.Members, t.pts = max(s.Members, full.ParticipantsCount), s.PTS
		if p, ok := full.ChatPhoto.(*tg.Photo); ok {
			s.Photo = number(p.ID)
		}
	}
	b, err := canon.Marshal(s)
	if err != nil {
		return err
	}
	t.pieces = append(t.pieces, piece{name: nameChannel, role: RoleChannel, media: typeJSON, b: b, from: "channel." + nameAnswer, action: "normalise"})
	words, err := tl.AppendJSON(nil, &f)
	if err != nil {
		t.partial(collectors.Reason{Code: "not-normalised", Detail: err.Error()})
		return nil
	}
	t.pieces = append(t.pieces, piece{name: "channel.schema.json", role: RoleSchema, media: typeJSON, b: words, from: "channel." + nameAnswer, action: "schema-json"})
	return nil
}
