package telegramtest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

// World is what the servers know. It is safe for concurrent use.
type World struct {
	Now func() time.Time // the service's clock; set before it is used

	mu        sync.Mutex
	channels  map[int64]*Channel
	files     map[int64][]byte
	photos    map[int64]map[string][]byte // by size
	told      map[int64]int64             // of which part a wrong hash is told; -1: none at all
	homes     map[int64]int               // where a file is, if that is not where it is said to be
	reference uint64                      // of files; one of another time is expired
	parts     map[int64]map[partAsked]bool
	changed   func(*Channel) // tells the sessions; may be nil
}

// NewWorld is an empty one on the machine's clock.
func NewWorld() *World {
	return &World{Now: time.Now, channels: map[int64]*Channel{}, files: map[int64][]byte{}}
}

// Document adds a file and returns the media of a message with it.
func (w *World) Document(id int64, name, mime string, b []byte) *tg.MessageMediaDocument {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[id] = b
	d := &tg.Document{ID: id, AccessHash: id + 1, FileReference: binary.BigEndian.AppendUint64(nil, w.reference), Date: int(w.Now().Unix()), MimeType: mime,
		Size: int64(len(b)), DCID: FileDC, Attributes: []tg.DocumentAttributeClass{&tg.DocumentAttributeFilename{FileName: name}}}
	m := &tg.MessageMediaDocument{}
	m.SetDocument(d)
	return m
}

// Expire makes every file reference that was told invalid; messages that are
// asked for again have new ones.
func (w *World) Expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reference++
	for _, c := range w.channels {
		for id, m := range c.messages {
			n := clone(m)
			switch media := n.Media.(type) {
			case *tg.MessageMediaDocument:
				media.Document.(*tg.Document).FileReference = binary.BigEndian.AppendUint64(nil, w.reference)
			case *tg.MessageMediaPhoto:
				media.Photo.(*tg.Photo).FileReference = binary.BigEndian.AppendUint64(nil, w.reference)
			default:
				continue
			}
			c.messages[id], c.bytes[id] = n, encoded(n)
		}
	}
}

// raw is something encoded once: encoding a TL object changes it, so it is not
// done in two handlers at once.
type raw []byte

// Encode implements bin.Encoder.
func (r raw) Encode(b *bin.Buffer) error { b.Put(r); return nil }

func encoded(e bin.Encoder) raw {
	var b bin.Buffer
	if err := e.Encode(&b); err != nil {
		panic(fmt.Sprintf("telegramtest: encode %T: %v", e, err)) // a test's own object
	}
	return raw(b.Buf)
}

// What happened to a message.
const (
	Posted  = "posted"
	Edited  = "edited"
	Reacted = "reacted" // no edit, though its edit_date moves
	Deleted = "deleted"
)

// Event is one thing that happened, as the world knows it.
type Event struct {
	What string
	ID   int
	PTS  int // 0 for what has none
	At   time.Time
	Text string // after it
}

// Channel is one channel. Its methods lock the World.
type Channel struct {
	ID         int64
	AccessHash int64
	Username   string
	Title      string

	w        *World
	messages map[int]*tg.Message // as they are now
	bytes    map[int]raw
	order    []int // ids that are there, ascending
	next     int
	pts      int
	updates  []update
	horizon  int // updates up to this pts are told no more
	life     []Event
	photo    *tg.Photo
	gone     string // an error that everybody gets, such as CHANNEL_PRIVATE
	verbatim bool
	timeout  int
	admins   map[int64]bool // users who may write
	random   map[int64]bool // random ids that were written with
	left     bool           // nobody has joined it: nothing is pushed behind leftAt
	leftAt   int

	group   *Channel    // where its posts are discussed
	roots   map[int]int // by post: what stands for it there
	below   [][2]int    // of a group: what it answers to, and its id
	forum   bool
	topics  []*tg.ForumTopic
	stories []*tg.StoryItem
	says    func(*tg.Channel) // what is otherwise than usual of the channel itself
}

// update is an event. What is about a message is told with its state then, or its
// present one.
type update struct {
	pts, count int
	id         int // of the message; 0: it is about none
	fresh      bool
	then       raw // the message
	other      raw // an update that is about no message
}

// Channel makes one. Username is without @.
func (w *World) Channel(id int64, username, title string) *Channel {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &Channel{ID: id, AccessHash: id*7919 + 1, Username: username, Title: title, w: w, next: 1, pts: 1, timeout: 30,
		messages: map[int]*tg.Message{}, bytes: map[int]raw{}, admins: map[int64]bool{}, random: map[int64]bool{}}
	w.channels[id] = c
	return c
}

func (c *Channel) lock() func() {
	c.w.mu.Lock()
	return func() {
		tell := c.w.changed
		c.w.mu.Unlock()
		if tell != nil {
			tell(c)
		}
	}
}

// keep encodes a message anew and notes what happened.
func (c *Channel) keep(m *tg.Message, what string, pts int) {
	c.messages[m.ID], c.bytes[m.ID] = m, encoded(m)
	c.life = append(c.life, Event{What: what, ID: m.ID, PTS: pts, At: c.w.Now(), Text: m.Message})
}

