package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/coverage"
	"holdfast/messages"
)

type coverageOptions struct {
	since, until string
	seal         bool
	wait         time.Duration
}

func (c *cli) coverageCmd() *cobra.Command {
	var o coverageOptions
	cmd := command("coverage SOURCE [--since] [--until] [--seal]", "Say what is known of a channel or a watched page, and what is not", "holdfast coverage telegram:@name --json",
		cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
			name, w, err := o.parse(args[0])
			if err != nil {
				return err
			}
			page := holdfast.Source(args[0])
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if isPageSource(page) {
				return c.coveragePage(cmd.Context(), n, page, w, o)
			}
			return c.coverage(cmd.Context(), n, name, w, o)
		})
	cmd.Long = `Accounts for each number that a post of the channel could have: seen, gone, or
missing, and why where that is known.

  deletion-told         the service told its deletion
  empty-beside-control  the service answered that there is no such post, in an answer
                        that showed another one
  empty-alone           it answered so, and showed no other: it says nothing
  unknown               no answer says anything of it

With --since or --until it is about the posts of that time and the numbers between
them. changes are the numbers by which the service counts what happens in a channel:
inside a range every change was told, between two ranges edits and deletions are
known only as far as posts were asked for again. unheard are times of more than 15
minutes in which nothing is known to have been answered: no answer is kept, and no
line of custody (followed) says that there was one without news. The node was down
then, or did not follow the channel; after a crash that is up to a minute more than
was. What the service never told nobody knows.

Of a page that is watched (watch add URL --every 6h) it lists each time of its schedule
of which there is no page, as gaps: from, to, how many times, and why.

  failed       it was visited, and it did not come, or a wall or "not found" in its place
  rest         it was let rest behind a visit that had failed
  paused       a person had paused the watch
  under-way    the visit before was still being made
  silent       nothing was done, and of most of the time custody has no line: the node was
               down, or had nothing else to do for the Case
  not-visited  nothing was done, though custody has lines of that time: 'watch run' did
               not run, or the page's host was let rest

What was due behind the last visit is listed up to --until. A visit that was less than
15 minutes late, with no other time due meanwhile, is none.

It follows from catalog and custody and is the same after a rebuild. --seal makes it a
capture of its own, which is sealed and exported like any other.

exit status: 3 the statement is not sealed after --wait
             1 no capture states what SOURCE is
             0 said`
	cmd.Flags().StringVar(&o.since, "since", "", "posts and answers from this day (or time) on")
	cmd.Flags().StringVar(&o.until, "until", "", "posts and answers up to this day (or time)")
	cmd.Flags().BoolVar(&o.seal, "seal", false, "keep the statement, sealed")
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "with --seal: how long to wait for the seal")
	return cmd
}

func (o coverageOptions) parse(source string) (name telegram.Name, w coverage.Window, err error) {
	if isPageSource(holdfast.Source(source)) {
		if _, err = holdfast.ParseSource(source); err != nil {
			return name, w, usageError("coverage: %w", err)
		}
	} else if name, err = telegram.ParseName(source); err != nil {
		return name, w, usageError("coverage: %w", err)
	}
	if name.Post != 0 {
		return name, w, usageError("coverage: %s is one post: `holdfast posts %s --versions` says what is known of it", name.Source(), name.Source())
	}
	if w.Since, err = parseWhen("--since", o.since, false); err == nil {
		w.Until, err = parseWhen("--until", o.until, true)
	}
	if err == nil && !w.Since.IsZero() && !w.Until.IsZero() && w.Until.Before(w.Since.Time) {
		err = usageError("coverage: --until is before --since")
	}
	return name, w, err
}

func (c *cli) coverage(ctx context.Context, n *node, name telegram.Name, w coverage.Window, o coverageOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	facts := n.coverageFacts()
	var all []*coverage.Channel
	for k, err := range n.cat.Channels(ctx, name.Channel) {
		if err != nil {
			return err
		}
		d, err := facts.Channel(ctx, holdfast.Source(name.Source()), k, w)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return fmt.Errorf("coverage: no capture states what @%s is: `holdfast capture %s` asks the service", name.Channel, name.Source())
	}
	for _, d := range all {
		c.sayCoverage(d)
	}
	if !o.seal {
		return nil
	}
	var made []derived
	for _, d := range all {
		x, err := n.derivedCoverage(ctx, d)
		if err != nil {
			return err
		}
		made = append(made, x)
	}
	return c.sealCoverage(ctx, n, made, o.wait)
}

