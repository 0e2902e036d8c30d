package telegram

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
)

// TestResolvedUnread guards what is kept of an answer about a name: one that cannot
// be read is, as it came; a person's is not, whether it can be read or not.
func TestResolvedUnread(t *testing.T) {
	of := func(p tg.PeerClass, k ...tg.ChatClass) []byte {
		var b bin.Buffer
		if err := (&tg.ContactsResolvedPeer{Peer: p, Chats: k}).Encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.Buf
	}
	channel := &tg.Channel{ID: 1234, AccessHash: 7, Title: "Harbour", Photo: &tg.ChatPhotoEmpty{}}
	whole, person := of(&tg.PeerChannel{ChannelID: 1234}, channel), of(&tg.PeerUser{UserID: 5})
	other := of(&tg.PeerChannel{ChannelID: 99}, &tg.Channel{ID: 99, Title: "Other", Photo: &tg.ChatPhotoEmpty{}})
	unknown := slices.Clone(whole)
	copy(unknown[4+12+8:], []byte{0xef, 0xbe, 0xad, 0xde}) // the channel's constructor
	for name, c := range map[string]struct {
		answer []byte
		reason string
		kept   bool
	}{
		"cut":                 {whole[:len(whole)-5], "unread", true},
		"unknown constructor": {unknown, "unread", true},
		"something else":      {[]byte{1, 2, 3, 4, 5, 6, 7, 8}, "unread", true},
		"longer":              {append(slices.Clone(whole), 1, 2, 3, 4), "unread", true},
		"another channel":     {other, "another-channel", true},
		"not to be read":      {of(&tg.PeerChannel{ChannelID: 1234}), "channel-private", true},
		"person":              {person, "not-a-channel", false},
		"person, cut":         {person[:len(person)-4], "not-a-channel", false},
	} {
		l := &Line{Account: "a1", now: time.Now, to: gotd.InvokeFunc(func(_ context.Context, _ bin.Encoder, out bin.Decoder) error {
			return out.Decode(&bin.Buffer{Buf: slices.Clone(c.answer)})
		})}
		opts, _ := json.Marshal(Wish{Follow: true})
		cur, _ := json.Marshal(cursor{Account: "a2", Channel: 1234, Hash: 7, Step: 1})
		req := collectors.Request{Source: "telegram:@harbour", Options: opts}
		if c.reason == "another-channel" {
			req.Cursor = cur // it was found by another account
		}
		k := &collectorstest.Keeper{}
		a, err := NewCollector(CollectorOptions{Line: l}).Collect(t.Context(), req, k)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := collectorstest.Check(a, k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := step{a, k}
		kept := slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "resolve.answer.tl" })
		if a.Outcome != collectors.Failed || !s.reason(c.reason) || kept != c.kept || kept && !bytes.Equal(s.object(t, "resolve.answer.tl"), c.answer) {
			t.Errorf("%s: %s %v, kept: %t", name, a.Outcome, a.Reasons, kept)
		}
	}
}
