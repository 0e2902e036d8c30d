package mirrors

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
func (m *run) nodeFiles(ctx context.Context) error {
	signer, err := m.n.Signer(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.done.Unsigned = err; err != nil { // an older statement would lie behind the store
		if err := m.shelf.Update(ctx, mirror.FileStatement, nil); err != nil {
			return err
		}
	}
	st := &mirror.Statement{Kind: "mirror", Version: 1}
	if st.Files, err = m.n.Files(ctx); err != nil {
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
	if st.Chains, err = m.chains(ctx, true); err != nil || m.done.Unsigned != nil {
		return err
	}
	st.Mark = *m.mark
	return st.Sign(ctx, signer, m.shelf)
}

// tasks keeps the wishes, one JSON object each, without their leases.
func (m *run) tasks(ctx context.Context) (d hashing.Digest, err error) {
	var out bytes.Buffer
	enc, count := json.NewEncoder(&out), 0
	for t, err := range m.n.Tasks(ctx) {
		if err != nil {
			return d, err
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
func (m *run) chains(ctx context.Context, write bool) (list []mirror.Chain, err error) {
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
			if err := m.n.Custody.Check(holdfast.ID(strings.TrimSuffix(name, ".jsonl")), b); err != nil {
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
func (m *run) lostChain(ctx context.Context, names []string) error {
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
func (n *Node) rawIn(ctx context.Context, partition int) (int64, error) {
	if !n.SharedQueue {
		return 0, nil
	}
	at, err := n.Queue.Position(ctx, pipeline.StageNormalise, partition)
	if err != nil {
		return 0, err
	}
	end, err := n.Queue.End(ctx, pipeline.StageNormalise, partition)
	return max(end-at, 0), err
}
