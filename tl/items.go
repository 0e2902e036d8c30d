package tl

import (
	"fmt"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"
)

// Item is one element of an answer that is no message: a story, or a topic of a forum.
type Item struct {
	Span
	ID int
	TL tdp.Object
}

func (r *reader) items(a *Answer, name string, decode func(*bin.Buffer) (tdp.Object, int, error)) error {
	return r.vector(a, name, func(s Span) error {
		o, id, err := decode(&r.b)
		if err != nil {
			return err
		}
		s.Length = r.at() - s.Offset
		a.Items = append(a.Items, Item{Span: s, ID: id, TL: o})
		return nil
	})
}

func decodeStory(b *bin.Buffer) (tdp.Object, int, error) {
	c, err := tg.DecodeStoryItem(b)
	if err != nil {
		return nil, 0, err
	}
	o, ok := c.(tdp.Object)
	if !ok {
		return nil, 0, fmt.Errorf("story %T: %w", c, ErrAnswer)
	}
	return o, c.GetID(), nil
}

func decodeTopic(b *bin.Buffer) (tdp.Object, int, error) {
	c, err := tg.DecodeForumTopic(b)
	if err != nil {
		return nil, 0, err
	}
	o, ok := c.(tdp.Object)
	if !ok {
		return nil, 0, fmt.Errorf("topic %T: %w", c, ErrAnswer)
	}
	return o, c.GetID(), nil
}

// forumTopics has the newest message of each topic beside them.
func (r *reader) forumTopics(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	if err := r.ints(field{&a.Total, true}); err != nil {
		return err
	}
	if err := r.items(a, "topics", decodeTopic); err != nil {
		return err
	}
	if err := r.messages(a); err != nil {
		return err
	}
	if err := r.peers(a); err != nil {
		return err
	}
	err := r.ints(field{&a.PTS, true})
	a.Read = r.at()
	return err
}

func (r *reader) discussion(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	if err := r.messages(a); err != nil {
		return err
	}
	var read int // what the account has read there, and how much is new to it
	if err := r.ints(field{&read, flags.Has(0)}, field{&read, flags.Has(1)}, field{&read, flags.Has(2)}, field{&read, true}); err != nil {
		return err
	}
	return r.peers(a)
}

func (r *reader) peerStories(a *Answer) error {
	if err := r.b.ConsumeID(tg.PeerStoriesTypeID); err != nil {
		return err
	}
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	if _, err := tg.DecodePeer(&r.b); err != nil {
		return err
	}
	var read int
	if err := r.ints(field{&read, flags.Has(0)}); err != nil {
		return err
	}
	err := r.items(a, "stories", decodeStory)
	a.Listed = err == nil
	if err != nil {
		return err
	}
	return r.peers(a)
}

func (r *reader) stories(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	if err := r.ints(field{&a.Total, true}); err != nil {
		return err
	}
	err := r.items(a, "stories", decodeStory)
	a.Listed = err == nil
	if err != nil {
		return err
	}
	if flags.Has(0) {
		if err := r.vector(a, "pinned_to_top", func(Span) error { _, err := r.b.Int(); return err }); err != nil {
			return err
		}
	}
	return r.peers(a)
}
