package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/audit"
	"holdfast/canon"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/storage"
	"holdfast/storage/file"
	"holdfast/wholefile"
)

// fileMove says which store a move that has not ended goes to. It is written before
// anything is, and removed once node.json names that store.
const fileMove = "move.json"

// moving is fileMove.
type moving struct {
	Version int    `json:"version"`
	To      string `json:"to"`
	ID      string `json:"id,omitempty"` // of a bucket's store, once it is made
}

func (c *cli) moveCmd() *cobra.Command {
	var to string
	wait := 30 * time.Second
	cmd := command("move --to STORE-URL [--wait 30s]", "Copy the store to another place, and work on that one from then on", "holdfast move --to 's3://bucket/office?endpoint=https://s3.example.org'", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if to == "" {
			return usageError("give --to STORE-URL: file:PATH, or s3://BUCKET/PREFIX?endpoint=URL")
		}
		e, err := engineset.URLs{Store: to}.Checked()
		if err != nil {
			return err
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.move(cmd.Context(), n, e.Store, wait)
	})
	cmd.Long = `Copies everything, hashes all of it on its way, then reads both stores again, whole,
and compares them. Only if nothing is missing, damaged or left over does node.json
name the new store; old Seals stay valid, and the log goes on. A move that is cut
short goes on with the same command. The old store is left as it is: remove it
yourself once the new one is mirrored. Stop "watch run" and "node" before it: nobody
may accept or seal meanwhile, and who has the old store open refuses to go on.

exit status: 0 done  1 could not, or something was not as it should be: the node
             works on the old store  2 usage`
	cmd.Flags().StringVar(&to, "to", "", "file:PATH of an empty directory, or s3://BUCKET/PREFIX?endpoint=URL")
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for those who accept or seal")
	return cmd
}

func (c *cli) move(ctx context.Context, n *node, to string, wait time.Duration) error {
	if to == n.set.URLs().Store {
		return usageError("--to: the node works on that store already")
	}
	if path, ok := engineset.Local(to, ""); ok {
		old, _ := engineset.Local(n.set.URLs().Store, n.path("store"))
		apart, err := mirror.Apart(old, path)
		if err != nil {
			return err
		}
		if !apart {
			return usageError("--to: the new store must lie outside the old one")
		}
	}
	free, err := n.quiet(ctx, wait)
	if err != nil {
		return err
	}
	defer free()
	if err := n.refresh(ctx); err != nil {
		return err
	}
	state, err := n.moveState(to)
	if err != nil {
		return err
	}
	target, err := n.moveTarget(ctx, state)
	if err != nil {
		return err
	}
	defer target.Close()
	begun := time.Now()
	files, bytes, err := c.copyStore(ctx, n, target)
	if err != nil {
		return fmt.Errorf("move to %s: %w; the node works on the old store as before", to, err)
	}
	if err := n.moved(ctx, state, files, bytes); err != nil {
		return err
	}
	c.say(map[string]any{"event": "moved", "to": to, "objects": files, "bytes": bytes, "seconds": time.Since(begun).Seconds()},
		"moved     to %s  %d files, %d bytes in %.1f s; the old store was left as it is", messages.Visible(to), files, bytes, time.Since(begun).Seconds())
	return nil
}

// quiet keeps all of this node from accepting, sealing and erasing. Whoever waits for
// one of these locks finds in node.json, before it does anything, that its store is
// another one by now (moved away).
func (n *node) quiet(ctx context.Context, wait time.Duration) (free func(), err error) {
	wctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	var all []func()
	free = func() {
		for _, f := range all {
			f()
		}
	}
	for _, name := range []string{"move.lock", "erase.lock", fileCollecting, "preserve.lock"} {
		unlock, err := filelock.Wait(wctx, n.path(name))
		if err != nil {
			free()
			if ctx.Err() == nil {
				err = fmt.Errorf("move: somebody accepts or seals: stop `holdfast watch run` and `holdfast node`, or give it longer with --wait: %w", err)
			}
			return nil, err
		}
		all = append(all, unlock)
	}
	return free, nil
}

// errMoved tells who has opened a node before its store was moved.
var errMoved = errors.New("the store of this node was moved while this ran: start it again")

// still refuses to write for a node whose store is another one by now. Whoever calls it
// holds a lock that quiet takes.
func (n *node) still() error {
	set, err := nodedir.Read(n.dir)
	if err != nil {
		return err
	}
	if set.URLs().Store != n.set.URLs().Store {
		return errMoved
	}
	return nil
}

