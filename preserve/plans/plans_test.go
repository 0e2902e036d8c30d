package plans_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/plans"
	"holdfast/storage/file"
)

const queue = "0123456789abcdef"

// world is a store with plans.
type world struct {
	*testing.T
	store *file.Store
}

func newWorld(t *testing.T) *world {
	s, err := file.Open(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &world{t, s}
}

func (w *world) create(name string, b []byte) {
	w.Helper()
	if err := w.store.Create(w.Context(), name, bytes.NewReader(b)); err != nil {
		w.Fatal(err)
	}
}

// plan writes one, of one position, with a pack or without.
func (w *world) plan(first int64, pack bool, captures ...holdfast.Planned) *holdfast.Plan {
	w.Helper()
	home, seal := holdfast.NewID(), holdfast.SealID(queue, 0, first)
	for i := range captures {
		captures[i].Position = first
	}
	p := &holdfast.Plan{Captures: captures, First: first, Last: first, Queue: queue, Seal: seal, Packs: []holdfast.Pack{{Case: home, Name: holdfast.PackName(home, seal)}}}
	if len(captures) == 0 {
		p.Skipped = []holdfast.Skipped{{ID: holdfast.NewID(), Position: first, Reason: "poison"}}
	}
	b, err := p.Encode()
	if err != nil {
		w.Fatal(err)
	}
	w.create("seals/"+seal+"/plan.json", b)
	if pack {
		var z bytes.Buffer
		if err := preserve.WritePack(&z, home, map[hashing.Digest][]byte{hashing.Of([]byte("{}")): []byte("{}"), hashing.Of([]byte("small")): []byte("small")}); err != nil {
			w.Fatal(err)
		}
		w.create(p.Packs[0].Name, z.Bytes())
	}
	return p
}

// TestUnlogged: Seals with captures and without an inclusion are open; one without captures,
// one that is logged and one whose plan is no plan are not.
func TestUnlogged(t *testing.T) {
	w := newWorld(t)
	capture := holdfast.Planned{ID: holdfast.NewID(), Manifest: hashing.Of([]byte("{}"))}
	open := w.plan(1, true, capture)
	w.plan(3, true)
	logged := w.plan(5, true, capture)
	w.create("seals/"+logged.Seal+"/inclusion/x", []byte("x"))
	bad := holdfast.SealID(queue, 0, 7)
	w.create("seals/"+bad+"/plan.json", []byte("{}"))
	if got, err := plans.Unlogged(t.Context(), w.store); err != nil || len(got) != 1 || got[0] != open.Seal {
		t.Errorf("%v, %v, want %s", got, err, open.Seal)
	}
	var each []string
	if err := plans.Each(t.Context(), w.store, func(p *holdfast.Plan) error { each = append(each, p.Seal); return nil }); err != nil || len(each) != 3 {
		t.Errorf("%v, %v", each, err)
	}
	if p, err := plans.Read(t.Context(), w.store, "seals/"+bad+"/plan.json"); !errors.Is(err, plans.ErrUnsound) || !plans.ForGood(err) {
		t.Errorf("no plan is %v, %v", p, err)
	}
	if p, err := plans.Read(t.Context(), w.store, "seals/"+holdfast.SealID(queue, 0, 9)+"/plan.json"); err == nil || plans.ForGood(err) {
		t.Errorf("a plan that is not there is %v, %v: it may come", p, err)
	}
}

// TestUnsound: what a pack holds is held against its names, and a pack that is gone, is no
// ZIP, or has a Manifest in it that is none comes to nothing for good.
func TestUnsound(t *testing.T) {
	w := newWorld(t)
	capture := holdfast.Planned{ID: holdfast.NewID(), Manifest: hashing.Of([]byte("{}"))}
	none := w.plan(1, true, capture)
	small, err := plans.Packed(t.Context(), w.store, none.Packs[0].Name)
	if err != nil || len(small) != 2 || string(small[hashing.Of([]byte("small"))]) != "small" {
		t.Errorf("%v, %v", small, err)
	}
	gone := w.plan(3, false, capture)
	noZip := w.plan(5, false, capture)
	w.create(noZip.Packs[0].Name, []byte(strings.Repeat("no zip", 100)))
	changed := w.plan(7, false, capture)
	var z bytes.Buffer
	if err := preserve.WritePack(&z, changed.Packs[0].Case, map[hashing.Digest][]byte{hashing.Of([]byte("small")): []byte("swall")}); err != nil {
		t.Fatal(err)
	}
	w.create(changed.Packs[0].Name, z.Bytes())
	for name, p := range map[string]*holdfast.Plan{"a Manifest that is none": none, "no pack": gone, "no ZIP": noZip, "another Object": changed} {
		if items, err := plans.Items(t.Context(), w.store, p); !errors.Is(err, plans.ErrUnsound) || !plans.ForGood(err) || len(items) != 0 {
			t.Errorf("%s: %d items, %v", name, len(items), err)
		}
	}
}

// TestOf guards which files rebuild takes for those of a plan that is not
// carried out yet.
func TestOf(t *testing.T) {
	const q = "0123456789abcdef"
	seal := holdfast.SealID(q, 0, 77)
	for name, want := range map[string][2]int64{
		"seals/" + seal + "/plan.json":             {0, 77},
		"cases/x/packs/" + seal + ".zip":           {0, 77},
		"seals/" + seal:                            {0, 77},
		"seals/" + q + "-3-" + seal[19:]:           {3, 77},
		"seals/" + q + "--3-" + seal[19:]:          {},
		"seals/" + q + "-03-" + seal[19:]:          {},
		"seals/fedcba9876543210-0-77/plan.json":    {},
		"seals/0123456789abcdef-0-77/plan.json":    {},
		"objects/sha256/00/" + q + "-not-a-number": {},
	} {
		if p, first := plans.Of(name, q); int64(p) != want[0] || first != want[1] {
			t.Errorf("Of(%s) = %d, %d, want %d", name, p, first, want)
		}
	}
}

// TestDead: what is signed can be carried out without its packs; of what is not, packs that
// are gone or unsound leave nothing to carry.
func TestDead(t *testing.T) {
	w := newWorld(t)
	capture := holdfast.Planned{ID: holdfast.NewID(), Manifest: hashing.Of([]byte("{}"))}
	gone, unsound, signed := w.plan(1, false, capture), w.plan(2, true, capture), w.plan(3, false, capture)
	w.create("seals/"+signed.Seal+"/statement.dsse.json", []byte("{}"))
	dead, err := plans.Dead(t.Context(), w.store)
	if err != nil || !dead[gone.Seal] || !dead[unsound.Seal] || dead[signed.Seal] {
		t.Errorf("%v, %v: want %s and %s alone", dead, err, gone.Seal, unsound.Seal)
	}
}
