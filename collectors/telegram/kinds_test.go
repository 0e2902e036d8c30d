package telegram

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/gotd/td/tg"

	"holdfast/collectors/telegram/telegramtest"
)

// TestKinds guards what stands in the line of a post of each kind, over the wire.
func TestKinds(t *testing.T) {
	geo := &tg.GeoPoint{Long: 13.405, Lat: 52.52, AccessHash: 5}
	of := func(m tg.MessageMediaClass) func(*tg.Message) { return func(k *tg.Message) { k.SetMedia(m) } }
	quiz := func(p *tg.Poll) { p.SetQuiz(true); p.SetPublicVoters(true); p.SetCloseDate(1_700_000_000) }
	list := []struct {
		name   string
		change func(*tg.Message)
		want   map[string]string
	}{
		{"via bot", func(m *tg.Message) { m.SetViaBotID(4711) }, map[string]string{"via": `"4711"`}},
		{"buttons", func(m *tg.Message) {
			m.SetReplyMarkup(&tg.ReplyInlineMarkup{Rows: []tg.KeyboardButtonRow{{Buttons: []tg.KeyboardButtonClass{
				&tg.KeyboardButtonURL{Text: "Read", URL: "https://example.org/a"}, &tg.KeyboardButtonCallback{Text: "Vote", Data: []byte("x")}}}}})
		}, map[string]string{"buttons": `[{"kind":"url","text":"Read","url":"https://example.org/a"},{"kind":"callback","text":"Vote"}]`, "links": `["https://example.org/a"]`}},
		{"restricted", func(m *tg.Message) {
			m.SetRestrictionReason([]tg.RestrictionReason{{Platform: "android", Reason: "terms", Text: "not here"}})
		}, map[string]string{"restricted": `["android: terms: not here"]`}},
		{"forward", func(m *tg.Message) {
			f := tg.MessageFwdHeader{Date: 1_700_000_000}
			f.SetFromID(&tg.PeerChannel{ChannelID: 555})
			f.SetChannelPost(12)
			f.SetPostAuthor("Who")
			m.SetFwdFrom(f)
		}, map[string]string{"forward": `{"channel":"555","date":"2023-11-14T22:13:20.000Z","id":12,"name":"Who"}`}},
		{"forward of a person", func(m *tg.Message) {
			f := tg.MessageFwdHeader{Date: 1_700_000_000}
			f.SetFromID(&tg.PeerUser{UserID: 777})
			m.SetFwdFrom(f)
		}, map[string]string{"forward": `{"date":"2023-11-14T22:13:20.000Z"}`}},
		{"ttl", func(m *tg.Message) { m.SetTTLPeriod(86400) }, map[string]string{"ttl": `86400`}},
		{"factcheck", func(m *tg.Message) {
			var f tg.FactCheck
			f.SetCountry("XX")
			f.SetText(tg.TextWithEntities{Text: "It is not so."})
			m.SetFactcheck(f)
		}, map[string]string{"factcheck": `"It is not so."`}},
		{"topic", func(m *tg.Message) {
			h := &tg.MessageReplyHeader{ForumTopic: true}
			h.SetReplyToMsgID(9)
			h.SetReplyToTopID(3)
			m.SetReplyTo(h)
		}, map[string]string{"topic": `3`, "reply_to": `9`}},
		{"poll", of(telegramtest.Poll("Is it?", quiz, "yes", "no")),
			map[string]string{"poll": `{"answers":["yes","no"],"closes":"2023-11-14T22:13:20.000Z","public":true,"question":"Is it?","quiz":true}`, "media": `[{"file":"99","kind":"poll","name":"Is it?"}]`}},
		{"geo", of(&tg.MessageMediaGeo{Geo: geo}), map[string]string{"media": `[{"kind":"geo","place":"52.520000 13.405000"}]`}},
		{"live place", of(&tg.MessageMediaGeoLive{Geo: geo, Period: 60}), map[string]string{"media": `[{"kind":"geolive","place":"52.520000 13.405000"}]`}},
		{"venue", of(&tg.MessageMediaVenue{Geo: geo, Title: "Pier", Address: "4"}), map[string]string{"media": `[{"kind":"venue","name":"Pier 4","place":"52.520000 13.405000"}]`}},
		{"contact", of(&tg.MessageMediaContact{PhoneNumber: "+4930123456", FirstName: "A", LastName: "B", Vcard: "x", UserID: 9}), map[string]string{"media": `[{"kind":"contact","name":"A B"}]`}},
		{"dice", of(&tg.MessageMediaDice{Value: 4, Emoticon: "🎲"}), map[string]string{"media": `[{"kind":"dice","name":"🎲 4"}]`}},
		{"game", of(&tg.MessageMediaGame{Game: tg.Game{ID: 8, Title: "Snake", Photo: &tg.PhotoEmpty{}}}), map[string]string{"media": `[{"file":"8","kind":"game","name":"Snake"}]`}},
		{"invoice", of(&tg.MessageMediaInvoice{Title: "Book", Currency: "EUR", TotalAmount: 900}), map[string]string{"media": `[{"kind":"invoice","name":"Book 900 EUR"}]`}},
		{"giveaway", of(&tg.MessageMediaGiveaway{Channels: []int64{1}, Quantity: 3, UntilDate: 1_700_000_000}), map[string]string{"media": `[{"kind":"giveaway","name":"3"}]`}},
		{"results of a giveaway", of(&tg.MessageMediaGiveawayResults{ChannelID: 1, Winners: []int64{77, 78}, WinnersCount: 2}), map[string]string{"media": `[{"kind":"giveawayresults","name":"2"}]`}},
		{"paid, not paid for", of(&tg.MessageMediaPaidMedia{StarsAmount: 50, ExtendedMedia: []tg.MessageExtendedMediaClass{&tg.MessageExtendedMediaPreview{W: 1, H: 2}}}), map[string]string{"media": `[{"kind":"paid","name":"50"}]`}},
		{"to do", of(&tg.MessageMediaToDo{Todo: tg.TodoList{Title: tg.TextWithEntities{Text: "Work"}}}), map[string]string{"media": `[{"kind":"todo","name":"Work"}]`}},
		{"story", of(&tg.MessageMediaStory{Peer: &tg.PeerChannel{ChannelID: 6}, ID: 2}), map[string]string{"media": `[{"channel":"6","file":"2","kind":"story"}]`}},
		{"not known to the layer", of(&tg.MessageMediaUnsupported{}), map[string]string{"media": `[{"kind":"unsupported"}]`}},
	}
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for _, x := range list {
		ch.Post(x.name, x.change)
	}
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	all := walk(t, c, "telegram:@harbour", Wish{}, nil)
	_, posts := all[1].posts(t)
	said := map[string]map[string]any{}
	for _, p := range posts {
		said[p["text"].(string)] = p
	}
	// what each line has in any case
	usual := map[string]bool{"content": true, "id": true, "kind": true, "posted": true, "text": true, "text_digest": true, "views": true}
	for _, x := range list {
		for member, want := range x.want {
			var v any
			if err := json.Unmarshal([]byte(want), &v); err != nil {
				t.Fatal(err)
			}
			if got := said[x.name][member]; !reflect.DeepEqual(got, v) {
				t.Errorf("%s: %s is %v, want %v", x.name, member, got, want)
			}
		}
		for member, v := range said[x.name] {
			if x.want[member] == "" && !usual[member] {
				t.Errorf("%s: %s is %v, and was not to be there", x.name, member, v)
			}
		}
	}
}

