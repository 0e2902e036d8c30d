package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/nlnwa/whatwg-url/url"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/web"
	"holdfast/messages"
	"holdfast/pipeline"
)

// Exit codes of capture and seal, besides the shared ones.
const exitUnsealed = 3

// Limits of one call.
const (
	maxSources = 100_000
	tabs       = 2 // two cores saturate at two tabs
)

type captureOptions struct {
	caseName     string
	export       string
	wait         time.Duration
	allowPrivate bool
	note         string
	resume       bool
}

func (c *cli) captureCmd() *cobra.Command {
	var o captureOptions
	cmd := command("capture URL… | - [--case NAME] [--export FILE] [--wait 30s] [--allow-private]", "Capture pages and seal them",
		"holdfast capture https://host/page --case 2026-017 --export 2026-017.zip", cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
			sources, err := c.sources(args, o)
			if err != nil {
				return err
			}
			n, err := c.initNode(cmd.Context(), initOptions{label: "node"})
			if err != nil {
				return err
			}
			defer n.Close()
			return c.capture(cmd.Context(), n, sources, o)
		})
	cmd.Long = `Captures each page in a browser, with the exact bytes on the wire, and seals it.
"-" reads URLs from stdin, one a line. Without a node in --data, one is made.
Ctrl-C leaves what was accepted to be sealed and the rest to "capture --resume".

exit status: 2 usage or refused, nothing accepted
             3 something accepted is not sealed after --wait (a bundle asked for is written and says so)
             1 a last attempt failed (sealed as such)
             0 all captured and sealed`
	cmd.Flags().StringVar(&o.caseName, "case", "", "the Case it belongs to; made if there is none of this name")
	cmd.Flags().StringVar(&o.export, "export", "", "write a bundle of these captures to this file")
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for the seal")
	cmd.Flags().BoolVar(&o.allowPrivate, "allow-private", false, "permit loopback, private and link-local addresses")
	cmd.Flags().StringVar(&o.note, "note", "", "why it is captured")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "capture what an earlier call left waiting")
	return cmd
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
	in := bufio.NewScanner(io.LimitReader(r, 64<<20))
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
	return lines, nil
}

