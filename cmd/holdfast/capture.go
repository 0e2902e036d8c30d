package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nlnwa/whatwg-url/url"
	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
)

// Exit codes of capture and seal, besides the shared ones.
const exitUnsealed = 3

const maxSources = 100_000 // of one call

type captureOptions struct {
	caseName     string
	export       string
	wait         time.Duration
	allowPrivate bool
	note         string
	resume       bool
	via          string
	beside       string // a second way out
	timeout      time.Duration
	retryFor     time.Duration
	neverKeep    string
	decoded      bool
	session      string
	door         bool // asked for over the network: nothing is opened for it yet
	lang         string
	reason       string
	telegram     telegramFlags
	page         pageFlags
	pages        map[holdfast.Source]json.RawMessage // options of public pages that are asked for in the place of a channel
}

func (c *cli) captureCmd() *cobra.Command {
	var o captureOptions
	var r remote
	cmd := command("capture URL… | telegram:@NAME… | - [--case NAME] [--export FILE] [--wait 30s] [--allow-private]", "Capture pages and Telegram channels and seal them",
		"holdfast capture https://host/page --case 2026-017 --export 2026-017.zip", cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
			if err := resumeAlone(cmd, args, o); err != nil {
				return err
			}
			sources, err := c.sources(args, o)
			if err != nil {
				return err
			}
			if err := errors.Join(freePath(o.export), o.checkTimes(), o.page.check(), checkLanguage(o.lang), checkReason("--reason", o.reason), telegramAlone(cmd, sources, o), decodedAlone(sources, o), filmsAlone(sources, o), sessionAlone(sources, o), besideAlone(sources, o)); err != nil {
				return &exitError{exitUsage, err}
			}
			if there, err := r.asked(cmd, "never-keep", "beside"); err != nil {
				return err
			} else if there {
				return c.captureRemote(cmd, r, sources, o)
			}
			n, err := c.captureNode(cmd.Context())
			if err != nil {
				return &exitError{exitUsage, err} // nothing was accepted
			}
			defer n.Close()
			return c.capture(cmd.Context(), n, sources, o)
		})
	cmd.Long = `Captures each page in a browser, with the exact bytes on the wire, and seals it.
What --resume goes on with keeps what it was asked with, the way out above all.
"-" reads URLs from stdin, one a line. Without a node in --data, one is made.
Ctrl-C leaves what was accepted to be sealed and the rest to "capture --resume".
With --via, a proxy resolves the names and connects, and nothing goes another way.
With --beside, each page is captured through a second way out at the same time, and a
third capture says what differs: words, structure, pictures, and what the connections
showed (as 'holdfast diff --seal', which compares what --resume has brought to its end).
With --retry-for, what failed for the line's sake is sealed as such and tried
again, each attempt a capture of its own; the last one decides the exit status.
What is outside the scope that is recorded of the Case (sources, period, egress)
is refused; with --reason it is captured, flagged, and the reason sealed with it.
--never-keep compares bodies as sent and decoded, parts as the whole they make,
WebSocket messages, and base64 data: URLs in text; not what is in archives, upload
forms, other encodings, or parts without a whole. What could not be compared is
kept and the capture flagged never-keep-unchecked.
A banner that asks for consent is refused, or accepted where nothing refuses, after
the page with it is kept (before-consent.*); buttons that give more of the page are
pressed; actions.json has what was pressed. What stands in place of a page (a login,
a captcha, a country, a page that is not there) is a reason, and all of it is kept.
--decoded is for a site that refuses the recording proxy: the browser speaks TLS with
it in its own words, by a proxy that only connects (no private addresses, --via as
ever), and its own account of each exchange is recorded, each record labelled so:
content decoded, no cookies, nothing of endless streams. Without it, what the wire
carried is kept exactly; take it only where that does not come.
--films-with yt-dlp is for films that a page plays in a way of its own. When the page
is gone, the yt-dlp that this node was told of is run for its address: in a folder of
its own, in bounds of time, memory and size (--timeout and the capture's bytes are for
both), its only way out the same recording proxy, so that all it asks for is in the same
record, told apart. Its films are film-1.mp4 …; what did not come is film-failed.
A redirect out of the scope, or a page without any keyword, is flagged only.

telegram:@NAME (also @NAME, t.me/NAME, tg://resolve?domain=NAME) is the channel's
history, from the newest message to the oldest, one capture for each answer of the
service, by an account of 'holdfast telegram login'. telegram:@NAME/123 is that post
with its neighbours, then its public page at t.me (--web no: not), and the pages that
it links to. What begins with https:// is always the web page. Without an account the
public pages are captured instead, from the newest to the oldest.
Files of the posts are taken too, each a capture of its own, up to --max-size each: of
a channel its photos (in the largest size), of a post all of its own and its album's,
not its neighbours'. --media all takes films and other files of a channel as well,
photos only photos and files that are pictures, none nothing; 'watch' has the same.
What is not taken is listed in media.jsonl of the capture of its post, with the
reason; what the Case has already, with the capture that has it.
Of a forum its topics are taken too; with --stories a channel's stories, without
telling it that anybody has looked; with --comments yes, or where the record of the
Case says so, what people answered to its posts. 'holdfast posts' lists all of it.

exit status: 2 usage or refused, nothing accepted
             3 something accepted is not sealed after --wait (a bundle asked for is written and says so)
             1 a last attempt failed (sealed as such)
             0 all captured and sealed`
	r.flags(cmd)
	cmd.Flags().StringVar(&o.caseName, "case", "", "the Case it belongs to; made if there is none of this name")
	cmd.Flags().StringVar(&o.export, "export", "", "write a bundle of these captures to this file")
	langFlag(cmd, &o.lang)
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for the seal")
	cmd.Flags().BoolVar(&o.allowPrivate, "allow-private", false, "permit loopback, private and link-local addresses")
	cmd.Flags().StringVar(&o.note, "note", "", "why it is captured")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "capture what an earlier call left waiting")
	cmd.Flags().StringVar(&o.via, "via", "", "the way out: a NAME of 'holdfast egress list', socks5://host:port, http://host:port, or direct")
	cmd.Flags().StringVar(&o.beside, "beside", "", "of a page: a second way out, which it is captured through at the same time; what differs is kept")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long one capture may take (default 1m)")
	cmd.Flags().DurationVar(&o.retryFor, "retry-for", 0, "for how long to try again what did not come, with growing pauses")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why something outside the Case's scope is captured all the same; sealed with it")
	cmd.Flags().StringVar(&o.telegram.since, "since", "", "of a channel: posts from this day (or time) on")
	cmd.Flags().IntVar(&o.telegram.limit, "limit", 0, "of a channel: so many messages, from the end that it begins at, the newest; 0 is all")
	cmd.Flags().StringVar(&o.telegram.media, "media", "", "of a channel or post: none, photos or all of the files of its posts (default: of a channel photos, of a post all)")
	cmd.Flags().StringVar(&o.telegram.maxSize, "max-size", mediaSize, "of such a file; larger ones are listed and not taken; 0 is any")
	cmd.Flags().BoolVar(&o.telegram.stories, "stories", false, "of a channel: its stories too")
	cmd.Flags().StringVar(&o.telegram.comments, "comments", "", "yes or no: what people answered to its posts, in the group where they are discussed; else as the record of the Case says, no unless it says yes")
	cmd.Flags().BoolVar(&o.telegram.oldest, "oldest-first", false, "of a channel: from the oldest message, or from --since, to the newest; --limit counts from there")
	cmd.Flags().StringVar(&o.telegram.links, "links", "yes", "of a post: capture the pages that it links to, yes or no")
	cmd.Flags().StringVar(&o.telegram.web, "web", "yes", "of a post: capture its public page at t.me too, yes or no")
	cmd.Flags().StringVar(&o.session, "session", "", "of a page: the NAME of 'holdfast session list' whose cookies the browser has")
	cmd.Flags().BoolVar(&o.decoded, "decoded", false, "of a page: the browser speaks with sites itself; what it tells is recorded, not what the wire carried")
	o.page.flags(cmd)
	cmd.Flags().StringVar(&o.neverKeep, "never-keep", "", "file of digests (MD5, SHA-1, SHA-256), one a line: such bytes are never kept")
	return cmd
}