// moveState takes up the move that was cut short, or begins one.
func (n *node) moveState(to string) (*moving, error) {
	m := new(moving)
	switch err := wholefile.ReadJSON(n.path(fileMove), m); {
	case errors.Is(err, fs.ErrNotExist):
		m = &moving{Version: 1, To: to}
		return m, wholefile.WriteJSON(n.path(fileMove), m)
	case err != nil:
		return nil, err
	case m.To != to:
		return nil, fmt.Errorf("move: one to %s was begun and has not ended: go on with that, or remove %s and what it has copied", m.To, n.path(fileMove))
	}
	return m, nil
}

// moveTarget opens the new store, or makes it. A kill between a bucket's marker and
// move.json leaves an empty store there, which the person removes.
func (n *node) moveTarget(ctx context.Context, m *moving) (nodeStore, error) {
	if path, ok := engineset.Local(m.To, ""); ok {
		s, err := file.Open(path, file.Options{Log: n.log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := n.engines().OpenBucket(ctx, m.To, m.ID, m.ID == "")
	if err != nil || m.ID != "" {
		return s, err
	}
	named, ok := s.(interface{ ID() string })
	if ok {
		m.ID = named.ID()
		err = wholefile.WriteJSON(n.path(fileMove), m)
	} else {
		err = errors.New("move: the new store has no id")
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// badShown bounds the problems that an error names.
const badShown = 3

// copyStore copies, and then compares all of both. Any problem refuses the move.
func (c *cli) copyStore(ctx context.Context, n *node, target nodeStore) (files, bytes int64, err error) {
	to, ok := target.(mirror.Target)
	if !ok {
		return 0, 0, errors.New("the new store takes no copies")
	}
	var bad []string
	all := 0
	problem := func(name string, err error) {
		n.log.ErrorContext(ctx, "move", "problem", name, "err", err)
		if all++; len(bad) < badShown {
			bad = append(bad, name+": "+err.Error())
		}
	}
	bar := c.progress("move")
	defer bar.done()
	for _, check := range []bool{false, true} { // the second time everything is read, on both sides
		k := &mirror.Copier{From: n.store, To: to, Check: check, Problem: problem, Told: func(_, done int64) { bar.bytes(done, -1) },
			Ordered: n.auditor(func(audit.Problem) {}).Ordered}
		if err := k.Look(ctx); err != nil {
			return 0, 0, err
		}
		if err := k.Run(ctx); err != nil {
			return 0, 0, err
		}
		f, b := k.Copied()
		files, bytes = files+f, bytes+b
	}
	if err := sameNames(ctx, n.store, target, problem); err != nil {
		return 0, 0, err
	}
	if all > 0 {
		return 0, 0, fmt.Errorf("%d things are not as they should be: %s", all, strings.Join(bad, "; "))
	}
	return files, bytes, nil
}

// sameNames tells what a copy has left out: a mirror may leave out what is just being
// made, and here nothing is. What was erased by order is left out rightly.
func sameNames(ctx context.Context, from, to nodeStore, problem func(string, error)) error {
	erased, err := storage.LoadTombstones(ctx, from, problem)
	if err != nil {
		return err
	}
	for e, err := range from.List(ctx, "") {
		if err != nil {
			if errors.Is(err, storage.ErrForeign) {
				continue // told when it was copied
			}
			return err
		}
		if erased.Pack(e.Name) != e.Name {
			continue
		}
		f, err := to.OpenName(ctx, e.Name)
		if errors.Is(err, fs.ErrNotExist) {
			problem(e.Name, errors.New("it was not copied: something is not sealed to its end; `holdfast seal` first"))
			continue
		}
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// moved is the change: one write of node.json. The line of custody comes before it; who
// is killed between the two leaves a line that a second one repeats.
func (n *node) moved(ctx context.Context, m *moving, files, bytes int64) error {
	x, err := canon.Marshal(struct {
		Bytes int64  `json:"bytes"`
		Files int64  `json:"files"`
		Store string `json:"store"`
	}{bytes, files, engineset.KindOf(m.To)})
	if err != nil {
		return err
	}
	if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "moved", Agent: n.set.Agent, X: x, Why: "all of the store was copied, hashed and compared; the node works on the copy from now on"}); err != nil {
		return err
	}
	set, err := nodedir.Read(n.dir) // a key may have been changed since this began
	if err != nil {
		return err
	}
	e := set.URLs()
	e.Store, e.StoreID = m.To, m.ID
	set.Engines = &e
	if err := set.Write(n.dir); err != nil {
		return err
	}
	return os.Remove(n.path(fileMove))
}