func (n *node) coverageFacts() *coverage.Facts {
	return &coverage.Facts{Posts: n.cat, Captures: n.cat, Custody: n.outbox, Kept: *n.kept(), Training: n.set.Training, Log: n.log}
}

// sealCoverage makes Captures of statements.
func (c *cli) sealCoverage(ctx context.Context, n *node, all []derived, wait time.Duration) error {
	if _, err := n.sealSigner(ctx); err != nil {
		return fmt.Errorf("coverage: %w", err)
	}
	d, err := n.deriver()
	if err != nil {
		return err
	}
	for _, x := range all {
		if err = d.add(ctx, x); err != nil {
			break
		}
	}
	if eerr := d.end(ctx); err == nil {
		err = eerr
	}
	if err != nil {
		return fmt.Errorf("keep the statement: %w", err)
	}
	left, err := n.sealDerived(ctx, d.ids, wait)
	if err != nil {
		return err
	}
	for i, id := range d.ids {
		c.say(map[string]any{"event": "stated", "id": id, "source": all[i].source, "made": d.made > 0}, "stated    %s  %s", id, messages.Visible(string(all[i].source)))
	}
	if len(left) > 0 {
		return &exitError{exitUnsealed, fmt.Errorf("%d of %d statements are not sealed yet: %s; `holdfast seal` goes on", len(left), len(d.ids), n.whyOpen(left[0], "out of time"))}
	}
	return nil
}

// derivedCoverage is a statement as a Capture: in the home Case of the newest answer
// that it follows from. As it holds no time of its making, what says the same is
// the same Capture.
func (n *node) derivedCoverage(ctx context.Context, doc *coverage.Channel) (derived, error) {
	home := n.set.Unfiled
	last := holdfast.ID("")
	for h, err := range n.cat.Answers(ctx, doc.Channel) {
		if err != nil {
			return derived{}, err
		}
		last = h.Capture
	}
	cp, err := n.cat.Capture(ctx, last)
	switch {
	case err == nil:
		home = cp.Case
	case !errors.Is(err, catalog.ErrNotFound):
		return derived{}, err
	}
	return coverageObject(doc.Source, home, "what is known of the channel, and what is not", "fold of the answers that it counts", doc)
}

func coverageObject(source holdfast.Source, home holdfast.ID, why, action string, doc any) (derived, error) {
	b, err := canon.Marshal(doc)
	if err != nil {
		return derived{}, err
	}
	return derived{source: source, home: home, why: why, objects: []derivedObject{{name: coverage.Name, role: coverage.Role, media: "application/json", action: action, b: b}}}, nil
}

func (c *cli) sayCoverage(d *coverage.Channel) {
	i, a := d.IDs, d.Answers
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  channel %s\n", d.Source, messages.Visible(string(d.Title)), d.Channel)
	fmt.Fprintf(&b, "answers   %d (%d sealed, %d signed, %d pending)%s\n", a.Count, a.Sealed, a.Signed, a.Pending, spanText(a.First, a.Last))
	fmt.Fprintf(&b, "numbers   %d to %d: %d seen (%d present, %d edited, %d absent, %d unknown), %d missing\n", i.First, i.Last, i.Seen, i.Present, i.Edited, i.Absent, i.Unknown, i.Missing)
	rangesText(&b, "gone", d.Gone)
	rangesText(&b, "missing", d.Missing)
	for _, p := range d.Changes.Known[:min(len(d.Changes.Known), shownRanges)] {
		fmt.Fprintf(&b, "changes   %d to %d  all told\n", p.From, p.To)
	}
	for _, p := range d.Changes.TooLong[:min(len(d.Changes.TooLong), shownRanges)] {
		fmt.Fprintf(&b, "changes   %d to %d  not told (%s): edits and deletions are known only where posts were asked for again\n", p.From, p.To, p.At)
	}
	for _, s := range d.Unheard[:min(len(d.Unheard), shownRanges)] {
		fmt.Fprintf(&b, "unheard  %s\n", spanText(s.After, s.Before))
	}
	for _, f := range d.Failed[:min(len(d.Failed), shownRanges)] {
		fmt.Fprintf(&b, "%-8s  %s  %s  %s\n", f.Outcome, f.At, f.Capture, messages.Visible(strings.Join(f.Reasons, "; ")))
	}
	more := max(len(d.Gone), len(d.Missing), len(d.Changes.Known), len(d.Changes.TooLong), len(d.Unheard), len(d.Failed)) > shownRanges
	if more || d.Cut {
		fmt.Fprintf(&b, "of each list at most %d lines are shown; --json has %d at most\n", shownRanges, coverage.MaxRanges)
	}
	c.say(coverageRow(d), "%s", strings.TrimSuffix(b.String(), "\n"))
}

