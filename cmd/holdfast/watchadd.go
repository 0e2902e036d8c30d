package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/collectors/telegram"
	"holdfast/messages"
	"holdfast/pipeline"
)

const (
	defaultLinks  = 200 // pages a day of one Case, where nothing else was said
	maxLinks      = 10_000
	maxWatchNote  = 1000
	maxWatchCSV   = 8 << 20
	maxWatchCases = 16
)

// watchRow is what is asked for of one Source.
type watchRow struct {
	name                string
	cases               []string
	lang, note          string
	media, links, since string
	web                 string
	maxSize             string
	priority            string
	allowPrivate        bool
	every, cron, zone   string // of a page: when it is visited,
	decaying            bool
	scheduled           string // or the same as an exported list says it
	how                 howFlags
	line                int // of the CSV; 0 is the command's
}

func (c *cli) watchCmd() *cobra.Command {
	return group("watch", "Keep up with channels as they post, and with pages on a schedule", "holdfast watch add @name --case 2026-017",
		c.watchAddCmd(), c.watchListCmd(), c.watchShowCmd(), c.watchExportCmd(), c.watchPauseCmd(), c.watchRemoveCmd(), c.watchRunCmd(), c.watchCanaryCmd())
}

func (c *cli) watchAddCmd() *cobra.Command {
	var row watchRow
	var list string
	var r remote
	cmd := command("add SOURCE --case NAME… | --list FILE.csv|-", "Watch a channel from now on, with its history, or a page on a schedule", "holdfast watch add telegram:@name --case 2026-017", cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (list != "") {
				return usageError("say one SOURCE, or --list FILE.csv (- for stdin) for many; `holdfast watch add --help` shows how")
			}
			rows := []watchRow{row}
			if list == "" {
				rows[0].name = args[0]
			} else {
				var err error
				if rows, err = c.watchCSV(list, row); err != nil {
					return err
				}
			}
			if there, err := r.asked(cmd); err != nil {
				return err
			} else if there {
				return c.watchAddRemote(cmd.Context(), r, rows)
			}
			n, err := c.captureNode(cmd.Context())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			defer n.Close()
			return c.watchAdd(cmd.Context(), n, rows)
		})
	cmd.Long = `From then on 'holdfast watch run' keeps up with it: what is posted, edited and
deleted, the whole history behind it, and each post again by its number on a
schedule. A Source that is watched already gets the Cases that are new, and what
else is given; captured once, it belongs to all its Cases, and is at home in the
first. A Case that is not there is made.

A page, https://…, is visited on a schedule, for the first time at once:

  --every 6h       so often, counted from when the watch was added (1m30s, 6h, 7d)
  --cron EXPR      five fields: minute, hour, day of the month, month, day of the week;
                   --zone Europe/Paris is whose clock (default UTC). A time that the
                   clock there jumps over is left out, one that it has twice is twice
  --decaying       at 0, 10 min, 30 min, 1 h, 3 h, 6 h, 12 h, 1 d, 2 d, 4 d, 7 d after the
                   watch was added, then every 7 days

but not more often than every 5 minutes (web.least in holdfast.yaml). Each visit is a
capture, sealed like any other. One that shows another content than the last is a new
version: what counts for that leaves out counters, advertisements and ways to other
pages. Each names the visit before and its Manifest's digest. Times at which nobody was
there (the node was off) are one visit, which says how many they were. A page that does
not come rests for longer each time, up to a day; each try is a sealed capture.

With --session NAME each visit has the cookies of that session ('holdfast session'). Where
there is none of that name, or it has ended, the visit waits, and 'watch list' and
'doctor' say so: it never goes out without. --session none: nobody is logged in any more.
--consent, --more, --decoded and --films-with are as of 'capture' (none: no program any more).

--list reads a CSV with a head line, of these columns: source, case, lang, priority,
media, note, links, since, max_size, web, schedule, private, session, consent, more,
decoded, films; all but source may be empty or missing, and one source may have several lines,
for several Cases. schedule is "every 6h", "cron 0 6 * * * Europe/Paris" or "decaying",
private and decoded are yes or empty. Any wrong line: none is added.

Pages that posts link to are captured at once where the Case names an egress
('direct' is one: 'holdfast case edit NAME --egress direct'), inside its scope, and
not more a day than --links (default 200 for each Case; no: none). Under the same
conditions the public page (t.me) of each post that is new, edited or gone is captured
and compared with what the service says, up to --web a day (default 200; no: none).

Without an account the public pages are what is looked at; what these cannot show is
said here, by 'watch list' and by 'watch run'. Once an account is logged in the service
itself is asked.

exit status: 0 done  1 could not  2 usage, nothing was added`
	r.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&row.cases, "case", nil, "a Case it belongs to; several times for several")
	f.StringVar(&list, "list", "", "read many from a CSV; - is stdin")
	f.StringVar(&row.lang, "lang", "", "the language of its posts, as ar or zh-Hant")
	f.StringVar(&row.priority, "priority", "", "1 (first) to 9; default 5")
	f.StringVar(&row.media, "media", "", "its photos and files: none, photos or all (default photos)")
	f.StringVar(&row.maxSize, "max-size", mediaSize, "of such a file; larger ones are listed and not taken; 0 is any")
	f.StringVar(&row.note, "note", "", "why it is watched; stated in each capture")
	f.StringVar(&row.links, "links", "", "pages that posts link to, a day at most: a number, or no")
	f.StringVar(&row.web, "web", "", "public pages (t.me) of posts that are new, edited or gone, a day at most: a number, or no")
	f.BoolVar(&row.allowPrivate, "allow-private", false, "of pages: permit loopback, private and link-local addresses")
	f.StringVar(&row.every, "every", "", "of a page: visit it so often, as 6h, 90m or 7d")
	f.StringVar(&row.cron, "cron", "", "of a page: visit it at these times, as \"0 6 * * *\"")
	f.StringVar(&row.zone, "zone", "", "with --cron: the time zone, as Europe/Paris (default UTC)")
	f.BoolVar(&row.decaying, "decaying", false, "of a page: visit it often at first, then ever more rarely")
	f.StringVar(&row.how.session, "session", "", "of a page: the NAME of 'holdfast session list' whose cookies each visit has; none: nobody's")
	f.StringVar(&row.how.consent, "consent", "", "of a page: refuse a banner that asks for consent, or leave it (default refuse)")
	f.StringVar(&row.how.more, "more", "", "of a page: press buttons that give more of it, or none (default buttons)")
	f.StringVar(&row.how.decoded, "decoded", "", "of a page: the browser speaks with the site itself; =no: not any more")
	f.Lookup("decoded").NoOptDefVal = "yes"
	f.StringVar(&row.how.films, "films-with", "", "of a page: yt-dlp, which is then run at each visit, or none (default none)")
	f.StringVar(&row.since, "since", "", "of its history: posts from this day on")
	return cmd
}

