package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/audit"
	"holdfast/canon"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// fileAudit is how far an audit of everything is. Lost, it begins anew.
const fileAudit = "audit.json"

// exitFound is the exit status of an audit that found something.
const exitFound = 3

// Bounds of what the custody says of one audit, and of what audit.json keeps.
const maxAudited = 200

func (c *cli) auditCmd() *cobra.Command {
	sample, all := 0, false
	cmd := command("audit [--sample N | --all]", "Read the store again, and say what is no more as it was sealed", "holdfast audit --all", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if all && cmd.Flags().Changed("sample") || sample < 1 || sample > 1_000_000 {
			return usageError("give --sample N (1 to 1000000) or --all")
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.audit(cmd.Context(), n, sample, all)
	})
	cmd.Long = `Hashes packs with every entry, Objects, the parts of Seals, the tiles and entries
of the log's mirror, and holds every tombstone of an erasure against the sealed
line that ordered it. --sample draws Seals and Objects at random; --all reads
everything, and one that is stopped goes on where it was. Other commands may work
meanwhile. What was found becomes a line of custody, which is sealed.

exit status: 0 all is as it was sealed  1 could not, or was stopped  2 usage
             3 something is missing, or changed, or not kept as it should be`
	cmd.Flags().IntVar(&sample, "sample", 100, "so many Seals and Objects, drawn at random")
	cmd.Flags().BoolVar(&all, "all", false, "everything; goes on where an earlier one was stopped")
	return cmd
}

// auditFile is fileAudit.
type auditFile struct {
	Version int           `json:"version"`
	Node    string        `json:"node"`
	Begun   holdfast.Time `json:"begun"`
	At      audit.State   `json:"at"`
	Found   []auditFound  `json:"found"` // the first maxAudited
}

// auditFound is one problem, in the custody line too.
type auditFound struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// auditX is the `x` of the line; docs/bundle.md, section 5.
type auditX struct {
	Begun      holdfast.Time `json:"begun"`
	Bytes      int64         `json:"bytes"`
	Found      []auditFound  `json:"found"`
	Logs       int64         `json:"logs"`
	Mode       string        `json:"mode"`
	Objects    int64         `json:"objects"`
	Open       int64         `json:"open"`
	Packs      int64         `json:"packs"`
	Problems   int64         `json:"problems"`
	Seals      int64         `json:"seals"`
	Tombstones int64         `json:"tombstones"`
}

// saveEvery is how often an audit of everything notes how far it is.
const saveEvery = 5 * time.Second

func (c *cli) audit(ctx context.Context, n *node, sample int, all bool) error {
	f := &auditFile{Version: 1, Node: n.set.Name, Begun: holdfast.At(time.Now())}
	if all {
		if err := n.resumeAudit(ctx, f); err != nil {
			return err
		}
	}
	bar, saved := c.progress("audit"), time.Now()
	defer bar.done()
	a := n.auditor(func(p audit.Problem) {
		if len(f.Found) < maxAudited {
			f.Found = append(f.Found, auditFound{p.Kind, strings.ToValidUTF8(p.Name, "?")})
		}
		c.say(map[string]any{"event": "problem", "kind": p.Kind, "name": p.Name, "error": p.Err.Error()}, "%-20s %s  (%s)", p.Kind, messages.Visible(p.Name), messages.Visible(p.Err.Error()))
	})
	a.Told = func(at *audit.State) {
		bar.bytes(at.Counts.Bytes, -1)
		if all && time.Since(saved) > saveEvery {
			saved = time.Now()
			if err := wholefile.WriteJSON(n.path(fileAudit), f); err != nil { // it would begin anew: no harm
				n.log.WarnContext(ctx, "how far the audit is was not noted", "err", err)
			}
		}
	}
	var err error
	if all {
		err = a.Run(ctx, &f.At)
	} else {
		err = a.Sample(ctx, sample, &f.At)
	}
	if err != nil {
		if all {
			err = fmt.Errorf("%w; `holdfast audit --all` goes on from there", errors.Join(err, wholefile.WriteJSON(n.path(fileAudit), f)))
		}
		return err
	}
	bar.done()
	return c.audited(context.WithoutCancel(ctx), n, f, all)
}

// resumeAudit takes up what an audit of this node's store has left. It belongs to one
// process at a time, so the lock is held until the process ends.
func (n *node) resumeAudit(ctx context.Context, f *auditFile) error {
	unlock, err := filelock.Try(n.path("audit.lock"))
	if err == nil && unlock == nil {
		err = errors.New("another audit of everything is at work")
	}
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, unlock)
	var old auditFile
	err = wholefile.ReadJSON(n.path(fileAudit), &old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil || old.Version != 1 || old.Node != n.set.Name:
		n.log.WarnContext(ctx, "how far the last audit came cannot be read; it begins anew", "err", err)
	default:
		*f = old
	}
	return nil
}

func (n *node) auditor(problem func(audit.Problem)) *audit.Auditor {
	a := &audit.Auditor{Store: n.store, Judge: &preserve.Judge{Store: n.store, Trust: n.trust}, Problem: problem,
		Sealed: func(ctx context.Context, id holdfast.ID) bool {
			cp, err := n.cat.Capture(ctx, id)
			return err == nil && cp.State == pipeline.StateSealed
		}}
	done := sync.OnceValue(n.erasuresDone)
	a.Done = func(event holdfast.ID) bool { return done()[event] }
	for _, p := range n.trust.Policy().Nodes {
		a.Logs = append(a.Logs, audit.Log{Origin: p.Log.Origin, VKey: p.Log.Key})
	}
	slices.SortFunc(a.Logs, func(x, y audit.Log) int { return strings.Compare(x.Origin, y.Origin) }) // who goes on goes by their names
	return a
}

// audited writes the line, which is sealed by whoever seals, then the result, and
// forgets how far it was. A crash between line and file gives a second line, of the
// same audit.
func (c *cli) audited(ctx context.Context, n *node, f *auditFile, all bool) error {
	k := f.At.Counts
	mode := map[bool]string{true: "all", false: "sample"}[all]
	x, err := canon.Marshal(auditX{Begun: f.Begun, Bytes: k.Bytes, Found: append([]auditFound{}, f.Found...), Logs: k.Logs, Mode: mode, Objects: k.Objects, Open: k.Open,
		Packs: k.Packs, Problems: k.Problems, Seals: k.Seals, Tombstones: k.Tombstones})
	if err != nil {
		return err
	}
	h, err := n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "audited", Agent: n.set.Agent, X: x})
	if err != nil {
		return err
	}
	if err := os.Remove(n.path(fileAudit)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.say(map[string]any{"event": "audited", "mode": mode, "seals": k.Seals, "packs": k.Packs, "objects": k.Objects, "logs": k.Logs, "tombstones": k.Tombstones, "bytes": k.Bytes,
		"open": k.Open, "problems": k.Problems, "chain": h.Chain, "n": h.Length},
		"audited   %d seals, %d packs, %d objects, %d logs, %d tombstones, %d bytes; %d seals are not finished yet; %d problems", k.Seals, k.Packs, k.Objects, k.Logs, k.Tombstones, k.Bytes, k.Open, k.Problems)
	if k.Problems > 0 {
		return &exitError{exitFound, fmt.Errorf("%d things in the store are not as they were sealed: bring them back from a mirror, and find out who changed them", k.Problems)}
	}
	return nil
}
