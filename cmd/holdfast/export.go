package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/pipeline"
	"holdfast/preserve"
)

type exportOptions struct {
	caseName   string
	restricted bool
	replace    bool
	size       string // as typed; "" is one bundle
	lang       string
	why        string

	since, until string        // of posts, as typed
	pages        string        // of posts: yes or no
	wait         time.Duration // for the seals of their pages
	only         func(context.Context, *holdfast.Manifest) ([]export.SliceRef, bool, error)
	agent        *holdfast.Agent // who exports; nil: the node's
}

// by is who exports.
func (o exportOptions) by(n *node) holdfast.Agent {
	if o.agent != nil {
		return *o.agent
	}
	return n.set.Agent
}

func (c *cli) exportCmd() *cobra.Command {
	var o exportOptions
	var r remote
	cmd := command("export (--case NAME | CAPTURE… | telegram:@NAME/ID | telegram:@NAME --since --until) FILE [--size SIZE]", "Write a bundle that a stranger can check", "holdfast export --case 2026-017 2026-017.zip", cobra.MinimumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			ids, file := args[:len(args)-1], args[len(args)-1]
			there, err := r.asked(cmd, "size")
			if err != nil {
				return err
			}
			if namesPosts(ids) && there {
				return usageError("posts are exported on the node's own machine: over --server a case, or captures")
			}
			if namesPosts(ids) {
				return c.exportPostsCmd(cmd, ids[0], file, o)
			}
			for _, f := range []string{"since", "until", "pages", "wait"} {
				if cmd.Flags().Changed(f) {
					return usageError("--%s is about posts: name a channel or a post before FILE, as in telegram:@name/123", f)
				}
			}
			if (len(ids) > 0) == (o.caseName != "") {
				return usageError("give --case NAME or captures before FILE, one of them")
			}
			size, err := parseSize(o.size)
			if err = errors.Join(err, checkLanguage(o.lang), checkReason("--why", o.why)); err != nil {
				return err
			}
			if there {
				return c.exportRemote(cmd.Context(), r, ids, file, o)
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if err := n.refresh(cmd.Context()); err != nil {
				return err
			}
			sel, at, err := n.selection(cmd.Context(), o.caseName, ids)
			if err != nil {
				return err
			}
			if size > 0 {
				return c.exportParts(cmd.Context(), n, sel, at, file, o, size)
			}
			return c.export(cmd.Context(), n, sel, at, file, o)
		})
	cmd.Long = exportLong
	r.flags(cmd)
	postExportFlags(cmd.Flags(), &o)
	cmd.Flags().StringVar(&o.caseName, "case", "", "all captures of this Case")
	cmd.Flags().BoolVar(&o.restricted, "restricted", false, "include restricted objects: requests with cookies and form fields")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "replace FILE if it exists")
	cmd.Flags().StringVar(&o.size, "size", "", "write FILE-1.zip, FILE-2.zip, … of at most this size, such as 650MB or 4GiB; each verifies alone")
	cmd.Flags().StringVar(&o.why, "why", "", "why, or for whom, for the custody: it stands in the bundle")
	langFlag(cmd, &o.lang)
	return cmd
}

// selection groups captures by home Case, oldest first, and says where their
// Manifests lie.
func (n *node) selection(ctx context.Context, caseName string, ids []string) (sel []export.Selection, at kept.Places, err error) {
	at = kept.Places{}
	if caseName != "" {
		return n.wholeCase(ctx, caseName)
	}
	group := map[holdfast.ID]int{}
	for _, a := range ids {
		id, err := holdfast.ParseID(a)
		if err != nil {
			return nil, nil, usageError("%w; `holdfast list` shows the ids", err)
		}
		cp, err := n.cat.Capture(ctx, id)
		if err != nil {
			return nil, nil, fmt.Errorf("export: capture %s: %w; `holdfast list` shows the ids", id, err)
		}
		if _, ok := group[cp.Case]; !ok {
			group[cp.Case] = len(sel)
			sel = append(sel, export.Selection{Case: cp.Case})
		}
		at.Add(cp)
		s := &sel[group[cp.Case]]
		s.Captures = append(s.Captures, id)
	}
	return sel, at, nil
}

// wholeCase selects what belongs to a Case, itself first, and then the home Cases
// of what was added to it: an exhibit is counted in its home Case.
func (n *node) wholeCase(ctx context.Context, name string) (sel []export.Selection, at kept.Places, err error) {
	cs, err := n.namedCase(ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("export: case %.80q: %w; `holdfast case list` shows the cases", name, err)
	}
	sel, at = []export.Selection{{Case: cs.ID}}, kept.Places{}
	group := map[holdfast.ID]int{cs.ID: 0}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Member: cs.ID, Kind: holdfast.KindCapture}) {
		if err != nil {
			return nil, nil, err
		}
		k, ok := group[cp.Case]
		if !ok {
			k = len(sel)
			group[cp.Case], sel = k, append(sel, export.Selection{Case: cp.Case})
		}
		at.Add(cp)
		sel[k].Captures = append(sel[k].Captures, cp.ID)
	}
	for _, s := range sel {
		slices.Reverse(s.Captures)
	}
	if len(at) == 0 {
		return nil, nil, fmt.Errorf("export: case %.80q has no captures", name)
	}
	return sel, at, nil
}

