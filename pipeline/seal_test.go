package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
	"holdfast/storage"
	"holdfast/storage/file"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openQueue(t testing.TB, dir string) *sqlite.Queue {
	t.Helper()
	q, err := sqlite.Open(t.Context(), filepath.Join(dir, "queue.db"), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { q.Close() })
	return q
}

func openStore(t testing.TB, dir string) *file.Store {
	t.Helper()
	s, err := file.Open(filepath.Join(dir, "store"), file.Options{MinFree: -1})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func captured(t testing.TB, id holdfast.ID) pipeline.Message {
	t.Helper()
	b, err := pipeline.CaptureOf(id, 200).Encode()
	must(t, err)
	return pipeline.Message{ID: id, Body: b}
}

func publish(t testing.TB, q pipeline.Publisher, n int) []holdfast.ID {
	t.Helper()
	ids, m := make([]holdfast.ID, n), make([]pipeline.Message, n)
	for i := range m {
		ids[i] = holdfast.NewID()
		m[i] = captured(t, ids[i])
	}
	_, err := q.Publish(t.Context(), nil, m...)
	must(t, err)
	return ids
}

// sealer keeps the promises of Planner and Carrier on a real store, with the
// steps of a Seal in their order: plan, pack, statement, proof. at is called
// before and after each; an error there is a crash at that instant.
type sealer struct {
	store storage.Store
	at    func(step string) error

	mu      sync.Mutex
	carried []string // Seal IDs, in the order in which Carry ended
	plans   []planned
	flying  int
	most    int
}

type planned struct {
	when  time.Time
	batch pipeline.Batch
}

func newSealer(s storage.Store) *sealer {
	return &sealer{store: s, at: func(string) error { return nil }}
}

func planName(seal string) string { return "seals/" + seal + "/plan.json" }

func (s *sealer) read(ctx context.Context, seal string) (*holdfast.Plan, error) {
	b, err := s.store.ReadName(ctx, planName(seal), holdfast.MaxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return holdfast.ParsePlan(b)
}

func (s *sealer) Find(ctx context.Context, queue string, partition int, first int64) (*holdfast.Plan, error) {
	if err := s.at("find"); err != nil {
		return nil, err
	}
	return s.read(ctx, holdfast.SealID(queue, partition, first))
}

func (s *sealer) Newest(ctx context.Context, queue string, partition int, _ int64, _ int) ([]*holdfast.Plan, error) {
	var out []*holdfast.Plan
	for e, err := range s.store.List(ctx, fmt.Sprintf("seals/%s-%d-", queue, partition)) {
		if err != nil {
			return nil, err
		}
		if seal, ok := strings.CutSuffix(strings.TrimPrefix(e.Name, "seals/"), "/plan.json"); ok {
			p, err := s.read(ctx, seal)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	slices.Reverse(out)
	return out, nil
}

func (s *sealer) Unfinished(ctx context.Context, queue string, partition int) (out []*holdfast.Plan, err error) {
	all, err := s.Newest(ctx, queue, partition, 0, 0)
	for _, p := range slices.Backward(all) {
		_, err := s.store.ReadName(ctx, "seals/"+p.Seal+"/proof", holdfast.MaxDocument)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil && len(p.Captures) > 0 {
			out = append(out, p)
		}
	}
	return out, err
}

func (s *sealer) Plan(ctx context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	s.mu.Lock()
	s.plans = append(s.plans, planned{time.Now(), b})
	s.mu.Unlock()
	p := &holdfast.Plan{First: b.First, Last: b.Last, Queue: b.Queue, Partition: b.Partition, Seal: b.Seal(), Planned: holdfast.At(time.Now()), Skipped: b.Skipped}
	for _, it := range b.Items {
		p.Captures = append(p.Captures, holdfast.Planned{ID: it.ID, Manifest: hashing.Of(it.Manifest), Position: it.Position})
	}
	raw, err := p.Encode()
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx, planName(b.Seal()), raw); err != nil {
		return nil, err
	}
	return s.read(ctx, b.Seal())
}

func (s *sealer) create(ctx context.Context, name string, b []byte) error {
	if err := s.at("before " + name); err != nil {
		return err
	}
	if err := s.store.Create(ctx, name, bytes.NewReader(b)); err != nil && !errors.Is(err, storage.ErrExists) {
		return err
	}
	return s.at("after " + name)
}

func (s *sealer) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	s.mu.Lock()
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.flying--
		s.carried = append(s.carried, p.Seal)
		s.mu.Unlock()
	}()
	if len(p.Captures) == 0 {
		return pipeline.Outcome{}, nil
	}
	var pack []byte
	for i, it := range b.Items {
		if p.Captures[i].Manifest != hashing.Of(it.Manifest) {
			return pipeline.Outcome{}, fmt.Errorf("plan %s names another manifest for position %d", p.Seal, it.Position)
		}
		pack = append(pack, it.Manifest...)
	}
	for _, part := range []string{"pack", "statement", "proof"} {
		if err := s.create(ctx, "seals/"+p.Seal+"/"+part, pack); err != nil {
			return pipeline.Outcome{}, err
		}
	}
	o := pipeline.Outcome{Seal: p.Seal, State: pipeline.StateSigned, Reason: "no authority in this test"}
	for _, c := range p.Captures {
		o.Captures = append(o.Captures, c.ID)
	}
	return o, nil
}

func (s *sealer) atOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// sealed reads the store and returns the position of every sealed ID; each is in
// one plan, the plans of a queue name follow each other without a gap, and all
// are carried out.
func sealed(t *testing.T, s storage.Store) map[holdfast.ID]int64 {
	t.Helper()
	out, next := map[holdfast.ID]int64{}, map[string]int64{}
	for e, err := range s.List(t.Context(), "seals/") {
		must(t, err)
		if !strings.HasSuffix(e.Name, "/plan.json") {
			continue
		}
		b, err := s.ReadName(t.Context(), e.Name, holdfast.MaxDocument)
		must(t, err)
		p, err := holdfast.ParsePlan(b)
		must(t, err)
		if want := next[p.Queue]; want != 0 && p.First != want {
			t.Fatalf("plan %s does not follow position %d", p.Seal, want-1)
		}
		next[p.Queue] = p.Last + 1
		for _, c := range p.Captures {
			if out[c.ID] != 0 {
				t.Fatalf("%s is in two plans", c.ID)
			}
			out[c.ID] = c.Position
		}
		if len(p.Captures) > 0 {
			_, err = s.ReadName(t.Context(), "seals/"+p.Seal+"/proof", 64<<20)
			must(t, err)
		}
	}
	return out
}

// catalog records what an Indexer is told, and in which order.
type catalog struct {
	t        testing.TB
	mu       sync.Mutex
	accepted map[holdfast.ID]int
	state    map[holdfast.ID]string
	fail     func() error
}

func newCatalog(t testing.TB) *catalog {
	return &catalog{t: t, accepted: map[holdfast.ID]int{}, state: map[holdfast.ID]string{}, fail: func() error { return nil }}
}

func (c *catalog) Accepted(_ context.Context, items []pipeline.Item) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range items {
		c.accepted[it.ID]++
	}
	return c.fail()
}

func (c *catalog) Sealed(_ context.Context, results []pipeline.Outcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range results {
		for _, id := range o.Captures {
			if c.accepted[id] == 0 {
				c.t.Errorf("%s was sealed before it was accepted", id)
			}
			c.state[id] = o.State
		}
	}
	return c.fail()
}
