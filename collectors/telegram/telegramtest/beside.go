package telegramtest

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

// Discuss makes a group the place where the channel's posts are discussed.
func (c *Channel) Discuss(group *Channel) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.group, c.roots = group, map[int]int{}
}

// Say makes something of the channel itself otherwise than usual; nil: no more.
func (c *Channel) Say(f func(*tg.Channel)) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.says = f
}

// Comment lets a person answer to a post, in the group, and returns the comment's id
// there. The first one makes the post that stands for the channel's.
func (c *Channel) Comment(post int, user int64, text string) int {
	c.w.mu.Lock()
	root, m := c.roots[post], clone(c.messages[post])
	c.w.mu.Unlock()
	if root == 0 {
		root = c.group.Post(m.Message, func(n *tg.Message) {
			n.Post = false
			n.SetFromID(&tg.PeerChannel{ChannelID: c.ID})
			f := tg.MessageFwdHeader{Date: m.Date}
			f.SetFromID(&tg.PeerChannel{ChannelID: c.ID})
			f.SetChannelPost(post)
			n.SetFwdFrom(f)
		})
	}
	id := c.group.Post(text, func(n *tg.Message) {
		n.Post = false
		n.SetFromID(&tg.PeerUser{UserID: user})
		h := &tg.MessageReplyHeader{}
		h.SetReplyToMsgID(root)
		n.SetReplyTo(h)
	})
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.roots[post] = root
	c.group.below = append(c.group.below, [2]int{root, id})
	r := tg.MessageReplies{Comments: true, Replies: m.Replies.Replies + 1}
	r.SetChannelID(c.group.ID)
	r.SetMaxID(id)
	m.SetReplies(r)
	c.messages[post], c.bytes[post] = m, encoded(m)
	return id
}

// userOf is a person, with a name that is in no line.
func userOf(id int64) raw {
	u := &tg.User{ID: id}
	u.SetFirstName(fmt.Sprintf("Person-%d", id))
	u.SetPhone(fmt.Sprintf("49%d", id))
	return encoded(u)
}

func (w *World) discussion(in *tg.MessagesGetDiscussionMessageRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.ofPeer(in.Peer)
	if err != nil {
		return nil, err
	}
	if c.group != nil && c.group.gone != "" {
		return nil, tgerr.New(400, c.group.gone)
	}
	root := c.roots[in.MsgID]
	if root == 0 {
		return nil, tgerr.New(400, "MSG_ID_INVALID")
	}
	var b bin.Buffer
	b.PutID(tg.MessagesDiscussionMessageTypeID)
	b.PutUint32(1)
	putAll(&b, []raw{c.group.bytes[root]})
	b.PutInt(root)
	b.PutInt(0)
	putAll(&b, []raw{encoded(c.group.chat()), encoded(c.chat())})
	putAll(&b, nil)
	return raw(b.Buf), nil
}

func (w *World) replies(in *tg.MessagesGetRepliesRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.ofPeer(in.Peer)
	if err != nil {
		return nil, err
	}
	root := c.roots[in.MsgID]
	if root == 0 {
		return nil, tgerr.New(400, "MSG_ID_INVALID")
	}
	l := list{pts: c.group.pts, chats: []raw{encoded(c.group.chat()), encoded(c.chat())}}
	seen := map[int64]bool{}
	skip := in.AddOffset
	for _, b := range slices.Backward(c.group.below) {
		if b[0] != root || c.group.bytes[b[1]] == nil {
			continue
		}
		l.count++
		if in.OffsetID > 0 && b[1] >= in.OffsetID || len(l.messages) >= min(max(in.Limit, 1), maxPage) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		l.messages = append(l.messages, c.group.bytes[b[1]])
		if p, ok := c.group.messages[b[1]].FromID.(*tg.PeerUser); ok && !seen[p.UserID] {
			l.users, seen[p.UserID] = append(l.users, userOf(p.UserID)), true
		}
	}
	return l, nil
}

// ofPeer finds a channel as most questions name it.
func (w *World) ofPeer(in tg.InputPeerClass) (*Channel, error) {
	p, ok := in.(*tg.InputPeerChannel)
	if !ok {
		return nil, tgerr.New(400, "PEER_ID_INVALID")
	}
	return w.find(&tg.InputChannel{ChannelID: p.ChannelID, AccessHash: p.AccessHash})
}

// Topic makes the channel a forum and begins a topic in it, or changes one that is
// there; it returns its id.
func (c *Channel) Topic(id int, title string, closed bool) int {
	if id == 0 {
		defer c.lock()()
		m := &tg.MessageService{ID: c.next, PeerID: &tg.PeerChannel{ChannelID: c.ID}, Date: int(c.w.Now().Unix()), Action: &tg.MessageActionTopicCreate{Title: title}}
		id = m.ID
		c.next++
		c.pts++
		c.order = append(c.order, id)
		c.bytes[id] = encoded(m)
		c.forum = true
		c.topics = append(c.topics, &tg.ForumTopic{ID: id, Date: m.Date, TopMessage: id, Peer: m.PeerID, FromID: m.PeerID})
	} else {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
	}
	for _, k := range c.topics {
		if k.ID == id {
			k.Title, k.Closed = title, closed
		}
	}
	return id
}

// InTopic puts a message that is posted into a topic.
func InTopic(id int) func(*tg.Message) {
	return func(m *tg.Message) {
		h := &tg.MessageReplyHeader{ForumTopic: true}
		h.SetReplyToMsgID(id)
		m.SetReplyTo(h)
	}
}