// watchCSV reads the rows; what a row leaves empty is as the flags say.
func (c *cli) watchCSV(name string, common watchRow) ([]watchRow, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError("--list: %w", err)
		}
		defer f.Close()
		in = f
	}
	limited := &io.LimitedReader{R: in, N: maxWatchCSV + 1}
	r := csv.NewReader(limited)
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	all, err := r.ReadAll()
	switch {
	case err != nil:
		return nil, usageError("--list %s: %w", name, err)
	case limited.N == 0:
		return nil, usageError("--list %s: more than %d bytes", name, maxWatchCSV)
	case len(all) < 2:
		return nil, usageError("--list %s: no line behind the head: source,case,lang,priority,media,note", name)
	}
	var rows []watchRow
	columns := map[string]int{}
	for i, k := range all[0] {
		columns[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(k, "\ufeff")))] = i
	}
	if err := checkColumns(columns); err != nil {
		return nil, usageError("--list %s: %w", name, err)
	}
	for i, rec := range all[1:] {
		w := common
		w.line = i + 2
		if len(rec) > len(all[0]) {
			return nil, usageError("--list %s, row %d: %d fields, the head has %d", name, w.line, len(rec), len(all[0]))
		}
		for k, to := range map[string]*string{"source": &w.name, "lang": &w.lang, "priority": &w.priority, "media": &w.media, "note": &w.note, "links": &w.links, "since": &w.since, "max_size": &w.maxSize, "web": &w.web, "schedule": &w.scheduled,
			"session": &w.how.session, "consent": &w.how.consent, "more": &w.how.more, "decoded": &w.how.decoded, "films": &w.how.films} {
			if at, ok := columns[k]; ok && at < len(rec) && strings.TrimSpace(rec[at]) != "" {
				*to = strings.TrimSpace(rec[at])
			}
		}
		if at, ok := columns["private"]; ok && at < len(rec) && strings.TrimSpace(rec[at]) == "yes" {
			w.allowPrivate = true
		}
		if at, ok := columns["case"]; ok && at < len(rec) && strings.TrimSpace(rec[at]) != "" {
			w.cases = []string{strings.TrimSpace(rec[at])}
		}
		rows = append(rows, w)
	}
	return rows, nil
}

