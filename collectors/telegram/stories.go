package telegram

import (
	"context"
	"slices"
	"strconv"

	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/hashing"
	"holdfast/tl"
)

// story is one line of stories.jsonl. Members stand in canonical order; a story that
// the service names and does not show has its number alone.
type story struct {
	Content    *hashing.Digest `json:"content,omitempty"`
	Deleted    bool            `json:"deleted,omitempty"`
	Edited     bool            `json:"edited,omitempty"`
	Expires    string          `json:"expires,omitempty"`
	Forward    *forward        `json:"forward,omitempty"`
	Forwards   int             `json:"forwards,omitempty"`
	ID         int             `json:"id"`
	Kind       string          `json:"kind"`
	Links      []canon.Text    `json:"links,omitempty"`
	Media      []media         `json:"media,omitempty"`
	Mentions   []canon.Text    `json:"mentions,omitempty"`
	Pinned     bool            `json:"pinned,omitempty"` // it stays
	Posted     string          `json:"posted,omitempty"`
	Reactions  int             `json:"reactions,omitempty"`
	Skipped    bool            `json:"skipped,omitempty"`
	Text       canon.Text      `json:"text,omitempty"`
	TextDigest *hashing.Digest `json:"text_digest,omitempty"`
	Views      int             `json:"views,omitempty"`
}

func storyOf(o tdp.Object) (any, error) {
	switch k := o.(type) {
	case *tg.StoryItem:
		return shownStory(k)
	case *tg.StoryItemDeleted:
		return story{Deleted: true, ID: k.ID, Kind: "story"}, nil
	case *tg.StoryItemSkipped:
		return story{Expires: unix(k.ExpireDate), ID: k.ID, Kind: "story", Posted: unix(k.Date), Skipped: true}, nil
	}
	return nil, tl.ErrAnswer
}

func shownStory(k *tg.StoryItem) (any, error) {
	content, err := tl.StoryContent(k)
	if err != nil {
		return nil, err
	}
	text := hashing.Of([]byte(k.Caption))
	said := &post{}
	said.links(&tg.Message{Message: k.Caption, Entities: k.Entities})
	for _, a := range k.MediaAreas {
		if u, ok := a.(*tg.MediaAreaURL); ok && len(said.Links) < maxListed {
			said.Links = append(said.Links, canon.Text(u.URL))
		}
	}
	s := story{Content: &content, Edited: k.Edited, Expires: unix(k.ExpireDate), Forwards: max(k.Views.ForwardsCount, 0), ID: k.ID, Kind: "story", Links: said.Links,
		Media: mediaOf(k.Media, 0), Mentions: said.Mentions, Pinned: k.Pinned, Posted: unix(k.Date), Reactions: max(k.Views.ReactionsCount, 0),
		Text: canon.Text(k.Caption), TextDigest: &text, Views: max(k.Views.ViewsCount, 0)}
	if f, ok := k.GetFwdFrom(); ok {
		s.Forward = &forward{ID: max(f.StoryID, 0), Name: canon.Text(f.FromName)}
		if c, ok := f.From.(*tg.PeerChannel); ok {
			s.Forward.Channel = number(c.ChannelID)
		}
	}
	return s, nil
}

// stories asks for the stories that can be seen now, and then, page by page, for
// those that stay. That they were seen is told to nobody.
func (t *act) stories(ctx context.Context) error {
	at := t.cur.Also
	var r request = &tg.StoriesGetPeerStoriesRequest{Peer: t.cur.peer()}
	if at.Pinned {
		r = &tg.StoriesGetPinnedStoriesRequest{Peer: t.cur.peer(), OffsetID: at.Before, Limit: pageSize}
	}
	x, bad, err := t.ask(ctx, r)
	if err != nil {
		return err
	}
	a, err := t.splitOnly(x, bad, "stories")
	if a == nil {
		return err
	}
	if t.pieces, err = t.c.exchangeOf("", x, nil); err != nil {
		return err
	}
	raw := slices.IndexFunc(t.pieces, func(p piece) bool { return p.name == nameAnswer })
	t.pieces[raw].slices = slicesOf(a)
	if a.Unread != nil {
		t.partial(unreadOf(a, len(x.Answer)))
	}
	more, err := t.items(x, a, OnlyStories, "s-", storyOf)
	if err != nil {
		return err
	}
	t.pieces = append(t.pieces, more...)
	if err := t.storyFiles(ctx, a.Items); err != nil {
		return err
	}
	var ids []int
	for _, i := range a.Items {
		if at.Before == 0 || i.ID < at.Before {
			ids = append(ids, i.ID)
		}
	}
	switch {
	case !at.Pinned:
		return t.goes(also{Pinned: true})
	case a.Unread != nil || len(ids) == 0 || slices.Min(ids) <= 1 || a.Total > 0 && a.Total <= len(a.Items):
		return nil
	}
	return t.goes(also{Pinned: true, Before: slices.Min(ids)})
}

// storyFiles lists the files of stories, and asks for those that are wanted.
func (t *act) storyFiles(ctx context.Context, list []tl.Item) error {
	if t.wish.Media == "" || t.wish.Media == MediaNone {
		return nil
	}
	var out lineFile
	large := 0
	for _, i := range list[:min(len(list), maxMessages)] {
		k, ok := i.TL.(*tg.StoryItem)
		if !ok || i.ID < 1 || t.wish.Recent && int64(k.ExpireDate) < t.c.o.Now().Unix() {
			continue
		}
		all := filesIn(k.Media, 0)
		for n := range all {
			all[n].Story = i.ID
		}
		lines, over, err := t.filesListed(ctx, all, 0)
		if err != nil {
			return err
		}
		large += over
		if len(lines) > 0 {
			out.add("s-"+strconv.Itoa(i.ID), lines)
		}
	}
	t.tooLarge(large)
	if len(out.b) > 0 {
		t.pieces = append(t.pieces, piece{name: nameListed, role: RoleMediaJSON, media: typeLines, b: out.b, slices: out.slices, from: nameAnswer, action: "list-media"})
	}
	return nil
}