func (w *World) forumTopics(in *tg.MessagesGetForumTopicsRequest) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.ofPeer(in.Peer)
	if err != nil {
		return nil, err
	}
	if !c.forum {
		return nil, tgerr.New(400, "CHANNEL_FORUM_MISSING")
	}
	var topics, messages []raw
	for _, k := range slices.Backward(c.topics) {
		if in.OffsetTopic > 0 && k.ID >= in.OffsetTopic || len(topics) >= min(in.Limit, maxPage) {
			continue
		}
		topics, messages = append(topics, encoded(k)), append(messages, c.bytes[k.TopMessage])
	}
	var b bin.Buffer
	b.PutID(tg.MessagesForumTopicsTypeID)
	b.PutUint32(0)
	b.PutInt(len(c.topics))
	putAll(&b, topics)
	putAll(&b, messages)
	putAll(&b, []raw{encoded(c.chat())})
	putAll(&b, nil)
	b.PutInt(c.pts)
	return raw(b.Buf), nil
}

// Story adds one, or changes what one says and shows: it was posted when it was.
func (c *Channel) Story(id int, caption string, media tg.MessageMediaClass, change func(*tg.StoryItem)) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	s := &tg.StoryItem{ID: id, Public: true, Date: int(c.w.Now().Unix()), ExpireDate: int(c.w.Now().Unix()) + 86400, Media: media}
	s.SetCaption(caption)
	for _, o := range c.stories {
		if o.ID == id {
			s.Date, s.ExpireDate = o.Date, o.ExpireDate
		}
	}
	if change != nil {
		change(s)
	}
	c.stories = slices.DeleteFunc(c.stories, func(o *tg.StoryItem) bool { return o.ID == id })
	c.stories = append(c.stories, s)
}

// story encodes one, with the file reference that is good now.
func (w *World) story(s *tg.StoryItem) raw {
	ref := binary.BigEndian.AppendUint64(nil, w.reference)
	switch m := s.Media.(type) {
	case *tg.MessageMediaDocument:
		m.Document.(*tg.Document).FileReference = ref
	case *tg.MessageMediaPhoto:
		m.Photo.(*tg.Photo).FileReference = ref
	}
	return encoded(s)
}

func (w *World) peerStories(in tg.InputPeerClass) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.ofPeer(in)
	if err != nil {
		return nil, err
	}
	var now []raw
	for _, s := range c.stories {
		if int64(s.ExpireDate) > w.Now().Unix() {
			now = append(now, w.story(s))
		}
	}
	var b bin.Buffer
	b.PutID(tg.StoriesPeerStoriesTypeID)
	b.PutID(tg.PeerStoriesTypeID)
	b.PutUint32(0)
	b.Put(encoded(&tg.PeerChannel{ChannelID: c.ID}))
	putAll(&b, now)
	putAll(&b, []raw{encoded(c.chat())})
	putAll(&b, nil)
	return raw(b.Buf), nil
}

func (w *World) storiesOf(in tg.InputPeerClass, want func(*tg.StoryItem) bool) (bin.Encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.ofPeer(in)
	if err != nil {
		return nil, err
	}
	var list []raw
	all := 0
	for _, s := range slices.Backward(c.stories) {
		if s.Pinned {
			all++
		}
		if want(s) && len(list) < maxPage {
			list = append(list, w.story(s))
		}
	}
	var b bin.Buffer
	b.PutID(tg.StoriesStoriesTypeID)
	b.PutUint32(0)
	b.PutInt(all)
	putAll(&b, list)
	putAll(&b, []raw{encoded(c.chat())})
	putAll(&b, nil)
	return raw(b.Buf), nil
}

// besideMethods are those of topics, comments and stories.
func besideMethods(add func(uint32, method)) {
	add(on("messages.getDiscussionMessage", false, func(s *Server, _ *tgtest.Request, in *tg.MessagesGetDiscussionMessageRequest) (bin.Encoder, error) {
		return s.World.discussion(in)
	}))
	add(on("messages.getReplies", false, func(s *Server, _ *tgtest.Request, in *tg.MessagesGetRepliesRequest) (bin.Encoder, error) {
		return s.World.replies(in)
	}))
	add(on("messages.getForumTopics", false, func(s *Server, _ *tgtest.Request, in *tg.MessagesGetForumTopicsRequest) (bin.Encoder, error) {
		return s.World.forumTopics(in)
	}))
	add(on("stories.getPeerStories", false, func(s *Server, _ *tgtest.Request, in *tg.StoriesGetPeerStoriesRequest) (bin.Encoder, error) {
		return s.World.peerStories(in.Peer)
	}))
	add(on("stories.getPinnedStories", false, func(s *Server, _ *tgtest.Request, in *tg.StoriesGetPinnedStoriesRequest) (bin.Encoder, error) {
		return s.World.storiesOf(in.Peer, func(k *tg.StoryItem) bool { return k.Pinned && (in.OffsetID == 0 || k.ID < in.OffsetID) })
	}))
	add(on("stories.getStoriesByID", false, func(s *Server, _ *tgtest.Request, in *tg.StoriesGetStoriesByIDRequest) (bin.Encoder, error) {
		return s.World.storiesOf(in.Peer, func(k *tg.StoryItem) bool { return slices.Contains(in.ID, k.ID) })
	}))
	for _, told := range []uint32{tg.StoriesReadStoriesRequestTypeID, tg.StoriesIncrementStoryViewsRequestTypeID} {
		add(told, method{name: "stories.told", decode: func(*bin.Buffer) (any, error) { return nil, nil },
			answer: func(*Server, *tgtest.Request, any) (bin.Encoder, error) { return &tg.BoolTrue{}, nil }})
	}
}
