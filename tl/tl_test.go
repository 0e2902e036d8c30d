package tl

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/hashing"
)

// post is a message with a bit of everything.
func post(id int) *tg.Message {
	m := &tg.Message{ID: id, Post: true, PeerID: &tg.PeerChannel{ChannelID: 1 << 40}, Date: 1_700_000_000 + id,
		Message: "مرحبا \"quoted\" \\ line\nnext \x01 😀 " + strings.Repeat("x", id%7)}
	m.SetViews(100 + id)
	m.SetForwards(id)
	m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityTextURL{Offset: 0, Length: 5, URL: "https://example.org/a"}, &tg.MessageEntityBold{Offset: 1, Length: 2}})
	photo := &tg.Photo{ID: int64(id) << 33, AccessHash: math.MinInt64, FileReference: []byte{1, 2, 3, byte(id)}, Date: 1, DCID: 2,
		Sizes: []tg.PhotoSizeClass{&tg.PhotoSize{Type: "x", W: 800, H: 600, Size: 12345}}}
	media := &tg.MessageMediaPhoto{}
	media.SetPhoto(photo)
	m.SetMedia(media)
	m.SetReactions(tg.MessageReactions{Results: []tg.ReactionCount{{Reaction: &tg.ReactionEmoji{Emoticon: "👍"}, Count: id}}})
	fwd := tg.MessageFwdHeader{Date: 5}
	fwd.SetFromName("somebody")
	m.SetFwdFrom(fwd)
	m.SetGroupedID(77)
	return m
}

type object = tdp.Object

func encode(t testing.TB, e bin.Encoder) []byte {
	t.Helper()
	var b bin.Buffer
	if err := e.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Raw()
}

func page(n int) *tg.MessagesChannelMessages {
	p := &tg.MessagesChannelMessages{Pts: 4711, Count: 90_000,
		Chats: []tg.ChatClass{&tg.Channel{ID: 1 << 40, Title: "A channel", Photo: &tg.ChatPhotoEmpty{}, Date: 9, Broadcast: true}}}
	for i := range n {
		switch i % 10 {
		case 3:
			p.Messages = append(p.Messages, &tg.MessageEmpty{ID: i + 1})
		case 5:
			p.Messages = append(p.Messages, &tg.MessageService{ID: i + 1, PeerID: &tg.PeerChannel{ChannelID: 1 << 40}, Date: 7, Action: &tg.MessageActionChannelCreate{Title: "A channel"}})
		default:
			p.Messages = append(p.Messages, post(i+1))
		}
	}
	return p
}

func difference(t testing.TB) *tg.UpdatesChannelDifference {
	d := &tg.UpdatesChannelDifference{Pts: 90, Final: true, NewMessages: []tg.MessageClass{post(8)}, OtherUpdates: []tg.UpdateClass{
		&tg.UpdateEditChannelMessage{Message: post(3), Pts: 88, PtsCount: 1},
		&tg.UpdateDeleteChannelMessages{ChannelID: 1 << 40, Messages: []int{1, 2, 4}, Pts: 90, PtsCount: 3},
		&tg.UpdateChannelMessageViews{ChannelID: 1 << 40, ID: 3, Views: 9},
	}}
	d.SetTimeout(30)
	return d
}

