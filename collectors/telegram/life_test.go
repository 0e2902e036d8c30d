package telegram

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
)

// life is one channel, what the test saw of it, and what answers say of it.
type life struct {
	ch    *telegramtest.Channel
	c     *Collector
	rnd   *rand.Rand
	now   map[int]string // texts of what is there
	last  int
	likes map[int]int

	texts map[int][]string // as seen, in order, each once
	gone  map[int]string   // absent, or unknown, as answered since it was seen last
	facts map[int][]catalog.Fact
}

// TestLife: random lives of channels, looked at now and then by walks through the
// history and by questions for one post. What catalog folds from the lines that
// were written, in any order, is what was there to be seen: each text a version,
// no reaction one, and gone what was answered to be.
func TestLife(t *testing.T) {
	w := telegramtest.NewWorld()
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a"), Training: true})
	met := map[string]int{}
	for seed := range uint64(6) {
		name := fmt.Sprintf("channel%d", seed)
		l := &life{ch: w.Channel(int64(5000+seed), name, name), c: c, rnd: rand.New(rand.NewPCG(seed, 5)), now: map[int]string{}, likes: map[int]int{},
			texts: map[int][]string{}, gone: map[int]string{}, facts: map[int][]catalog.Fact{}}
		for range 14 {
			for range 1 + l.rnd.IntN(20) {
				l.happen()
			}
			l.look(t, "telegram:@"+name)
			time.Sleep(2 * time.Millisecond) // times of answers have whole ones
		}
		l.check(t, met)
	}
	for _, state := range []string{catalog.Present, catalog.Edited, catalog.Absent} {
		if met[state] < 5 {
			t.Errorf("only %d posts are %s", met[state], state)
		}
	}
}

func (l *life) happen() {
	n := 1 + l.rnd.IntN(max(l.last, 1))
	text, there := l.now[n]
	switch l.rnd.IntN(6) {
	case 0, 1:
		l.last = l.ch.Post(fmt.Sprintf("post %d", l.last+1), func(m *tg.Message) {
			if l.rnd.IntN(3) == 0 {
				m.SetMedia(&tg.MessageMediaWebPage{Webpage: &tg.WebPageEmpty{ID: 1}})
			}
		})
		l.now[l.last] = fmt.Sprintf("post %d", l.last)
	case 2, 3:
		if there {
			l.now[n] = fmt.Sprintf("post %d, revision %d", n, l.rnd.IntN(3)) // back, now and then
			if l.now[n] != text {
				l.ch.Edit(n, l.now[n])
			}
		}
	case 4:
		if there {
			l.likes[n]++
			l.ch.React(n, l.likes[n])
		}
	case 5:
		if there && l.rnd.IntN(2) == 0 {
			l.ch.Delete(n)
			delete(l.now, n)
		}
	}
}

// look takes what the answers say, and notes what was there while they were given.
func (l *life) look(t *testing.T, source string) {
	t.Helper()
	if l.rnd.IntN(2) == 0 && l.last > 0 {
		source = fmt.Sprintf("%s/%d", source, 1+l.rnd.IntN(l.last))
	}
	for i, s := range walk(t, l.c, source, Wish{}, nil) {
		if !slices.ContainsFunc(s.Objects, func(o collectors.Object) bool { return o.Role == RolePosts }) {
			continue
		}
		a, err := catalog.ParseAnswer(s.object(t, namePosts))
		if err != nil {
			t.Fatalf("step %d of %s: %v", i, source, err)
		}
		at := catalog.Sight{At: a.Received, How: a.How, Capture: holdfast.CaptureID("00112233445566778899aabbccddeeff", uint64(len(l.facts)), uint32(i))}
		a.Facts(func(id int64, k catalog.FactKind, o catalog.Observed) {
			l.facts[int(id)] = append(l.facts[int(id)], catalog.Fact{Sight: at, Kind: k, Observed: o})
			text, there := l.now[int(id)]
			switch {
			case there != (k == catalog.Seen), there && o.Text != hashing.Of([]byte(text)), there && o.Reactions != int64(l.likes[int(id)]):
				t.Errorf("post %d is %q, and the answer says %d %+v", id, text, k, o)
			case there && !slices.Contains(l.texts[int(id)], text):
				l.texts[int(id)] = append(l.texts[int(id)], text)
			}
			switch {
			case there:
				delete(l.gone, int(id))
			case k == catalog.EmptyNext:
				l.gone[int(id)] = catalog.Absent
			case l.gone[int(id)] == "":
				l.gone[int(id)] = catalog.Unknown
			}
		})
	}
}

func (l *life) check(t *testing.T, met map[string]int) {
	t.Helper()
	for id := 1; id <= l.last; id++ {
		fs := l.facts[id]
		l.rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		p, ok := catalog.FoldPost("5000", int64(id), fs)
		if ok != (len(l.texts[id]) > 0) {
			t.Errorf("post %d is known: %t; seen %v", id, ok, l.texts[id])
		}
		if !ok {
			continue
		}
		var want, got []string
		for _, s := range l.texts[id] {
			want = append(want, hashing.Of([]byte(s)).Hex())
		}
		for i, v := range p.Versions {
			got = append(got, v.Text.Hex())
			if edited := strings.Contains(l.texts[id][min(i, len(want)-1)], "revision"); v.Edited.IsZero() == edited && l.likes[id] == 0 {
				t.Errorf("version %d of post %d: edited %s, %q", i+1, id, v.Edited, l.texts[id])
			}
		}
		state := catalog.Present
		if len(want) > 1 {
			state = catalog.Edited
		}
		if l.gone[id] != "" {
			state = l.gone[id]
		}
		if !slices.Equal(got, want) || p.State != state {
			t.Errorf("post %d is %s with %d versions, want %s with %v", id, p.State, len(got), state, l.texts[id])
		}
		met[p.State]++
	}
}
