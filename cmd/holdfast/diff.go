package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/web/compare"
	"holdfast/collectors/web/content"
	"holdfast/messages"
)

// exitDiffers is the exit status of two captures that differ, as of diff(1).
const exitDiffers = 1

type diffOptions struct {
	out, why string
	replace  bool
	seal     bool
	wait     time.Duration
}

func (c *cli) diffCmd() *cobra.Command {
	var o diffOptions
	cmd := command("diff A B [--out FILE.html] [--seal]", "Hold two captures of a page against each other", "holdfast diff 0f3c… 9a1b… --out changes.html", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			if err := checkReason("--why", o.why); err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err == nil {
				defer n.Close()
				err = c.diff(cmd.Context(), n, args, o)
			}
			if x := (*exitError)(nil); err == nil || errors.As(err, &x) {
				return err
			}
			return &exitError{exitUsage, err} // 1 is an answer
		})
	cmd.Long = `Says what is in one of two captures alone: words, headings, links, media, the title
and what stands in the head, and the regions of the pictures. What does not count for a
new version (counters, advertisements, ways to other pages, buttons, what is hidden) is
compared too, and said to be ignored. A picture is compared as it is.

--out writes a page that needs nothing else and runs nothing: both texts in one, by
word, what is ignored in grey; the pictures side by side with the regions marked. --seal
keeps what is said here as a capture of its own, which names both captures and the
digests of their Manifests, and is sealed and exported like any other.

Who compares looks at both: a line of custody (accessed) says so for each.

exit status: 0 the same, but for what does not count
             1 they differ
             2 could not compare them, or usage
             3 with --seal: compared, and not sealed after --wait`
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "write a page, FILE.html, that shows it")
	f.BoolVar(&o.replace, "replace", false, "of --out: replace the file that is there")
	f.StringVar(&o.why, "why", "", "why they are looked at, for the custody")
	f.BoolVar(&o.seal, "seal", false, "keep the comparison, sealed")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "with --seal: how long to wait for the seal")
	return cmd
}

// diffSide is one of the two captures.
type diffSide struct {
	cp  catalog.Capture
	m   *holdfast.Manifest
	doc *content.Document
}

func (c *cli) diff(ctx context.Context, n *node, args []string, o diffOptions) error {
	if o.out != "" && !o.replace {
		if _, err := os.Lstat(o.out); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s exists: choose another name, or --replace", o.out))
		}
	}
	if err := n.refresh(ctx); err != nil {
		return err
	}
	from, sides := &captures{n: n}, [2]diffSide{}
	for i, a := range args {
		id, err := holdfast.ParseID(a)
		if err != nil {
			return usageError("%w; `holdfast list` shows the ids", err)
		}
		if sides[i], err = n.diffSide(ctx, from, id, o.why); err != nil {
			return err
		}
	}
	r, err := compareSides(sides)
	if err != nil {
		return err
	}
	pictures := n.diffPictures(ctx, from, sides)
	if o.out != "" {
		if err := writeDiff(o, sides, r, pictures); err != nil {
			return err
		}
	}
	lines := diffLines(sides, r, pictures)
	if c.json {
		for _, l := range lines {
			c.say(l, "")
		}
	} else {
		c.sayDiff(sides, r, pictures)
	}
	if o.seal {
		if err := c.sealDiff(ctx, n, sides, lines, o.wait); err != nil {
			return err
		}
	}
	if !r.Same {
		return &exitError{code: exitDiffers}
	}
	return nil
}

func compareSides(sides [2]diffSide) (*compare.Result, error) {
	r, err := compare.Documents(sides[0].doc, sides[1].doc)
	if err != nil {
		return nil, fmt.Errorf("compare %s and %s: %w", sides[0].cp.ID, sides[1].cp.ID, err)
	}
	return r, nil
}

// diffSide reads a capture, behind the line that says who looks at it.
func (n *node) diffSide(ctx context.Context, from *captures, id holdfast.ID, why string) (s diffSide, err error) {
	if s.cp, err = n.cat.Capture(ctx, id); err != nil {
		return s, err
	}
	if s.m, err = from.parsed(ctx, id); err != nil {
		return s, err
	}
	o := s.m.Object(nameDOM)
	if o == nil {
		return s, fmt.Errorf("compare %s: it has no document (%s): `holdfast show %s` says what it has", id, nameDOM, id)
	}
	if err := n.accessed(ctx, s.cp, n.set.Agent, why); err != nil {
		return s, err
	}
	r, err := from.OpenObject(ctx, id, *o)
	if err != nil {
		return s, fmt.Errorf("compare %s: %w", id, err)
	}
	defer r.Close()
	if s.doc, err = readContent(ctx, r, address(s.m)); err != nil {
		return s, fmt.Errorf("compare %s: %w", id, err)
	}
	return s, nil
}

// diffPictures compares the pictures of the same name, one pair after the other. One that
// cannot be compared says why.
func (n *node) diffPictures(ctx context.Context, from *captures, sides [2]diffSide) (out []compare.Shown) {
	var names []string
	for _, s := range sides {
		for _, o := range s.m.Objects {
			if o.Role == "screenshot" && !slices.Contains(names, o.Name) {
				names = append(names, o.Name)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) })
	for _, name := range names {
		p := compare.Shown{Name: name, A: opener(ctx, from, sides[0], name), B: opener(ctx, from, sides[1], name)}
		switch {
		case p.A == nil:
			p.Why = "the first capture has no such part of the picture"
		case p.B == nil:
			p.Why = "the second capture has no such part of the picture"
		default:
			var err error
			if p.Pictures, err = comparePNG(p.A, p.B); err != nil {
				p.Why = err.Error()
			}
		}
		out = append(out, p)
	}
	return out
}