// exportCaptures writes the bundle that `capture --export` asked for.
func (c *cli) exportCaptures(ctx context.Context, n *node, got []captured, file, lang string) error {
	if len(got) == 0 {
		return errors.New("export: nothing was captured, so no bundle is written")
	}
	ids := make([]string, len(got))
	for i, g := range got {
		ids[i] = string(g.id)
	}
	if err := errors.Join(nodedir.AfterRebuild(ctx, n.dir), n.refresh(ctx)); err != nil {
		return err
	}
	sel, at, err := n.selection(ctx, "", ids)
	if err != nil {
		return err
	}
	return c.export(ctx, n, sel, at, file, exportOptions{lang: lang})
}

func (c *cli) export(ctx context.Context, n *node, sel []export.Selection, at kept.Places, file string, o exportOptions) error {
	opts, err := n.exportOptions(ctx, sel, at, o)
	if err != nil {
		return err
	}
	return c.exportFile(ctx, file, opts, newCaseFacts(n, sel, o))
}

func (n *node) exportOptions(ctx context.Context, sel []export.Selection, at kept.Places, o exportOptions) (none export.Options, err error) {
	langs, err := pageLanguage(o.lang)
	if err != nil {
		return none, err
	}
	key, err := n.sealSigner(ctx)
	if err != nil {
		return none, fmt.Errorf("export: %w", err)
	}
	p, err := n.policy()
	if err != nil {
		return none, err
	}
	signer, ok := key.(export.Signer)
	if !ok {
		return none, fmt.Errorf("export: the seal key cannot sign a digest")
	}
	erased, err := n.erasedIn(ctx, sel)
	if err != nil {
		return none, err
	}
	return export.Options{
		Erased: func(m *holdfast.Manifest, o holdfast.Object) string { return erased[string(m.ID)][o.Digest] },
		Cases:  sel, Captures: n.keptAt(at), CaseFacts: newCaseFacts(n, sel, o), Parts: n.store, Logs: &logs{n}, Signer: signer, Node: n.set.Name, Policy: p,
		Certificates: n.certificates(), Agent: o.by(n), Software: n.facts.Software, Exported: holdfast.At(time.Now()), Training: n.set.Training,
		Why: o.why, Restricted: o.restricted, Replace: o.replace, Languages: langs, Log: n.log, Only: o.only,
	}, nil
}

// exportFile writes one bundle and says so.
func (c *cli) exportFile(ctx context.Context, file string, o export.Options, facts *caseFacts) error {
	o.CaseFacts = facts
	bar := c.progress("writing")
	o.Progress = func(_ int, done int64) { bar.bytes(done, -1) }
	sum, err := export.WriteFile(ctx, file, o)
	bar.done()
	if errors.Is(err, export.ErrExists) {
		return fmt.Errorf("export to %s: %w: choose another name, or --replace", file, export.ErrExists)
	}
	if err != nil {
		return err
	}
	if err := facts.finished(context.WithoutCancel(ctx), sum.Statement); err != nil { // the file is there: an interrupt comes too late
		return fmt.Errorf("%s is whole, but its custody says only that it was begun: %w", file, err)
	}
	unsealed := 0
	for _, e := range sum.Exhibits {
		if e.State != export.Sealed {
			unsealed++
		}
	}
	for _, note := range sum.Notes {
		fmt.Fprintf(c.errs, "holdfast: note: %s\n", note)
	}
	row := map[string]any{"event": "exported", "file": file, "exhibits": len(sum.Exhibits), "unsealed": unsealed, "bytes": sum.Bytes, "withheld": sum.Withheld, "statement": sum.Statement}
	if o.Part != nil {
		row["part"], row["parts"] = o.Part.Number, o.Part.Of
	}
	c.say(row, "exported  %s  %d exhibits, %d objects withheld%s", file, len(sum.Exhibits), sum.Withheld, unsealedText(unsealed))
	return nil
}

func unsealedText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d NOT SEALED, and the bundle says so", n)
}