// captureNode opens the node, or makes one and says so.
func (c *cli) captureNode(ctx context.Context) (*node, error) {
	_, err := nodedir.Read(c.data)
	n, oerr := c.initNode(ctx, initOptions{label: "node"})
	if oerr == nil {
		if _, oerr = n.sealSigner(ctx); oerr != nil { // what could not be sealed is not accepted
			n.Close()
			return nil, oerr
		}
	}
	if oerr == nil && errors.Is(err, nodedir.ErrNoNode) {
		fmt.Fprintf(c.errs, "holdfast: made a node in %s: %s\n", c.data, n.set.Name)
	}
	return n, oerr
}

// resumeAlone refuses what a call without a URL would ignore: a Task keeps what
// it was accepted with, its way out above all.
func resumeAlone(cmd *cobra.Command, args []string, o captureOptions) error {
	if !o.resume || len(args) > 0 {
		return nil
	}
	for _, f := range []string{"via", "beside", "never-keep", "decoded", "session", "case", "timeout", "retry-for", "reason", "note", "allow-private", "since", "limit", "media", "max-size", "links", "web", "stories", "comments", "oldest-first", "consent", "more", "films-with"} {
		if cmd.Flags().Changed(f) {
			return usageError("--%s goes with URLs: what waits keeps what it was accepted with; `holdfast task drop` ends a wish, and the URL can be given again", f)
		}
	}
	return nil
}

