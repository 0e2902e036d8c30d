package main

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// mirrored is the node as its mirrors see it.
func (n *node) mirrored() *mirrors.Node {
	return &mirrors.Node{Dir: n.dir, As: n.set.Mirrored(), VKey: n.set.VKey, Agent: n.set.Agent, Encrypted: n.vault.Encrypts(), StoreID: n.set.URLs().StoreID,
		SharedQueue: n.sharedQueue(), Store: n.store, Queue: n.queue, Custody: n.outbox, Log: n.log, Signer: n.sealSigner, Files: n.mirroredFiles, Tasks: n.mirroredTasks}
}

// mirroredTasks are the Tasks of which something could be restored.
func (n *node) mirroredTasks(ctx context.Context) iter.Seq2[pipeline.Task, error] {
	return func(yield func(pipeline.Task, error) bool) {
		for t, err := range n.waiting(ctx) {
			if err == nil && t.Damaged {
				n.log.ErrorContext(ctx, "task not mirrored", "task", t.ID, "err", errDamaged)
				continue
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// mirroredFiles are the small files of which a node is made beside its store, by name, and
// no secret: keys, credentials and sessions stay where they are.
func (n *node) mirroredFiles(ctx context.Context) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	if n.sharedQueue() {
		if files[fileAlerts], err = n.alertFile(ctx); err != nil {
			return nil, err
		}
		if files[fileWatches], err = n.watchDocument(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{nodedir.FileSettings, nodedir.FileAuthorities, fileWatches, fileAlerts, fileColleagues} {
		b, err := wholefile.Read(n.path(name), nodedir.Most(name))
		if err == nil {
			files[name] = b
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := n.mirroredEgresses(files); err != nil {
		return nil, err
	}
	p, err := n.policy()
	if err == nil {
		files[nodedir.FilePolicy], err = p.Encode()
	}
	return files, err
}

// mirroredEgresses keeps the ways out without their logins.
func (n *node) mirroredEgresses(files map[string][]byte) error {
	list, err := n.egresses()
	if err == nil && list != nil {
		files[fileEgresses], err = list.WithoutLogins().Encode()
	}
	return err
}
