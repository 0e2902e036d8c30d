package telegram

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
)

// filesWorld is a channel with files, and a Collector for it.
type filesWorld struct {
	w       *telegramtest.World
	ch      *telegramtest.Channel
	s       *telegramtest.Server
	c       *Collector
	fault   atomic.Pointer[func(method string) error]
	partial string
	source  string
	file    int64 // of the next document
}

func newFiles(t *testing.T) *filesWorld {
	t.Helper()
	k := &filesWorld{w: telegramtest.NewWorld(), partial: filepath.Join(t.TempDir(), "partial")}
	k.next()
	k.s = start(t, k.w, telegramtest.Options{Fault: func(method string) error {
		if f := k.fault.Load(); f != nil {
			return (*f)(method)
		}
		return nil
	}})
	k.c = k.collector(openLine(t, k.s, "a1"))
	return k
}

// next goes on with a channel and files of its own: to start a service takes
// seconds.
func (k *filesWorld) next() {
	k.file += 500
	name := fmt.Sprintf("harbour%d", k.file)
	k.ch, k.source = k.w.Channel(1234+k.file, name, "Harbour"), "telegram:@"+name
	k.fault.Store(nil)
}

func (k *filesWorld) collector(l *Line) *Collector {
	return NewCollector(CollectorOptions{Line: l, Training: true, Partial: k.partial})
}

func (k *filesWorld) post(media tg.MessageMediaClass, more ...func(*tg.Message)) int {
	return k.ch.Post("with a file", append(more, func(m *tg.Message) { m.SetMedia(media) })...)
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	r.Read(b)
	return b
}

// listed are the lines of media.jsonl of a walk, and what it asks for.
func listed(t *testing.T, all []step) (lines []mediaDoc, further []collectors.Further) {
	t.Helper()
	for _, s := range all {
		further = append(further, s.Further...)
		if !slices.ContainsFunc(s.Objects, func(o collectors.Object) bool { return o.Name == nameListed }) {
			continue
		}
		for line := range bytes.Lines(s.object(t, nameListed)) {
			var d mediaDoc
			if err := canon.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), &d); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			lines = append(lines, d)
		}
	}
	return lines, further
}

// take acquires one file, however many turns it takes.
func take(t *testing.T, c *Collector, f collectors.Further, never ...*collectors.KnownList) (step, error) {
	t.Helper()
	for range 100 {
		k := &collectorstest.Keeper{}
		a, err := c.Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options, NeverKeep: never}, k)
		var later *collectors.Later
		if errors.As(err, &later) && later.Progress {
			continue
		}
		if err != nil {
			return step{}, err
		}
		if err := collectorstest.Check(a, k); err != nil {
			t.Error(err)
		}
		if a.Accepted != nil {
			a.Accepted()
		}
		return step{a, k}, nil
	}
	return step{}, errors.New("no end of turns")
}

