package tl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

// Layer is the version of Telegram's schema that is understood.
const Layer = tg.Layer

// MaxAnswer bounds one answer, in bytes. 100 messages with everything that the
// service allows in them have some 2 MB. It also bounds nesting: a level takes 4
// bytes at least, and this many are read on a stack of 1 GB, which is Go's limit.
const MaxAnswer = 4 << 20

// Errors of this package.
var (
	// ErrAnswer is wrapped by the error for bytes that are no answer of the kind
	// that Split reads, or are too many.
	ErrAnswer = errors.New("not an answer of messages or of a difference")
	// ErrUnread is wrapped by Answer.Unread.
	ErrUnread = errors.New("the rest of the answer cannot be read with this schema")
)

// Span is where something lies in an answer, in bytes.
type Span struct{ Offset, Length int }

// In returns the bytes of s in the answer that it was found in.
func (s Span) In(raw []byte) []byte { return raw[s.Offset : s.Offset+s.Length : s.Offset+s.Length] }

// Message is one message of an answer.
type Message struct {
	Span
	ID   int
	Kind string // "message", "messageService" or "messageEmpty"
	TL   tg.MessageClass
}

// Update is one update of a difference. Messages has the ids that it is about:
// one for an edit, any number for a deletion.
type Update struct {
	Span
	Type     string // as the schema names it, e.g. "updateEditChannelMessage"
	TL       tg.UpdateClass
	Message  tg.MessageClass // of a new or edited message, else nil
	Deleted  []int
	PTS      int // 0: it has none
	PTSCount int
	Channel  int64 // 0: it names none
}

// Answer is one answer, cut into what can be shown alone. It shares no memory
// with the bytes that it was made of.
type Answer struct {
	Type     string // as the schema names it, e.g. "messages.channelMessages"
	Total    int    // how many messages the server says there are; 0 if it does not say
	Inexact  bool   // Total is not exact, by the server's own word
	PTS      int    // of the channel, after this answer; 0: it says none
	Timeout  int    // seconds until a difference should be asked for again; 0: it says none
	Final    bool   // a difference: nothing more is there now
	TooLong  bool   // a difference: what happened since is no longer told
	Messages []Message
	Updates  []Update
	Items    []Item // stories, or topics
	Chats    []tg.ChatClass
	Users    []tg.UserClass
	Listed   bool // the list of messages, or of stories, was read to its end

	Read   int   // how many bytes were understood
	Unread error // why the others were not; nil: all were. Wraps [ErrUnread]
}

// Difference says whether it is one of what has happened in a channel.
func (a *Answer) Difference() bool { return strings.HasPrefix(a.Type, "updates.channelDifference") }

// Quiet says whether it is one that says that nothing has.
func (a *Answer) Quiet() bool {
	return a.Type == "updates.channelDifferenceEmpty" && a.Unread == nil
}

// Split reads an answer of type messages.Messages, updates.ChannelDifference,
// messages.ForumTopics, messages.DiscussionMessage, stories.PeerStories or
// stories.Stories.
// An answer that can be read in part only is no error: see [Answer.Unread].
// Errors: [ErrAnswer]. It is safe for concurrent use and does not change raw.
func Split(raw []byte) (*Answer, error) {
	if len(raw) > MaxAnswer {
		return nil, fmt.Errorf("%d bytes: %w", len(raw), ErrAnswer)
	}
	a, r := new(Answer), &reader{all: raw, b: bin.Buffer{Buf: raw}}
	read, ok := r.kind(a)
	if !ok {
		return nil, fmt.Errorf("constructor %s: %w", r.constructor(), ErrAnswer)
	}
	err := ErrDepth
	if !deep(raw) {
		err = guard(func() error { return read(r, a) })
	}
	if err == nil && len(r.b.Buf) > 0 {
		err = fmt.Errorf("%d bytes behind its end", len(r.b.Buf))
	}
	if err != nil {
		a.Unread = fmt.Errorf("%w: %w", ErrUnread, err)
	}
	return a, nil
}

// Decode reads one object that fills raw. Errors: [ErrAnswer].
func Decode(raw []byte, into bin.Decoder) error {
	if len(raw) > MaxAnswer || deep(raw) {
		return fmt.Errorf("%d bytes, or nested too deeply: %w", len(raw), ErrAnswer)
	}
	b := bin.Buffer{Buf: raw}
	err := guard(func() error { return into.Decode(&b) })
	if err == nil && len(b.Buf) > 0 {
		err = fmt.Errorf("%d bytes behind its end", len(b.Buf))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}

// guard turns a panic of generated code into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// reader reads from the front of b; what it has read in whole elements ends at
// at(). a.Read is moved after each element, so that an error leaves it there.
type reader struct {
	all []byte
	b   bin.Buffer
}

func (r *reader) at() int { return len(r.all) - len(r.b.Buf) }

func (r *reader) constructor() string {
	if id, err := r.b.PeekID(); err == nil {
		return fmt.Sprintf("%#08x", id)
	}
	return "missing"
}

// kind finds how an answer is read by its constructor, and goes past that.
func (r *reader) kind(a *Answer) (func(*reader, *Answer) error, bool) {
	id, err := r.b.ID()
	if err != nil {
		return nil, false
	}
	a.Read = r.at()
	switch id {
	case tg.MessagesMessagesTypeID:
		a.Type = "messages.messages"
		return (*reader).messagesBody, true
	case tg.MessagesMessagesSliceTypeID:
		a.Type = "messages.messagesSlice"
		return (*reader).messagesSlice, true
	case tg.MessagesChannelMessagesTypeID:
		a.Type = "messages.channelMessages"
		return (*reader).channelMessages, true
	case tg.MessagesMessagesNotModifiedTypeID:
		a.Type = "messages.messagesNotModified"
		return (*reader).notModified, true
	case tg.UpdatesChannelDifferenceEmptyTypeID:
		a.Type = "updates.channelDifferenceEmpty"
		return (*reader).differenceEmpty, true
	case tg.UpdatesChannelDifferenceTypeID:
		a.Type = "updates.channelDifference"
		return (*reader).difference, true
	case tg.UpdatesChannelDifferenceTooLongTypeID:
		a.Type = "updates.channelDifferenceTooLong"
		return (*reader).differenceTooLong, true
	case tg.MessagesForumTopicsTypeID:
		a.Type = "messages.forumTopics"
		return (*reader).forumTopics, true
	case tg.MessagesDiscussionMessageTypeID:
		a.Type = "messages.discussionMessage"
		return (*reader).discussion, true
	case tg.StoriesPeerStoriesTypeID:
		a.Type = "stories.peerStories"
		return (*reader).peerStories, true
	case tg.StoriesStoriesTypeID:
		a.Type = "stories.stories"
		return (*reader).stories, true
	}
	r.b.Buf = r.all
	return nil, false
}
