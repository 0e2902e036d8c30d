package catalogtest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/search"
)

// answerOf is posts.jsonl of 100 posts of a channel, as long as posts usually are.
func answerOf(b *testing.B, i int) []byte {
	var out bytes.Buffer
	line := func(v any) {
		l, err := canon.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		out.Write(append(l, '\n'))
	}
	at := time.UnixMilli(1.7e12 + int64(i)*1000).UTC().Format("2006-01-02T15:04:05.000Z")
	line(map[string]any{"channel": strconv.Itoa(1_000_000 + i%7), "count": 100, "kind": "posts", "method": "messages.getHistory", "names": []string{fmt.Sprintf("channel%d", i%7)},
		"pts": i, "received": at, "title": "A channel", "training": false, "unread": nil, "version": 1})
	rnd := rand.New(rand.NewPCG(uint64(i), 3))
	for k := range 100 {
		text := sentence(rnd, 40)
		d := hashing.Of([]byte(text))
		line(map[string]any{"content": hashing.Of([]byte(text + "!")), "forwards": k, "id": 1 + i/7*100 + k, "kind": "message", "links": []string{"https://example.org/some/page"}, "posted": at,
			"reactions": k, "text": text, "text_digest": d, "views": 1000 + k})
	}
	return out.Bytes()
}

// sentence is some 300 characters of words that are as often as words are, of 80,000
// in each of four scripts.
func sentence(rnd *rand.Rand, words int) string {
	var b strings.Builder
	letters := [][]rune{[]rune("abcdefghijklmnopqrstuvwxyz"), []rune("абвгдежзиклмнопрстуфхцчшщыэюя"), []rune("ابتثجحخدذرزسشصضطظعغفقكلمنهوي"), []rune("港口发生火灾目击者称没有人受伤海上船只")}[rnd.IntN(4)]
	for range words {
		n := uint64(math.Exp(rnd.Float64() * math.Log(80_000))) // the n-th word comes with 1/n
		word := rand.New(rand.NewPCG(n, uint64(len(letters))))
		for range 2 + word.IntN(9) {
			b.WriteRune(letters[word.IntN(len(letters))])
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// BenchmarkPosts reads and indexes answers of 100 posts each, ten to a batch, made
// durable, by so many at once as index partitions of their own.
func BenchmarkPosts(b *testing.B, c catalog.Catalog, workers int) {
	const answers = 10
	i := 0
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		rounds := make([]posts, workers)
		for w := range rounds {
			rounds[w].batch, _ = Load(i, answers)
			for range rounds[w].batch {
				rounds[w].bodies = append(rounds[w].bodies, answerOf(b, i))
				i++
			}
		}
		from := cpu(b)
		b.StartTimer()
		var g errgroup.Group
		for w := range rounds {
			g.Go(func() error { return rounds[w].index(b.Context(), c) })
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		spent += cpu(b) - from
	}
	b.ReportMetric(float64(i*100)/b.Elapsed().Seconds(), "posts/s")
	b.ReportMetric(float64(i*100)/spent.Seconds(), "posts/cpu-s")
	from := time.Now()
	n := 0
	for _, err := range c.Posts(b.Context(), catalog.PostQuery{Channel: "1000003"}) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/time.Since(from).Seconds(), "listed/s")
}

// posts are answers as they come, not yet read.
type posts struct {
	batch  []catalog.Accepted
	bodies [][]byte
}

func (p posts) index(ctx context.Context, c catalog.Catalog) error {
	for k := range p.batch {
		x, err := catalog.ParseAnswer(p.bodies[k])
		if err != nil {
			return err
		}
		p.batch[k].Answers = []catalog.Answer{x}
	}
	if err := c.Accepted(ctx, p.batch); err != nil {
		return err
	}
	return c.Sync(ctx)
}

// BenchmarkSearch asks 30,000 posts of 300 characters for what is in many of them, in
// few, side by side, begun, and in another script.
func BenchmarkSearch(b *testing.B, c catalog.Catalog) {
	var sample []string
	for i := 0; i < 300; i += 10 {
		batch, _ := Load(i, 10)
		for k := range batch {
			x, err := catalog.ParseAnswer(answerOf(b, i+k))
			if err != nil {
				b.Fatal(err)
			}
			batch[k].Answers = []catalog.Answer{x}
			sample = append(sample, x.Said[0].Text)
		}
		if err := c.Accepted(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	words := strings.Fields(sample[7])
	for _, q := range []string{strings.Fields(sentence(rand.New(rand.NewPCG(1, 3)), 40))[0], words[0], `"` + words[0] + " " + words[1] + `"`, words[0][:4] + "*", words[0] + " -" + words[1], "火灾", "url:example.org"} {
		b.Run(q, func(b *testing.B) {
			p, err := search.Parse(q)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				f, err := c.Search(b.Context(), catalog.TextQuery{Words: p, Limit: 50})
				if err != nil {
					b.Fatal(err)
				}
				n = len(f.Hits)
			}
			b.ReportMetric(float64(n), "hits")
		})
	}
}