// TestPollVotes guards that votes, and the end of a poll, are no edit, and that
// another answer is one.
func TestPollVotes(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ask := func(answers ...string) func(*tg.Message) {
		return func(m *tg.Message) {
			m.SetMedia(telegramtest.Poll("Is it?", func(p *tg.Poll) { p.SetQuiz(true) }, answers...))
		}
	}
	ch.Post("", ask("yes", "no"))
	ch.Post("", ask("yes", "no", "perhaps"))
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	look := func() (map[string]any, map[string]any) {
		_, posts := walk(t, c, "telegram:@harbour", Wish{}, nil)[1].posts(t)
		return posts[1], posts[0]
	}
	before, other := look()
	ch.Vote(1, true, 4, 5)
	after, _ := look()
	if before["content"] != after["content"] || before["content"] == other["content"] {
		t.Errorf("contents %v, %v; of another question %v", before["content"], after["content"], other["content"])
	}
	want := map[string]any{"answers": []any{"yes", "no"}, "closed": true, "correct": []any{0.0}, "question": "Is it?", "quiz": true, "voters": 9.0, "votes": []any{4.0, 5.0}}
	if !reflect.DeepEqual(after["poll"], want) {
		t.Errorf("the poll is %v, want %v", after["poll"], want)
	}
}