// Numbers gives exhibit numbers that stay: they are in the `exporting` line, so
// they are sealed, and a rebuilt catalog knows them. The lock keeps two exports
// from giving one number twice.
func (f *caseFacts) Numbers(ctx context.Context, home holdfast.ID, ids []holdfast.ID) ([]string, error) {
	unlock, err := f.n.officeLock(ctx, "exhibits.lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := f.n.refresh(ctx); err != nil {
		return nil, err
	}
	known, last := map[holdfast.ID]string{}, 0
	for x, err := range f.n.cat.Exhibits(ctx, home) {
		if err != nil {
			return nil, err
		}
		known[x.Capture] = x.Number
		if k, err := strconv.Atoi(x.Number); err == nil {
			last = max(last, k)
		}
	}
	numbers := make([]string, len(ids))
	for i, id := range ids {
		if known[id] == "" {
			last++
			known[id] = strconv.Itoa(last)
		}
		numbers[i] = known[id]
	}
	if err := f.exportingGuests(ctx, home); err != nil {
		return nil, err
	}
	return numbers, f.exporting(ctx, home, ids, numbers)
}

// perLine is how many captures one `exporting` line names: a line is bounded.
const perLine = 1000

// exporting writes the custody lines that say what is to be given out, under
// which number. A crash between two of them, or an export that fails, leaves
// numbers given that no bundle has, and that the next export gives again, to the
// same captures.
func (f *caseFacts) exporting(ctx context.Context, home holdfast.ID, ids []holdfast.ID, numbers []string) error {
	for len(ids) > 0 {
		n := min(len(ids), perLine)
		if err := f.exportingLine(ctx, home, ids[:n], numbers[:n]); err != nil {
			return err
		}
		ids, numbers = ids[n:], numbers[n:]
	}
	return f.n.refresh(ctx)
}

func (f *caseFacts) exportingLine(ctx context.Context, home holdfast.ID, ids []holdfast.ID, numbers []string) error {
	var x struct {
		Exhibits []catalog.Given `json:"exhibits"`
		Part     int             `json:"part,omitempty"`
		Parts    int             `json:"parts,omitempty"`
	}
	if f.part != nil {
		x.Part, x.Parts = f.part.Number, f.part.Of
	}
	objects := make([]string, len(ids))
	x.Exhibits = []catalog.Given{}
	for i, id := range ids {
		if objects[i] = string(id); numbers != nil {
			x.Exhibits = append(x.Exhibits, catalog.Given{Capture: id, Number: numbers[i]})
		}
	}
	raw, err := canon.Marshal(x)
	if err != nil {
		return err
	}
	h, err := f.n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "exporting", Agent: f.by, Objects: objects, Why: f.why, X: raw})
	if err == nil && f.begun[home] == 0 {
		f.begun[home] = h.Length
	}
	return err
}

// finished writes the lines that say that the Bundle is there, by the Digest of
// its export statement, whole and under its name.
func (f *caseFacts) finished(ctx context.Context, statement hashing.Digest) error {
	for _, home := range slices.Sorted(maps.Keys(f.begun)) {
		x := struct {
			Begun     int64          `json:"begun"`
			Part      int            `json:"part,omitempty"`
			Parts     int            `json:"parts,omitempty"`
			Statement hashing.Digest `json:"statement"`
		}{Begun: f.begun[home], Statement: statement}
		if f.part != nil {
			x.Part, x.Parts = f.part.Number, f.part.Of
		}
		raw, err := canon.Marshal(x)
		if err == nil {
			_, err = f.n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "exported", Agent: f.by, X: raw})
		}
		if err != nil {
			return fmt.Errorf("say in the custody of case %s that it was exported: %w", home, err)
		}
	}
	return nil
}

// logs proves how a log grew, from its mirror in the store.
type logs struct{ n *node }

func (l *logs) mirror(origin string) (*preserve.Mirror, error) {
	for _, p := range l.n.trust.Policy().Nodes {
		if p.Name == origin {
			return &preserve.Mirror{Store: l.n.store, Origin: origin, VKey: p.Log.Key}, nil
		}
	}
	return nil, fmt.Errorf("log %s: %w", origin, fs.ErrNotExist)
}

func (l *logs) Newest(ctx context.Context, origin string) ([]byte, error) {
	m, err := l.mirror(origin)
	if err != nil {
		return nil, err
	}
	text, _, err := m.Newest(ctx)
	return text, err
}

func (l *logs) Consistency(ctx context.Context, origin string, from, to int64) (proof [][]byte, err error) {
	m, err := l.mirror(origin)
	if err != nil {
		return nil, err
	}
	_, a, err := m.Checkpoint(ctx, from)
	if err != nil {
		return nil, err
	}
	_, b, err := m.Checkpoint(ctx, to)
	if err != nil {
		return nil, err
	}
	p, err := m.Consistency(ctx, a, b)
	if err != nil || p == nil {
		return nil, err
	}
	for _, h := range p.Hashes {
		proof = append(proof, h[:])
	}
	return proof, nil
}
