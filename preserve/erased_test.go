package preserve_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"strings"
	"testing"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/storage"
)

// standing is a store whose user stood still: the first list of a Seal's parts that it
// sees is as long ago.
type standing struct {
	preserve.Store
	armed bool
}

func (s *standing) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	if s.armed && strings.HasPrefix(prefix, "seals/") {
		s.armed = false
		return func(func(storage.Entry, error) bool) {}
	}
	return s.Store.List(ctx, prefix)
}

// tomb lays a tombstone for a pack, and erases it if it is there.
func tomb(t *testing.T, n *sealtest.Node, name string) {
	t.Helper()
	s := storage.Tombstone{Captures: []string{strings.Repeat("0", 32)}, Erased: []hashing.Digest{hashing.Of(nil)}, Event: strings.Repeat("1", 32), Name: name,
		New: &storage.Successor{Name: storage.SuccessorName(name, strings.Repeat("1", 32))}, Seal: holdfast.SealID("00112233445566aa", 0, 1), Training: true}
	b, err := s.Encode()
	if err == nil {
		err = n.Files.Create(t.Context(), storage.TombstoneName(name), strings.NewReader(string(b)))
	}
	if err == nil {
		err = n.Files.Erase(t.Context(), storage.Key{Name: name})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestErasedStaysErased: a Sealer that stood still in the middle of a batch, while another
// finished it and a pack of it was erased by order, does not bring that pack back. A
// tombstone that somebody wrote before there is a Seal keeps no pack from being written.
func TestErasedStaysErased(t *testing.T) {
	t.Parallel()
	var store *standing
	n := sealtest.NewNode(t, sealtest.NodeOptions{Store: func(s preserve.Store) preserve.Store {
		store = &standing{Store: s}
		return store
	}})
	batch := n.Batch(1, 2, 100)
	o := n.MustSeal(batch)
	p, err := n.Sealer.Find(t.Context(), batch.Queue, batch.Partition, batch.First)
	if err != nil {
		t.Fatal(err)
	}
	pack := p.Packs[0].Name
	tomb(t, n, pack)
	store.armed = true
	if again, err := n.Sealer.Carry(t.Context(), p, batch.Items); err != nil || again.Seal != o.Seal {
		t.Errorf("carried out again: %+v, %v", again, err)
	}
	if store.armed {
		t.Fatal("it did not look")
	}
	if _, err := n.Files.OpenName(t.Context(), pack); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pack is back: %v", err)
	}

	next := n.Batch(3, 2, 100)
	p, err = n.Sealer.Plan(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	tomb(t, n, p.Packs[0].Name)
	if o, err = n.Sealer.Carry(t.Context(), p, next.Items); err != nil || o.State != preserve.StateSealed {
		t.Errorf("with a forged tombstone: %+v, %v", o, err)
	}
	if f, err := n.Files.OpenName(t.Context(), p.Packs[0].Name); err != nil {
		t.Errorf("a forged tombstone kept a pack from being written: %v", err)
	} else {
		f.Close()
	}
}
