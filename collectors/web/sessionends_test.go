package web

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
)

// TestSessionEnded guards that a session of which nothing is left asks a site nothing, and
// that this is told from what would end every capture: others go on.
func TestSessionEnded(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }), nil)
	c := newCollector(t, Options{})
	for what, cookie := range map[string]collectors.Cookie{
		"ended":   {Name: "sid", Value: "secret-0123456789", Domain: "127.0.0.1", Path: "/", HostOnly: true, Expires: time.Now().Add(-time.Hour)},
		"refused": {Name: "__Host-sid", Value: "secret-0123456789", Domain: "127.0.0.1", Path: "/", HostOnly: true},
	} {
		req := collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: &collectors.Session{Name: "reader", Cookies: []collectors.Cookie{cookie}}}
		a, err := c.Collect(context.Background(), req, &collectorstest.Keeper{})
		if !errors.Is(err, collectors.ErrSession) || a != nil || asked.Load() > 0 {
			t.Errorf("%s: %v, %v, asked %d times", what, a, err, asked.Load())
		}
	}
}
