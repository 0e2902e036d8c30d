package kafka_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/storage/file"
)

// capture makes a message that can be sealed.
func capture(t testing.TB, size int) pipeline.Message {
	id := holdfast.NewID()
	body := bytes.Repeat([]byte("kelp "), size/5+1)[:size]
	copy(body, id)
	now, d := holdfast.At(time.Now()), hashing.Of([]byte("x"))
	c := pipeline.Captured{Inline: map[string][]byte{"source.html": body}, Manifest: holdfast.Manifest{
		Case: holdfast.ID(strings.Repeat("c", 32)), ID: id, Kind: holdfast.KindCapture, Nonce: holdfast.NewNonce(), Training: true,
		Custody: holdfast.Head{Chain: holdfast.ID(strings.Repeat("d", 32)), Head: d, Length: 1},
		Source:  "https://example.org/page", Started: now, Ended: now, Agent: holdfast.Agent{Pseudonym: "kelp", Role: "investigator"},
		Collection: holdfast.Collection{Clock: holdfast.Clock{Source: "node"}, Config: d, Egress: "unknown", Identity: "none",
			Node: "test.0123456789abcdef", Software: holdfast.Software{Digest: d, Name: "holdfast", Version: "1"}},
		Completeness: holdfast.Completeness{Outcome: "complete"},
		Objects:      []holdfast.Object{{Name: "source.html", Role: "source", Type: "text/html", Size: int64(size), Digest: hashing.Of(body)}},
	}}
	b, err := c.Encode()
	must(t, err)
	return pipeline.Message{ID: id, Key: "https://example.org/" + string(id[:2]), Body: b}
}

func captures(t testing.TB, n, size int) []pipeline.Message {
	out := make([]pipeline.Message, n)
	for i := range out {
		out[i] = capture(t, size)
	}
	return out
}

// place is a store and the address of a queue, which several nodes share.
type place struct{ dir string }

func (p place) queue(t testing.TB, partitions int, change ...func(*kafka.Options)) *kafka.Queue {
	t.Helper()
	o, d, err := options(t.Context(), p.dir, nil)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	for _, c := range change {
		c(&o)
	}
	must(t, kafka.Create(t.Context(), o, partitions))
	q, err := kafka.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { q.Close() })
	return q
}

func (p place) store(t testing.TB) *file.Store {
	t.Helper()
	s, err := file.Open(filepath.Join(p.dir, "store"), file.Options{MinFree: -1})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// raw is a client beside the queue, with the prefix of its topics.
func (p place) raw(t testing.TB) (*kgo.Client, string) {
	t.Helper()
	o, d, err := options(t.Context(), p.dir, nil)
	must(t, err)
	d.Close()
	tr := &kgo.Transport{MetadataTTL: 200 * time.Millisecond}
	t.Cleanup(tr.CloseIdleConnections)
	return &kgo.Client{Addr: kgo.TCP(o.Brokers...), Transport: tr}, o.Prefix
}

// parts are a real node's sealer on the shared store, as cmd puts it together.
type parts struct {
	*preserve.Sealer
	store preserve.Store
	know  func() error // reads who the other nodes are
}

// office keeps the entries of the nodes that share a store: each finishes what
// another has signed.
func (p place) office(n *sealtest.Node) (know func() error, err error) {
	dir := filepath.Join(p.dir, "nodes")
	b, err := json.Marshal(n.Entry())
	err = errors.Join(err, os.MkdirAll(dir, 0o700))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, n.Name+".tmp"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, n.Name+".tmp"), filepath.Join(dir, n.Name+".json"))
	}
	return func() error {
		return n.Trust.Change(func() (*holdfast.Policy, []*x509.Certificate, error) {
			policy := *n.Trust.Policy()
			policy.Nodes = nil
			names, err := filepath.Glob(filepath.Join(dir, "*.json"))
			for _, name := range names {
				var e holdfast.PolicyNode
				b, rerr := os.ReadFile(name)
				err = errors.Join(err, rerr, json.Unmarshal(b, &e))
				policy.Nodes = append(policy.Nodes, e)
			}
			return &policy, n.Trust.Material().Certs, err
		})
	}, err
}

func (p parts) items(b pipeline.Batch) []preserve.Item {
	out := make([]preserve.Item, len(b.Items))
	for i, it := range b.Items {
		out[i] = preserve.Item{Position: it.Position, ID: it.ID, Case: it.Case, Manifest: it.Manifest}
		for _, s := range it.Small {
			out[i].Small = append(out[i].Small, preserve.Small(s))
		}
	}
	return out
}

func (p parts) Plan(ctx context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	return p.Sealer.Plan(ctx, preserve.Batch{Queue: b.Queue, Partition: b.Partition, First: b.First, Last: b.Last, Items: p.items(b), Skipped: b.Skipped})
}

func (p parts) Newest(ctx context.Context, queue string, partition int, near int64, count int) ([]*holdfast.Plan, error) {
	return preserve.Newest(ctx, p.store, queue, partition, near, count)
}

func (p parts) Unfinished(ctx context.Context, queue string, partition int) ([]*holdfast.Plan, error) {
	return preserve.Unfinished(ctx, p.store, queue, partition)
}