// TestSplit guards the promise that a span is exactly the bytes of its message:
// each is decoded again by itself, and nothing between them is left out.
func TestSplit(t *testing.T) {
	slice := &tg.MessagesMessagesSlice{Count: 5, Messages: page(12).Messages, SearchFlood: tg.SearchPostsFlood{TotalDaily: 3}}
	slice.SetNextRate(4)
	slice.SetOffsetIDOffset(1)
	slice.SetSearchFlood(slice.SearchFlood)
	long := &tg.UpdatesChannelDifferenceTooLong{Final: true, Dialog: &tg.Dialog{Peer: &tg.PeerChannel{ChannelID: 5}, Pts: 1234, NotifySettings: tg.PeerNotifySettings{}}, Messages: page(3).Messages}
	long.Dialog.(*tg.Dialog).SetPts(1234)
	for _, c := range []struct {
		e        bin.Encoder
		typ      string
		messages int
		want     func(a *Answer) bool
	}{
		{page(100), "messages.channelMessages", 100, func(a *Answer) bool { return a.PTS == 4711 && a.Total == 90_000 && len(a.Chats) == 1 }},
		{slice, "messages.messagesSlice", 12, func(a *Answer) bool { return a.Total == 5 }},
		{&tg.MessagesMessages{Messages: page(2).Messages}, "messages.messages", 2, func(a *Answer) bool { return a.Total == 0 }},
		{&tg.MessagesMessagesNotModified{Count: 8}, "messages.messagesNotModified", 0, func(a *Answer) bool { return a.Total == 8 }},
		{difference(t), "updates.channelDifference", 1, func(a *Answer) bool {
			return a.PTS == 90 && a.Timeout == 30 && a.Final && len(a.Updates) == 3 && a.Updates[0].Message.GetID() == 3 && a.Updates[0].PTS == 88 &&
				len(a.Updates[1].Deleted) == 3 && a.Updates[1].Channel == 1<<40 && a.Updates[2].Type == "updateChannelMessageViews"
		}},
		{&tg.UpdatesChannelDifferenceEmpty{Pts: 91, Final: true}, "updates.channelDifferenceEmpty", 0, func(a *Answer) bool { return a.PTS == 91 && a.Final }},
		{long, "updates.channelDifferenceTooLong", 3, func(a *Answer) bool { return a.TooLong && a.PTS == 1234 }},
	} {
		raw := encode(t, c.e)
		a, err := Split(raw)
		if err != nil || a.Unread != nil || a.Type != c.typ || a.Read != len(raw) || len(a.Messages) != c.messages || !c.want(a) {
			t.Errorf("%s: %v, %v, read %d of %d, %d messages, %+v", c.typ, err, a.Unread, a.Read, len(raw), len(a.Messages), a)
			continue
		}
		end := 0
		for i, m := range a.Messages {
			again, err := tg.DecodeMessage(&bin.Buffer{Buf: m.In(raw)})
			if err != nil || again.GetID() != m.ID || !bytes.Equal(encode(t, again), m.In(raw)) || i > 0 && m.Offset != end {
				t.Errorf("%s: message %d at %+v, after %d: %v", c.typ, m.ID, m.Span, end, err)
			}
			end = m.Offset + m.Length
		}
	}
	if !bytes.Equal(encode(t, page(5)), encode(t, page(5))) {
		t.Error("the test's own pages differ")
	}
}

// TestSplitUnknown guards what an unknown constructor may cost: the messages
// before it are there, the place is named, and the bytes are whole.
func TestSplitUnknown(t *testing.T) {
	raw := encode(t, page(20))
	a, _ := Split(raw)
	at := a.Messages[9].Span
	binary.LittleEndian.PutUint32(raw[at.Offset:], 0xdeadbeef)
	a, err := Split(raw)
	var unknown *bin.UnexpectedIDErr
	if err != nil || !errors.Is(a.Unread, ErrUnread) || len(a.Messages) != 9 || a.Read != at.Offset || !errors.As(a.Unread, &unknown) || unknown.ID != 0xdeadbeef {
		t.Errorf("%v: %v, %d messages, read to %d, want %d", err, a.Unread, len(a.Messages), a.Read, at.Offset)
	}
	for _, bad := range [][]byte{nil, {1}, {1, 2, 3, 4}, encode(t, &tg.Message{PeerID: &tg.PeerUser{}}), make([]byte, MaxAnswer+1)} {
		if a, err := Split(bad); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d bytes: %+v, %v", len(bad), a, err)
		}
	}
	if a, err := Split(append(encode(t, page(1)), 0, 0, 0, 0)); err != nil || a.Unread == nil || len(a.Messages) != 1 {
		t.Errorf("bytes behind the end: %v, %v", err, a.Unread)
	}
}

// TestSplitCut reads every beginning of an answer.
func TestSplitCut(t *testing.T) {
	for _, e := range []bin.Encoder{page(6), difference(t)} {
		raw := encode(t, e)
		for n := 4; n < len(raw); n++ {
			a, err := Split(raw[:n:n])
			if err != nil || !errors.Is(a.Unread, ErrUnread) || a.Read > n {
				t.Fatalf("%d of %d bytes: %v, %v", n, len(raw), err, a.Unread)
			}
		}
	}
}

