package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) watchListCmd() *cobra.Command {
	var r remote
	cmd := command("list", "List what is watched, and how it is", "holdfast watch list --json", cobra.NoArgs, func(cmd *cobra.Command, args []string) error {
		if there, err := r.asked(cmd); err != nil {
			return err
		} else if there {
			return c.watchListRemote(cmd.Context(), r)
		}
		return c.withNode(c.watchList)(cmd, args)
	})
	cmd.Long = `  resolving  nobody has asked yet what channel it is
  history    it is followed, and its history is being captured
  followed   it is followed, and the history is there
  waiting    the next question is due, and nobody has asked: is 'watch run' at work? Or
             the session that a page is visited with is not there: then it says so
  unreadable the service showed nothing of it when it was asked last (private, gone,
             banned); it is asked again, later and later
  failed     its name leads nowhere; it is tried again a day later
  paused     'watch pause --off' goes on
  scheduled  a page: it is visited when its schedule says
  resting    a page that did not come the last time: it is visited again, more rarely
  pages      no account can ask: its public pages are looked at, and what these cannot
             show is said beside it

The delay is measured with the newest posts that were seen as they came. Beside it:
whether the account has joined the channel, so that the service tells of it by itself;
else the channel is asked in turns, and what happens there stays unknown for as long as
the service's pause for each such channel: that is no real time. Then what the last
'watch canary' has measured, and when. What is said to be silent has not posted for longer
than is usual there.

Of nodes that share a queue it is one list: beside each watch stands which node runs it,
or why none does.`
	r.flags(cmd)
	return cmd
}

// watchTasks are the Tasks of each watch, by part; of several of one part the one
// that is due first.
func (n *node) watchTasks(ctx context.Context) (map[holdfast.ID]map[string]pipeline.Task, error) {
	of := map[holdfast.ID]map[string]pipeline.Task{}
	for t, err := range n.waiting(ctx) {
		if err != nil {
			return nil, err
		}
		id, part := watchOf(t)
		if id == "" {
			continue
		}
		if of[id] == nil {
			of[id] = map[string]pipeline.Task{}
		}
		if old, ok := of[id][part]; !ok || t.Due.Before(old.Due) {
			of[id][part] = t
		}
	}
	return of, nil
}

// watchOf is the watch that a Task belongs to, and for what part of it; "" is none.
func watchOf(t pipeline.Task) (holdfast.ID, string) {
	var o struct {
		Watch holdfast.ID `json:"watch"`
		Part  string      `json:"part"`
	}
	if len(t.Options) == 0 || json.Unmarshal(t.Options, &o) != nil {
		return "", ""
	}
	return o.Watch, o.Part
}

func isWatched(t pipeline.Task) bool {
	id, _ := watchOf(t)
	return id != ""
}

// resolvePace is how long one name takes to be asked for at the service's own pace.
const resolvePace = 2 * time.Second

func (c *cli) watchList(ctx context.Context, n *node) error { return n.eachWatch(ctx, c.sayWatch) }

// eachWatch tells of each watch how it is, with the names of all Cases.
func (n *node) eachWatch(ctx context.Context, tell func(*watch, standing, map[holdfast.ID]string)) error {
	list, err := n.watches(ctx)
	if err != nil {
		return err
	}
	if err := n.refresh(ctx); err != nil {
		return err
	}
	tasks, err := n.watchTasks(ctx)
	if err != nil {
		return err
	}
	names := map[holdfast.ID]string{}
	for cs, err := range n.cat.Cases(ctx) {
		if err != nil {
			return err
		}
		names[cs.ID] = cs.Name
	}
	how, canaries := followings(list, tasks), n.canaryLasts()
	untold, err := n.untold(ctx)
	if err != nil {
		return err
	}
	pages, site, conf, err := n.pagesNow()
	if err != nil {
		return err
	}
	runners, err := n.watchRunners(ctx)
	if err != nil {
		return err
	}
	now, resolving := time.Now(), 0
	for _, w := range list {
		s, err := n.standing(ctx, w, tasks[w.ID], now)
		if err != nil {
			return err
		}
		if runners != nil {
			pages = runners.standingIn(w, &s)
		}
		if s.Page != nil {
			tell(w, s, names)
			continue
		}
		if s.Mode = modeService; pages != "" {
			if err := n.standingByPages(ctx, w, &s, site, conf, now); err != nil {
				return err
			}
			s.Mode, s.Cannot = modePages, pages+"; "+conf.cannotFollow()
		} else if s.State == "resolving" {
			resolving++
			s.Left = time.Duration(resolving) * resolvePace
		}
		s.Following = how[w.ID]
		if l, ok := canaries[w.Source]; ok {
			s.Canary = &l
		}
		s.Untold = untold.of(w)
		tell(w, s, names)
	}
	return nil
}

