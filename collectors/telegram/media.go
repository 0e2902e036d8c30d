package telegram

import (
	"github.com/gotd/td/tg"

	"holdfast/canon"
)

// mediaOf lists what a message has beside its text. Polls and paid media hold media
// again, once.
func mediaOf(m tg.MessageMediaClass, depth int) []media {
	switch m := m.(type) {
	case nil, *tg.MessageMediaEmpty:
		return nil
	case *tg.MessageMediaPhoto:
		return []media{photoOf(m.Photo)}
	case *tg.MessageMediaDocument:
		return []media{documentOf(m)}
	case *tg.MessageMediaWebPage:
		k := media{Kind: "webpage"}
		if w, ok := m.Webpage.(*tg.WebPage); ok {
			k.File, k.Name = number(w.ID), canon.Text(w.Title)
		}
		return []media{k}
	case *tg.MessageMediaPoll:
		return append([]media{{Kind: "poll", File: number(m.Poll.ID), Name: canon.Text(m.Poll.Question.Text)}}, mediaInside(pollMedia(m), depth)...)
	case *tg.MessageMediaPaidMedia:
		return append([]media{named(m)}, mediaInside(paidMedia(m), depth)...)
	}
	return []media{named(m)}
}

func photoOf(c tg.PhotoClass) media {
	k := media{Kind: "photo"}
	p, ok := c.(*tg.Photo)
	if !ok {
		return k
	}
	k.File, k.MIME = number(p.ID), "image/jpeg"
	for _, s := range p.Sizes {
		switch s := s.(type) {
		case *tg.PhotoSize:
			k.Size = max(k.Size, int64(s.Size))
		case *tg.PhotoSizeProgressive:
			for _, n := range s.Sizes {
				k.Size = max(k.Size, int64(n))
			}
		}
	}
	return k
}

func documentOf(m *tg.MessageMediaDocument) media {
	k := media{Kind: "document"}
	d, ok := m.Document.(*tg.Document)
	if !ok {
		return k
	}
	k.File, k.MIME = number(d.ID), canon.Text(d.MimeType)
	if d.Size > 0 && d.Size <= canon.MaxInt {
		k.Size = d.Size
	}
	for _, a := range d.Attributes {
		switch a := a.(type) {
		case *tg.DocumentAttributeFilename:
			k.Name = canon.Text(a.FileName)
		case *tg.DocumentAttributeSticker:
			k.Kind = "sticker"
		case *tg.DocumentAttributeAnimated:
			k.Kind = "animation"
		case *tg.DocumentAttributeVideo:
			if k.Kind == "document" {
				k.Kind = "video"
			}
		case *tg.DocumentAttributeAudio:
			if k.Kind = "audio"; a.Voice {
				k.Kind = "voice"
			}
		}
	}
	return k
}

// mediaInside lists what is in media; that has no further media in it here.
func mediaInside(list []tg.MessageMediaClass, depth int) (all []media) {
	for _, m := range list {
		if depth == 0 && len(all) < maxListed {
			all = append(all, mediaOf(m, depth+1)...)
		}
	}
	return all[:min(len(all), maxListed)]
}

// pollMedia is what is shown beside a question, its answers and its solution.
func pollMedia(m *tg.MessageMediaPoll) (all []tg.MessageMediaClass) {
	add := func(one tg.MessageMediaClass) {
		if one != nil {
			all = append(all, one)
		}
	}
	add(m.AttachedMedia)
	for _, a := range m.Poll.Answers {
		if a, ok := a.(*tg.PollAnswer); ok {
			add(a.Media)
		}
	}
	add(m.Results.SolutionMedia)
	return all
}

// paidMedia is that of it which the service shows to whoever has not paid.
func paidMedia(m *tg.MessageMediaPaidMedia) (all []tg.MessageMediaClass) {
	for _, e := range m.ExtendedMedia {
		if x, ok := e.(*tg.MessageExtendedMedia); ok {
			all = append(all, x.Media)
		}
	}
	return all
}
