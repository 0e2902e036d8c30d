package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/schedule"
)

// isURL says whether a person wrote the address of a page.
func isURL(s string) bool {
	l := strings.ToLower(s)
	return strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "http://")
}

// schedule is what a row says of when its page is visited; "": nothing.
func (r watchRow) schedule() (string, error) {
	if r.scheduled == "" {
		return schedule.Given(r.every, r.cron, r.zone, r.decaying)
	}
	s, err := schedule.Parse(r.scheduled) // of a list that was exported
	return s.String(), err
}

// pageWatch is what a row asks for of a page. What is for channels alone is refused:
// nobody is to believe that it counts.
func (r watchRow) pageWatch(text string) (w watch, err error) {
	for what, said := range map[string]string{"media": r.media, "links": r.links, "web": r.web, "since": r.since, "lang": r.lang} {
		if said != "" {
			return w, fmt.Errorf("%.80q is a page, and --%s is about the posts of a channel: leave it out", r.name, what)
		}
	}
	if w.Source, err = parseURL(r.name, r.allowPrivate); err != nil {
		return w, err
	}
	if !isPageSource(w.Source) {
		return w, fmt.Errorf("%.80q is no page: pages begin with https:// or http://", r.name)
	}
	w.Schedule, w.Note = text, r.note
	w.visitHow, err = r.how.how()
	return w, err
}

// asksPage says whether a row is of a page: an address with a schedule, or one that is
// no channel's.
func (r watchRow) asksPage() (is bool, schedule string, err error) {
	if schedule, err = r.schedule(); err != nil {
		return false, "", err
	}
	if schedule != "" {
		if !isURL(r.name) {
			return false, "", fmt.Errorf("%.80q: a schedule is for a page, https://…; a channel is followed all the time", r.name)
		}
		return true, schedule, nil
	}
	if _, err := telegram.ParseName(r.name); err != nil && isURL(r.name) {
		return true, "", nil
	}
	return false, "", nil
}

// mayVisit refuses a page without a schedule where it is not watched yet, and a schedule
// that asks too often.
func (n *node) mayVisit(k *watch) error {
	if k.Schedule == "" {
		return usageError("%.300s: say how often the page is visited: --every 6h, --cron \"0 6 * * *\" or --decaying", k.Source)
	}
	s, err := schedule.Parse(k.Schedule)
	if err != nil {
		return usageError("%w", err)
	}
	conf, err := n.watchConf()
	if err != nil {
		return err
	}
	if err := s.Check(conf.Least, time.Now()); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// watchNames are the Sources that people mean who name what is watched: the page, where
// that is watched, else the channel.
func (n *node) watchNames(ctx context.Context, args []string) (sources []holdfast.Source, err error) {
	list, err := n.watches(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range args {
		name, nerr := telegram.ParseName(a)
		if isURL(a) {
			page, err := parseURL(a, true)
			if err == nil && (nerr != nil || findWatch(list, page) != nil) {
				sources = append(sources, page)
				continue
			}
		}
		if nerr != nil {
			return nil, usageError("watch: %w", nerr)
		}
		sources = append(sources, holdfast.Source(name.Source()))
	}
	return sources, nil
}

// channelRows says whether any row is of a channel.
func channelRows(rows []watchRow) bool {
	for _, r := range rows {
		if is, _, err := r.asksPage(); err != nil || !is {
			return true
		}
	}
	return false
}