func (p parts) Carry(ctx context.Context, plan *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	if err := p.know(); err != nil {
		return pipeline.Outcome{}, err
	}
	o, err := p.Sealer.Carry(ctx, plan, p.items(b))
	if errors.Is(err, preserve.ErrItems) {
		err = fmt.Errorf("%w: %w", pipeline.ErrItems, err)
	}
	if err != nil || o.Seal == "" {
		return pipeline.Outcome{}, err
	}
	return pipeline.Outcome{Captures: o.Captures, Reason: o.Reason, Seal: o.Seal, State: o.State}, nil
}

// work shares both stages until ctx ends.
func (p place) work(ctx context.Context, t testing.TB, q *kafka.Queue) error {
	store := p.store(t)
	n := sealtest.NewNode(t, sealtest.NodeOptions{Offline: true, Wait: time.Second, Store: func(preserve.Store) preserve.Store { return store }})
	know, err := p.office(n)
	if err != nil {
		return err
	}
	s := parts{n.Sealer, store, know}
	var all sync.WaitGroup
	errs := make([]error, 2)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	all.Go(func() {
		errs[0] = q.Share(ctx, pipeline.StageNormalise, func(ctx context.Context, partition int) error {
			return (&pipeline.Normalise{Queue: q, Partition: partition}).Run(ctx)
		})
		end(errs[0])
	})
	all.Go(func() {
		errs[1] = q.Share(ctx, pipeline.StagePreserve, func(ctx context.Context, partition int) error {
			return (&pipeline.Preserve{Queue: q, Partition: partition, Plans: s, Carrier: s, Window: 50 * time.Millisecond}).Run(ctx)
		})
		end(errs[1])
	})
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		fmt.Println("work:", err)
		return err
	}
	return nil
}

// settled waits until nothing is left to normalise or to seal.
func settled(t testing.TB, q *kafka.Queue, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		all, err := q.Lag(t.Context())
		left := ""
		for _, l := range all {
			if l.Done < l.End && (l.Stage == pipeline.StageNormalise || l.Stage == pipeline.StagePreserve) {
				left += fmt.Sprintf(" %s/%d: %d of %d", l.Stage, l.Partition, l.Done, l.End)
			}
		}
		if err == nil && left == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not done within %s:%s, %v", within, left, err)
		}
	}
}

// seals reads the store: each capture is in one plan only, each plan follows the one
// before it in its partition, and has its signed statement and its place in a log.
type seals struct {
	plans   int
	given   []string // plans without a signed statement: nothing of them is sealed
	of      map[holdfast.ID]string
	skipped map[string]int // by reason
}

func (p place) seals(t testing.TB) seals {
	t.Helper()
	s := p.store(t)
	out := seals{of: map[holdfast.ID]string{}, skipped: map[string]int{}}
	next := map[string]int64{}
	have := map[string]bool{}
	var plans []*holdfast.Plan
	for e, err := range s.List(t.Context(), "seals/") {
		must(t, err)
		name := strings.TrimPrefix(e.Name, "seals/")
		seal, part, _ := strings.Cut(name, "/")
		have[seal+" "+strings.SplitN(part, "/", 2)[0]] = true
		if part != "plan.json" {
			continue
		}
		b, err := s.ReadName(t.Context(), e.Name, holdfast.MaxDocument)
		must(t, err)
		plan, err := holdfast.ParsePlan(b)
		must(t, err)
		key := fmt.Sprint(plan.Queue, plan.Partition)
		if plan.First != next[key]+1 && next[key] != 0 {
			t.Errorf("plan %s does not follow position %d", plan.Seal, next[key])
		}
		next[key], out.plans = plan.Last, out.plans+1
		for _, k := range plan.Skipped {
			out.skipped[k.Reason]++
		}
		plans = append(plans, plan)
	}
	for _, plan := range plans {
		if len(plan.Captures) > 0 && !have[plan.Seal+" statement.dsse.json"] {
			out.given = append(out.given, plan.Seal)
			continue
		}
		for _, c := range plan.Captures {
			if other := out.of[c.ID]; other != "" {
				t.Errorf("capture %s is in the plans %s and %s", c.ID, other, plan.Seal)
			}
			out.of[c.ID] = plan.Seal
		}
	}
	for id, seal := range out.of {
		if !have[seal+" statement.dsse.json"] || !have[seal+" inclusion"] {
			t.Errorf("capture %s: seal %s is not whole", id, seal)
			break
		}
	}
	return out
}

// once fails unless exactly these captures are sealed, each once.
func (p place) once(t testing.TB, accepted map[holdfast.ID]bool) seals {
	t.Helper()
	s := p.seals(t)
	missing := 0
	for id := range accepted {
		if s.of[id] == "" {
			missing++
		}
	}
	if len(s.given) > 0 {
		t.Errorf("plans were given up: %v", s.given)
	}
	if missing > 0 {
		t.Errorf("%d of %d accepted captures are in no Seal", missing, len(accepted))
	}
	t.Logf("%d captures accepted, %d sealed in %d plans, skipped: %v", len(accepted), len(s.of), s.plans, s.skipped)
	return s
}