// shownRanges bounds what a person is shown of each list.
const shownRanges = 20

// coverageRow is the statement as `coverage --json` prints it: the document, and
// the event that names the line.
func coverageRow(d *coverage.Channel) any {
	return struct {
		Event string `json:"event"`
		*coverage.Channel
	}{"coverage", d}
}

func rangesText(b *strings.Builder, what string, list []coverage.Range) {
	for _, r := range list[:min(len(list), shownRanges)] {
		ids := fmt.Sprint(r.First)
		if r.Last > r.First {
			ids = fmt.Sprintf("%d to %d", r.First, r.Last)
		}
		fmt.Fprintf(b, "%-8s  %s  %s\n", what, ids, r.Why)
	}
}

func spanText(from, to *holdfast.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return fmt.Sprintf(" from %s to %s", from, to)
}

func (c *cli) coveragePage(ctx context.Context, n *node, page holdfast.Source, w coverage.Window, o coverageOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	facts := n.coverageFacts()
	all, err := facts.Watched(ctx, page)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("coverage: no capture of %s is a visit on a schedule: `holdfast watch add %s --every 6h` has it visited", page, page)
	}
	var made []derived
	for _, v := range all {
		d, err := facts.Page(page, v, w, time.Now())
		if err != nil {
			return fmt.Errorf("coverage of %s: %w", page, err)
		}
		c.sayVisits(d)
		if o.seal {
			x, err := coverageObject(page, v.Home(), "which times of its schedule the page was not seen at", "fold of the visits that it counts, and of custody", d)
			if err != nil {
				return err
			}
			made = append(made, x)
		}
	}
	if !o.seal {
		return nil
	}
	return c.sealCoverage(ctx, n, made, o.wait)
}

func (c *cli) sayVisits(d *coverage.Page) {
	v := d.Visits
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  watch %s\n", messages.Visible(string(d.Source)), v.Schedule, d.Watch)
	fmt.Fprintf(&b, "visits    %d (%d sealed, %d signed, %d pending; %d without the page)%s\n", v.Count, v.Sealed, v.Signed, v.Pending, v.Failed, spanText(v.First, v.Last))
	for _, g := range d.Gaps[:min(len(d.Gaps), shownRanges)] {
		to := "now"
		if g.To != nil {
			to = g.To.String()
		}
		fmt.Fprintf(&b, "gap       from %s to %s  %d times  %s", g.From, to, g.Times, g.Why)
		if g.Silence != nil {
			fmt.Fprintf(&b, "  no line of custody%s", spanText(g.Silence.After, g.Silence.Before))
		}
		if len(g.Reasons) > 0 {
			fmt.Fprintf(&b, "  %s", messages.Visible(strings.Join(g.Reasons, "; ")))
		}
		b.WriteByte('\n')
	}
	if len(d.Gaps) > shownRanges {
		fmt.Fprintf(&b, "and %d more; --json has %d at most\n", len(d.Gaps)-shownRanges, coverage.MaxRanges)
	}
	c.say(struct {
		Event string `json:"event"`
		*coverage.Page
	}{"coverage", d}, "%s", strings.TrimSuffix(b.String(), "\n"))
}