func (s step) media(t *testing.T) (d mediaDoc) {
	t.Helper()
	if err := canon.Unmarshal(s.object(t, NameMedia), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (s step) reason(code string) bool {
	return slices.ContainsFunc(s.Reasons, func(r collectors.Reason) bool { return r.Code == code })
}

// TestFiles guards the whole way: what a history lists and asks for, and the bytes
// of each file, from the data centre that has it, in parts that are slices, with
// the service's hashes; what is too large is listed, what is taken is not asked for.
func TestFiles(t *testing.T) {
	k := newFiles(t)
	film, photo, small := random(3*partSize+1234), random(70_000), random(5)
	k.post(k.w.Document(501, "film.mp4", "video/mp4", film))
	k.post(k.w.Photo(502, random(900), photo))
	k.post(k.w.Document(503, "note.txt", "text/plain", small))
	k.post(k.w.Document(504, "large.bin", "application/x-msdownload", random(4*partSize)))
	k.post(k.w.Document(505, "scan.png", "image/png", random(partSize))) // ends with a part
	k.post(&tg.MessageMediaGeo{Geo: &tg.GeoPointEmpty{}})
	k.post(&tg.MessageMediaPhoto{})
	k.w.Move(503, telegramtest.MainDC)

	none, further := listed(t, walk(t, k.c, k.source, Wish{}, nil))
	if len(none) > 0 || len(further) > 0 {
		t.Errorf("unasked: %+v %+v", none, further)
	}
	lines, further := listed(t, walk(t, k.c, k.source, Wish{Media: MediaPhotos}, nil))
	if len(lines) != 6 || len(further) != 2 || further[0].Source != k.source+"/5" || further[1].Source != k.source+"/2" {
		t.Errorf("photos: %+v %+v", lines, further)
	}
	all := walk(t, k.c, k.source, Wish{Media: MediaAll, MaxSize: 4*partSize - 1}, nil)
	lines, further = listed(t, all)
	states := map[string]string{}
	for _, d := range lines {
		states[d.File] = d.State
		if d.File == "502" && (d.Taken != "y" || d.Size != 70_000 || len(d.Sizes) != 2 || d.Sizes[0].Size != 900) {
			t.Errorf("photo %+v", d)
		}
	}
	if fmt.Sprint(states) != "map[:unavailable 501:asked 502:asked 503:asked 504:too-large 505:asked]" || len(further) != 4 || !all[1].reason("media-too-large") || all[1].Outcome != collectors.Complete {
		t.Fatalf("%v, %d asked for, %v", states, len(further), all[1].Reasons)
	}
	for _, f := range further {
		s, err := take(t, k.c, f)
		if err != nil {
			t.Fatal(err)
		}
		d := s.media(t)
		want := map[string]struct {
			b    []byte
			name string
			dc   int
		}{"501": {film, "file.mp4", 4}, "502": {photo, "file.jpg", 4}, "503": {small, "file", 2}, "505": {random(partSize), "file.png", 4}}[d.File]
		if got := s.object(t, want.name); !bytes.Equal(got, want.b) || *d.Digest != hashing.Of(want.b) {
			t.Errorf("file %s: %d bytes, want %d", d.File, len(got), len(want.b))
		}
		if s.Outcome != collectors.Complete || len(s.Reasons) > 0 || d.State != stateWhole || d.DC != want.dc || d.Hashed != int64(len(want.b)) || d.Blocks != (len(want.b)+128<<10-1)/(128<<10) || s.Address.Final != f.Source {
			t.Errorf("file %s: %s %v %+v", d.File, s.Outcome, s.Reasons, d)
		}
		for _, o := range s.Objects {
			if o.Role == RoleMedia && (!o.Kept || len(o.Slices) != (len(want.b)+partSize-1)/partSize) {
				t.Errorf("file %s: kept %t, %d slices", d.File, o.Kept, len(o.Slices))
			}
		}
		checkExchanges(t, s, d)
	}
	if left, _ := os.ReadDir(k.partial); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// What the Case has is not asked for again.
	opts, _ := json.Marshal(Wish{Media: MediaAll})
	a, err := k.c.Collect(t.Context(), collectors.Request{Source: k.source, Options: opts, Cursor: all[0].Next.Cursor,
		Taken: func(_ context.Context, source, key string) (string, error) {
			if source == k.source+"/2" && key == "502" {
				return "00112233", nil
			}
			return "", nil
		}}, &collectorstest.Keeper{})
	if err != nil || len(a.Further) != 4 || slices.ContainsFunc(a.Further, func(f collectors.Further) bool { return f.Source == k.source+"/2" }) {
		t.Errorf("taken: %v, %d asked for", err, len(a.Further))
	}
}

// TestFileUnaccepted guards what is held until a Capture is durable: who is killed
// between a file's last part and that makes the same Capture again, and asks nothing.
func TestFileUnaccepted(t *testing.T) {
	k := newFiles(t)
	film := random(2*partSize + 9)
	k.post(k.w.Document(501, "film.mp4", "video/mp4", film))
	f := k.fileOf(t)
	for i := range 3 {
		kp := &collectorstest.Keeper{}
		a, err := k.collector(k.c.o.Line).Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, kp)
		for later := (*collectors.Later)(nil); errors.As(err, &later) && later.Progress; {
			a, err = k.collector(k.c.o.Line).Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, kp)
		}
		if err != nil || a.Accepted == nil || !bytes.Equal((step{a, kp}).object(t, "file.mp4"), film) {
			t.Fatalf("%d: %v %+v", i, err, a)
		}
		if i == 2 {
			a.Accepted()
		}
	}
	if got := k.w.Parts(501); len(got) != 3 || got[0]+got[partSize]+got[2*partSize] != 3 {
		t.Errorf("parts were asked for: %v", got)
	}
	if left, _ := os.ReadDir(k.partial); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFileAgain guards a file that does not come: it is asked for again later and
// later, under another key each time, and in the end not by itself; who asks for its
// post has it asked for. The list says so.
func TestFileAgain(t *testing.T) {
	k := newFiles(t)
	k.post(k.w.Document(501, "film.mp4", "video/mp4", random(5)))
	now := time.Now()
	c := NewCollector(CollectorOptions{Line: k.c.o.Line, Partial: k.partial, Now: func() time.Time { return now }})
	tries := collectors.Tries{Capture: "00112233445566778899aabbccddeeff"}
	ask := func(source string) (d mediaDoc, f []collectors.Further) {
		t.Helper()
		cur, wish := []byte(nil), Wish{Media: MediaAll}
		opts, _ := json.Marshal(wish)
		for {
			kp := &collectorstest.Keeper{}
			a, err := c.Collect(t.Context(), collectors.Request{Source: source, Options: opts, Cursor: cur,
				Tried: func(_ context.Context, of, key string) (collectors.Tries, error) {
					if of != k.source+"/1" || key != "501" {
						t.Errorf("tried %s of %s", key, of)
					}
					return tries, nil
				}}, kp)
			if err != nil {
				t.Fatal(err)
			}
			if lines, further := listed(t, []step{{a, kp}}); len(lines) > 0 {
				return lines[0], further
			}
			if a.Next == nil {
				t.Fatal("not listed")
			}
			cur = a.Next.Cursor
		}
	}
	keys, begun := map[string]int{}, now
	for range 4000 { // half hours: 83 days
		d, f := ask(k.source)
		switch {
		case len(f) == 1 && d.State == stateAsked:
			keys[f[0].Key]++
			tries.Count, tries.Last = tries.Count+1, now
		case len(f) > 0 || d.State != stateFailed || d.Capture != tries.Capture || !strings.Contains(string(d.Why), fmt.Sprintf("in %d captures", tries.Count)):
			t.Fatalf("after %s: %+v, %d asked for", now.Sub(begun), d, len(f))
		}
		if tries.Count == maxTries && now.Sub(begun) > 80*24*time.Hour {
			break
		}
		step := 30 * time.Minute
		if _, ok := AskAgain(tries); !ok {
			step = 20 * 24 * time.Hour
		}
		now = now.Add(step)
	}
	if len(keys) != maxTries || tries.Count != maxTries {
		t.Errorf("%d tries, keys %v", tries.Count, keys)
	}
	if d, f := ask(k.source + "/1"); len(f) != 1 || d.State != stateAsked {
		t.Errorf("of the post: %+v", d)
	}
}

// TestChannelPhoto guards the channel's own photo: under the channel's Source, and
// with a new reference where the old one has expired.
func TestChannelPhoto(t *testing.T) {
	k := newFiles(t)
	photo := random(4000)
	k.ch.SetPhoto(k.w.Photo(601, random(90), photo))
	k.ch.Post("a post")
	lines, further := listed(t, walk(t, k.c, k.source, Wish{Media: MediaAll}, nil))
	if len(lines) != 1 || lines[0].State != stateAsked || lines[0].Post != 0 || len(further) != 1 || further[0].Source != k.source {
		t.Fatalf("%+v %+v", lines, further)
	}
	k.w.Expire()
	s, err := take(t, k.c, further[0])
	if err != nil || s.Outcome != collectors.Complete || !bytes.Equal(s.object(t, "file.jpg"), photo) {
		t.Errorf("%v %+v", err, s.Acquired)
	}
	k.ch.SetPhoto(k.w.Photo(602, random(90), photo))
	k.w.Expire()
	s, err = take(t, k.c, further[0])
	if err != nil || s.Outcome != collectors.Failed || !s.reason("file-replaced") {
		t.Errorf("%v %+v", err, s.Acquired)
	}
	if lines, _ := listed(t, walk(t, k.c, k.source+"/1", Wish{Media: MediaAll}, nil)); len(lines) > 0 {
		t.Errorf("of a post: %+v", lines)
	}
}

// checkExchanges holds exchange.jsonl against the Objects that it names.
func checkExchanges(t *testing.T, s step, d mediaDoc) {
	t.Helper()
	at := map[string]int64{}
	for line := range bytes.Lines(s.object(t, nameExchanges)) {
		var x fileExchange
		if err := canon.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), &x); err != nil {
			t.Fatal(err)
		}
		if x.In == "" {
			if x.Error == nil || !strings.HasPrefix(string(x.Error.Type), "FILE_") {
				t.Errorf("exchange %+v", x)
			}
			continue
		}
		name := x.In
		if name == nameFile {
			name = d.Object
		}
		b := s.object(t, name)
		if x.At != at[name] || hashing.Of(b[x.At:x.At+x.Length]) != *x.Bytes || x.DC != d.DC && x.In != nameAnswers || x.Account != "a1" || len(x.Request) < 20 {
			t.Errorf("exchange %+v after %d", x, at[name])
		}
		at[name] += x.Length
		if x.In == nameHashes && hashing.Of(b[x.At:x.At+x.Length]) != *x.Answer {
			t.Errorf("answer of %+v", x)
		}
	}
	if at[d.Object] != d.Received {
		t.Errorf("%d bytes in the lines, %d received", at[d.Object], d.Received)
	}
}