// Post adds a message and returns its id. Each change is made before it is
// encoded.
func (c *Channel) Post(text string, change ...func(*tg.Message)) int {
	defer c.lock()()
	m := &tg.Message{ID: c.next, Post: true, PeerID: &tg.PeerChannel{ChannelID: c.ID}, Date: int(c.w.Now().Unix()), Message: text}
	m.SetViews(1)
	m.SetForwards(0)
	for _, f := range change {
		f(m)
	}
	c.next++
	c.pts++
	c.order = append(c.order, m.ID)
	c.keep(m, Posted, c.pts)
	c.updates = append(c.updates, update{pts: c.pts, count: 1, id: m.ID, fresh: true, then: c.bytes[m.ID]})
	return m.ID
}

// clone copies a message by its bytes, so that what was told before stays.
func clone(m *tg.Message) *tg.Message {
	n := new(tg.Message)
	if err := n.Decode(&bin.Buffer{Buf: encoded(m)}); err != nil {
		panic(fmt.Sprintf("telegramtest: %v", err))
	}
	return n
}

// Edit changes a message's text; it must be there.
func (c *Channel) Edit(id int, text string) {
	defer c.lock()()
	m := clone(c.messages[id])
	m.Message = text
	m.SetEditDate(int(c.w.Now().Unix()))
	m.SetEditHide(false)
	c.pts++
	c.keep(m, Edited, c.pts)
	c.updates = append(c.updates, update{pts: c.pts, count: 1, id: m.ID, then: c.bytes[m.ID]})
}

// React adds a reaction: the service tells it like an edit, with a new
// edit_date and edit_hide.
func (c *Channel) React(id, count int) {
	defer c.lock()()
	m := clone(c.messages[id])
	m.SetReactions(tg.MessageReactions{Results: []tg.ReactionCount{{Reaction: &tg.ReactionEmoji{Emoticon: "👍"}, Count: count}}})
	m.SetEditDate(int(c.w.Now().Unix()))
	m.SetEditHide(true)
	c.pts++
	c.keep(m, Reacted, c.pts)
	c.updates = append(c.updates, update{pts: c.pts, count: 1, id: m.ID, then: c.bytes[m.ID]})
}

// Delete takes messages away; those that are there.
func (c *Channel) Delete(ids ...int) {
	defer c.lock()()
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int) bool { return c.messages[id] == nil })
	if len(ids) == 0 {
		return
	}
	c.pts += len(ids)
	for _, id := range ids {
		delete(c.messages, id)
		delete(c.bytes, id)
		if i, ok := slices.BinarySearch(c.order, id); ok {
			c.order = slices.Delete(c.order, i, i+1)
		}
		c.life = append(c.life, Event{What: Deleted, ID: id, PTS: c.pts, At: c.w.Now()})
	}
	c.updates = append(c.updates, update{pts: c.pts, count: len(ids), other: encoded(&tg.UpdateDeleteChannelMessages{ChannelID: c.ID, Messages: ids, Pts: c.pts, PtsCount: len(ids)})})
}

// Corrupt puts a constructor that no schema knows in the place of a message,
// wherever it is told from now on.
func (c *Channel) Corrupt(id int) {
	defer c.lock()()
	b := slices.Clone(c.bytes[id])
	copy(b, []byte{0xef, 0xbe, 0xad, 0xde})
	c.bytes[id] = b
}

// Forget makes differences from before now impossible (channelDifferenceTooLong).
func (c *Channel) Forget() {
	defer c.lock()()
	c.horizon = c.pts
}

// Gap moves the channel's sequence without anything that is told, as the service
// does for what an observer may not see.
func (c *Channel) Gap(n int) {
	defer c.lock()()
	c.pts += n
}

// Verbatim makes differences tell each state that a message had. Else they tell of
// each that is still there its present one, which the service is thought to do.
func (c *Channel) Verbatim(yes bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.verbatim = yes
}

// SetTimeout is how many seconds the service wants between two differences.
func (c *Channel) SetTimeout(s int) {
	defer c.lock()()
	c.timeout = s
}

// Close makes every request about the channel fail with that error; "" ends it.
func (c *Channel) Close(why string) {
	defer c.lock()()
	c.gone = why
}

// Life returns what happened, in order.
func (c *Channel) Life() []Event {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return slices.Clone(c.life)
}

// PTS returns where the channel's sequence is.
func (c *Channel) PTS() int {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.pts
}

// chat is the channel as it is told beside messages.
func (c *Channel) chat() *tg.Channel {
	ch := &tg.Channel{ID: c.ID, Title: c.Title, Photo: &tg.ChatPhotoEmpty{}, Date: 1_600_000_000, Broadcast: true}
	ch.SetAccessHash(c.AccessHash)
	if c.forum {
		ch.Broadcast, ch.Megagroup, ch.Forum = false, true, true
	}
	ch.Left = c.left
	if c.Username != "" {
		ch.SetUsername(c.Username)
	}
	if c.says != nil {
		c.says(ch)
	}
	return ch
}
