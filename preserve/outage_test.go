package preserve_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// inside carries questions to authorities of this process, so that no goroutine waits for
// a socket and the clock of the test can run ahead.
type inside map[string]http.Handler

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i["http://"+r.URL.Host].ServeHTTP(w, r)
	return w.Result(), nil
}

// An hour in which no authority answers, with a Seal each half minute: each is signed at
// once, in the log and told so, none waits for an authority, and nobody is asked more than
// politely. Once they answer again all are sealed within the longest back-off and a half,
// though nothing is captured any more.
func TestAuthoritiesDownForAnHour(t *testing.T) {
	t.Parallel()
	alpha, beta := sealtest.NewAuthority(t, "alpha", sealtest.ServerError), sealtest.NewAuthority(t, "beta", sealtest.ServerError)
	real, dir := time.Now(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(real)) // the bubble begins in the year 2000, before the certificates
		n := sealtest.NewNode(t, sealtest.NodeOptions{
			Dir: dir, Authorities: []*sealtest.Authority{alpha, beta}, HTTP: inside{alpha.URL: alpha.Handler(), beta.URL: beta.Handler()},
			Retry: time.Second, MaxRetry: time.Minute, // as by default
		})
		var mu sync.Mutex
		published := map[string]time.Time{}
		r := &preserve.Reconciler{Store: n.Store, Quorum: n.Quorum, Publish: func(_ context.Context, o preserve.Outcome) error {
			mu.Lock()
			defer mu.Unlock()
			if o.State != preserve.StateSealed || !published[o.Seal].IsZero() {
				t.Errorf("published: %+v", o)
			}
			published[o.Seal] = time.Now()
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Run(ctx) }()

		const seals = 120
		for i := range seals {
			began := time.Now()
			r.Add(sign(t, n, int64(2*i)))
			if took := time.Since(began); took > 12*time.Second { // the log's own pace, never an authority's
				t.Errorf("seal %d took %v", i, took)
			}
			time.Sleep(30*time.Second - time.Since(began))
		}
		if asked := max(alpha.Requests(), beta.Requests()); asked > 150 {
			t.Errorf("an authority that was down was asked %d times in an hour", asked)
		}
		alpha.SetMode()
		beta.SetMode()
		back := time.Now()
		time.Sleep(91 * time.Second)
		cancel()
		<-done
		mu.Lock()
		defer mu.Unlock()
		var last time.Time
		for _, at := range published {
			if at.After(last) {
				last = at
			}
		}
		t.Logf("alpha was asked %d times, beta %d; the last of %d seals was published %v after they were back", alpha.Requests()-len(published), beta.Requests()-len(published), len(published), last.Sub(back))
		if len(published) != seals {
			t.Errorf("%d of %d seals were sealed", len(published), seals)
		}
		n.Close()
	})
}
