package seams

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/storage"
	"holdfast/storage/file"
)

// inSeals is a catalog that knows of Seals.
type inSeals map[holdfast.ID][]string

func (c inSeals) InSeals(context.Context, []holdfast.ID) (map[holdfast.ID][]string, error) {
	return c, nil
}

// What the catalog says is held against the store: a capture is sealed already where a plan
// with it has its place in a log. A plan that was given up, or that is not there, does not
// count: what it holds would be skipped, and be in no Seal at all.
func TestKnownSealedBelievesTheStore(t *testing.T) {
	t.Parallel()
	s, err := file.Open(filepath.Join(t.TempDir(), "store"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	queue, cat := "0123456789abcdef", inSeals{}
	plan := func(first int64, parts ...string) holdfast.ID {
		id, seal := holdfast.NewID(), holdfast.SealID(queue, 0, first)
		p := &holdfast.Plan{Queue: queue, First: first, Last: first, Seal: seal, Planned: holdfast.At(time.Now()), Training: true,
			Captures: []holdfast.Planned{{ID: id, Manifest: hashing.Of([]byte(id)), Position: first}}}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		items := []storage.Item{{Name: "seals/" + seal + "/plan.json", Data: b}}
		for _, part := range parts {
			items = append(items, storage.Item{Name: "seals/" + seal + "/" + part, Data: []byte("x")})
		}
		if _, err := s.CreateAll(t.Context(), items...); err != nil {
			t.Fatal(err)
		}
		cat[id] = []string{seal}
		return id
	}
	sealed := plan(1, "statement.dsse.json", "inclusion/log.json", "checkpoint/log")
	given := plan(2)
	half := plan(3, "statement.dsse.json", "inclusion/log.json") // a disk may keep one of the two alone
	both := plan(4)
	cat[both] = append(cat[both], holdfast.SealID(queue, 0, 1)) // of which the store says that it is not in it
	nowhere := holdfast.NewID()
	cat[nowhere] = []string{holdfast.SealID(queue, 0, 99)}

	k := &SealedBefore{Catalog: cat, Store: s}
	known, err := k.Ask(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[holdfast.ID]bool{sealed: true, given: false, half: false, both: false, nowhere: false} {
		if known[id] != want {
			t.Errorf("capture in %v: known %t", cat[id], known[id])
		}
	}
}

// away is a catalog that does not answer.
type away struct{ asked int }

func (c *away) InSeals(context.Context, []holdfast.ID) (map[holdfast.ID][]string, error) {
	c.asked++
	return nil, errors.New("away")
}

// TestSealedBeforeRests: a catalog that did not answer is not asked again at once.
func TestSealedBeforeRests(t *testing.T) {
	c := new(away)
	k := &SealedBefore{Catalog: c}
	if _, err := k.Ask(t.Context(), nil); err == nil || errors.Is(err, pipeline.ErrUnavailable) {
		t.Errorf("it did not answer: %v", err)
	}
	if _, err := k.Ask(t.Context(), nil); !errors.Is(err, pipeline.ErrUnavailable) || c.asked != 1 {
		t.Errorf("a moment later: %v, asked %d times", err, c.asked)
	}
}
