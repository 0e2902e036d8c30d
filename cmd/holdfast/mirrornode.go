package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"holdfast"
	"holdfast/alert/rules"
	"holdfast/cmd/internal/nodedir"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// nodeFiles copies what a node is made of beside its store, and no secret: keys,
// credentials and sessions stay where they are. Each file is replaced whole, and
// all of them are signed at the end; a crash before leaves an older statement,
// which says of the files what they were.
func (m *mirroring) nodeFiles(ctx context.Context) error {
	signer, err := m.n.sealSigner(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.unsigned = err; err != nil { // an older statement would lie behind the store
		if err := m.shelf.Update(ctx, mirror.FileStatement, nil); err != nil {
			return err
		}
	}
	st := &mirror.Statement{Kind: "mirror", Version: 1}
	if st.Files, err = m.settings(ctx); err != nil {
		return err
	}
	for name, b := range st.Files {
		if err := m.shelf.Update(ctx, "node/"+name, b); err != nil {
			return err
		}
	}
	if st.Tasks, err = m.tasks(ctx); err != nil {
		return err
	}
	if st.Chains, err = m.chains(ctx, true); err != nil || m.unsigned != nil {
		return err
	}
	st.Mark = *m.mark
	return st.Sign(ctx, signer, m.shelf)
}

// settings are the small files, by name.
func (m *mirroring) settings(ctx context.Context) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	if m.n.sharedQueue() {
		if files[fileAlerts], err = m.n.alertFile(ctx); err != nil {
			return nil, err
		}
		if files[fileWatches], err = m.n.watchDocument(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{nodedir.FileSettings, nodedir.FileAuthorities, fileWatches, fileAlerts, fileColleagues} {
		b, err := wholefile.Read(m.n.path(name), mostOf(name))
		if err == nil {
			files[name] = b
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := m.egresses(files); err != nil {
		return nil, err
	}
	p, err := m.n.policy()
	if err == nil {
		files[nodedir.FilePolicy], err = p.Encode()
	}
	return files, err
}

// mostOf bounds a small file of a node, in bytes.
func mostOf(name string) int64 {
	switch name {
	case fileWatches:
		return maxWatchDoc
	case fileAlerts:
		return rules.MaxFile
	}
	return wholefile.MaxJSON
}

// egresses keeps the ways out without their logins.
func (m *mirroring) egresses(files map[string][]byte) error {
	list, err := m.n.egresses()
	if err == nil && list != nil {
		files[fileEgresses], err = list.WithoutLogins().Encode()
	}
	return err
}

// tasks keeps the wishes, one JSON object each, without their leases.
func (m *mirroring) tasks(ctx context.Context) (d hashing.Digest, err error) {
	var out bytes.Buffer
	enc, count := json.NewEncoder(&out), 0
	for t, err := range m.n.waiting(ctx) {
		if err != nil {
			return d, err
		}
		if t.Damaged { // nothing of it could be restored
			m.n.log.ErrorContext(ctx, "task not mirrored", "task", t.ID, "err", errDamaged)
			continue
		}
		t.Lease = pipeline.Lease{}
		if err := enc.Encode(t); err != nil {
			return d, err
		}
		count++
	}
	m.mark.Tasks = count
	return hashing.Of(out.Bytes()), m.shelf.Update(ctx, "node/"+mirror.FileTasks, out.Bytes())
}

// chains copies each Custody chain up to its last whole line. A copy never
// becomes shorter or other than it was: a chain that does not continue its copy
// is not the chain that was mirrored. One that has grown is verified before it is
// copied. Without write they are only compared.
func (m *mirroring) chains(ctx context.Context, write bool) (list []mirror.Chain, err error) {
	names, err := fs.Glob(os.DirFS(m.n.path("outbox")), "*.jsonl")
	if err != nil {
		return nil, err
	}
	if err := m.lostChain(ctx, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(m.n.path("outbox/" + name))
		if err != nil {
			return nil, err
		}
		b = b[:bytes.LastIndexByte(b, '\n')+1] // the rest is just being written
		was, err := mirror.Read(ctx, m.shelf, "node/outbox/"+name, int64(len(b)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, wholefile.ErrTooLarge) {
			return nil, err
		}
		if errors.Is(err, wholefile.ErrTooLarge) || !bytes.HasPrefix(b, was) {
			return nil, fmt.Errorf("%w: custody chain %s is shorter here than in the mirror, or another", mirror.ErrNewer, name)
		}
		list = append(list, mirror.Chain{Name: name, Size: int64(len(b)), Digest: hashing.Of(b)})
		if len(b) > len(was) && write {
			if err := m.n.outbox.Check(holdfast.ID(strings.TrimSuffix(name, ".jsonl")), b); err != nil {
				return nil, err
			}
			if err := m.shelf.Update(ctx, "node/outbox/"+name, b); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// lostChain returns [mirror.ErrNewer] if the mirror has a chain that is none of names.
func (m *mirroring) lostChain(ctx context.Context, names []string) error {
	theirs, err := m.shelf.Chains(ctx)
	if err != nil {
		return err
	}
	mine := map[string]bool{}
	for _, name := range names {
		mine[name] = true
	}
	for _, name := range theirs {
		if !mine[name] {
			return fmt.Errorf("%w: custody chain %s is in the mirror and not here", mirror.ErrNewer, messages.Visible(name))
		}
	}
	return nil
}

// rawIn counts what a shared queue has accepted in a partition and nobody has normalised
// yet: there that has positions of its own, behind the end of what is sealed. In an
// embedded queue it has the same ones.
func (n *node) rawIn(ctx context.Context, partition int) (int64, error) {
	if !n.sharedQueue() {
		return 0, nil
	}
	at, err := n.queue.Position(ctx, pipeline.StageNormalise, partition)
	if err != nil {
		return 0, err
	}
	end, err := n.queue.End(ctx, pipeline.StageNormalise, partition)
	return max(end-at, 0), err
}