func checkColumns(columns map[string]int) error {
	known := []string{"source", "case", "lang", "priority", "media", "note", "links", "since", "max_size", "web", "schedule", "private", "session", "consent", "more", "decoded", "films"}
	for k := range columns {
		if !slices.Contains(known, k) && k != "state" { // of an export
			return fmt.Errorf("no column %.40q is known: the head line is %s", k, strings.Join(known, ","))
		}
	}
	if _, ok := columns["source"]; !ok {
		return fmt.Errorf("no column source: the head line is %s", strings.Join(known, ","))
	}
	return nil
}

var langTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// watch is what a row asks for, without its Cases.
func (r watchRow) watch() (w watch, err error) {
	isPage, schedule, err := r.asksPage()
	if err != nil {
		return w, err
	}
	var name telegram.Name
	if !isPage {
		if name, err = telegram.ParseName(r.name); err != nil {
			return w, err
		}
	}
	switch {
	case name.Post > 0:
		return w, fmt.Errorf("%.80q is one post: a channel is watched, `holdfast capture` takes a post", r.name)
	case r.lang != "" && !langTag.MatchString(r.lang):
		return w, fmt.Errorf("lang %.40q: write it as ar, or zh-Hant", r.lang)
	case len(r.note) > maxWatchNote || strings.ToValidUTF8(r.note, "") != r.note:
		return w, fmt.Errorf("note: at most %d bytes of UTF-8", maxWatchNote)
	}
	if w = (watch{Source: holdfast.Source(name.Source()), Lang: r.lang, Note: r.note}); isPage {
		if w, err = r.pageWatch(schedule); err != nil {
			return w, err
		}
	}
	if r.priority != "" {
		if w.Priority, err = strconv.Atoi(r.priority); err != nil || w.Priority < 1 || w.Priority > 9 {
			return w, fmt.Errorf("priority %.20q: 1 (first) to 9", r.priority)
		}
	}
	if isPage {
		return w, nil
	}
	if given := r.how.given(); len(given) > 0 {
		return w, fmt.Errorf("%.80q is a channel, and %s is about pages: leave it out", r.name, given[0])
	}
	f := telegramFlags{media: defaultMedia(holdfast.Source(name.Source())), links: "no", web: "no"}
	if r.media != "" {
		f.media = r.media
	}
	if f.maxSize = r.maxSize; r.maxSize == "" {
		f.maxSize = mediaSize
	}
	k, err := f.wish()
	if err != nil {
		return w, err
	}
	if w.Media, w.MaxSize = k.Media, k.MaxSize; w.Media == telegram.MediaNone {
		w.Media, w.MaxSize = "", 0
	}
	if w.Since, err = parseWhen("since", r.since, false); err != nil {
		return w, err
	}
	if w.Links, err = pagesADay("links", r.links); err != nil {
		return w, err
	}
	w.Views, err = pagesADay("web", r.web)
	return w, err
}