// standing is how a watch is.
type standing struct {
	State   string
	Due     holdfast.Time // of the next question
	Late    time.Duration // for how long it has been due
	Seen    seenAfter
	Left    time.Duration // until its name is asked for, about
	Health  health
	Channel string

	Following following
	Canary    *canaryLast
	Untold    string // what alerts of it could not be told; "": nothing
	Mode      string // who is asked
	Cannot    string // what that cannot show, where it is its public pages

	Page *pageStanding // of a page; nil: it is a channel

	Shared bool   // it is of several nodes:
	Node   string // which of them runs it; "": none does,
	NotRun string // and why
}

// standing of a watch: from the queue and the catalog alone, whoever asks.
func (n *node) standing(ctx context.Context, w *watch, parts map[string]pipeline.Task, now time.Time) (s standing, err error) {
	if w.isPage() {
		return n.pageStanding(ctx, w, parts, now)
	}
	follow, ok := parts[partFollow]
	if ok && !follow.Due.IsZero() {
		s.Due = holdfast.At(follow.Due)
		s.Late = max(now.Sub(follow.Due), 0).Truncate(time.Second)
	}
	_, backfill := parts[partBackfill]
	switch {
	case w.Paused != nil:
		s.State = "paused"
	case w.Failed != "":
		s.State = "failed"
	case !ok || follow.Step == 0:
		s.State = "resolving"
	case s.Late > time.Minute && !follow.Lease.Until.After(now):
		s.State = "waiting"
	case backfill || w.Backfill == "":
		s.State = "history"
	default:
		s.State = "followed"
	}
	if s.Channel, err = n.channelOf(ctx, w.Source); err != nil || s.Channel == "" {
		return s, err
	}
	if s.State != "paused" && s.State != "failed" {
		for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: w.Source, Kind: holdfast.KindCapture, Limit: 1}) {
			if err != nil {
				return s, err
			}
			if cp.Outcome == "failed" {
				s.State = "unreadable"
			}
		}
	}
	if s.Health, err = n.health(ctx, s.Channel, now); err == nil {
		s.Seen, err = n.seenAfter(ctx, s.Channel, now)
	}
	return s, err
}

// channelOf is the channel that had the name last; "" if no answer states one.
func (n *node) channelOf(ctx context.Context, s holdfast.Source) (id string, err error) {
	name, err := telegram.ParseName(string(s))
	if err != nil {
		return "", err
	}
	var last holdfast.Time
	for k, err := range n.cat.Channels(ctx, name.Channel) {
		if err != nil {
			return "", err
		}
		if id == "" || k.Last.After(last.Time) {
			id, last = k.ID, k.Last
		}
	}
	return id, nil
}