// TestSplitDeep guards the process: nesting as deep as the bytes allow is read
// or refused, and no count makes memory for what is not there.
func TestSplitDeep(t *testing.T) {
	m := post(1)
	web := &tg.WebPage{URL: "u", DisplayURL: "u"}
	web.SetCachedPage(tg.Page{URL: "u", Blocks: []tg.PageBlockClass{&tg.PageBlockTitle{Text: &tg.TextEmpty{}}}})
	m.SetMedia(&tg.MessageMediaWebPage{Webpage: web})
	raw := encode(t, &tg.MessagesMessages{Messages: []tg.MessageClass{m}})
	var empty, bold [4]byte
	binary.LittleEndian.PutUint32(empty[:], tg.TextEmptyTypeID)
	binary.LittleEndian.PutUint32(bold[:], tg.TextBoldTypeID)
	i := bytes.Index(raw, empty[:])
	if i < 0 {
		t.Fatal("no rich text in the message")
	}
	nested := func(levels int) *Answer {
		a, err := Split(bytes.Join([][]byte{raw[:i], bytes.Repeat(bold[:], levels), raw[i:]}, nil))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := nested((MaxAnswer - len(raw)) / 4); !errors.Is(a.Unread, ErrUnread) || !errors.Is(a.Unread, ErrDepth) {
		t.Errorf("a million levels: %v", a.Unread)
	}
	a := nested(maxNest - 100)
	if a.Unread != nil || len(a.Messages) != 1 {
		t.Fatalf("%d levels: %v", maxNest, a.Unread)
	}
	if _, err := AppendJSON(nil, a.Messages[0].TL.(object)); !errors.Is(err, ErrDepth) {
		t.Errorf("%d levels as JSON: %v", maxNest, err)
	}
	if _, err := Content(a.Messages[0].TL); err != nil {
		t.Errorf("the content has no preview in it: %v", err)
	}
	huge := encode(t, &tg.MessagesMessages{})
	binary.LittleEndian.PutUint32(huge[8:], math.MaxInt32)
	if a, err := Split(huge); err != nil || a.Unread == nil {
		t.Errorf("2 billion messages: %v, %v", err, a.Unread)
	}
}

// TestJSON guards the words of the schema, and that a reader of JSON gets back
// what was sent.
func TestJSON(t *testing.T) {
	raw := encode(t, &tg.MessagesMessages{Messages: []tg.MessageClass{post(3)}})
	a, _ := Split(raw)
	b, err := AppendJSON(nil, a.Messages[0].TL.(*tg.Message))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	peer, media := got["peer_id"].(map[string]any), got["media"].(map[string]any)
	photo := media["photo"].(map[string]any)
	if got["_"] != "message" || got["post"] != true || got["out"] != nil || got["message"] != post(3).Message || peer["channel_id"] != "1099511627776" ||
		photo["access_hash"] != "-9223372036854775808" || photo["file_reference"] != "AQIDAw==" || got["views"] != 103.0 || got["grouped_id"] != "77" || got["edit_date"] != nil {
		t.Errorf("%s", b)
	}
	b, err = AppendJSON(nil, &tg.PeerChannel{ChannelID: 5})
	if string(b) != `{"_":"peerChannel","channel_id":"5"}` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	b, _ = AppendJSON(nil, &tg.MessageActionChatEditTitle{Title: "a\xff"})
	if string(b) != `{"_":"messageActionChatEditTitle","title":{"_":"bytes","base64":"Yf8="}}` {
		t.Errorf("%s", b)
	}
}

// TestWriter: a Writer that remembers types writes each object as one that has seen
// none, whatever it was asked for before.
func TestWriter(t *testing.T) {
	var w Writer
	for range 3 {
		for _, m := range page(30).Messages {
			d, err := tg.DecodeMessage(&bin.Buffer{Buf: encode(t, m)})
			if err != nil {
				t.Fatal(err)
			}
			want, err := AppendJSON(nil, d.(object))
			if err != nil {
				t.Fatal(err)
			}
			digest, err := Content(d)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := w.Content(d); got != digest || err != nil {
				t.Errorf("content of %d is %s, want %s: %v", d.GetID(), got, digest, err)
			}
			if got, err := w.AppendJSON([]byte("x"), d.(object)); string(got) != "x"+string(want) || err != nil {
				t.Errorf("%s, want x%s: %v", got, want, err)
			}
		}
	}
}

// TestContent guards the line between an edit and what is none.
func TestContent(t *testing.T) {
	content := func(change func(m *tg.Message)) hashing.Digest {
		m := post(3)
		change(m)
		d, err := tg.DecodeMessage(&bin.Buffer{Buf: encode(t, m)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Content(d)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	photo := func(m *tg.Message) *tg.Photo { return m.Media.(*tg.MessageMediaPhoto).Photo.(*tg.Photo) }
	same := content(func(*tg.Message) {})
	for name, change := range map[string]func(*tg.Message){
		"views": func(m *tg.Message) { m.SetViews(1e6) }, "forwards": func(m *tg.Message) { m.SetForwards(1e6) },
		"reaction": func(m *tg.Message) {
			m.SetReactions(tg.MessageReactions{})
			m.SetEditDate(1_800_000_000)
			m.EditHide = true
		},
		"replies":   func(m *tg.Message) { m.SetReplies(tg.MessageReplies{Replies: 9, Comments: true}) },
		"reference": func(m *tg.Message) { photo(m).FileReference = []byte("other") },
		"hash":      func(m *tg.Message) { photo(m).AccessHash = 1 }, "pinned": func(m *tg.Message) { m.Pinned = true },
		"sizes": func(m *tg.Message) { photo(m).Sizes = nil },
	} {
		if content(change) != same {
			t.Errorf("%s: taken for an edit", name)
		}
	}
	for name, change := range map[string]func(*tg.Message){
		"text": func(m *tg.Message) { m.Message += "!" }, "entity": func(m *tg.Message) { m.Entities[1].(*tg.MessageEntityBold).Length++ },
		"link":  func(m *tg.Message) { m.Entities[0].(*tg.MessageEntityTextURL).URL += "?" },
		"media": func(m *tg.Message) { photo(m).ID++ }, "no media": func(m *tg.Message) { m.Media = nil; m.Flags.Unset(9) },
		"markup": func(m *tg.Message) { m.SetReplyMarkup(&tg.ReplyKeyboardHide{}) }, "forward": func(m *tg.Message) { m.FwdFrom.SetFromName("other") },
		"author": func(m *tg.Message) { m.SetPostAuthor("x") }, "album": func(m *tg.Message) { m.SetGroupedID(78) },
		"restricted": func(m *tg.Message) { m.SetRestrictionReason([]tg.RestrictionReason{{Platform: "all", Reason: "x"}}) },
	} {
		if content(change) == same {
			t.Errorf("%s: an edit that is not seen", name)
		}
	}
	if d, err := Content(&tg.MessageEmpty{ID: 3}); err != nil || d != hashing.Of(nil) {
		t.Errorf("messageEmpty: %s, %v", d, err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, e := range append(itemAnswers(), page(3), difference(f), &tg.UpdatesChannelDifferenceEmpty{}, &tg.MessagesMessagesSlice{}) {
		f.Add(encode(f, e))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		a, err := Split(raw)
		if !bytes.Equal(before, raw) {
			t.Fatal("the answer was changed")
		}
		if err != nil {
			return
		}
		end := 4
		for _, i := range a.Items {
			if i.Offset < end || i.Length < 4 || i.Offset+i.Length > a.Read || a.Read > len(raw) {
				t.Fatalf("%+v after %d, read %d of %d", i.Span, end, a.Read, len(raw))
			}
			end = i.Offset + i.Length
			if b, err := AppendJSON(nil, i.TL); err == nil && !json.Valid(b) {
				t.Fatalf("not JSON: %s", b)
			}
			if s, ok := i.TL.(*tg.StoryItem); ok {
				if _, err := StoryContent(s); err != nil && !errors.Is(err, ErrDepth) {
					t.Fatal(err)
				}
			}
		}
		for _, m := range a.Messages {
			if m.Offset < end || m.Length < 4 || m.Offset+m.Length > a.Read || a.Read > len(raw) {
				t.Fatalf("%+v after %d, read %d of %d", m.Span, end, a.Read, len(raw))
			}
			end = m.Offset + m.Length
			if b, err := AppendJSON(nil, m.TL.(object)); err == nil && !json.Valid(b) {
				t.Fatalf("not JSON: %s", b)
			}
			if _, err := Content(m.TL); err != nil && !errors.Is(err, ErrDepth) {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkSplit is one core's decoding and hashing of each message by itself.
func BenchmarkSplit(b *testing.B) {
	small := &tg.MessagesChannelMessages{}
	for i := range 100 {
		m := &tg.Message{ID: i + 1, Post: true, PeerID: &tg.PeerChannel{ChannelID: 1 << 40}, Date: 1, Message: strings.Repeat("word ", 30)}
		m.SetViews(4)
		m.SetForwards(4)
		small.Messages = append(small.Messages, m)
	}
	raw := encode(b, small)
	for _, c := range []struct {
		name string
		do   func(Message)
	}{
		{"hash", func(m Message) { sha256.Sum256(m.In(raw)) }},
		{"content", func(m Message) { Content(m.TL) }},
		{"json", func(m Message) { AppendJSON(nil, m.TL.(object)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				a, err := Split(raw)
				if err != nil || len(a.Messages) != 100 {
					b.Fatal(err)
				}
				for _, m := range a.Messages {
					c.do(m)
				}
			}
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(len(raw))/100, "B/msg")
		})
	}
}
