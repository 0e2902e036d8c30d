package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/tme"
)

// pageOptions are options of a Task of the web's that is about a channel's public
// page. The browser does not know of them: what is wanted besides is read of what it
// received.
type pageOptions struct {
	Page *pageWish `json:"page,omitempty"`
}

// pageWish is what is wanted of a public page.
type pageWish struct {
	Alone bool      `json:"alone,omitempty"` // there was no account: what this cannot show is said
	Links bool      `json:"links,omitempty"` // the pages that its post links to
	Walk  *pageWalk `json:"walk,omitempty"`  // go on with the page of the posts before
}

// pageWalk is how far to go.
type pageWalk struct {
	Left  int       `json:"left,omitempty"` // posts that are still wanted; 0 is all
	Since time.Time `json:"since,omitzero"`
	Down  int64     `json:"down,omitempty"` // to this post, which was seen before
}

// cannotSee is said, and kept with each page, where there is no account.
const cannotSee = "the public pages show what t.me shows of the channel now: not what was deleted, not what an edited post said before or when it was edited, no exact numbers above a thousand, and not every file"

// publicPages is the web's Collector where a page of a channel is wanted. It adds to
// what was acquired and takes nothing from it.
type publicPages struct {
	by collectors.Collector
	n  *node
}

// Collect implements collectors.Collector.
func (p publicPages) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	var o pageOptions
	if err := json.Unmarshal(req.Options, &o); err != nil || o.Page == nil {
		return p.by.Collect(ctx, req, keep)
	}
	req.Options = nil
	a, err := p.by.Collect(ctx, req, keep)
	if err != nil {
		return a, err
	}
	if o.Page.Alone {
		a.Collection.Notes = append(a.Collection.Notes, "There was no account to ask the service with: "+cannotSee+".")
	}
	if a.Outcome != collectors.Failed {
		err = p.read(ctx, a, o.Page)
	}
	return a, err
}

// read says what is missing of the page's posts, and what is wanted next.
func (p publicPages) read(ctx context.Context, a *collectors.Acquired, w *pageWish) error {
	page, ok, err := p.n.pageOf(ctx, a)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case err != nil && !errors.Is(err, tme.ErrPage):
		return err
	case err != nil:
		lacks(a, "posts-unread", err.Error())
		return nil
	case !ok:
		lacks(a, "posts-unread", "it came from elsewhere, or t.me shows no posts of this channel to who has no account")
		return nil
	case page.Missing:
		a.Reasons = append(a.Reasons, collectors.Reason{Code: notFound, Detail: "the page says: Post not found"})
		return nil
	case len(page.Unread) > 0:
		lacks(a, "posts-unread", strings.Join(page.Unread[:min(3, len(page.Unread))], "; "))
	case len(page.Posts) > 0 && page.Channel == "":
		lacks(a, "posts-unread", "the page does not state the channel's number")
	case len(page.Posts) == 0 && (page.At.Post > 0 || page.At.Before == 0):
		lacks(a, "posts-unread", "there are none on the page")
	}
	if w.Links && page.At.Post > 0 {
		for _, x := range page.Posts {
			for _, l := range x.Links {
				a.Further = append(a.Further, collectors.Further{Source: string(l)})
			}
		}
	}
	return p.walk(a, page, w)
}

// lacks says of a page that came what is missing of it.
func lacks(a *collectors.Acquired, code, detail string) {
	a.Reasons = append(a.Reasons, collectors.Reason{Code: code, Detail: detail})
	if a.Outcome == collectors.Complete {
		a.Outcome = collectors.Partial
	}
}

// walk asks for the page of the posts before those of this one. Each page is a Task
// of its own; the number goes down with each, so there is an end.
func (p publicPages) walk(a *collectors.Acquired, page *tme.Page, w *pageWish) error {
	low := page.Lowest()
	if w.Walk == nil || low <= 1 {
		return nil
	}
	if page.At.Before > 0 && low >= page.At.Before {
		lacks(a, "no-progress", fmt.Sprintf("asked for posts below %d, the page shows %d and others", page.At.Before, low))
		return nil
	}
	next := *w.Walk
	if next.Down > 0 && low-1 <= next.Down {
		return nil
	}
	if next.Left > 0 {
		if next.Left -= len(page.Posts); next.Left <= 0 {
			return nil
		}
	}
	if old := oldest(page); !next.Since.IsZero() && !old.IsZero() && old.Before(next.Since) {
		return nil
	}
	site, err := p.n.publicSite()
	if err != nil || site.base == "" {
		return err
	}
	f, err := pageFurther(tme.ChannelPage(site.base, page.At.Channel, low), pageWish{Alone: w.Alone, Walk: &next})
	a.Further = append(a.Further, f)
	return err
}

