package tl

import (
	"fmt"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

// The heads below are read by hand, in the order of the schema, so that the
// elements of each vector can be read one at a time and their places noted.

func (r *reader) messagesSlice(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	a.Inexact = flags.Has(1)
	var rate, offset int
	if err := r.ints(field{&a.Total, true}, field{&rate, flags.Has(0)}, field{&offset, flags.Has(2)}); err != nil {
		return err
	}
	if flags.Has(3) {
		var flood tg.SearchPostsFlood
		if err := flood.Decode(&r.b); err != nil {
			return err
		}
	}
	return r.messagesBody(a)
}

func (r *reader) channelMessages(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	a.Inexact = flags.Has(1)
	var offset int
	if err := r.ints(field{&a.PTS, true}, field{&a.Total, true}, field{&offset, flags.Has(2)}); err != nil {
		return err
	}
	return r.messagesBody(a)
}

func (r *reader) notModified(a *Answer) error {
	err := r.ints(field{&a.Total, true})
	a.Read = r.at()
	return err
}

// messagesBody is what the three lists of messages end with.
func (r *reader) messagesBody(a *Answer) error {
	if err := r.messages(a); err != nil {
		return err
	}
	if err := r.vector(a, "topics", func(Span) error { _, err := tg.DecodeForumTopic(&r.b); return err }); err != nil {
		return err
	}
	return r.peers(a)
}

func (r *reader) differenceEmpty(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	a.Final = flags.Has(0)
	err := r.ints(field{&a.PTS, true}, field{&a.Timeout, flags.Has(1)})
	a.Read = r.at()
	return err
}

func (r *reader) difference(a *Answer) error {
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	a.Final = flags.Has(0)
	if err := r.ints(field{&a.PTS, true}, field{&a.Timeout, flags.Has(1)}); err != nil {
		return err
	}
	if err := r.messages(a); err != nil {
		return err
	}
	if err := r.updates(a); err != nil {
		return err
	}
	return r.peers(a)
}

func (r *reader) differenceTooLong(a *Answer) error {
	a.TooLong = true
	var flags bin.Fields
	if err := flags.Decode(&r.b); err != nil {
		return err
	}
	a.Final = flags.Has(0)
	if err := r.ints(field{&a.Timeout, flags.Has(1)}); err != nil {
		return err
	}
	d, err := tg.DecodeDialog(&r.b)
	if err != nil {
		return fmt.Errorf("dialog: %w", err)
	}
	if d, ok := d.(*tg.Dialog); ok {
		a.PTS = d.Pts
	}
	if err := r.messages(a); err != nil {
		return err
	}
	return r.peers(a)
}

type field struct {
	to    *int
	there bool
}

func (r *reader) ints(fields ...field) error {
	for _, f := range fields {
		if !f.there {
			continue
		}
		n, err := r.b.Int()
		if err != nil {
			return err
		}
		*f.to = n
	}
	return nil
}

// vector reads a vector's elements. An element has 4 bytes at least, so a count
// that the bytes cannot hold is refused before anything is made for it.
func (r *reader) vector(a *Answer, name string, element func(Span) error) error {
	n, err := r.b.VectorHeader()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n < 0 || n > len(r.b.Buf)/4 {
		return fmt.Errorf("%s: %d elements in %d bytes", name, n, len(r.b.Buf))
	}
	a.Read = r.at()
	for i := range n {
		if err := element(Span{Offset: r.at()}); err != nil {
			return fmt.Errorf("%s[%d], byte %d: %w", name, i, a.Read, err)
		}
		a.Read = r.at()
	}
	return nil
}

func (r *reader) messages(a *Answer) error {
	err := r.vector(a, "messages", func(s Span) error {
		m, err := tg.DecodeMessage(&r.b)
		if err != nil {
			return err
		}
		s.Length = r.at() - s.Offset
		a.Messages = append(a.Messages, Message{Span: s, ID: m.GetID(), Kind: m.TypeName(), TL: m})
		return nil
	})
	a.Listed = err == nil
	return err
}

func (r *reader) peers(a *Answer) error {
	err := r.vector(a, "chats", func(Span) error {
		c, err := tg.DecodeChat(&r.b)
		if err == nil {
			a.Chats = append(a.Chats, c)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.vector(a, "users", func(Span) error {
		u, err := tg.DecodeUser(&r.b)
		if err == nil {
			a.Users = append(a.Users, u)
		}
		return err
	})
}

func (r *reader) updates(a *Answer) error {
	return r.vector(a, "updates", func(s Span) error {
		c, err := tg.DecodeUpdate(&r.b)
		if err != nil {
			return err
		}
		s.Length = r.at() - s.Offset
		u := Update{Span: s, Type: c.TypeName(), TL: c}
		u.describe()
		a.Updates = append(a.Updates, u)
		return nil
	})
}

// describe finds what an update is about, for those that tell of a channel's
// messages; the others are kept and say nothing here.
func (u *Update) describe() {
	switch c := u.TL.(type) {
	case *tg.UpdateNewChannelMessage:
		u.Message, u.PTS, u.PTSCount = c.Message, c.Pts, c.PtsCount
	case *tg.UpdateEditChannelMessage:
		u.Message, u.PTS, u.PTSCount = c.Message, c.Pts, c.PtsCount
	case *tg.UpdateDeleteChannelMessages:
		u.Deleted, u.PTS, u.PTSCount, u.Channel = c.Messages, c.Pts, c.PtsCount, c.ChannelID
	case *tg.UpdatePinnedChannelMessages:
		u.PTS, u.PTSCount, u.Channel = c.Pts, c.PtsCount, c.ChannelID
	case *tg.UpdateChannelWebPage:
		u.PTS, u.PTSCount, u.Channel = c.Pts, c.PtsCount, c.ChannelID
	}
}