// parseURL serialises by the WHATWG rules, as the browser will. An address that
// is private by its own text is refused here; one that a name leads to, when it
// is dialled.
func parseURL(s string, allowPrivate bool) (holdfast.Source, error) {
	if _, err := holdfast.ParseSource(s); err != nil {
		return "", fmt.Errorf("capture: %w", err)
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("capture: %.200q is not a URL: %w", s, err)
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

// run of capture: what it accepted, and what went wrong.
type captured struct {
	id      holdfast.ID
	source  holdfast.Source
	outcome collectors.Outcome
	reasons []string
}

func (c *cli) capture(ctx context.Context, n *node, sources []holdfast.Source, o captureOptions) error {
	home, err := n.caseNamed(ctx, o.caseName)
	if err != nil {
		return err
	}
	tasks, err := n.addTasks(ctx, home, sources, o)
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- n.work(work) }()
	defer func() { stop(); <-done }()

	got, failed := c.collect(ctx, n, tasks, o)
	if len(got) == 0 && failed != nil {
		return failed
	}
	left := c.await(ctx, n, got, o.wait, done)
	var exported error
	if o.export != "" {
		exported = c.exportCaptures(ctx, n, home, got, o.export)
	}
	return c.captureVerdict(n, got, left, errors.Join(failed, exported))
}

// captureVerdict turns what happened into the exit code.
func (c *cli) captureVerdict(n *node, got []captured, left []holdfast.ID, err error) error {
	if len(left) > 0 {
		why := "the stages have not got to it yet"
		if cp, cerr := n.cat.Capture(context.Background(), left[0]); cerr == nil && cp.Reason != "" {
			why = cp.Reason
		}
		return &exitError{exitUnsealed, errors.Join(err, fmt.Errorf("%d of %d captures are not sealed yet: %s; `holdfast seal` goes on", len(left), len(got), why))}
	}
	if err != nil {
		return err
	}
	for _, g := range got {
		if g.outcome == collectors.Failed {
			return &exitError{exitCould, fmt.Errorf("capture %s of %s failed, and was sealed as such: %s", g.id, g.source, strings.Join(g.reasons, "; "))}
		}
	}
	return nil
}

// taskOptions rides in the Task, so a resumed one is done as it was asked.
type taskOptions struct {
	AllowPrivate bool `json:"allow_private,omitempty"`
}

func (n *node) addTasks(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) ([]holdfast.ID, error) {
	opts, err := json.Marshal(taskOptions{o.allowPrivate})
	if err != nil {
		return nil, err
	}
	tasks := make([]pipeline.Task, len(sources))
	for i, s := range sources {
		tasks[i] = pipeline.Task{Source: s, Case: home, Agent: n.set.Agent, Found: holdfast.Found{How: "command", Why: o.note}, Options: opts}
	}
	var ids []holdfast.ID
	if len(tasks) > 0 {
		if ids, err = n.queue.AddTasks(ctx, tasks...); err != nil {
			return nil, err
		}
	}
	if o.resume {
		waiting, err := n.queue.Tasks(ctx, "", maxSources)
		if err != nil {
			return nil, err
		}
		for _, t := range waiting {
			ids = append(ids, t.ID)
		}
	}
	return ids, nil
}

// collect takes the Tasks and captures them, tabs at a time. The error is the
// last one of those that could not even be tried.
func (c *cli) collect(ctx context.Context, n *node, ids []holdfast.ID, o captureOptions) ([]captured, error) {
	spool, err := os.MkdirTemp(n.dir, "spool-")
	if err != nil {
		return nil, fmt.Errorf("make a spool: %w", err)
	}
	defer os.RemoveAll(spool)
	browser := n.set.Browser
	if browser == "" {
		browser = os.Getenv("HOLDFAST_BROWSER")
	}
	w, err := web.New(web.Options{Browser: browser, Dir: spool, Tabs: tabs, Log: n.log})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	results := make(chan captured)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(tabs)
	var got []captured
	collected := make(chan struct{})
	go func() {
		for r := range results {
			got = append(got, r)
			c.sayAccepted(r)
		}
		close(collected)
	}()
	for _, id := range ids {
		g.Go(func() error { return n.captureTask(gctx, w, id, results) })
	}
	err = g.Wait()
	close(results)
	<-collected
	if ctx.Err() != nil && len(got) < len(ids) {
		err = fmt.Errorf("stopped; %d captures still wait: `holdfast capture --resume` goes on", len(ids)-len(got))
	}
	return got, err
}

func (c *cli) sayAccepted(r captured) {
	c.say(map[string]any{"event": "accepted", "id": r.id, "source": r.source, "outcome": r.outcome, "reasons": append([]string{}, r.reasons...)},
		"accepted  %s  %s  %s", r.id, r.outcome, messages.Visible(string(r.source)))
}

const lease = 2 * time.Minute

// captureTask does one Task under its lease. A Task that somebody else has is
// left to him; one whose capture could not be tried stays, and waits.
func (n *node) captureTask(ctx context.Context, w collectors.Collector, id holdfast.ID, out chan<- captured) error {
	ts, err := n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{id}, Max: 1, Lease: lease})
	if err != nil || len(ts) == 0 {
		return err
	}
	t := ts[0]
	intake := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	if err := intake.Ready(ctx); err != nil {
		return err
	}
	var opts taskOptions
	if err := json.Unmarshal(t.Options, &opts); err != nil {
		return fmt.Errorf("read options of task %s: %w", t.ID, err)
	}
	stop := n.keepLease(ctx, t)
	a, err := w.Collect(ctx, collectors.Request{Source: string(t.Source), AllowPrivate: opts.AllowPrivate}, n.store)
	stop()
	if err != nil {
		return fmt.Errorf("capture %s: %w", t.Source, err)
	}
	acc, err := intake.Accept(ctx, t, a, t.Finish())
	if err != nil {
		return err
	}
	r := captured{id: acc.ID, source: t.Source, outcome: a.Outcome}
	for _, reason := range a.Reasons {
		r.reasons = append(r.reasons, strings.TrimSuffix(reason.Code+": "+reason.Detail, ": "))
	}
	out <- r
	return nil
}

// keepLease renews the lease while a slow page is captured.
func (n *node) keepLease(ctx context.Context, t pipeline.Task) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for tick := time.NewTicker(lease / 4); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				if err := n.queue.Renew(ctx, t, lease); err != nil {
					n.log.WarnContext(ctx, "lease not renewed", "task", t.ID, "err", err)
				}
			}
		}
	}()
	return stop
}

// await waits for the Seals, and says so of each. It ends early if the stages
// fail: then nothing will be sealed here.
func (c *cli) await(ctx context.Context, n *node, got []captured, wait time.Duration, failed chan error) []holdfast.ID {
	ctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	go func() {
		select {
		case err := <-failed:
			if err != nil {
				n.log.ErrorContext(ctx, "sealing stopped", "err", err)
			}
			failed <- err
			stop()
		case <-ctx.Done():
		}
	}()
	ids := make([]holdfast.ID, len(got))
	for i, g := range got {
		ids[i] = g.id
	}
	left, err := n.waitSealed(ctx, ids, func(id holdfast.ID) { c.saySealed(n, id) })
	if err != nil {
		n.log.ErrorContext(ctx, "wait for seals", "err", err)
	}
	return left
}

func (c *cli) saySealed(n *node, id holdfast.ID) {
	cp, err := n.cat.Capture(context.Background(), id)
	if err != nil {
		cp = catalog.Capture{ID: id}
	}
	c.say(map[string]any{"event": "sealed", "id": id, "seal": cp.Seal, "not_after": holdfast.At(cp.T)}, "sealed    %s  not later than %s", id, holdfast.At(cp.T))
}