func oldest(p *tme.Page) (t time.Time) {
	for _, x := range p.Posts {
		if at, err := time.Parse(time.RFC3339, x.Posted); err == nil && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	return t
}

// keyPage is what the keys of Further pages begin with: they are parts of what was
// asked for, as much in the scope of the Case as that was. Of two readings of the
// newest page the second may have another lowest post, and each is gone on from: some
// pages twice rather than one post not at all.
const keyPage = "public page "

func pageFurther(source string, w pageWish) (f collectors.Further, err error) {
	f.Source, f.Key = source, keyPage+source
	f.Options, err = json.Marshal(pageOptions{&w})
	return f, err
}

// publicInstead gives the public pages of what no account here can be asked about,
// with their options. With an account, or without anything of Telegram's, it changes
// nothing.
func (n *node) publicInstead(sources []holdfast.Source, o captureOptions) (all []holdfast.Source, pages map[holdfast.Source]json.RawMessage, err error) {
	if !slices.ContainsFunc(sources, isTelegram) {
		return sources, nil, nil
	}
	names, err := n.accounts.Names()
	if err != nil {
		return nil, nil, err
	}
	if _, err = n.telegramOptions(); err != nil && !errors.Is(err, nodedir.ErrNoApp) || err == nil && len(names) > 0 {
		return sources, nil, nil // what is wrong is told by who asks the service
	}
	site, err := n.publicSite()
	if err != nil {
		return nil, nil, err
	}
	if site.base == "" {
		return sources, nil, nil
	}
	want, err := o.telegram.wish()
	if err != nil {
		return nil, nil, err
	}
	pages = map[holdfast.Source]json.RawMessage{}
	for _, s := range sources {
		if !isTelegram(s) {
			all = append(all, s)
			continue
		}
		fs, err := publicOf(site, s, want)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range fs {
			page, err := holdfast.ParseSource(f.Source)
			if err != nil {
				return nil, nil, err
			}
			all, pages[page] = append(all, page), f.Options
		}
	}
	return all, pages, nil
}

// publicOf is the pages of a channel, or of a post and its neighbours.
func publicOf(site publicSite, s holdfast.Source, want telegram.Wish) ([]collectors.Further, error) {
	name, err := telegram.ParseName(string(s))
	if err != nil {
		return nil, err
	}
	if name.Post == 0 {
		f, err := pageFurther(tme.ChannelPage(site.base, name.Channel, 0), pageWish{Alone: true, Walk: &pageWalk{Left: want.Limit, Since: want.Since}})
		return []collectors.Further{f}, err
	}
	const around = 10 // as with an account: the page shows some twenty below a number
	one, err := pageFurther(tme.PostPage(site.base, name.Channel, int64(name.Post)), pageWish{Alone: true, Links: want.Links})
	near, nerr := pageFurther(tme.ChannelPage(site.base, name.Channel, int64(name.Post)+around+1), pageWish{Alone: true})
	return []collectors.Further{one, near}, errors.Join(err, nerr)
}

// secondView is the public page of a post that is captured with an account.
func (n *node) secondView(s holdfast.Source) (*collectors.Further, error) {
	name, err := telegram.ParseName(string(s))
	if err != nil || name.Post == 0 {
		return nil, err
	}
	site, err := n.publicSite()
	if err != nil || site.base == "" {
		return nil, err
	}
	f, err := pageFurther(tme.PostPage(site.base, name.Channel, int64(name.Post)), pageWish{})
	return &f, err
}

// asTelegram is the channel or post whose public page an address is, or "".
func asTelegram(s string) string {
	at, ok := tme.ParseAddress(s, tme.Hosts())
	if !ok {
		return ""
	}
	return telegram.Name{Channel: at.Channel, Post: int(at.Post)}.Source()
}