// pagesADay reads how many; nil: nobody said.
func pagesADay(what, s string) (*int, error) {
	switch s {
	case "":
		return nil, nil
	case "no":
		return new(int), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxLinks {
		return nil, fmt.Errorf("%s %.20q: how many pages a day, up to %d, or no", what, s, maxLinks)
	}
	return &n, nil
}

// wanted is a checked row with its Cases.
type wanted struct {
	watch
	given watchRow
	cases []holdfast.ID
}

// watchAdd adds all rows or none. A Case that a row names is made; if the process
// ends between that and the list, there is a Case without captures.
func (c *cli) watchAdd(ctx context.Context, n *node, rows []watchRow) error {
	text, err := n.watchNote(ctx, channelRows(rows))
	if err != nil {
		return err
	}
	if text != "" {
		c.complain(errors.New(text))
	}
	var all []wanted
	defer func() {
		for _, note := range n.sessionNotes(all) {
			c.complain(errors.New(note))
		}
	}()
	var bad []error
	for _, r := range rows {
		w, err := n.wantedWatch(ctx, r)
		if err != nil && r.line > 0 {
			err = fmt.Errorf("row %d: %w", r.line, err)
		}
		if bad = append(bad, err); len(bad) > 20 && errors.Join(bad...) != nil {
			break
		}
		all = append(all, w)
	}
	if err := errors.Join(bad...); err != nil {
		return &exitError{exitUsage, fmt.Errorf("watch add: nothing was added: %w", err)}
	}
	added, err := n.addWatches(ctx, all, n.set.Agent, nil)
	for _, k := range added {
		c.say(map[string]any{"event": k.event, "source": k.source, "cases": k.cases}, "%-9s %s", k.event, messages.Visible(string(k.source)))
	}
	return err
}

// watchAdded is what became of a row.
type watchAdded struct {
	event  string
	source holdfast.Source
	cases  []holdfast.ID
}

// addWatches adds all or none; may, if it is not nil, is asked before a watch that is
// there already is changed.
func (n *node) addWatches(ctx context.Context, all []wanted, by holdfast.Agent, may func(*watch, wanted) error) (added []watchAdded, err error) {
	err = n.changeWatches(ctx, func(list []*watch) ([]*watch, error) {
		added = nil
		for _, w := range all {
			what, k := "changed", findWatch(list, w.Source)
			if k == nil {
				what, k = "added", &watch{ID: holdfast.NewID(), Source: w.Source, Added: holdfast.At(time.Now())}
				list = append(list, k)
			} else if may != nil {
				if err := may(k, w); err != nil {
					return nil, err
				}
			}
			fresh, err := k.take(w)
			if err == nil && k.isPage() {
				err = errors.Join(n.mayVisit(k), n.mayHave(w))
			}
			if err != nil {
				return nil, err
			}
			if err := n.watchLines(ctx, by, "watch-added", k, fresh, k.Note); err != nil {
				return nil, err
			}
			added = append(added, watchAdded{what, k.Source, k.Cases})
		}
		return list, nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

func (n *node) wantedWatch(ctx context.Context, r watchRow) (w wanted, err error) {
	if w.watch, err = r.watch(); err != nil {
		return w, err
	}
	w.given = r
	if len(r.cases) == 0 {
		r.cases = []string{""}
	}
	for _, name := range r.cases {
		if name != "" {
			if _, perr := holdfast.ParseID(name); perr != nil {
				if err := checkCaseName(name); err != nil {
					return w, err
				}
			}
		}
		id, err := n.caseNamed(ctx, name)
		if err != nil {
			return w, err
		}
		if _, err := n.inScope(ctx, id, []holdfast.Source{w.Source}, captureOptions{}); err != nil {
			return w, err
		}
		if !slices.Contains(w.cases, id) {
			w.cases = append(w.cases, id)
		}
	}
	return w, nil
}

// take takes what a row gives into a watch, and returns the Cases that are new.
func (k *watch) take(w wanted) (fresh []holdfast.ID, err error) {
	before := len(k.Cases)
	added := before == 0
	for _, id := range w.cases {
		if len(k.Cases) > 0 && len(w.given.cases) == 0 {
			break // it has Cases, and none was named
		}
		if !slices.Contains(k.Cases, id) {
			k.Cases, fresh = append(k.Cases, id), append(fresh, id)
		}
	}
	if len(k.Cases) > maxWatchCases {
		return nil, usageError("%s is watched for %d cases, and with those given for %d: one watch has at most %d; `holdfast watch list` shows them", k.Source, before, len(k.Cases), maxWatchCases)
	}
	g := w.given
	if g.lang != "" {
		k.Lang = w.Lang
	}
	if g.priority != "" {
		k.Priority = w.Priority
	}
	if (g.media != "" || added) && !k.isPage() {
		k.Media, k.MaxSize = w.Media, w.MaxSize
	}
	if g.note != "" {
		k.Note = w.Note
	}
	if g.links != "" {
		k.Links = w.Links
	}
	if g.web != "" {
		k.Views = w.Views
	}
	if g.since != "" {
		k.Since = w.Since
	}
	if w.Schedule != "" {
		k.Schedule = w.Schedule
	}
	k.visitHow.take(g.how, w.visitHow)
	if err := k.visitHow.fits(); err != nil {
		return nil, usageError("%s: %w", k.Source, err)
	}
	k.AllowPrivate = k.AllowPrivate || g.allowPrivate
	return fresh, nil
}

// watchLines says in the custody of Cases what is watched for them, from when on.
// The line comes first: a crash behind it leaves one more line of the same words
// when the person does it again.
func (n *node) watchLines(ctx context.Context, by holdfast.Agent, action string, w *watch, cases []holdfast.ID, why string) error {
	x, err := canon.Marshal(struct {
		Source string `json:"source"`
	}{string(w.Source)})
	if err != nil {
		return err
	}
	for _, id := range cases {
		if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: action, Agent: by, Objects: []string{string(w.ID)}, Why: why, X: x}); err != nil {
			return fmt.Errorf("write custody line: %w", err)
		}
	}
	return nil
}
