package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/pipeline"
	"holdfast/tme"
)

// capturedPage is a capture of a page of t.me's shape.
func capturedPage(t *testing.T, fixture, final, verdict, outcome string) *pipeline.Captured {
	t.Helper()
	b, err := os.ReadFile("../../tme/testdata/" + fixture)
	if err != nil {
		t.Fatal(err)
	}
	c := &pipeline.Captured{Inline: map[string][]byte{"source.html": b, "text.txt": []byte("x")}}
	m := &c.Manifest
	m.Started = holdfast.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	m.Source = holdfast.Source(final)
	m.Completeness.Outcome = outcome
	m.Web = &holdfast.Web{Asked: "https://host.invalid/", Final: canon.Text(final)}
	m.Collection.Server = &holdfast.Server{}
	if verdict != "" {
		m.Collection.Server.TLS = &holdfast.TLS{Verdict: verdict}
	}
	return c
}

// TestPublicPage guards which captures say something of a channel's posts: those of
// the service's own hosts, over a certificate that verified, and no other; and that
// the catalog reads what is derived of them.
func TestPublicPage(t *testing.T) {
	const channel = "https://t.me/s/Harbour_news"
	w := &webNormaliser{log: slog.New(slog.DiscardHandler)}
	site := publicSite{tme.Base, tme.Hosts()}
	w.site = func() (publicSite, error) { return site, nil }
	for _, c := range []struct{ name, fixture, final, verdict, outcome, object string }{
		{"a channel", "channel.html", channel, "ok", "complete", "posts.jsonl"},
		{"of an incomplete capture", "channel.html", channel, "ok", "partial", "posts.jsonl"},
		{"the other host", "post.html", "https://telegram.me/harbour_news/102?embed=1", "ok", "complete", "posts.jsonl"},
		{"a missing post", "missing.html", "https://t.me/harbour_news/9?embed=1", "ok", "complete", "missing.json"},
		{"another host", "channel.html", "https://host.invalid/s/Harbour_news", "ok", "complete", ""},
		{"a host that is named so", "channel.html", "https://t.me.host.invalid/s/Harbour_news", "ok", "complete", ""},
		{"missing at another host", "missing.html", "https://host.invalid/harbour_news/9?embed=1", "ok", "complete", ""},
		{"without TLS", "channel.html", "http://t.me/s/Harbour_news", "", "complete", ""},
		{"an answer without TLS", "channel.html", channel, "", "complete", ""},
		{"a certificate that does not verify", "channel.html", channel, "x509: certificate signed by unknown authority", "partial", ""},
		{"an error of the site", "channel.html", channel, "ok", "failed", ""},
		{"another channel's page", "channel.html", "https://t.me/s/other_channel", "ok", "complete", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := w.Normalise(t.Context(), capturedPage(t, c.fixture, c.final, c.verdict, c.outcome))
			if err != nil {
				t.Fatal(err)
			}
			var got []pipeline.DerivedObject
			for _, o := range d.Objects {
				if o.Name != "page.json" {
					got = append(got, o)
				}
			}
			switch {
			case c.object == "" && len(got) == 0:
			case len(got) != 1 || got[0].Name != c.object:
				t.Errorf("derived %v, want %q", got, c.object)
			case len(d.Transformations) != 2 || d.Transformations[1].Output != c.object || d.Transformations[1].Inputs[0] != "source.html":
				t.Errorf("it does not say what it was made from: %+v", d.Transformations)
			case c.object == "posts.jsonl":
				a, err := catalog.ParseAnswer(got[0].Bytes)
				if err != nil || a.How != catalog.HowWeb || a.Channel != "1001234567" || a.Names[0] != "harbour_news" || a.Received.String() != "2026-03-01T08:00:00.000Z" {
					t.Errorf("the catalog reads %+v, %v", a, err)
				}
			}
		})
	}
	if _, ok, err := site.page(channel, true, func() (io.ReadCloser, error) { return panicking{}, nil }); !ok || !errors.Is(err, tme.ErrPage) {
		t.Errorf("a panic: %v, %v", ok, err)
	}
	// Who tests has a site of his own, and says so.
	site.hosts = append(tme.Hosts(), "127.0.0.1:4443")
	if d, err := w.Normalise(t.Context(), capturedPage(t, "channel.html", "https://127.0.0.1:4443/s/harbour_news", "ok", "complete")); err != nil || len(d.Objects) != 2 {
		t.Errorf("the host that was named: %+v, %v", d, err)
	}
	// What is cut says nothing, and the Page stays.
	c := capturedPage(t, "channel.html", channel, "ok", "partial")
	c.Inline["source.html"] = c.Inline["source.html"][:5000]
	if d, err := w.Normalise(t.Context(), c); err != nil || len(d.Objects) != 1 || d.Objects[0].Name != "page.json" {
		t.Errorf("of a cut page: %+v, %v", d, err)
	}
}