func opener(ctx context.Context, from *captures, s diffSide, name string) func() (io.ReadCloser, error) {
	o := s.m.Object(name)
	if o == nil {
		return nil
	}
	return func() (io.ReadCloser, error) { return from.OpenObject(ctx, s.cp.ID, *o) }
}

func comparePNG(a, b func() (io.ReadCloser, error)) (p compare.Pictures, err error) {
	ra, err := a()
	if err != nil {
		return p, err
	}
	defer ra.Close()
	rb, err := b()
	if err != nil {
		return p, err
	}
	defer rb.Close()
	return compare.PNG(ra, rb)
}

// writeDiff writes the page whole, or none: it is under no signature, so another may
// take its place.
func writeDiff(o diffOptions, sides [2]diffSide, r *compare.Result, pictures []compare.Shown) (err error) {
	f, err := os.CreateTemp(filepath.Dir(o.out), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", o.out, err)
	}
	defer os.Remove(f.Name()) // gone already where all went well
	side := func(s diffSide) compare.Side {
		return compare.Side{ID: string(s.cp.ID), Manifest: s.cp.Manifest.String(), Source: string(s.cp.Source), At: s.cp.Started.String(), State: s.cp.State}
	}
	w := bufio.NewWriterSize(f, 1<<16)
	err = compare.Page(w, side(sides[0]), side(sides[1]), content.Algorithm, r, pictures)
	if err = errors.Join(err, w.Flush(), f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), o.out)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.out, err)
	}
	return nil
}

// diffLines are the lines of `diff --json`, the summary last.
func diffLines(sides [2]diffSide, r *compare.Result, pictures []compare.Shown) (out []map[string]any) {
	out = diffNetwork(sides)
	for _, k := range r.Runs {
		if k.Op != "" {
			out = append(out, map[string]any{"event": "text", "op": k.Op, "text": k.Text, "ignored": k.Ignored})
		}
	}
	for _, k := range r.Changes {
		out = append(out, map[string]any{"event": "structure", "part": k.Part, "op": k.Op, "value": k.Value, "ignored": k.Ignored})
	}
	for _, p := range pictures {
		out = append(out, map[string]any{"event": "picture", "name": p.Name, "same": p.Why == "" && p.Pictures.Same(), "why": p.Why, "before": regionsOf(p.Pictures.A), "after": regionsOf(p.Pictures.B)})
	}
	side := func(s diffSide) map[string]any {
		return map[string]any{"capture": s.cp.ID, "manifest": s.cp.Manifest.String(), "source": s.cp.Source, "at": s.cp.Started}
	}
	a, b := side(sides[0]), side(sides[1])
	a["fingerprint"], b["fingerprint"] = r.A, r.B
	return append(out, map[string]any{"event": "comparison", "same": r.Same, "algorithm": content.Algorithm, "before": a, "after": b, "added": r.Added, "removed": r.Removed, "ignored": r.IgnoredWords, "cut": r.Cut})
}

func regionsOf(rs []compare.Region) [][4]int {
	out := make([][4]int, len(rs))
	for i, r := range rs {
		out[i] = [4]int{r.X, r.Y, r.W, r.H}
	}
	return out
}

const shownRuns = 200

// sayDiff is what a person sees in a terminal.
func (c *cli) sayDiff(sides [2]diffSide, r *compare.Result, pictures []compare.Shown) {
	shown, more := 0, 0
	say := func(ignored content.Reason, format string, a ...any) {
		if shown++; shown > shownRuns {
			more++
			return
		}
		if ignored != "" {
			format, a = format+"  (ignored: %s)", append(a, ignored)
		}
		c.say(nil, format, a...)
	}
	for _, l := range diffNetwork(sides) {
		c.say(nil, "~ %s: %s; %s", l["part"], messages.Visible(l["before"].(string)), messages.Visible(l["after"].(string)))
	}
	sign := map[compare.Op]string{compare.Added: "+", compare.Removed: "-"}
	for _, k := range r.Runs {
		if k.Op != "" {
			say(k.Ignored, "%s %s", sign[k.Op], messages.Visible(strings.Join(strings.Fields(k.Text), " ")))
		}
	}
	for _, k := range r.Changes {
		say(k.Ignored, "%s %s %s", sign[k.Op], k.Part, messages.Visible(k.Value))
	}
	for _, p := range pictures {
		switch {
		case p.Why != "":
			say("", "? %s: not compared: %s", p.Name, messages.Visible(p.Why))
		case !p.Pictures.Same():
			say("", "~ %s: %d regions of the first and %d of the second differ", p.Name, len(p.Pictures.A), len(p.Pictures.B))
		}
	}
	if more > 0 {
		c.say(nil, "and %d more: --json has all, --out FILE.html shows them", more)
	}
	c.say(nil, "%s", verdictOf(r))
}

func verdictOf(r *compare.Result) string {
	verdict := "they differ"
	if r.Same {
		verdict = "the same, but for what does not count"
	}
	return fmt.Sprintf("%s: %d words added, %d removed, %d ignored", verdict, r.Added, r.Removed, r.IgnoredWords)
}
