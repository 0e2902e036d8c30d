package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
)

// beginLog gives the node a new log, and so a new name, because the old one's
// directory is lost or an old copy: continuing it would sign a second history.
// Entry 0 of the new log will name the old one's last checkpoint.
//
// One write of node.json is the change, and names what it leaves to do: the
// chains under the new name. A crash before it leaves a key file that nothing
// names and nothing was signed with, and the old log as it was. The file's name
// is drawn: a key that lies there already, from a restore, may have signed a
// history, and must not be taken up for another.
func (c *cli) beginLog(ctx context.Context, who func(holdfast.Agent) holdfast.Agent) error {
	n, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return n.changeSettings(ctx, func(s *nodedir.Settings) error {
		last, err := n.lastTree(ctx, s.VKey)
		if err != nil {
			return err
		}
		s.Agent = who(s.Agent)
		label, _, _ := strings.Cut(s.Name, ".")
		s.Former = append(s.Former, mirror.FormerLog{Name: s.Name, VKey: s.VKey})
		if last != nil { // else nothing was signed under this name: the one before it is still the last
			s.Previous = last
		}
		if s.Former, s.Previous, err = mirrors.Adopt(ctx, n.log, c.data, s.Mirrored(), s.Previous); err != nil {
			return err
		}
		s.LogKey = fmt.Sprintf("keys/log-%d-%.16s.key", len(s.Former)+1, holdfast.NewID())
		s.Leave().Log = true
		return s.DrawLogKey(c.vault(), label)
	})
}

// lastTree is what the store knows of a log; nil if it never held one.
func (n *node) lastTree(ctx context.Context, vkey string) (*holdfast.Tree, error) {
	t, err := preserve.LastTree(ctx, n.store, vkey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return t, err
}

// entries are the node's own Policy entries: under its name, and under those
// that it had.
func (n *node) entries() []holdfast.PolicyNode {
	es := []holdfast.PolicyNode{n.entry()}
	for _, f := range n.formerLogs() {
		e := n.entry()
		e.Name, e.Log = f.Name, holdfast.PolicyLog{Key: f.VKey, Origin: f.Name}
		if len(f.Keys) > 0 {
			e.Keys = f.Keys
		}
		es = append(es, e)
	}
	return es
}

// beginChains opens a Custody chain under the new name for every Case: a chain
// is of one Case and one node, so the old ones are shown and not continued. Where the
// catalog is shared the first line in a Case does that (custody.Head): most Cases are
// other nodes' there, and nobody need be at work to index what is written here.
func (n *node) beginChains(ctx context.Context) error {
	told := pipeline.Entry{Case: n.set.Unfiled, Action: "log-begun", Agent: n.set.Agent, Objects: []string{n.set.Name}}
	if n.sharedCatalog() {
		return n.tellOnce(ctx, told)
	}
	if err := n.refresh(ctx); err != nil {
		return err
	}
	for cs, err := range n.cat.Cases(ctx) {
		if err != nil {
			return err
		}
		if _, err := n.outbox.Head(ctx, cs.ID); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		if err := n.openCase(ctx, cs.ID, cs.Name, cs.Record); err != nil {
			return err
		}
	}
	return n.tellOnce(ctx, told)
}
