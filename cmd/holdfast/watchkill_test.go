package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
)

// killedFile is a post with a large file, a link and a word that an alert waits for.
type killedFile struct {
	post int
	file int64
	b    []byte
}

const killedPart = 512 << 10

// TestWatchKilled guards what `watch run` does beside following, wherever it is killed:
// in the middle of a large file, between its last part and its acceptance, in sweeps,
// while links become Tasks and alerts are told; and what `watch add` and `remove` write.
// No part of a file is asked for twice but the one that was on its way; each file is one
// Capture in one Seal, each link one Task; no alert is lost, and one that is told again
// has the same id. HOLDFAST_LONG kills it 60 times.
func TestWatchKilled(t *testing.T) {
	kills := 4
	if os.Getenv("HOLDFAST_LONG") != "" {
		kills = 60
	}
	world := telegramtest.NewWorld()
	l := &livedChannel{ch: world.Channel(1001, "harbour_news", "Harbour"), now: map[int]string{}}
	world.Channel(1002, "quay_news", "Quay").Post("quiet")
	l.ch.Verbatim(true)
	l.ch.SetTimeout(1)
	for range 30 {
		l.post()
	}
	s, err := telegramtest.Start(world, telegramtest.Options{Fault: func(method string) error {
		if method == "upload.getFile" {
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	dir := t.TempDir()
	file, told, program := filepath.Join(dir, "servers.json"), filepath.Join(dir, "told"), filepath.Join(dir, "program")
	for name, b := range map[string]string{file: string(s.File()), program: "#!/bin/sh\nb=$(cat)\nprintf '%s\\n' \"$b\" >>" + told + "\n"} {
		if err := os.WriteFile(name, []byte(b), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"SERVERS": file, "APP_ID": "1", "APP_HASH": "0123456789abcdef0123456789abcdef", "SWEEP": "1s 3s 10s 60s"} {
		t.Setenv("HOLDFAST_TELEGRAM_"+k, v)
	}
	t.Setenv("HOLDFAST_BROWSER", "/nonexistent/browser") // pages wait as Tasks
	w := newKillWorld(t)
	w.must("telegram", "login", "--phone", "+"+s.Phone, "--code", s.Code)
	w.must("case", "new", "kill-a", "--egress", "direct")
	w.must("watch", "add", "@harbour_news", "--case", "kill-a", "--media", "all")
	w.must("alert", "add", "alarm", "--match", "alarm", "--to", "exec:"+program)
	for range 20 {
		if w.must("watch", "run", "--for", "3s"); s.Asked("updates.getChannelDifference") > 0 {
			break
		}
	}
	var files []*killedFile
	for i := range kills {
		files = append(files, w.killInFile(world, l, i))
		w.killList(i)
	}
	whole := func() bool {
		list := w.must("list", "--json")
		return !slices.ContainsFunc(files, func(f *killedFile) bool {
			return !strings.Contains(list, fmt.Sprintf(`"telegram:@harbour_news/%d"`, f.post))
		})
	}
	for range 20 {
		if w.must("watch", "run", "--for", "8s"); whole() {
			break
		}
	}
	w.must("seal", "--wait", "2m")
	w.must("alert", "send")
	for id, n := range countStore(t, w.data).plans {
		if n != 1 {
			t.Errorf("%s is in %d Seals", id, n)
		}
	}
	l.checkChain(t, w.data)
	l.checkSets(t, w.must("posts", "@harbour_news", "--versions", "--json"))
	w.checkFiles(world, files)
	w.checkLinks(files)
	w.checkAlerts(told, files)
	w.checkList()
	t.Logf("%d kills, %d events, %d sweeps", w.kills, len(l.ch.Life()), s.Asked("channels.getMessages"))
}

// killInFile posts a file, and kills `watch run` while it comes, or just behind.
func (w *killWorld) killInFile(world *telegramtest.World, l *livedChannel, i int) *killedFile {
	f := &killedFile{file: int64(2000 + i), b: make([]byte, 12*killedPart+77)}
	for k := range f.b {
		f.b[k] = byte(k*(i+3)>>7) + byte(k)
	}
	media := world.Document(f.file, "film.mp4", "video/mp4", f.b)
	f.post = l.ch.Post(fmt.Sprintf("alarm %d, see https://page.invalid/%d", i, i), func(m *tg.Message) {
		m.SetMedia(media)
		m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityTextURL{Length: 5, URL: fmt.Sprintf("https://page.invalid/%d", i)}})
	})
	l.last = f.post
	v := w.start("", w.bin, "--json", "watch", "run")
	want := 1 + mrand.IntN(12)
	if i%2 == 1 {
		want = 13 // all of it: what follows is making it durable, and the acceptance
	}
	for begun := time.Now(); len(world.Parts(f.file)) < want; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 100*time.Second {
			w.t.Errorf("%d of %d parts of a file were asked for in %s", len(world.Parts(f.file)), want, time.Since(begun))
			v.hung()
		}
		if mrand.IntN(20) == 0 {
			l.happen()
		}
	}
	v.kill([]time.Duration{120, 400, 40, 1500}[i%4] * time.Millisecond)
	for range 5 {
		l.happen()
	}
	return f
}

// hung ends the test with where each goroutine of the process stands, and of the
// services that it asks.
func (v *victim) hung() {
	here := make([]byte, 1<<20)
	here = here[:runtime.Stack(here, true)]
	_ = v.cmd.Process.Signal(syscall.SIGQUIT)
	lines := <-v.out
	_ = v.cmd.Wait()
	v.w.said(v.cmd.Args, v.errs.Bytes())
	v.w.said([]string{"", "the services"}, here)
	v.w.t.Fatalf("what it told at last: %q", lines[max(0, len(lines)-10):])
}

// killList kills what changes the list of what is watched.
func (w *killWorld) killList(i int) {
	args := []string{"watch", "add", "@quay_news", "--case", "kill-b", "--media", "none"}
	if i%2 == 1 {
		args = []string{"watch", "remove", "@quay_news", "--why", "no more"}
		if !strings.Contains(w.must("watch", "list", "--json"), "quay_news") {
			return
		}
	}
	w.start("", w.bin, args...).kill(600 * time.Millisecond)
	if n := strings.Count(w.must("watch", "list", "--json"), `"telegram:@harbour_news"`); n != 1 {
		w.t.Errorf("after a kill of %v the other channel is listed %d times", args, n)
	}
}

// checkSets compares the versions that are known of each post, in whatever order sweeps
// and differences showed them, and its state with what the service did.
func (l *livedChannel) checkSets(t *testing.T, said string) {
	t.Helper()
	want, got := map[int][]string{}, map[int][]string{}
	gone := map[int]bool{}
	for _, e := range l.ch.Life() {
		if gone[e.ID] = e.What == telegramtest.Deleted; !gone[e.ID] && !slices.Contains(want[e.ID], e.Text) {
			want[e.ID] = append(want[e.ID], e.Text)
		}
	}
	for d := json.NewDecoder(strings.NewReader(said)); ; {
		var row struct {
			ID          int
			State, Text string
		}
		if err := d.Decode(&row); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got[row.ID] = append(got[row.ID], row.Text)
		if gone[row.ID] != (row.State == catalog.Absent) {
			t.Errorf("post %d is gone: %t, and said to be %s", row.ID, gone[row.ID], row.State)
		}
	}
	for id := 1; id <= l.last; id++ {
		slices.Sort(got[id])
		slices.Sort(want[id])
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("post %d is said to have been %q, and was %q", id, got[id], want[id])
		}
	}
}

// checkFiles: each is one Capture, whole, and no part was asked for twice but the one
// that was on its way at a kill: one for each of them, at most.
func (w *killWorld) checkFiles(world *telegramtest.World, files []*killedFile) {
	t := w.t
	n, err := (&cli{out: io.Discard, errs: io.Discard, data: w.data}).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, again := n.kept(), 0
	for _, f := range files {
		source, count := holdfast.Source(fmt.Sprintf("telegram:@harbour_news/%d", f.post)), 0
		for c, err := range n.cat.Captures(t.Context(), catalog.Query{Source: source, Kind: holdfast.KindCapture}) {
			if err != nil {
				t.Fatal(err)
			}
			k := mediaOf(t.Context(), s, c.ID)
			if k.File == "" {
				continue
			}
			count++
			raw, _, err := s.Manifest(t.Context(), c.ID)
			if err != nil || !k.whole() || c.State != catalog.Sealed || !bytes.Contains(raw, []byte(hashing.Of(f.b).String())) {
				t.Errorf("file %d: %+v, %s, %v", f.file, k, c.State, err)
			}
		}
		if count != 1 {
			t.Errorf("file %d is %d captures", f.file, count)
		}
		for _, asked := range world.Parts(f.file) {
			again += asked - 1
		}
	}
	if again > len(files) {
		t.Errorf("%d parts of files were asked for again after %d kills", again, len(files))
	}
	if left, _ := os.ReadDir(filepath.Join(w.data, "partial")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// checkLinks: each page that a post links to waits as one Task.
func (w *killWorld) checkLinks(files []*killedFile) {
	list := w.must("task", "list", "--json")
	for i := range files {
		if n := strings.Count(list, fmt.Sprintf(`"https://page.invalid/%d"`, i)); n != 1 {
			w.t.Errorf("page %d is %d Tasks", i, n)
		}
	}
}

// checkAlerts: each post was told, by one id.
func (w *killWorld) checkAlerts(told string, files []*killedFile) {
	b, err := os.ReadFile(told)
	if err != nil {
		w.t.Fatal(err)
	}
	ids, lines := map[int]string{}, 0
	for line := range bytes.Lines(b) {
		var batch struct {
			Events []struct {
				ID   string
				Post int
			}
		}
		if json.Unmarshal(line, &batch) != nil {
			continue // of one that was killed
		}
		for _, e := range batch.Events {
			if lines++; ids[e.Post] != "" && ids[e.Post] != e.ID {
				w.t.Errorf("post %d was told as %s and as %s", e.Post, ids[e.Post], e.ID)
			}
			ids[e.Post] = e.ID
		}
	}
	for _, f := range files {
		if ids[f.post] == "" {
			w.t.Errorf("post %d was not told", f.post)
		}
	}
	w.t.Logf("%d alerts were told, of %d posts", lines, len(ids))
}

// checkList: the list works on, and custody holds.
func (w *killWorld) checkList() {
	if strings.Contains(w.must("watch", "list", "--json"), "quay_news") {
		w.must("watch", "remove", "@quay_news", "--why", "no more")
	}
	w.must("watch", "add", "@quay_news", "--case", "kill-b")
	if n := strings.Count(w.must("watch", "list", "--json"), "\n"); n != 2 {
		w.t.Errorf("%d channels are watched", n)
	}
	w.must("custody", "kill-b", "--json")
	w.must("custody", "kill-a", "--json")
}
