package preserve_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// asking notes when each authority was asked, and asks it.
type asking struct {
	preserve.Stamper
	mu sync.Mutex
	at map[string][]time.Time
}

func (a *asking) Stamp(ctx context.Context, who preserve.Authority, sig []byte) (*preserve.Timestamp, error) {
	a.mu.Lock()
	a.at[who.Name] = append(a.at[who.Name], time.Now())
	a.mu.Unlock()
	return a.Stamper.Stamp(ctx, who, sig)
}

// A burst of Seals asks a public authority one question after the other, and the
// office's own at once; who is added meanwhile is asked by the next Seal.
func TestPublicPauseAndAddition(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Offline: true})
	stranger, own := n.Authorities[0].Config(), n.Authorities[1].Config()
	stranger.Public = true
	const pause = 150 * time.Millisecond
	asked := &asking{Stamper: client(), at: map[string][]time.Time{}}
	q, err := preserve.NewQuorum(preserve.QuorumOptions{Authorities: []preserve.Authority{stranger, own}, Client: asked, Trust: n.Trust, Store: n.Store,
		Pause: pause})
	if err != nil {
		t.Fatal(err)
	}
	s := preserve.NewSealer(preserve.Options{Node: n.Name, Training: true, Signer: n.Signer, Tlog: n.Tlog, Store: n.Store, Quorum: q})
	var g sync.WaitGroup
	for i := range int64(4) {
		b := n.Batch(10*i, 1, 10)
		g.Go(func() {
			if _, err := s.Seal(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	added := n.Authorities[2].Config()
	if err := q.SetAuthorities([]preserve.Authority{stranger, own, added, added}); err == nil {
		t.Error("a list with a name twice is taken")
	}
	if err := q.SetAuthorities([]preserve.Authority{stranger, own, added}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), n.Batch(100, 1, 10)); err != nil {
		t.Fatal(err)
	}
	q.Close()
	at := asked.at[stranger.Name]
	slices.SortFunc(at, time.Time.Compare)
	if len(at) < 4 {
		t.Fatalf("the public one was asked %d times", len(at))
	}
	if span, least := at[len(at)-1].Sub(at[0]), time.Duration(len(at)-1)*pause; span < least-pause/2 { // a busy machine wakes late
		t.Errorf("%d questions within %v, at least %v is polite", len(at), span, least)
	}
	if own := asked.at[own.Name]; len(own) < 4 || own[3].Sub(own[0]) > 3*pause {
		t.Errorf("the office's own waits too: %v", own)
	}
	if len(asked.at[added.Name]) == 0 {
		t.Error("who was added is not asked")
	}
}
