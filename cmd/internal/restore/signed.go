package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/storage"
	"holdfast/wholefile"
)

// verify takes up what the node has signed, instead of what lies there.
func (r *Restore) verify(ctx context.Context) error {
	s, err := mirror.ReadStatement(ctx, r.from, r.o.Node)
	if err != nil {
		return err
	}
	if s.Mark.ID != r.mark.ID {
		return errors.New("the statement is of another mirror: use one of them that is whole")
	}
	mark := s.Mark
	if r.cut = !mark.Begun.Equal(r.mark.Begun.Time); !r.cut {
		mark.Whole = r.mark.Whole
	}
	r.signed, r.mark = s, &mark
	return nil
}

// notBeyond refuses a store that has more than was signed: then the statement is
// an older one, of when other authorities or keys were trusted. A run that was
// cut short leaves no such store.
func (r *Restore) notBeyond(ctx context.Context, from storage.Store) error {
	if r.signed == nil {
		return nil
	}
	beyond := ""
	tree, err := preserve.LastTree(ctx, from, r.mark.VKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case r.mark.Log == nil || tree.Size > r.mark.Log.Size:
		beyond = fmt.Sprintf("a log of %d entries", tree.Size)
	}
	for p, is := range r.mark.Queue.Parts() {
		if seal := r.copy.NewestSeal(r.mark.Queue.Name, p); seal > is.Seal {
			beyond = "Seal " + seal
		}
	}
	if beyond != "" {
		return fmt.Errorf("the mirror has %s, and what the node has signed of its settings is older (%s): somebody has put an older statement there. Use another mirror", beyond, r.mark.Begun)
	}
	return nil
}

// nodeFile is a small file of the mirrored node.
func (r *Restore) nodeFile(ctx context.Context, name string) ([]byte, error) {
	if r.signed == nil {
		return mirror.Read(ctx, r.from, "node/"+name, nodedir.Most(name))
	}
	b, ok := r.signed.Files[name]
	if !ok {
		return nil, fmt.Errorf("read %s of the mirror: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

// chains takes over the Custody chains: what is signed, as far as it was; else
// what is there.
func (r *Restore) chains(ctx context.Context) error {
	if r.signed != nil {
		for _, c := range r.signed.Chains {
			if err := r.chain(ctx, c.Name, c.Size, &c.Digest); err != nil {
				return err
			}
		}
		return nil
	}
	names, err := r.from.Chains(ctx)
	for _, name := range names {
		if err := r.chain(ctx, name, -1, nil); err != nil {
			return err
		}
	}
	return err
}

// chain copies one, up to size if that is not negative.
func (r *Restore) chain(ctx context.Context, name string, size int64, want *hashing.Digest) error {
	if _, err := holdfast.ParseID(strings.TrimSuffix(name, ".jsonl")); err != nil || name != filepath.Base(name) {
		r.named("outbox/"+name, "no custody chain has such a name: it was left out")
		return nil
	}
	f, err := r.from.Open(ctx, "node/outbox/"+name, mirror.MaxChain)
	if err != nil {
		return err
	}
	defer f.Close()
	in := io.LimitReader(f, mirror.MaxChain)
	if size >= 0 {
		in = io.LimitReader(f, size)
	}
	tmp := r.path("outbox/" + strings.TrimSuffix(name, ".jsonl") + ".copy")
	to, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	got, _, err := hashing.Copy(to, in)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	if want != nil && got != *want {
		return fmt.Errorf("custody chain %s of the mirror is not as the node has signed it, or was cut: use another mirror", name)
	}
	if err := os.Rename(tmp, r.path("outbox/"+name)); err != nil {
		return err
	}
	return wholefile.SyncDir(r.path("outbox"))
}
