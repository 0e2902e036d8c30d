package preserve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/storage"
)

var errInjected = errors.New("injected failure")

// breaking is a store that dies, once armed, at the first write of a name that
// contains at: that one and all after it fail. The mode says how much of it is
// done: "before" nothing, "partial" the first name only, "after" all of it,
// unheard, "cancel" all of it and the context is cancelled.
type breaking struct {
	preserve.Store
	mode   string
	cancel context.CancelFunc

	mu   sync.Mutex
	at   string // "": not armed
	dead bool
}

func (b *breaking) arm(at string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = at
}

func (b *breaking) died() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead
}

// step says whether a write is done, and whether it is heard of.
func (b *breaking) step(name string) (do, heard, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.dead && b.mode != "cancel":
		return false, false, false
	case b.at == "" || b.dead || !strings.Contains(name, b.at):
		return true, true, false
	}
	b.dead = true
	if b.mode == "cancel" {
		b.cancel()
		return true, true, false
	}
	return b.mode != "before", false, b.mode == "partial"
}

func (b *breaking) CreateFunc(ctx context.Context, name string, write func(io.Writer) error) error {
	do, heard, _ := b.step(name)
	if do {
		if err := b.Store.CreateFunc(ctx, name, write); err != nil {
			return err
		}
	}
	if !heard {
		return fmt.Errorf("create %s: %w", name, errInjected)
	}
	return nil
}

func (b *breaking) CreateAll(ctx context.Context, items ...storage.Item) ([]string, error) {
	do, heard, first := b.step(items[0].Name)
	var taken []string
	if do {
		if first {
			items = items[:1]
		}
		var err error
		if taken, err = b.Store.CreateAll(ctx, items...); err != nil {
			return nil, err
		}
	}
	if !heard {
		return nil, fmt.Errorf("create %s: %w", items[0].Name, errInjected)
	}
	return taken, nil
}

// contents reads every name of a store.
func contents(t *testing.T, s preserve.PartReader, prefix string) map[string]hashing.Digest {
	t.Helper()
	all := make(map[string]hashing.Digest)
	for e, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.ReadName(t.Context(), e.Name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name] = hashing.Of(b)
	}
	return all
}

// Each write of a Seal fails once, in four ways. After a restart the same batch
// ends in the same Seal, with the bytes that were there, and with exactly its
// captures. The second batch is larger, as after a redelivery: the plan rules.
func TestCrashAtEveryWrite(t *testing.T) {
	steps := []string{"/plan.json", "/packs/", "/statement.dsse.json", "/tile/", "seals/%/checkpoint/", "/timestamps/own/", "/timestamps/alpha/"}
	for _, mode := range []string{"before", "partial", "after", "cancel"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
			n.MustSeal(n.Batch(0, 1, 10)) // so that there is a notBefore
			for k, step := range steps {
				first := int64(1000 * (k + 1))
				crash(t, n, mode, strings.Replace(step, "%", holdfast.SealID(sealtest.Queue, 0, first), 1), first)
			}
		})
	}
}

// crash lets one Seal of a node fail at a step, and recovers it.
func crash(t *testing.T, n *sealtest.Node, mode, at string, first int64) {
	t.Helper()
	n.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store := &breaking{mode: mode, cancel: cancel}
	n = sealtest.NewNode(t, sealtest.NodeOptions{Dir: n.Dir, Authorities: n.Authorities, Store: func(s preserve.Store) preserve.Store {
		store.Store = s
		return store
	}})
	batch := n.Batch(first, 3, 50)
	store.arm(at)
	_, err := n.Sealer.Seal(ctx, batch)
	n.Quorum.Close() // what was on its way is over, before we look
	if !store.died() {
		t.Fatalf("no write of %s", at)
	}
	if err == nil && mode != "cancel" {
		t.Errorf("write of %s failed and nobody said so", at)
	}
	recovers(t, n, batch).Close()
}

// recovers opens the node again and seals what a crash left, with more captures
// behind it.
func recovers(t *testing.T, n *sealtest.Node, batch preserve.Batch) *sealtest.Node {
	t.Helper()
	id := holdfast.SealID(batch.Queue, batch.Partition, batch.First)
	before := contents(t, n.Files, "")
	n = n.Again()
	longer := batch
	longer.Last++
	longer.Items = append(slices.Clone(batch.Items), n.Item(longer.Last, 20))
	p, err := n.Sealer.Plan(t.Context(), longer)
	if err != nil {
		t.Fatal(err)
	}
	_, planned := before["seals/"+id+"/plan.json"]
	if planned != (p.Last == batch.Last) {
		t.Errorf("planned before: %t, but the plan ends at %d", planned, p.Last)
	}
	o, err := n.Sealer.Carry(t.Context(), p, longer.Items)
	if err != nil || o.State != preserve.StateSealed {
		t.Fatalf("after the crash: %+v, %v", o, err)
	}
	var want []holdfast.ID
	for _, it := range longer.Items[:p.Last-p.First+1] {
		want = append(want, it.ID)
	}
	if !slices.Equal(o.Captures, want) {
		t.Errorf("captures %v, want %v", o.Captures, want)
	}
	after := contents(t, n.Files, "")
	for name, d := range before {
		if after[name] != d {
			t.Errorf("%s has changed", name)
		}
	}
	again, err := n.Sealer.Carry(t.Context(), p, nil) // once more, without items
	if err != nil || again.State != preserve.StateSealed || !slices.Equal(again.Captures, o.Captures) {
		t.Errorf("carried out once more: %+v, %v", again, err)
	}
	for name := range contents(t, n.Files, "") {
		if _, ok := after[name]; !ok && !strings.Contains(name, "/timestamps/") { // a slow token is welcome
			t.Errorf("a Seal that is whole has grown by %s", name)
		}
	}
	return n
}