// telegramAlone refuses flags that are about channels where there is none, and
// values that nothing can be done with.
func telegramAlone(cmd *cobra.Command, sources []holdfast.Source, o captureOptions) error {
	channel, post := false, false
	for _, s := range sources {
		isPost := isTelegram(s) && strings.Contains(string(s), "/")
		post, channel = post || isPost, channel || isTelegram(s) && !isPost
	}
	for f, there := range map[string]bool{"since": channel, "limit": channel, "media": channel || post, "max-size": channel || post, "links": post, "web": post, "stories": channel, "comments": channel || post, "oldest-first": channel} {
		if cmd.Flags().Changed(f) && !there && len(sources) > 0 {
			return usageError("--%s is about a channel or a post of Telegram, as in telegram:@name or telegram:@name/123, and none is asked for", f)
		}
	}
	_, err := o.telegram.wish()
	return err
}

// decodedAlone refuses what nothing would come of.
func decodedAlone(sources []holdfast.Source, o captureOptions) error {
	if o.decoded && len(sources) > 0 && !slices.ContainsFunc(sources, func(s holdfast.Source) bool { return !isTelegram(s) }) {
		return usageError("--decoded is about web pages, and none is asked for")
	}
	return nil
}

// freePath refuses a bundle's name that is taken or cannot be, before anything
// is captured for it.
func freePath(file string) error {
	if file == "" {
		return nil
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return usageError("--export %s exists: choose another name", file)
	}
	if st, err := os.Stat(filepath.Dir(file)); err != nil || !st.IsDir() {
		return usageError("--export %s: there is no folder %s: make it, or choose another name", file, filepath.Dir(file))
	}
	return nil
}

