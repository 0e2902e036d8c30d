package web

import (
	"net/http"
	"slices"
	"time"

	"holdfast/collectors"
)

// clockLimit is how far the servers' clocks may be from the node's before a
// reader is told. Less says nothing: Date has whole seconds, and servers' clocks
// are not looked after by everyone.
const clockLimit = 60 * time.Second

// maxDates bounds how many answers are looked at in one capture.
const maxAnswerDates = 10_000

// serverClock gathers how far the Date of answers is ahead of the node's clock,
// by host: one host with many answers must not speak for all.
type serverClock struct {
	hosts map[string][]time.Duration
	n     int
}

// see takes the Date of an answer that was made just now: one that came out of
// a cache says so with Age.
func (s *serverClock) see(x *exchange) {
	if !x.answered() || s.n >= maxAnswerDates || x.fields.Get("Age") != "" || x.headed.IsZero() {
		return
	}
	date, err := http.ParseTime(x.fields.Get("Date"))
	if err != nil {
		return
	}
	if s.hosts == nil {
		s.hosts = map[string][]time.Duration{}
	}
	// Date is cut to the second: half a second is its middle. Round(0) compares
	// the wall clocks, which is what is in question.
	s.hosts[x.peer.host] = append(s.hosts[x.peer.host], date.Add(500*time.Millisecond).Sub(x.headed.Round(0)))
	s.n++
}

// servers is the median over hosts of the median of each.
func (s *serverClock) servers() collectors.Servers {
	var all []time.Duration
	for _, h := range s.hosts {
		all = append(all, median(h))
	}
	if len(all) == 0 {
		return collectors.Servers{}
	}
	return collectors.Servers{Answers: s.n, Ahead: median(all).Round(100 * time.Millisecond)}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
