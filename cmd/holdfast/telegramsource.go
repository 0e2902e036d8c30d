package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
)

// isTelegram says whether an account is asked about a Source.
func isTelegram(s holdfast.Source) bool { return strings.HasPrefix(string(s), "telegram:") }

// namesTelegram says whether a person means a channel or a post. What begins with
// https:// is a web page, also that of a channel.
func namesTelegram(s string) bool {
	l := strings.ToLower(s)
	for _, p := range []string{"telegram:", "tg:", "@", "t.me/", "www.t.me/", "telegram.me/", "telegram.dog/"} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	host, _, _ := strings.Cut(l, "/")
	return strings.HasSuffix(host, ".t.me") && !strings.Contains(host, ":")
}

func parseTelegram(s string) (holdfast.Source, error) {
	n, err := telegram.ParseName(s)
	if err != nil {
		return "", fmt.Errorf("capture: %w", err)
	}
	return holdfast.ParseSource(n.Source())
}

// telegramFlags are those of capture that are about channels and posts.
type telegramFlags struct {
	since   string
	limit   int
	media   string
	maxSize string
	links   string
	web     string

	stories  bool
	comments string // yes, no, or as the Case's record says
	oldest   bool
}

// mediaSize is the default of --max-size: what people film and send with a
// telephone is below it.
const mediaSize = "100MB"

// defaultMedia is what is taken of the files of posts where nobody said: of a post
// that somebody names, all, which is what they look at; of a channel, captured or
// watched, its photos, since a channel's films can be more than a disk holds.
func defaultMedia(s holdfast.Source) string {
	if strings.Contains(string(s), "/") {
		return telegram.MediaAll
	}
	return telegram.MediaPhotos
}

// wish is what the Collector is asked for; Media "" is that nobody said.
func (f telegramFlags) wish() (w telegram.Wish, err error) {
	if f.limit < 0 {
		return w, usageError("--limit %d: how many messages, from the newest; 0 is all", f.limit)
	}
	w.Limit = f.limit
	since, err := parseWhen("--since", f.since, false)
	if err != nil {
		return w, err
	}
	w.Since = since.Time
	switch w.Media = f.media; f.media {
	case "", telegram.MediaNone, telegram.MediaPhotos, telegram.MediaAll:
	default:
		return w, usageError("--media %.20q: none, photos or all", f.media)
	}
	if w.MaxSize, err = parseBytes("--max-size", f.maxSize); err != nil {
		return w, err
	}
	w.Stories, w.OldestFirst = f.stories, f.oldest
	switch f.comments {
	case "", "no":
	case "yes":
		w.Comments = true
	default:
		return w, usageError("--comments %.20q: yes or no", f.comments)
	}
	if f.web != "yes" && f.web != "no" {
		return w, usageError("--web %.20q: yes or no", f.web)
	}
	switch f.links {
	case "yes":
		w.Links = true
	case "no":
	default:
		return w, usageError("--links %.20q: yes or no", f.links)
	}
	return w, nil
}

// collectorOptions are the Task's options for the Collector of its Source, as they
// were asked for.
func (n *node) collectorOptions(s holdfast.Source, rec catalog.Record, o captureOptions) (json.RawMessage, error) {
	if !isTelegram(s) {
		if public, ok := o.pages[s]; ok {
			return public, nil
		}
		return o.page.options(o.decoded)
	}
	w, err := o.telegram.wish()
	if err != nil {
		return nil, err
	}
	if o.telegram.web == "yes" {
		if w.Second, err = n.secondView(s); err != nil {
			return nil, err
		}
	}
	if w.Media == "" {
		w.Media = defaultMedia(s)
	}
	if o.telegram.comments == "" {
		w.Comments = rec.Comments
	}
	if strings.Contains(string(s), "/") {
		w.Stories, w.OldestFirst = false, false
	} else {
		w.Links = false // of a channel's posts they would be thousands
	}
	return json.Marshal(w)
}
