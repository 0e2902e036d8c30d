package tl

import (
	"bytes"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"holdfast/hashing"
)

// itemAnswers are answers of topics, of a discussion and of stories.
func itemAnswers() []bin.Encoder {
	s := &tg.StoryItem{ID: 4, Date: 1_700_000_000, ExpireDate: 1_700_086_400, Media: &tg.MessageMediaEmpty{}}
	s.SetCaption("Fire")
	d := &tg.MessagesDiscussionMessage{Messages: []tg.MessageClass{post(3)}, UnreadCount: 2}
	d.SetMaxID(9)
	d.SetReadInboxMaxID(8)
	stories := &tg.StoriesStories{Count: 3, Stories: []tg.StoryItemClass{s, &tg.StoryItemDeleted{ID: 5}, &tg.StoryItemSkipped{ID: 6, Date: 1, ExpireDate: 2}}}
	stories.SetPinnedToTop([]int{4})
	of := tg.PeerStories{Peer: &tg.PeerChannel{ChannelID: 7}, Stories: stories.Stories}
	of.SetMaxReadID(1)
	return []bin.Encoder{stories, &tg.StoriesPeerStories{Stories: of}, d,
		&tg.MessagesForumTopics{Count: 2, Pts: 77, Messages: []tg.MessageClass{post(3)},
			Topics: []tg.ForumTopicClass{&tg.ForumTopic{ID: 3, Title: "Pier", Peer: &tg.PeerChannel{ChannelID: 7}, FromID: &tg.PeerChannel{ChannelID: 7}}, &tg.ForumTopicDeleted{ID: 8}}}}
}

// TestSplitItems guards that each of these answers is read to its end, that each
// item's bytes are its own, and that one with another constructor is not.
func TestSplitItems(t *testing.T) {
	for i, want := range []struct{ items, messages, total, pts int }{{3, 0, 3, 0}, {3, 0, 0, 0}, {0, 1, 0, 0}, {2, 1, 2, 77}} {
		raw := encode(t, itemAnswers()[i])
		a, err := Split(raw)
		if err != nil || a.Unread != nil || !a.Listed || a.Read != len(raw) || len(a.Items) != want.items || len(a.Messages) != want.messages || a.Total != want.total || a.PTS != want.pts {
			t.Fatalf("%d: %+v, %v", i, a, err)
		}
		for _, x := range a.Items {
			var again bin.Buffer
			if err := x.TL.(bin.Encoder).Encode(&again); err != nil || !bytes.Equal(again.Buf, x.In(raw)) {
				t.Errorf("%d: item %d is not its bytes: %v", i, x.ID, err)
			}
		}
		if want.items == 0 {
			continue
		}
		last := a.Items[want.items-1]
		bad := bytes.Clone(raw)
		copy(bad[last.Offset:], []byte{0xef, 0xbe, 0xad, 0xde})
		if b, err := Split(bad); err != nil || b.Unread == nil || len(b.Items) != want.items-1 || b.Read != last.Offset {
			t.Errorf("%d, the last cannot be read: %+v, %v", i, b, err)
		}
	}
}

// TestNoPerson guards that nobody's number can be found from a content's Digest by
// trying, and that what a story says is its content.
func TestNoPerson(t *testing.T) {
	by := func(user int64) (d hashing.Digest) {
		m := post(3)
		m.SetFromID(&tg.PeerUser{UserID: user})
		m.FwdFrom.SetFromID(&tg.PeerUser{UserID: user})
		m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityMentionName{Offset: 0, Length: 1, UserID: user}})
		d, err := Content(m)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if by(1) != by(2) {
		t.Error("the number of whoever wrote it is in the content")
	}
	story := func(change func(*tg.StoryItem)) (d hashing.Digest) {
		s := &tg.StoryItem{ID: 4, Media: &tg.MessageMediaEmpty{}}
		s.SetCaption("Fire")
		change(s)
		d, err := StoryContent(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := story(func(*tg.StoryItem) {})
	if story(func(s *tg.StoryItem) { s.SetViews(tg.StoryViews{ViewsCount: 9}) }) != same || story(func(s *tg.StoryItem) { s.Pinned, s.Edited = true, true; s.SetFlags() }) != same {
		t.Error("a counter is taken for a change")
	}
	if story(func(s *tg.StoryItem) { s.Caption = "Smoke" }) == same || story(func(s *tg.StoryItem) { s.Media = &tg.MessageMediaUnsupported{} }) == same {
		t.Error("a change that is not seen")
	}
}