// TestPublicSite guards what may stand in for t.me.
func TestPublicSite(t *testing.T) {
	n := &node{dir: t.TempDir()}
	for s, want := range map[string]string{"": tme.Base, "https://127.0.0.1:4443": "https://127.0.0.1:4443", "https://Host.invalid:443/": "https://host.invalid"} {
		t.Setenv("HOLDFAST_TELEGRAM_WEB", s)
		if got, err := n.publicSite(); err != nil || got.base != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	t.Setenv("HOLDFAST_TELEGRAM_WEB", "")
	t.Setenv("HOLDFAST_TELEGRAM_SERVERS", "/other.json")
	if got, err := n.publicSite(); err != nil || got.base != "" {
		t.Errorf("another service has the pages of this one: %+v, %v", got, err)
	}
	for _, s := range []string{"http://127.0.0.1:4443", "127.0.0.1", "https://u@host.invalid", "https://host.invalid/s", "https://host.invalid?x=1"} {
		t.Setenv("HOLDFAST_TELEGRAM_WEB", s)
		if got, err := n.publicSite(); err == nil {
			t.Errorf("%q is taken: %+v", s, got)
		}
	}
}

// TestPublicScope guards that a Case whose scope is a channel takes its public pages
// and nobody else's.
func TestPublicScope(t *testing.T) {
	r := catalog.Record{Sources: []string{"telegram:@harbour_news", "telegram:@other_news/7", "host.invalid"}}
	for s, inside := range map[string]bool{
		"telegram:@harbour_news": true, "telegram:@harbour_news/7": true, "telegram:@other_news": false, "telegram:@harbour_news2": false,
		"https://t.me/s/Harbour_news?before=9": true, "https://t.me/harbour_news/7?embed=1": true, "https://t.me/other_news/7?embed=1": true,
		"https://t.me/other_news/8?embed=1": false, "https://t.me/s/other_news": false, "https://t.me/s/third_news": false, "https://t.me/": false,
		"http://t.me/s/harbour_news": false, "https://t.me.host.invalid/s/harbour_news": false, "https://host.invalid/x": true,
	} {
		if why := outsideSource(r, s); (why == "") != inside {
			t.Errorf("%s: inside %v, want %v: %s", s, why == "", inside, why)
		}
	}
}

// TestPublicWalk guards where a walk ends, and that it always does.
func TestPublicWalk(t *testing.T) {
	t.Setenv("HOLDFAST_TELEGRAM_WEB", "")
	page := func(before int64, ids ...int64) *tme.Page {
		p := &tme.Page{At: tme.Address{Channel: "harbour_news", Before: before}, Channel: "1"}
		for _, id := range ids {
			p.Posts = append(p.Posts, tme.Post{ID: id, Posted: fmt.Sprintf("2026-01-%02dT00:00:00.000Z", id)})
		}
		return p
	}
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		page *tme.Page
		walk *pageWalk
		next string // its source and options, or a reason's code
	}{
		"on":               {page(0, 8, 9), &pageWalk{}, `https://t.me/s/harbour_news?before=8 {"page":{"alone":true,"walk":{}}}`},
		"so many more":     {page(20, 8, 9), &pageWalk{Left: 3}, `https://t.me/s/harbour_news?before=8 {"page":{"alone":true,"walk":{"left":1}}}`},
		"so many, no more": {page(20, 8, 9), &pageWalk{Left: 2}, ""},
		"not old enough":   {page(20, 8, 9), &pageWalk{Since: day(8)}, `https://t.me/s/harbour_news?before=8 {"page":{"alone":true,"walk":{"since":"2026-01-08T00:00:00Z"}}}`},
		"old enough":       {page(20, 7, 9), &pageWalk{Since: day(8)}, ""},
		"the first post":   {page(20, 1, 2), &pageWalk{}, ""},
		"an empty page":    {page(20), &pageWalk{}, ""},
		"nothing asked":    {page(20, 8), nil, ""},
		"no way down":      {page(8, 8, 9), &pageWalk{}, "no-progress"},
		"up again":         {page(8, 9), &pageWalk{}, "no-progress"},
	} {
		a := &collectors.Acquired{Outcome: collectors.Complete}
		if err := (publicPages{n: &node{dir: t.TempDir()}}).walk(a, c.page, &pageWish{Alone: true, Walk: c.walk}); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range a.Further {
			got += f.Source + " " + string(f.Options)
		}
		for _, r := range a.Reasons {
			got += r.Code
		}
		if got != c.next {
			t.Errorf("%s: %s, want %s", name, got, c.next)
		}
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a page that breaks its reader") }
func (panicking) Close() error             { return nil }
