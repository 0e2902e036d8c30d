package main

import (
	"bufio"
	"cmp"
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

	"holdfast/cmd/internal/verifycmd"
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
	trust    verifycmd.Options // of Bundles
}

func (c *cli) diffCmd() *cobra.Command {
	var o diffOptions
	var r remote
	cmd := command("diff A B [--out FILE.html] [--seal]", "Hold two captures of a page against each other",
		"holdfast diff 0f3c… 9a1b… --out changes.html\n  holdfast diff before.zip after.zip#2 --policy office.policy.json", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			if err := checkReason("--why", o.why); err != nil {
				return err
			}
			there, err := r.asked(cmd, "seal", "wait")
			if err != nil {
				return err
			}
			var far *remoteSides
			if there {
				if far, err = c.remoteSides(r, o.why); err != nil {
					return err
				}
				defer far.Close()
			}
			err = c.diff(cmd.Context(), far, args, o)
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

A and B are ids of captures of this node, or captures in bundles: FILE.zip#EXHIBIT, by
the exhibit's number or the capture's id, or FILE.zip alone where it has one capture.
Each bundle is verified first, as by 'holdfast verify' and under the same flags, and its
verdict said; of one that is contradicted nothing is compared. For two bundles there
need be no node here, and nothing is asked of any network. With --server the captures
are that node's: their documents and pictures come over the line, each held against its
digest, and are compared here; the token needs the scopes read and export.

exit status: 0 the same, but for what does not count
             1 they differ
             2 could not compare them, or usage
             3 with --seal: compared, and not sealed after --wait
             4 a bundle is contradicted, and nothing of it was compared`
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "write a page, FILE.html, that shows it")
	f.BoolVar(&o.replace, "replace", false, "of --out: replace the file that is there")
	f.StringVar(&o.why, "why", "", "why they are looked at, for the custody")
	f.BoolVar(&o.seal, "seal", false, "keep the comparison, sealed")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "with --seal: how long to wait for the seal")
	f.StringVar(&o.trust.Policy, "policy", "", "of bundles: whom to trust, as for verify")
	f.StringVar(&o.trust.Node, "node", "", "of bundles: trust this node of theirs, as for verify")
	f.StringArrayVar(&o.trust.Authorities, "authority", nil, "of bundles: trust this timestamp authority too, as for verify")
	r.flags(cmd)
	return cmd
}

// diff reads both, wherever they lie (far is nil: what is in no Bundle is this node's own),
// and says what differs.
func (c *cli) diff(ctx context.Context, far *remoteSides, args []string, o diffOptions) (err error) {
	if o.out != "" && !o.replace {
		if _, err := os.Lstat(o.out); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s exists: choose another name, or --replace", o.out))
		}
	}
	refs, err := o.refs(args)
	if err != nil {
		return err
	}
	bundles := &diffBundles{c: c, trust: o.trust, open: map[string]*verifycmd.Bundle{}}
	defer bundles.Close()
	var sides [2]diffSide
	for i, r := range refs { // before a line of custody says that somebody looks
		if r.file != "" {
			if sides[i], err = bundles.side(ctx, r); err != nil {
				return err
			}
		}
	}
	var n *node
	switch {
	case refs[0].id == "" && refs[1].id == "":
	case far != nil:
		if err := far.sides(ctx, refs, &sides); err != nil {
			return err
		}
	default:
		if n, err = c.open(ctx); err != nil {
			return err
		}
		defer n.Close()
		if err := n.ownSides(ctx, refs, &sides, o.why); err != nil {
			return err
		}
	}
	r, err := compareSides(sides)
	if err != nil {
		return err
	}
	pictures := diffPictures(sides)
	if err := bundles.finished(); err != nil {
		return err
	}
	return c.tellDiff(ctx, n, sides, r, pictures, o)
}

// refs reads the arguments, and refuses flags that say nothing of them.
func (o diffOptions) refs(args []string) (refs [2]diffRef, err error) {
	files := 0
	for i, a := range args {
		if refs[i], err = parseDiffRef(a); err != nil {
			return refs, err
		}
		if refs[i].file != "" {
			files++
		}
	}
	switch t := o.trust; {
	case files > 0 && o.seal:
		err = usageError("diff: --seal keeps what is said of two captures of this node; of one in a bundle --out FILE.html and --json can be kept")
	case files == 2 && o.why != "":
		err = usageError("diff: --why is for the custody of captures that are in no bundle, and none is compared")
	case files == 0 && (t.Policy != "" || t.Node != "" || len(t.Authorities) > 0):
		err = usageError("diff: --policy, --node and --authority are for bundles, and none is compared")
	}
	return refs, err
}

// ownSides reads those that are the node's own.
func (n *node) ownSides(ctx context.Context, refs [2]diffRef, sides *[2]diffSide, why string) (err error) {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	from := n.kept()
	for i, r := range refs {
		if r.id != "" {
			if sides[i], err = n.diffSide(ctx, from, r.id, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellDiff says what came of it, writes the page and seals, as asked; n is nil where no
// capture is the node's own.
func (c *cli) tellDiff(ctx context.Context, n *node, sides [2]diffSide, r *compare.Result, pictures []compare.Shown, o diffOptions) error {
	if o.out != "" {
		if err := writeDiff(o, sides, r, pictures); err != nil {
			return err
		}
	}
	for _, s := range sides {
		if s.row != nil {
			c.say(s.row, "read from %s", messages.Visible(s.from))
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

// diffPictures compares the pictures of the same name, one pair after the other. One that
// cannot be compared says why.
func diffPictures(sides [2]diffSide) (out []compare.Shown) {
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
		p := compare.Shown{Name: name}
		var noA, noB string
		p.A, noA = sides[0].opener(name, "first")
		p.B, noB = sides[1].opener(name, "second")
		if p.Why = cmp.Or(noA, noB); p.Why == "" {
			var err error
			if p.Pictures, err = comparePNG(p.A, p.B); err != nil {
				p.Why = err.Error()
			}
		}
		out = append(out, p)
	}
	return out
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
		return compare.Side{ID: string(s.cp.ID), Manifest: s.cp.Manifest.String(), Source: string(s.cp.Source), At: s.cp.Started.String(), State: s.cp.State, From: s.from}
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
