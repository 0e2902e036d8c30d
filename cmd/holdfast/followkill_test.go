package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/collectors/telegram/telegramtest"
)

// TestFollowKilled guards what is promised of a channel that is watched: whenever
// `watch run` is killed, and whatever happened meanwhile, in the end every event of
// the channel is known, in order, and none of them twice. HOLDFAST_LONG kills it 60
// times.
func TestFollowKilled(t *testing.T) {
	kills := 5
	if os.Getenv("HOLDFAST_LONG") != "" {
		kills = 60
	}
	world := telegramtest.NewWorld()
	l := &livedChannel{ch: world.Channel(1001, "harbour_news", "Harbour"), now: map[int]string{}}
	l.ch.Verbatim(true)
	l.ch.SetTimeout(1)
	for range 130 {
		l.post()
	}
	s, err := telegramtest.Start(world, telegramtest.Options{LosePush: func() bool { return mrand.IntN(3) == 0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, s.File(), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"SERVERS": file, "APP_ID": "1", "APP_HASH": "0123456789abcdef0123456789abcdef", "SWEEP": "none"} {
		t.Setenv("HOLDFAST_TELEGRAM_"+k, v)
	}
	w := newKillWorld(t)
	w.must("telegram", "login", "--phone", "+"+s.Phone, "--code", s.Code)
	w.must("watch", "add", "@harbour_news", "--case", "kill-a", "--links", "no")
	for range 20 { // until it is followed, and what was there before is known: what happens from then on must be, too
		if w.must("watch", "run", "--for", "2s"); s.Asked("updates.getChannelDifference") > 0 && strings.Count(w.must("posts", "@harbour_news", "--json"), "\n") == l.last {
			break
		}
	}
	for range kills {
		v := w.start("", w.bin, "--json", "watch", "run")
		alive, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(alive)
			for {
				select {
				case <-stop:
					return
				case <-time.After(mrand.N(30 * time.Millisecond)):
					l.happen()
				}
			}
		}()
		v.kill(2500 * time.Millisecond)
		close(stop)
		<-alive
		for range 10 { // while nobody is at it
			l.happen()
		}
	}
	w.must("watch", "run", "--for", "5s")
	w.must("seal", "--wait", "2m")
	l.check(t, w.must("posts", "@harbour_news", "--versions", "--json"))
	l.checkChain(t, w.data)
	for id, n := range countStore(t, w.data).plans {
		if n != 1 {
			t.Errorf("%s is in %d Seals", id, n)
		}
	}
	t.Logf("%d kills, %d events", w.kills, len(l.ch.Life()))
}

// livedChannel is a channel, and what is in it now.
type livedChannel struct {
	ch   *telegramtest.Channel
	now  map[int]string
	last int
}

func (l *livedChannel) post() {
	l.last = l.ch.Post(fmt.Sprintf("post %d", l.last+1))
	l.now[l.last] = fmt.Sprintf("post %d", l.last)
}

func (l *livedChannel) happen() {
	n := 1 + mrand.IntN(l.last)
	text, there := l.now[n]
	switch mrand.IntN(4) {
	case 0:
		l.post()
	case 1:
		if next := fmt.Sprintf("post %d, revision %d", n, mrand.IntN(3)); there && next != text {
			l.ch.Edit(n, next)
			l.now[n] = next
		}
	case 2:
		if there {
			l.ch.React(n, 1+mrand.IntN(9))
		}
	case 3:
		if there {
			l.ch.Delete(n)
			delete(l.now, n)
		}
	}
}

// check compares `posts --versions` with the service's own account.
func (l *livedChannel) check(t *testing.T, said string) {
	t.Helper()
	want, got, states := map[int][]string{}, map[int][]string{}, map[int]string{}
	for _, e := range l.ch.Life() {
		if e.What != telegramtest.Deleted && !slices.Contains(want[e.ID], e.Text) {
			want[e.ID] = append(want[e.ID], e.Text)
		}
	}
	for d := json.NewDecoder(bytes.NewReader([]byte(said))); ; {
		var row struct {
			ID          int
			State, Text string
			GoneTold    bool `json:"gone_told"`
		}
		if err := d.Decode(&row); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got[row.ID], states[row.ID] = append(got[row.ID], row.Text), row.State
		if _, there := l.now[row.ID]; there != (row.State != catalog.Absent) || row.GoneTold == there {
			t.Errorf("post %d is there: %t, and said to be %s, told: %t", row.ID, there, row.State, row.GoneTold)
		}
	}
	for id := 1; id <= l.last; id++ {
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("post %d is said to have been %q, and was %q", id, got[id], want[id])
		}
	}
}

// checkChain: each difference begins where the one before has ended, so no event is
// in two of them, or in none.
func (l *livedChannel) checkChain(t *testing.T, data string) {
	t.Helper()
	n, err := (&cli{out: io.Discard, errs: io.Discard, data: data}).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var all []catalog.Heard
	for h, err := range n.cat.Answers(t.Context(), "1001") {
		if err != nil {
			t.Fatal(err)
		}
		if h.How == catalog.HowDifference {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b catalog.Heard) int { return int(a.From - b.From) })
	for i, h := range all {
		if h.From >= h.To || h.TooLong || i > 0 && all[i-1].To != h.From {
			t.Errorf("difference %d: from %d to %d", i, h.From, h.To)
		}
	}
	if len(all) < 3 || all[len(all)-1].To != int64(l.ch.PTS()) {
		t.Errorf("%d differences, the channel is at %d", len(all), l.ch.PTS())
	}
}
