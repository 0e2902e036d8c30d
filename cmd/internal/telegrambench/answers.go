package telegrambench

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"holdfast/cmd/internal/cputime"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
	"holdfast/tl"
)

// PageSize is how many messages the service puts into one answer.
const PageSize = 100

// postText makes the i-th post of a channel; of every few one has marks, and one a
// document.
func postText(i int, document tg.MessageMediaClass) (text string, change func(*tg.Message)) {
	return fmt.Sprintf("Fire at the harbour, report %d. %s", i, strings.Repeat("Людям сказали уйти. ", i%5)), func(m *tg.Message) {
		m.SetViews(i)
		m.SetForwards(i / 7)
		if i%5 == 0 {
			m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityBold{Offset: 0, Length: 4}, &tg.MessageEntityTextURL{Offset: 8, Length: 3, URL: "https://example.org/a"}})
		}
		if i%4 == 0 {
			m.SetMedia(document)
		}
	}
}

// Fill makes the channel @harbour of so many messages.
func Fill(w *telegramtest.World, count int) {
	ch := w.Channel(1234, "harbour", "Harbour news")
	document := w.Document(7, "harbour.jpg", "image/jpeg", make([]byte, 1000))
	for i := range count {
		text, change := postText(i, document)
		ch.Post(text, change)
	}
}

// rawAnswers are answers as they come, of so many messages in all.
func rawAnswers(count int) (raw [][]byte, err error) {
	document := telegramtest.NewWorld().Document(7, "harbour.jpg", "image/jpeg", make([]byte, 1000))
	for len(raw)*PageSize < count {
		a := &tg.MessagesChannelMessages{Pts: count, Count: count, Chats: []tg.ChatClass{&tg.Channel{ID: 1234, Title: "Harbour news", Photo: &tg.ChatPhotoEmpty{}, Broadcast: true}}}
		for k := range PageSize {
			text, change := postText(len(raw)*PageSize+k, document)
			m := &tg.Message{ID: len(raw)*PageSize + k + 1, Post: true, PeerID: &tg.PeerChannel{ChannelID: 1234}, Date: 1_700_000_000, Message: text}
			change(m)
			a.Messages = append(a.Messages, m)
		}
		var b bin.Buffer
		if err := a.Encode(&b); err != nil {
			return nil, err
		}
		raw = append(raw, b.Buf)
	}
	return raw, nil
}

// Answers times the reading of so many answers, rounded up to whole pages: where each
// message lies in the bytes, what it is, and its digest; and, in turn, gotd's decoder by
// itself, which is the limit. Both are messages per CPU-second.
func Answers(count int) (rate, limit float64, err error) {
	raw, err := rawAnswers(count)
	if err != nil {
		return 0, 0, err
	}
	messages := float64(len(raw) * PageSize)
	var ours, bare cputime.Span
	const times = 20 // in turn, so that what else the machine does falls on both
	for range times {
		ours.Add(func() {
			for _, b := range raw {
				a, serr := tl.Split(b)
				if serr != nil || len(a.Messages) != PageSize || a.Unread != nil {
					err = errors.Join(errors.New("an answer was not read whole"), serr)
					return
				}
				hashing.Of(b)
				for _, m := range a.Messages {
					hashing.Of(m.In(b))
				}
			}
		})
		bare.Add(func() {
			for _, b := range raw {
				if _, derr := tg.DecodeMessagesMessages(&bin.Buffer{Buf: b}); derr != nil {
					err = derr
					return
				}
			}
		})
	}
	if err != nil {
		return 0, 0, err
	}
	return times * messages / ours.CPU.Seconds(), times * messages / bare.CPU.Seconds(), nil
}