// Many sealers race for one Seal, with batches of different length. One plan,
// one statement, and all say the same.
func TestRaceEndsInOneStatement(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	items := n.Batch(5, 8, 100).Items
	outcomes := make([]preserve.Outcome, 8)
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() {
			s := n.SealerOf(n.Tlog) // shares nothing in memory but log and quorum
			b := preserve.Batch{Queue: sealtest.Queue, First: 5, Last: 5 + int64(i), Items: items[:i+1]}
			p, err := s.Plan(t.Context(), b)
			if err == nil {
				outcomes[i], err = s.Carry(t.Context(), p, items)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, o := range outcomes {
		if o.State != preserve.StateSealed || !slices.Equal(o.Captures, outcomes[0].Captures) {
			t.Errorf("%+v", o)
		}
	}
	statements := 0
	for name := range contents(t, n.Files, "seals/") {
		if strings.HasSuffix(name, "statement.dsse.json") {
			statements++
		}
	}
	if statements != 1 {
		t.Errorf("%d statements", statements)
	}
}

// Another node, with a key and a log of its own, finishes what the first began.
func TestAnotherNodeFinishes(t *testing.T) {
	t.Parallel()
	var store *breaking
	n := sealtest.NewNode(t, sealtest.NodeOptions{Store: func(s preserve.Store) preserve.Store {
		store = &breaking{Store: s, mode: "before"}
		return store
	}})
	b := n.Batch(1, 2, 10)
	store.arm("/tile/") // plan, pack, statement are written
	if _, err := n.Sealer.Seal(t.Context(), b); !errors.Is(err, errInjected) {
		t.Fatalf("%v", err)
	}
	other := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: n.Authorities})
	policy := *other.Trust.Policy()
	policy.Nodes = append(slices.Clone(policy.Nodes), n.Entry())
	other.Trust.Set(&policy, other.Trust.Material().Certs)
	quorum, err := preserve.NewQuorum(preserve.QuorumOptions{
		Authorities: authoritiesOf(n), Client: &preserve.Client{HTTP: httpClient()}, Trust: other.Trust, Store: n.Files,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer quorum.Close()
	s := preserve.NewSealer(preserve.Options{Node: other.Name, Training: true, Signer: other.Signer, Tlog: other.Tlog, Store: n.Files, Quorum: quorum})
	o, err := s.Seal(t.Context(), preserve.Batch{Queue: b.Queue, First: b.First, Last: b.Last, Items: b.Items})
	if err != nil || o.State != preserve.StateSealed {
		t.Fatalf("%+v, %v", o, err)
	}
	parts, err := preserve.Parts(t.Context(), n.Files, o.Seal)
	if err != nil {
		t.Fatal(err)
	}
	r := holdfast.CheckSeal(o.Seal, parts, &policy, other.Trust.Material())
	if r.Statement.Predicate.Node != n.Name || !slices.ContainsFunc(r.Trees, func(t holdfast.Tree) bool { return t.Origin == other.Name }) {
		t.Errorf("signed by %s, logged in %+v", r.Statement.Predicate.Node, r.Trees)
	}
}

// The loser of a race had a token and the winner none: what the loser wrote
// belongs to nothing, and the Seal is none the worse.
func TestLeftoverNotBefore(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	o := n.MustSeal(n.Batch(1, 1, 10)) // the first Seal: no token is older
	token := []byte("whatever a loser wrote")
	if err := n.Files.Create(t.Context(), "seals/"+o.Seal+"/notbefore.tst", bytes.NewReader(token)); err != nil {
		t.Fatal(err)
	}
	if err := n.Files.Create(t.Context(), "seals/"+o.Seal+"/checkpoint/"+n.Name+"/99", bytes.NewReader(token)); err != nil {
		t.Fatal(err)
	}
	again, err := n.Judge.State(t.Context(), o.Seal)
	if err != nil || again.State != preserve.StateSealed {
		t.Errorf("%+v, %v", again, err)
	}
	second := n.MustSeal(n.Batch(2, 1, 10)) // this one names a token
	parts, err := preserve.Parts(t.Context(), n.Files, second.Seal)
	if err != nil || parts["notbefore.tst"] == nil {
		t.Errorf("the second Seal names no older token: %v", err)
	}
	if d := time.Since(second.T.Time); d > time.Minute || d < -time.Minute {
		t.Errorf("T is off by %s", d)
	}
}
