package tl

import (
	"fmt"
	"reflect"

	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/hashing"
)

// Content returns the Digest of what a message says: its text and entities, its
// media, its keyboard, whom it forwards and answers, its author's name, its
// album, or a service message's action. Two states of a message with the same
// Content are one version: what differs is a counter (views, forwards, reactions,
// answers, votes), a time of editing, which the service sets when somebody reacts,
// or a handle that it hands out anew each time (file references, access hashes,
// previews of files and pages).
//
// Of a message that is not there (messageEmpty) the Digest is that of nothing.
// Errors: as [AppendJSON].
func Content(m tg.MessageClass) (hashing.Digest, error) { return new(Writer).Content(m) }

// Content is the function of this name.
func (k *Writer) Content(m tg.MessageClass) (hashing.Digest, error) {
	if _, empty := m.(*tg.MessageEmpty); empty {
		return hashing.Of(nil), nil
	}
	o, ok := m.(tdp.Object)
	if !ok {
		return hashing.Digest{}, fmt.Errorf("read content of %T: %w", m, ErrAnswer)
	}
	return k.contentOf(o)
}

// StoryContent returns the Digest of what a story says and shows, likewise: without
// counters, and without whether it is pinned or was edited. Errors: as [AppendJSON].
func StoryContent(s *tg.StoryItem) (hashing.Digest, error) { return new(Writer).contentOf(s) }

func (k *Writer) contentOf(o tdp.Object) (hashing.Digest, error) {
	if k.content == nil {
		k.content, k.scratch = map[reflect.Type][]member{}, make([]byte, 0, 1024)
	}
	w := &writer{leave: volatile, b: k.scratch[:0], known: k.content}
	defer func() { k.scratch = w.b }()
	if err := guard(func() error { return w.object(o, 0) }); err != nil {
		return hashing.Digest{}, fmt.Errorf("read content of %T: %w", o, err)
	}
	return hashing.Of(w.b), nil
}

// volatile says what of a message is not its content. Of the message itself only
// what is named stays, so that a counter of a later schema is no edit; of what is
// inside it everything stays but what is named, so that nothing a reader sees can
// change unseen.
func volatile(typ, member string) bool {
	switch typ {
	case "message":
		return !contentMember(member)
	case "messageService":
		return member != "id" && member != "peer_id" && member != "from_id" && member != "date" && member != "action" && member != "reply_to"
	case "storyItem":
		return !storyMember(member)
	case "peerUser":
		return member == "user_id" // a number is found from the Digest by trying: a person's is not in it
	case "messageEntityMentionName", "messageActionChatDeleteUser":
		return member == "user_id"
	case "messageActionChatAddUser":
		return member == "users"
	case "messageActionChatJoinedByLink":
		return member == "inviter_id"
	case "messageMediaPoll":
		return member == "results" // votes
	case "poll":
		return member == "closed" || member == "hash" || member == "creator"
	case "messageMediaToDo":
		return member == "completions"
	case "messageMediaDocument":
		return member == "alt_documents" || member == "nopremium" // made by the service from the document, later
	case "documentAttributeVideo":
		return member == "preload_prefix_size"
	case "factCheck":
		return member == "hash" || member == "need_check"
	case "photo", "document":
		return member == "access_hash" || member == "file_reference" || member == "thumbs" || member == "video_thumbs" || member == "sizes" || member == "video_sizes" || member == "dc_id"
	case "messageMediaWebPage":
		return member == "webpage" // the service fetches previews later, and again; its address stands in the text or in an entity
	case "geoPoint", "game":
		return member == "access_hash"
	case "messageMediaStory":
		return member == "story" // what it shows is another thing, with versions of its own
	}
	return false
}

func contentMember(member string) bool {
	switch member {
	case "id", "peer_id", "from_id", "saved_peer_id", "fwd_from", "via_bot_id", "reply_to", "date", "message", "media", "reply_markup", "entities",
		"post_author", "grouped_id", "restriction_reason", "rich_message", "factcheck", "ttl_period", "invert_media":
		return true
	}
	return false
}

func storyMember(member string) bool {
	switch member {
	case "id", "date", "from_id", "fwd_from", "expire_date", "caption", "entities", "media", "media_areas", "noforwards", "privacy", "music":
		return true
	}
	return false
}