// sources reads and checks everything before anything is accepted.
func (c *cli) sources(args []string, o captureOptions) ([]holdfast.Source, error) {
	if len(args) == 0 && !o.resume {
		return nil, usageError("no URL: give one or more, or - to read them from stdin; `holdfast capture --help` shows how")
	}
	if len(args) == 1 && args[0] == "-" {
		var err error
		if args, err = readLines(c.in); err != nil {
			return nil, err
		}
	}
	if len(args) == 0 && !o.resume {
		return nil, usageError("no URL on stdin: give one a line; empty lines and lines that begin with # are skipped")
	}
	var sources []holdfast.Source
	for _, a := range args {
		s, err := parseURL(a, o.allowPrivate)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func readLines(r io.Reader) (lines []string, err error) {
	limited := &io.LimitedReader{R: r, N: maxSources*(holdfast.MaxSource+2) + 1}
	in := bufio.NewScanner(limited)
	in.Buffer(nil, holdfast.MaxSource+2)
	for in.Scan() {
		if l := strings.TrimSpace(in.Text()); l != "" && !strings.HasPrefix(l, "#") {
			lines = append(lines, l)
		}
		if len(lines) > maxSources {
			return nil, usageError("more than %d URLs on stdin: split the list", maxSources)
		}
	}
	if in.Err() != nil {
		return nil, usageError("read URLs from stdin: %w", in.Err())
	}
	if limited.N == 0 {
		return nil, usageError("more than %d bytes on stdin: split the list", maxSources*(holdfast.MaxSource+2))
	}
	return lines, nil
}

// parseURL serialises by the WHATWG rules, as the browser will. An address that
// is private by its own text is refused here; one that a name leads to, when it
// is dialled.
func parseURL(s string, allowPrivate bool) (holdfast.Source, error) {
	if namesTelegram(s) {
		return parseTelegram(s)
	}
	src, err := holdfast.ParseSource(s)
	if err != nil {
		return "", fmt.Errorf("capture: %w", err)
	}
	if src.IsReceived() || src.IsEvent() {
		return "", fmt.Errorf("capture: %.80q is no URL: `holdfast add` takes files that a person handed over", s)
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("capture: %.200q is not a URL: %w", s, err)
	}
	if u.Username() != "" || u.Password() != "" {
		return "", errors.New("capture: a URL has a name or password in it, which would be recorded: leave it out")
	}
	if !allowPrivate && privateHost(u.Hostname()) {
		return "", fmt.Errorf("capture: %s is a private address: add --allow-private if you mean a machine of your own", u.Hostname())
	}
	return holdfast.ParseSource(u.Href(false))
}

func privateHost(h string) bool {
	a, err := netip.ParseAddr(strings.Trim(h, "[]"))
	if err != nil {
		return h == "localhost" || strings.HasSuffix(h, ".localhost")
	}
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// captured is one capture that this call made: its ID and what came of it.
type captured struct {
	id      holdfast.ID
	source  holdfast.Source
	outcome collectors.Outcome
	reasons []string
	outside []string // rules of its Case's scope that it breaks
	task    holdfast.ID
	attempt uint32    // from 0
	due     time.Time // of the next attempt or step
	again   time.Time // when the site said that it may be asked again; zero: it did not say
	done    bool      // the Task is done
	next    bool      // a further step follows
}

func (c *cli) capture(ctx context.Context, n *node, sources []holdfast.Source, o captureOptions) error {
	home, err := n.caseNamed(ctx, o.caseName)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	asked := sources
	if sources, o.pages, err = n.publicInstead(sources, o); err != nil {
		return &exitError{exitUsage, err}
	}
	tasks, err := n.addTasks(ctx, home, sources, o)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if len(o.pages) > 0 {
		c.complain(errors.New("no account: " + cannotSee + "; `holdfast telegram login` logs one in, and then the service itself is asked"))
	}
	if len(tasks) == 0 {
		c.say(map[string]any{"event": "nothing-waits"}, "nothing waits to be captured")
		return nil
	}
	work, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- n.work(work) }()
	defer func() { stop(); <-done }()

	got, failed := c.collect(ctx, n, tasks)
	if len(got) == 0 && failed != nil {
		return &exitError{exitUsage, failed}
	}
	left := c.await(ctx, n, got, o.wait, done)
	if o.beside != "" {
		var open []holdfast.ID
		got, open = c.awaitBeside(ctx, n, tasks[max(0, len(tasks)-2*len(sources)):], got, o, done)
		left = append(left, open...)
	}
	c.compareCaptured(ctx, n, asked, o)
	if o.export != "" {
		failed = errors.Join(failed, c.exportAsked(ctx, n, got, o))
	}
	return c.captureVerdict(n, got, left, failed)
}

// exportAsked writes the bundle that was asked for. After Ctrl-C there is none,
// which is an error that says how to get it.
func (c *cli) exportAsked(ctx context.Context, n *node, got []captured, o captureOptions) error {
	var err error
	if ctx.Err() == nil {
		if err = c.exportCaptures(ctx, n, got, o.export, o.lang); err == nil || ctx.Err() == nil {
			return err
		}
	}
	which := "ID…"
	switch {
	case len(got) == 1:
		which = string(got[0].id)
	case o.caseName != "":
		which = fmt.Sprintf("--case %q", o.caseName)
	}
	return errors.Join(err, fmt.Errorf("stopped before the bundle was written: `holdfast export %s %s` writes it; `holdfast list` shows the ids", which, o.export))
}

// captureVerdict turns what happened into the exit code.
func (c *cli) captureVerdict(n *node, got []captured, left []holdfast.ID, err error) error {
	if len(left) > 0 {
		why := n.whyOpen(left[0], "the stages have not got to it yet")
		return &exitError{exitUnsealed, errors.Join(err, fmt.Errorf("%d of %d captures are not sealed yet: %s; `holdfast seal` goes on", len(left), len(got), why))}
	}
	if err != nil {
		return err
	}
	for _, g := range got {
		if g.outcome == collectors.Failed && (g.done || g.next) {
			return &exitError{exitCould, fmt.Errorf("capture %s of %s failed, and was sealed as such: %s", g.id, g.source, strings.Join(g.reasons, "; "))}
		}
	}
	return nil
}
