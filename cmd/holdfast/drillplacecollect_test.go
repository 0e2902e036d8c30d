package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/collectors/telegram/telegramtest"
)

// drillPosts are those of each channel of the service.
const drillPosts = 350

// slowSite is a site one page of which comes only when it may.
type slowSite struct {
	url   string
	asked chan struct{} // closed: it was asked for
	gate  chan struct{} // closed: it comes
	once  sync.Once
}

// open has the slow page come.
func (s *slowSite) open() { s.once.Do(func() { close(s.gate) }) }

func (x *sites) newSite() *slowSite {
	s := &slowSite{gate: make(chan struct{}), asked: make(chan struct{})}
	var once sync.Once
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			once.Do(func() { close(s.asked) })
			select {
			case <-s.gate:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<title>%s</title><p>page %[1]s", r.URL.Path)
	}))
	x.d.t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	s.url = h.URL
	return s
}

// telegram starts a service with two channels, whose answers come slowly while they are to,
// and has each node log in.
func (x *sites) telegram() {
	if x.service != nil {
		return
	}
	t, world := x.d.all, telegramtest.NewWorld()
	for i, name := range []string{"harbour", "quay"} {
		ch := world.Channel(int64(1234+i), name, name)
		for n := range drillPosts {
			ch.Post(fmt.Sprintf("what was seen at the %s, %d", name, n))
		}
	}
	var err error
	x.service, err = telegramtest.Start(world, telegramtest.Options{Fault: func(method string) error {
		if method == "messages.getHistory" && x.slow.Load() {
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.service.Close)
	file := filepath.Join(x.d.dir, "servers.json")
	if err := os.WriteFile(file, x.service.File(), 0o600); err != nil {
		t.Fatal(err)
	}
	x.d.env = append(slices.Clone(x.d.env), "HOLDFAST_TELEGRAM_SERVERS="+file, "HOLDFAST_TELEGRAM_APP_ID=1",
		"HOLDFAST_TELEGRAM_APP_HASH=0123456789abcdef0123456789abcdef", "HOLDFAST_BROWSER="+chromium())
	for i := range x.d.data {
		x.d.must(i, "telegram", "login", "--phone", "+"+x.service.Phone, "--code", x.service.Code)
	}
}

// collectorKilled: `node collect` of one node is killed while it holds a page in Chromium
// and is in the middle of a channel; it and that of the other node take both up.
func (x *sites) collectorKilled() {
	x.collectorLost("harbour", func(first *process, _ *slowSite) {
		first.kill()
		x.leasesEnd()
		x.again(first)
		x.d.role(1, "collect")
	})
}

// collectorStopped: it stands still, another takes what it holds and is done with it, and
// then it goes on with all that it had begun, and believes that it is its own.
func (x *sites) collectorStopped() {
	x.collectorLost("quay", func(first *process, s *slowSite) {
		first.freeze()
		x.leasesEnd()
		x.d.role(1, "collect")
		x.slow.Store(false)
		s.open()
		x.ended(3 * time.Minute)
		first.thaw()
		time.Sleep(5 * time.Second) // to do what harm it can
	})
}

// collectorLost has a collector lost while it is in the middle of a page and of a channel.
func (x *sites) collectorLost(channel string, lose func(*process, *slowSite)) {
	d, t := x.d, x.d.t
	if chromium() == "" {
		t.Skip("NOT TESTED: there is no Chromium here")
	}
	x.telegram()
	x.slow.Store(true)
	s, before := x.newSite(), x.service.Asked("messages.getHistory")
	pages := []string{s.url + "/slow"}
	for i := range 4 {
		pages = append(pages, fmt.Sprintf("%s/page-%d", s.url, i))
	}
	x.ask(`{"allow_private":true}`, pages...)
	x.ask(`{}`, "telegram:@"+channel)
	x.wants = x.wants[:len(x.wants)-1] // a capture for each of its steps

	first := d.role(0, "collect")
	d.until("the first collector is in the middle of a page and of a channel", 2*time.Minute, func() bool {
		select {
		case <-s.asked:
			return x.service.Asked("messages.getHistory") >= before+2
		default:
			return false
		}
	})
	lose(first, s)
	x.slow.Store(false)
	s.open()
	x.ended(4 * time.Minute)
	d.end("collect")
	c := x.judge()
	x.onceEach(pages)
	x.channelOnce(channel)
	t.Logf("%d pages and a channel of %d posts; %d Seals with %d captures and %d events", len(pages), drillPosts, c.seals, c.captures, c.events)
}

// onceEach: each of these Sources is one capture, that succeeded.
func (x *sites) onceEach(pages []string) {
	t := x.d.t
	got := map[string][]string{}
	for l := range strings.Lines(x.d.must(0, "list", "--json")) {
		var row struct{ Source, Outcome, State string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Fatal(err)
		}
		got[row.Source] = append(got[row.Source], row.Outcome+" "+row.State)
	}
	for _, p := range pages {
		if !slices.Equal(got[p], []string{"complete sealed"}) {
			t.Errorf("%s was asked for once, and there is %q", p, got[p])
		}
	}
}

// channelOnce: every post of the channel is there, in one version.
func (x *sites) channelOnce(channel string) {
	t, seen := x.d.t, map[int]int{}
	for dec := json.NewDecoder(strings.NewReader(x.d.must(0, "posts", "@"+channel, "--versions", "--json"))); ; {
		var row struct{ ID int }
		if err := dec.Decode(&row); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[row.ID]++
	}
	for id := 1; id <= drillPosts; id++ {
		if seen[id] != 1 {
			t.Errorf("post %d has %d versions, and was never changed", id, seen[id])
		}
	}
}
