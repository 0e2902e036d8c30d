package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"holdfast"
	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/collectors/received"
	"holdfast/filelock"
	"holdfast/kept"
	"holdfast/messages"
	"holdfast/pipeline"
)

// maxText bounds what a person types about a handing-over, in bytes.
const maxText = 4096

type addOptions struct {
	caseName, giver, how, received, device, note string
	neverKeep                                    string
	known                                        *collectors.KnownList
	each                                         bool
	reason                                       string
	outside                                      pipeline.Outside // settled by add
	wait                                         time.Duration
}

func (c *cli) addCmd() *cobra.Command {
	var o addOptions
	cmd := command("add FILE… --giver TEXT [--case NAME] [--how TEXT] [--received TIME] [--note TEXT]", "Take files that a person handed over, and seal them",
		"holdfast add chat.zip photo.jpg --case 2026-017 --giver 'Maria K., witness' --how 'by hand'", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
			if err := o.check(c.in, time.Now()); err != nil {
				return err
			}
			if err := received.Check(args); err != nil {
				return &exitError{exitUsage, err}
			}
			n, err := c.captureNode(cmd.Context())
			if err != nil {
				return &exitError{exitUsage, err} // nothing was accepted
			}
			defer n.Close()
			return c.add(cmd.Context(), n, args, o)
		})
	cmd.Long = `Takes the exact bytes of files, as one Capture with the Source received:<id>, or
one for each file with --each. Nothing is unpacked or interpreted. What is proven
later is that these bytes were here; where they come from is the giver's word.

Who gave them is kept in a restricted object and is in no bundle unless it is
exported with --restricted; --giver - reads it from stdin, so that it is in no
shell history. The names of the files are in every bundle: rename a file whose
name would endanger somebody.

exit status: 2 usage or refused, nothing accepted
             3 something accepted is not sealed after --wait
             1 could not, or nothing of it may be kept (sealed as such)
             0 all taken and sealed`
	f := cmd.Flags()
	f.StringVar(&o.caseName, "case", "", "the Case it belongs to; made if there is none of this name")
	f.StringVar(&o.giver, "giver", "", "who gave the files; - reads a line from stdin")
	f.StringVar(&o.how, "how", "", "how they came: by hand, by mail, by upload")
	f.StringVar(&o.received, "received", "", "when they came: 2026-11-25, or 2026-11-25T14:05:00+01:00")
	f.StringVar(&o.device, "original-device", "", "on which device they were made, as told")
	f.StringVar(&o.note, "note", "", "why they are taken")
	f.StringVar(&o.neverKeep, "never-keep", "", "a list of digests (MD5, SHA-1, SHA-256) of what must never be kept: such a file is named by its digest, and no byte of it is")
	f.StringVar(&o.reason, "reason", "", "why files are taken outside the Case's period all the same; sealed with them")
	f.BoolVar(&o.each, "each", false, "one Capture for each file")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for the seal")
	return cmd
}

// check refuses before anything is opened; it reads the giver from in if asked.
func (o *addOptions) check(in io.Reader, now time.Time) error {
	if o.giver == "-" {
		line, err := bufio.NewReader(io.LimitReader(in, maxText+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return usageError("read the giver from stdin: %w", err)
		}
		o.giver = line
	}
	if o.giver = strings.TrimSpace(o.giver); o.giver == "" {
		return usageError("no giver: say with --giver who handed the files over; it is withheld from bundles")
	}
	for _, t := range []struct{ flag, text string }{{"giver", o.giver}, {"how", o.how}, {"original-device", o.device}, {"note", o.note}, {"reason", o.reason}} {
		if !utf8.ValidString(t.text) || len(t.text) > maxText {
			return usageError("--%s: at most %d bytes of UTF-8", t.flag, maxText)
		}
		if t.flag != "giver" && names(t.text, o.giver) {
			return usageError("--%s names the giver, and would be in every bundle: leave the name out", t.flag)
		}
	}
	if names(o.caseName, o.giver) {
		return usageError("--case names the giver, and would be in every bundle: choose another name")
	}
	var err error
	if o.neverKeep != "" {
		if o.known, err = collectors.OpenKnownList(o.neverKeep); err != nil {
			return usageError("--never-keep: %w", err)
		}
	}
	o.received, err = statedTime(o.received, now)
	return err
}

// names reports whether text would give the giver away: however its letters are
// put together or its spaces are set, in capitals or not.
func names(text, giver string) bool { return strings.Contains(spaced(text), spaced(giver)) }

func spaced(s string) string {
	return strings.Join(strings.Fields(cases.Fold().String(norm.NFKC.String(s))), " ")
}

// statedTime is a date as given, or a time in the form of documents. A day is
// left for a date in another zone; who hands over cannot have done so later.
func statedTime(s string, now time.Time) (string, error) {
	if s == "" {
		return "", nil
	}
	t, err := time.Parse(time.DateOnly, s)
	day := err == nil
	if !day {
		if t, err = time.Parse(time.RFC3339, s); err != nil {
			return "", usageError("--received %.40q: write a date as 2026-11-25, or a time with its zone as 2026-11-25T14:05:00+01:00", s)
		}
	}
	if t.After(now.Add(24 * time.Hour)) {
		return "", usageError("--received %s has not come yet", s)
	}
	if day {
		return s, nil
	}
	return holdfast.At(t).String(), nil
}

func (c *cli) add(ctx context.Context, n *node, files []string, o addOptions) error {
	home, err := n.caseNamed(ctx, o.caseName)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	for _, f := range files {
		if names(filepath.Base(f), o.giver) {
			fmt.Fprintf(c.errs, "holdfast: warning: the name of %s names the giver, and is in every bundle\n", messages.Visible(f))
		}
	}
	if o.outside, err = n.inPeriod(ctx, home, files[0], o.reason); err != nil {
		return &exitError{exitUsage, err}
	}
	free, err := filelock.Share(n.path(fileCollecting)) // take writes the line itself
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer free()
	size := received.MaxFiles
	if o.each {
		size = 1
	}
	work, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- n.work(work) }()
	defer func() { stop(); <-done }()

	var got []captured
	var failed error
	for some := range slices.Chunk(files, size) {
		g, err := c.take(ctx, n, home, some, o)
		if g != nil {
			got = append(got, *g)
		}
		if failed = err; err != nil {
			break
		}
	}
	if len(got) == 0 {
		return &exitError{exitUsage, failed}
	}
	if failed != nil && len(files) > size {
		failed = fmt.Errorf("%w; of what came before it %d captures are accepted", failed, len(got))
	}
	left := c.await(ctx, n, got, o.wait, done)
	return c.captureVerdict(n, got, left, failed)
}

