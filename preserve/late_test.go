package preserve_test

import (
	"context"
	"net/http"
	"path/filepath"
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

// gate holds back questions to one authority until it is opened.
type gate struct {
	before string
	open   chan struct{}
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.String(), g.before) {
		<-g.open
	}
	return http.DefaultTransport.RoundTrip(r)
}

// told gathers the names that Late is called with.
type told struct {
	mu    sync.Mutex
	seals []string
}

func (l *told) late(seal string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seals = append(l.seals, seal)
}

func (l *told) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seals)
}

// until asks ok again and again.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// The answer of an authority that nobody waited for makes T earlier: that is told. One
// that does not is not told of, or each third authority would have each Seal told twice.
func TestLateToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clock time.Duration
		told  bool
	}{"earlier": {0, true}, "later": {40 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gamma := sealtest.NewAuthority(t, "gamma", sealtest.Clock(c.clock))
			g, l := &gate{gamma.URL, make(chan struct{})}, &told{}
			n := sealtest.NewNode(t, sealtest.NodeOptions{HTTP: g, Late: l.late, Authorities: []*sealtest.Authority{
				sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta", sealtest.Clock(20*time.Second)), gamma}})
			before := n.MustSeal(n.Batch(0, 2, 10))
			close(g.open)
			until(t, "gamma's token is a part", func() bool { return stamped(t, n, "gamma") == 1 })
			n.Quorum.Close() // waits for who brought it
			after, err := n.Judge.State(t.Context(), before.Seal)
			if err != nil {
				t.Fatal(err)
			}
			if earlier := after.T.Before(before.T.Time); earlier != c.told {
				t.Fatalf("T was %s and is %s", before.T, after.T)
			}
			if n := l.count(); (n == 1) != c.told || n > 1 {
				t.Errorf("it was told of %d times", n)
			}
		})
	}
}

// stands is a store of a process that stands still before it keeps one authority's token.
type stands struct {
	preserve.Store
	gate
}

func (s *stands) CreateAll(ctx context.Context, items ...storage.Item) ([]string, error) {
	if strings.Contains(items[0].Name, s.before) {
		<-s.open
	}
	return s.Store.CreateAll(ctx, items...)
}

// Two processes carry out one plan, and one stood still between an authority's answer and
// its keeping, so the other's T is the later one. Who woke tells; had it died instead of
// that, the next process's listing finds the Seal. What is published last is what the
// parts say.
func TestTwoHaveOneSealStamped(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
	n.MustSeal(n.Batch(100, 1, 10)) // the first tokens pin
	l, s := &told{}, &stands{n.Store, gate{"/timestamps/alpha/", make(chan struct{})}}
	o := preserve.QuorumOptions{Client: &preserve.Client{HTTP: http.DefaultClient}, Trust: n.Trust, Store: s, Late: l.late, Newest: filepath.Join(t.TempDir(), "newest.tst")}
	for _, a := range n.Authorities {
		o.Authorities = append(o.Authorities, a.Config())
	}
	q, err := preserve.NewQuorum(o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	first := preserve.NewSealer(preserve.Options{Node: n.Name, Training: true, Config: hashing.Of([]byte("config")),
		Software: holdfast.Software{Digest: hashing.Of([]byte("sealtest")), Name: "sealtest", Version: "1"},
		Signer:   n.Signer, Tlog: n.Tlog, Store: s, Quorum: q})
	done, asked := make(chan preserve.Outcome, 1), n.Authorities[0].Requests()
	go func() {
		o, err := first.Seal(t.Context(), n.Batch(0, 2, 10))
		if err != nil {
			t.Error(err)
		}
		done <- o
	}()
	until(t, "alpha has answered the first", func() bool { return n.Authorities[0].Requests() > asked && stamped(t, n, "beta") == 2 })
	time.Sleep(2100 * time.Millisecond) // tokens have whole seconds
	second := n.MustSeal(n.Batch(0, 2, 10))
	close(s.open)
	woke := <-done
	if !woke.T.Before(second.T.Time) {
		t.Fatalf("the test shows nothing: T was %s, and is %s", second.T, woke.T)
	}
	if l.count() == 0 {
		t.Error("nobody is told that the Seal's T is an earlier one")
	}
	r, published := reconciler(n)
	if err := r.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := published(); len(p) != 1 || p[0].Seal != second.Seal || !p[0].T.Equal(woke.T.Time) {
		t.Errorf("a listing's pass published %+v", p)
	}
	if p, err := r.Pass(t.Context()); err != nil || len(p.Sealed) > 0 {
		t.Errorf("published twice: %+v, %v", p, err)
	}
}

// stamped counts the Seals with an authority's token.
func stamped(t *testing.T, n *sealtest.Node, authority string) int {
	t.Helper()
	seals := make(map[string]bool)
	for e, err := range n.Store.List(t.Context(), "seals/") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(e.Name, "/timestamps/"+authority+"/") {
			seals[strings.Split(e.Name, "/")[1]] = true
		}
	}
	return len(seals)
}

// A Seal that is added while it is looked at is looked at once more.
func TestAddedMeanwhile(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	seal := n.MustSeal(n.Batch(0, 1, 10)).Seal
	r, published := reconciler(n)
	good := r.Publish
	r.Publish = func(ctx context.Context, o preserve.Outcome) error {
		if len(published()) == 0 {
			r.Add(o.Seal)
		}
		return good(ctx, o)
	}
	r.Add(seal)
	for range 3 {
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := published(); len(got) != 2 {
		t.Errorf("published %d times, want twice: %+v", len(got), got)
	}
}
