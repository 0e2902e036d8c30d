package web

import (
	"io"
	"net/http"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// TestServerClock: the median is of hosts, answers out of caches do not count,
// and nobody's nonsense does.
func TestServerClock(t *testing.T) {
	now := time.Now()
	var s serverClock
	see := func(host string, ahead time.Duration, more ...warc.Field) {
		f := append(warc.Fields{{Name: "Date", Value: now.Add(ahead).UTC().Format(http.TimeFormat)}}, more...)
		s.see(&exchange{status: 200, headed: now, fields: f, peer: &peer{host: host}})
	}
	for range 50 {
		see("loud", 9*time.Hour)
	}
	see("a", 100*time.Second)
	see("b", 102*time.Second)
	see("cache", -time.Hour, warc.Field{Name: "Age", Value: "3600"})
	s.see(&exchange{status: 200, headed: now, fields: warc.Fields{{Name: "Date", Value: "yesterday"}}, peer: &peer{host: "odd"}})
	s.see(&exchange{headed: now, peer: &peer{}})
	if got := s.servers(); got.Answers != 52 || (got.Ahead-102*time.Second).Abs() > time.Second {
		t.Errorf("%+v, want about 102 s from 52 answers", got)
	}
	if got := (&serverClock{}).servers(); got.Answers != 0 || got.String() != "" {
		t.Errorf("%+v", got)
	}
}

// TestClockDiffers: servers that all say another time are reported, and the
// outcome stays.
func TestClockDiffers(t *testing.T) {
	for _, ahead := range []time.Duration{0, -10 * time.Minute} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<title>t</title><p>words")
		}), nil)
		a, _ := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
		got := a.Collection.Servers
		if a.Outcome != collectors.Complete || hasReason(a, "clock-differs") != (ahead != 0) || got.Answers == 0 || (got.Ahead-ahead).Abs() > 2*time.Second {
			t.Errorf("%s: %s %v, %+v", ahead, a.Outcome, a.Reasons, got)
		}
	}
}