// take accepts one handing-over. It rides in no Task: until it is accepted the
// person still has the files, so after a crash they are added again. The custody
// line comes after the acceptance, so that it never says more than is true; a
// crash between the two leaves a Capture without that line, which the next start
// writes (nameRest).
func (c *cli) take(ctx context.Context, n *node, home holdfast.ID, files []string, o addOptions) (*captured, error) {
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	if err := in.Ready(ctx); err != nil {
		return nil, err
	}
	lists, err := n.knownLists("") // the node's own counts always
	if err != nil {
		return nil, err
	}
	if o.known != nil {
		lists = append(lists, o.known)
	}
	a, err := received.Take(ctx, received.Options{Files: files, Giver: o.giver, How: o.how, Received: o.received, Device: o.device, Training: n.set.Training, Known: lists}, n.store)
	if err != nil {
		return nil, err
	}
	id := holdfast.NewID()
	t := pipeline.Task{ID: id, Source: holdfast.Source("received:" + id), Case: home, Agent: n.set.Agent, Found: holdfast.Found{How: o.how, Why: o.note}, Outside: o.outside}
	acc, err := in.Accept(ctx, t, a, nil)
	if err != nil {
		return nil, err
	}
	g := &captured{id: acc.ID, source: t.Source, outcome: a.Outcome, done: true}
	for _, r := range a.Reasons {
		g.reasons = append(g.reasons, r.Code+": "+r.Detail)
	}
	c.sayTaken(g, len(files))
	return g, n.receivedLine(ctx, home, g.id, len(files), o)
}

func (c *cli) sayTaken(g *captured, files int) {
	c.say(map[string]any{"event": "accepted", "id": g.id, "source": g.source, "outcome": g.outcome, "reasons": append([]string{}, g.reasons...), "files": files},
		"accepted  %s  %s  %s  %d files%s", g.id, g.outcome, g.source, files, reasonText(g.reasons))
}

// receivedLine writes the custody line of a handing-over. It does not say who.
func (n *node) receivedLine(ctx context.Context, home, id holdfast.ID, files int, o addOptions) error {
	x, err := canon.Marshal(struct {
		Files   int      `json:"files"`
		Outside []string `json:"outside,omitempty"`
		Reason  string   `json:"reason,omitempty"`
	}{files, o.outside.Rules, o.outside.Reason})
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "received", Agent: n.set.Agent, Objects: []string{string(id)}, Why: o.note, X: x})
	if err != nil {
		return fmt.Errorf("write custody line of capture %s: %w", id, err)
	}
	return nil
}

// giverOf reads who handed a Capture over; "" for what nobody did.
func giverOf(ctx context.Context, s *kept.Reader, m *holdfast.Manifest) (string, error) {
	o := m.Object(received.NameGiver)
	if o == nil || o.Role != received.RoleDisclosure || !m.Source.IsReceived() {
		return "", nil
	}
	r, err := s.OpenObject(ctx, m.ID, *o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 8*maxText))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", o.Name, err)
	}
	return received.ReadGiver(b)
}