// fileOf is a channel's only file, asked for.
func (k *filesWorld) fileOf(t *testing.T) collectors.Further {
	t.Helper()
	_, further := listed(t, walk(t, k.c, k.source, Wish{Media: MediaAll}, nil))
	if len(further) != 1 {
		t.Fatalf("%d files", len(further))
	}
	return further[0]
}

// TestFileFaults guards what the service is known for: what can be gone round is,
// and what cannot is told, with the bytes that came.
func TestFileFaults(t *testing.T) {
	film := random(2*partSize + 77)
	k := newFiles(t)
	line := k.c.o.Line
	each := func(name string, f func(t *testing.T, k *filesWorld)) {
		t.Run(name, func(t *testing.T) {
			k.next()
			k.c = k.collector(line)
			k.post(k.w.Document(k.file+1, "film.mp4", "video/mp4", film))
			f(t, k)
		})
	}
	whole := func(t *testing.T, k *filesWorld, f collectors.Further) step {
		t.Helper()
		s, err := take(t, k.c, f)
		if err != nil {
			t.Fatal(err)
		}
		if d := s.media(t); s.Outcome != collectors.Complete || d.State != stateWhole || !bytes.Equal(s.object(t, "file.mp4"), film) {
			t.Errorf("%s %v %+v", s.Outcome, s.Reasons, d)
		}
		checkExchanges(t, s, s.media(t))
		return s
	}
	each("reference expired", func(t *testing.T, k *filesWorld) {
		f, before := k.fileOf(t), k.s.Asked("channels.getMessages")
		k.w.Expire()
		if s := whole(t, k, f); len(s.object(t, nameAnswers)) == 0 || k.s.Asked("channels.getMessages") != before+1 {
			t.Errorf("%d questions for the message", k.s.Asked("channels.getMessages")-before)
		}
	})
	each("expired, and the message is gone", func(t *testing.T, k *filesWorld) {
		f := k.fileOf(t)
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 2 {
				k.w.Expire()
				k.ch.Delete(1)
			}
			return nil
		})
		s, err := take(t, k.c, f)
		if err != nil || s.Outcome != collectors.Partial || !s.reason("message-gone") || s.media(t).State != stateCut || !bytes.Equal(s.object(t, "file.mp4"), film[:partSize]) {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("another account", func(t *testing.T, k *filesWorld) {
		f, before := k.fileOf(t), k.s.Asked("contacts.resolveUsername")
		k.w.Expire() // its reference is another's
		k.c.account = "a2"
		s, err := take(t, k.c, f)
		if err != nil || s.Outcome != collectors.Complete || k.s.Asked("contacts.resolveUsername") != before+1 {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("short wait", func(t *testing.T, k *filesWorld) {
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 2 {
				return tgerr.New(420, "FLOOD_WAIT_1")
			}
			return nil
		})
		whole(t, k, k.fileOf(t))
	})
	each("long wait", func(t *testing.T, k *filesWorld) {
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 2 {
				return tgerr.New(420, "FLOOD_PREMIUM_WAIT_3600")
			}
			return nil
		})
		f, before := k.fileOf(t), k.s.Asked("upload.getFile")
		_, err := k.c.Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, &collectorstest.Keeper{})
		var later *collectors.Later
		if !errors.As(err, &later) || time.Until(later.At) < 59*time.Minute || !later.Progress {
			t.Errorf("%v", err)
		}
		whole(t, k, f)
		if got := k.s.Asked("upload.getFile") - before; got != 4 { // three parts, one refused: none twice
			t.Errorf("%d parts asked for", got)
		}
	})
	each("connection lost", func(t *testing.T, k *filesWorld) {
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 2 {
				return telegramtest.ErrHangUp
			}
			return nil
		})
		whole(t, k, k.fileOf(t))
	})
	each("hash differs", func(t *testing.T, k *filesWorld) {
		k.w.Misstate(k.file+1, 128<<10)
		s, err := take(t, k.c, k.fileOf(t))
		if err != nil || s.Outcome != collectors.Partial || !s.reason("hash-differs") || fmt.Sprint(s.media(t).Differs) != "[{131072 131072}]" || !bytes.Equal(s.object(t, "file.mp4"), film) {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("no hashes", func(t *testing.T, k *filesWorld) {
		k.w.Misstate(k.file+1, -1)
		s, err := take(t, k.c, k.fileOf(t))
		if err != nil || s.Outcome != collectors.Complete || !s.reason("unhashed") || s.media(t).Hashed != 0 {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("shorter than said", func(t *testing.T, k *filesWorld) {
		k.w.Shorten(k.file+1, 100)
		s, err := take(t, k.c, k.fileOf(t))
		if err != nil || s.Outcome != collectors.Partial || !s.reason("size-differs") || s.media(t).State != stateCut {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("refused", func(t *testing.T, k *filesWorld) {
		f := k.fileOf(t)
		k.on("upload.getFile", func() error { return tgerr.New(400, "LOCATION_INVALID") })
		s, err := take(t, k.c, f)
		if err != nil || s.Outcome != collectors.Failed || !s.reason("service-refused") || s.media(t).State != stateFailed {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("data centres in a ring", func(t *testing.T, k *filesWorld) {
		f, before := k.fileOf(t), k.s.Asked("upload.getFile")
		k.on("upload.getFile", func() error { return tgerr.New(303, "FILE_MIGRATE_2") })
		s, err := take(t, k.c, f)
		if err != nil || s.Outcome != collectors.Failed || k.s.Asked("upload.getFile")-before != maxMoves+1 {
			t.Errorf("%v %+v", err, s.Acquired)
		}
	})
	each("never keep", func(t *testing.T, k *filesWorld) {
		list, err := collectors.ReadKnownList(strings.NewReader(hashing.Of(film).Hex()))
		if err != nil {
			t.Fatal(err)
		}
		s, err := take(t, k.c, k.fileOf(t), list)
		if err != nil || s.Outcome != collectors.Partial || !s.reason("never-keep") || s.media(t).State != stateWithheld || s.media(t).List != list.Digest().String() {
			t.Errorf("%v %+v", err, s.Acquired)
		}
		if _, err := s.k.Bytes(&collectors.Acquired{Objects: []collectors.Object{{Name: "f", Kept: true, Digest: hashing.Of(film)}}}, "f"); err == nil {
			t.Error("it was kept")
		}
		if left, _ := os.ReadDir(k.partial); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	each("logged out there", func(t *testing.T, k *filesWorld) {
		f := k.fileOf(t)
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 2 {
				return tgerr.New(401, "AUTH_KEY_UNREGISTERED")
			}
			return nil
		})
		whole(t, k, f)
	})
}

// on sets what happens before a method is answered.
func (k *filesWorld) on(method string, f func() error) {
	g := func(m string) error {
		if m == method {
			return f()
		}
		return nil
	}
	k.fault.Store(&g)
}

// TestFileResumed guards a kill at any instant: what is on the disk is gone on with
// where it is sound, and nothing of it that is not.
func TestFileResumed(t *testing.T) {
	k := newFiles(t)
	film := random(6*partSize + 5)
	k.post(k.w.Document(501, "film.mp4", "video/mp4", film))
	f := k.fileOf(t)
	for _, damage := range []struct {
		name  string
		do    func(dir string) error
		again int // parts asked for after it
	}{
		{"nothing", func(string) error { return nil }, 4},
		{"a line is cut", func(dir string) error { return cut(filepath.Join(dir, nameExchanges), 3) }, 4}, // that of hashes
		{"bytes without a line", func(dir string) error { return grow(filepath.Join(dir, nameFile), 999) }, 4},
		{"bytes lost", func(dir string) error { return cut(filepath.Join(dir, nameFile), 10) }, 5},
		{"zeros", func(dir string) error { return zero(filepath.Join(dir, nameFile), partSize+7) }, 6},
		{"all bytes lost", func(dir string) error { return os.Remove(filepath.Join(dir, nameFile)) }, 7},
		{"all lines lost", func(dir string) error { return os.Remove(filepath.Join(dir, nameExchanges)) }, 7},
	} {
		n := 0
		k.on("upload.getFile", func() error {
			if n++; n == 4 {
				return tgerr.New(420, "FLOOD_WAIT_9999")
			}
			return nil
		})
		c := k.collector(k.c.o.Line)
		for later := new(collectors.Later); time.Until(later.At) < time.Hour; {
			if _, err := c.Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, &collectorstest.Keeper{}); !errors.As(err, &later) {
				t.Fatal(err)
			}
		}
		dirs, err := os.ReadDir(k.partial)
		if err != nil || len(dirs) != 1 {
			t.Fatalf("%v %v", dirs, err)
		}
		if err := damage.do(filepath.Join(k.partial, dirs[0].Name())); err != nil {
			t.Fatal(err)
		}
		k.fault.Store(nil)
		before := k.s.Asked("upload.getFile")
		s, err := take(t, k.collector(k.c.o.Line), f) // another process
		if err != nil || s.Outcome != collectors.Complete || !bytes.Equal(s.object(t, "file.mp4"), film) {
			t.Errorf("%s: %v %+v", damage.name, err, s.Acquired)
			continue
		}
		if got := k.s.Asked("upload.getFile") - before; got != damage.again {
			t.Errorf("%s: %d parts asked for again, want %d", damage.name, got, damage.again)
		}
		checkExchanges(t, s, s.media(t))
	}
}

func cut(name string, by int64) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.Truncate(name, st.Size()-by)
}

func grow(name string, by int) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte{7}, by))
	return errors.Join(err, f.Close())
}

func zero(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 64), at)
	return errors.Join(err, f.Close())
}

// TestPhotoFile guards which size of a photo is taken, in whatever order they come,
// and what of a hostile message becomes an option of a Task.
func TestPhotoFile(t *testing.T) {
	m, y, w := &tg.PhotoSize{Type: "m", W: 320, H: 200, Size: 900}, &tg.PhotoSizeProgressive{Type: "y", W: 1280, H: 800, Sizes: []int{7, 50, 20}}, &tg.PhotoSize{Type: "w", W: 1280, H: 800, Size: 40}
	for _, sizes := range [][]tg.PhotoSizeClass{{m, y, w}, {y, w, m}, {w, m, y, &tg.PhotoPathSize{Type: "j"}}, {&tg.PhotoSize{Type: strings.Repeat("x", 99), W: 9999, H: 9999}, y}} {
		if f := photoFile(&tg.Photo{ID: 5, DCID: 4, Sizes: sizes}, "photo"); f.Thumb != "y" || f.Size != 50 || f.ID != 5 {
			t.Errorf("%v: %+v", sizes, f)
		}
	}
	for _, p := range []tg.PhotoClass{nil, &tg.PhotoEmpty{ID: 5}, &tg.Photo{ID: 5, DCID: 4, Sizes: []tg.PhotoSizeClass{&tg.PhotoStrippedSize{Type: "i"}}}} {
		if f := photoFile(p, "photo"); f.ID != 0 {
			t.Errorf("%+v: %+v", p, f)
		}
	}
	name := clip(canon.Text(strings.Repeat("ä", 5000)), maxFileName)
	if len(name) != maxFileName || clip("ä", 1) != "" {
		t.Errorf("%d bytes of a name", len(name))
	}
}

// discard is a Keeper that keeps nothing but the Digest.
type discard struct{}

func (discard) Put(_ context.Context, r io.Reader) (hashing.Digest, int64, error) {
	return hashing.Copy(io.Discard, r)
}

// TestFileStreams guards that no file is ever in memory: what is alive after many
// parts is what was after a few.
func TestFileStreams(t *testing.T) {
	k := newFiles(t)
	film := random(40*partSize + 1)
	k.post(k.w.Document(501, "film.mp4", "video/mp4", film))
	f := k.fileOf(t)
	n, few, most := 0, uint64(0), uint64(0)
	k.on("upload.getFile", func() error {
		if n++; n%8 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if few == 0 {
				few = m.HeapAlloc
			}
			most = max(most, m.HeapAlloc)
		}
		return nil
	})
	for range 200 {
		a, err := k.c.Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, discard{})
		var later *collectors.Later
		if errors.As(err, &later) && later.Progress {
			continue
		}
		if err != nil || a.Outcome != collectors.Complete {
			t.Fatalf("%v %+v", err, a)
		}
		break
	}
	if n != 41 || most > few+8*partSize {
		t.Errorf("%d parts; %d bytes alive after 8, up to %d later", n, few, most)
	}
}
