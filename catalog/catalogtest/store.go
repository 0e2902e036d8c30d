package catalogtest

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/storage"
)

// seal cuts the Messages into batches and gives each a Seal: the last one is
// only planned, the one before and every fifth are signed, the others sealed.
func (w *World) seal(per int) {
	seen := make(map[hashing.Digest]bool)
	for part := range slices.Chunk(w.Messages, per) {
		b := Batch{Packs: make(map[string][]byte)}
		first, last := part[0].Position, part[len(part)-1].Position
		id := holdfast.SealID(w.queue, 0, first)
		b.Plan = holdfast.Plan{First: first, Last: last, Queue: w.queue, Seal: id, Planned: w.tick(), Training: true}
		for _, m := range part {
			if d := hashing.Of(m.Manifest); seen[d] {
				b.Plan.Skipped = append(b.Plan.Skipped, holdfast.Skipped{ID: m.ID, Position: m.Position, Reason: "duplicate"})
			} else {
				seen[d] = true
				b.Plan.Captures = append(b.Plan.Captures, holdfast.Planned{ID: m.ID, Manifest: d, Position: m.Position})
				b.Messages = append(b.Messages, m)
			}
		}
		b.pack()
		b.Seal.State, b.Seal.T = catalog.Sealed, w.clock.Add(1500*time.Microsecond)
		if len(w.Batches)%5 == 4 {
			b.Seal.State, b.Seal.Reason, b.Seal.T = catalog.Signed, "quorum: 1 of 2 operators", time.Time{}
		}
		w.Batches = append(w.Batches, b)
	}
	if n := len(w.Batches); n > 2 {
		s := &w.Batches[n-1].Seal
		s.State, s.Reason, s.T = catalog.Pending, "planned", time.Time{}
		s = &w.Batches[n-2].Seal
		s.State, s.Reason, s.T = catalog.Signed, "quorum: 0 of 2 operators", time.Time{}
	}
}

// pack makes the batch's packs with the standard library's ZIP writer, and
// finds the entries again with its reader: neither is the code under test.
func (b *Batch) pack() {
	byCase := make(map[holdfast.ID]map[hashing.Digest][]byte)
	for _, m := range b.Messages {
		if byCase[m.Case] == nil {
			byCase[m.Case] = make(map[hashing.Digest][]byte)
		}
		for _, o := range append([][]byte{m.Manifest}, m.Small...) {
			byCase[m.Case][hashing.Of(o)] = o
		}
	}
	b.Seal = catalog.SealState{Seal: b.Plan.Seal}
	for _, c := range b.Plan.Captures {
		b.Seal.Members = append(b.Seal.Members, catalog.Member{ID: c.ID, Manifest: c.Manifest, Position: c.Position})
	}
	for home, objects := range byCase {
		name := holdfast.PackName(home, b.Plan.Seal)
		z := Pack(objects)
		b.Packs[name] = z
		b.Plan.Packs = append(b.Plan.Packs, holdfast.Pack{Case: home, Digest: hashing.Of(z), Name: name})
		r := must(zip.NewReader(bytes.NewReader(z), int64(len(z))))
		for _, f := range r.File {
			ref := catalog.Ref{Name: name, Offset: must(f.DataOffset()), Size: int64(f.UncompressedSize64)}
			b.Seal.Placed = append(b.Seal.Placed, catalog.Placed{Digest: must(hashing.ParseHex(f.Name)), Ref: ref})
		}
	}
	slices.SortFunc(b.Plan.Packs, func(x, y holdfast.Pack) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
}

// Pack is a pack of these Objects (bundle.md, section 6).
func Pack(objects map[hashing.Digest][]byte) []byte {
	var ds []hashing.Digest
	for d := range objects {
		ds = append(ds, d)
	}
	slices.SortFunc(ds, hashing.Digest.Compare)
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, d := range ds {
		b := objects[d]
		h := &zip.FileHeader{Name: d.Hex(), Method: zip.Store, CRC32: crc32.ChecksumIEEE(b), CompressedSize64: uint64(len(b)), UncompressedSize64: uint64(len(b)), ModifiedDate: 33}
		must(must(z.CreateRaw(h)).Write(b))
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// Write puts plans and packs into a store, in the order of preserve.
func (w *World) Write(ctx context.Context, s storage.Creator) error {
	var items []storage.Item
	for _, b := range w.Batches {
		plan, err := b.Plan.Encode()
		if err != nil {
			return fmt.Errorf("encode plan: %w", err)
		}
		items = append(items, storage.Item{Name: catalog.PlanName(b.Plan.Seal), Data: plan})
		for _, p := range b.Plan.Packs {
			items = append(items, storage.Item{Name: p.Name, Data: b.Packs[p.Name]})
		}
	}
	_, err := s.CreateAll(ctx, items...)
	return err
}

// State implements [catalog.Judge] with what the World says of its Seals.
func (w *World) State(_ context.Context, seal string) (catalog.Judgement, error) {
	for _, b := range w.Batches {
		if b.Plan.Seal == seal {
			return catalog.Judgement{State: b.Seal.State, Reason: b.Seal.Reason, T: b.Seal.T}, nil
		}
	}
	return catalog.Judgement{}, fmt.Errorf("seal %s is none of this world", seal)
}