func (c *cli) sayWatch(w *watch, s standing, names map[holdfast.ID]string) {
	var cases []string
	for _, id := range w.Cases {
		cases = append(cases, names[id])
	}
	row := map[string]any{"source": w.Source, "cases": cases, "case_ids": w.Cases, "state": s.State, "lang": w.Lang, "priority": w.priority(), "media": w.media(), "note": w.Note,
		"links": w.Links, "since": stated(w.Since), "added": w.Added, "channel": s.Channel, "due": stated(s.Due), "late": int(s.Late.Seconds()), "left": int(s.Left.Seconds()),
		"posts_a_day": s.Health.PerDay, "last_post": stated(s.Health.Last), "heard": stated(s.Health.Heard), "silent": s.Health.finding(), "failed": w.Failed, "account": w.Account, "web": w.Views, "mode": s.Mode, "cannot_see": s.Cannot}
	s.Following.row(row, s.Seen)
	row["canary"], row["alerts"] = nil, s.Untold
	s.officeRow(row)
	text := fmt.Sprintf("%-9s  %s  %s", s.State, messages.Visible(string(w.Source)), messages.Visible(strings.Join(cases, ", ")))
	if s.Page != nil {
		c.sayPage(w, s, row, text)
		return
	}
	if s.State == "resolving" && s.Left > 0 {
		text += fmt.Sprintf("  in about %s", s.Left)
	}
	if s.State == "waiting" {
		text += fmt.Sprintf("  due for %s", s.Late)
	}
	if s.Node != "" {
		text += "  run by " + s.Node
	}
	if !s.Health.Last.IsZero() {
		text += fmt.Sprintf("  %.0f a day, last %s", s.Health.PerDay, s.Health.Last)
	}
	delays := []string{s.Seen.text(), s.Following.text(), ""}
	if k := s.Canary; k != nil {
		row["canary"] = k.row()
		delays[2] = fmt.Sprintf("canary, %s ago: %s", hours(max(time.Since(k.At.Time), 0)), k.short())
	}
	for _, more := range append(delays, s.NotRun, s.Health.finding(), w.Failed, s.Untold, s.Cannot) {
		if more != "" {
			text += "\n  " + messages.Visible(more)
		}
	}
	c.say(row, "%s", text)
}

func (w *watch) priority() int {
	if w.Priority == 0 {
		return 5
	}
	return w.Priority
}

func (w *watch) media() string {
	if w.Media == "" {
		return "none"
	}
	return w.Media
}

func (c *cli) watchExportCmd() *cobra.Command {
	return command("export", "Write the list as a CSV that `watch add --list` reads", "holdfast watch export > watches.csv", cobra.NoArgs,
		c.withNode(func(ctx context.Context, n *node) error {
			list, err := n.watches(ctx)
			if err != nil {
				return err
			}
			out := csv.NewWriter(c.out)
			rows := [][]string{{"source", "case", "lang", "priority", "media", "note", "links", "since", "max_size", "web", "state"}}
			pages := slices.ContainsFunc(list, (*watch).isPage)
			if pages {
				rows[0] = append(rows[0], "schedule", "private")
			}
			how := slices.ContainsFunc(list, func(w *watch) bool { return w.visitHow != (visitHow{}) })
			if how {
				rows[0] = append(rows[0], "session", "consent", "more", "decoded", "films")
			}
			for _, w := range list {
				links := ""
				if w.Links != nil {
					links = strconv.Itoa(*w.Links)
				}
				web := ""
				if w.Views != nil {
					web = strconv.Itoa(*w.Views)
				}
				since, maxSize := "", ""
				if w.Media != "" {
					maxSize = strconv.FormatInt(w.MaxSize, 10)
				}
				private := ""
				if w.isPage() && w.AllowPrivate {
					private = "yes"
				}
				media := w.media()
				if w.isPage() {
					media = ""
				}
				if !w.Since.IsZero() {
					since = w.Since.String()
				}
				for _, id := range w.Cases {
					name := ""
					if id != n.set.Unfiled {
						cs, err := n.findCase(ctx, string(id))
						if err != nil && !errors.Is(err, catalog.ErrNotFound) {
							return err
						}
						if name = cs.Name; name == "" {
							name = string(id)
						}
					}
					row := []string{string(w.Source), name, w.Lang, strconv.Itoa(w.priority()), media, w.Note, links, since, maxSize, web, w.state()}
					if pages {
						row = append(row, w.Schedule, private)
					}
					if how {
						row = append(row, w.cells()...)
					}
					rows = append(rows, row)
				}
			}
			if err := out.WriteAll(rows); err != nil {
				return fmt.Errorf("write csv: %w", err)
			}
			return nil
		}))
}
