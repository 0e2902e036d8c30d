package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/telegrambench"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/telegramtest"
)

// lineTo is a Line to a Telegram of one's own, for the length of a test.
func lineTo(t testing.TB, s *telegramtest.Server) *telegram.Line {
	t.Helper()
	l, at, err := ownLine(t.Context(), telegrambench.Up{File: s.File(), Phone: s.Phone, Code: s.Code})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.end)
	return at
}

// TestBenchTelegram: each figure is there, above nothing, and says what it is of and
// where it was measured.
func TestBenchTelegram(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bench", "telegram", "--messages", "250", "--json"}, nil, &out, &errs); code != 0 {
		t.Fatal(code, errs.String())
	}
	var got []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var f struct {
			Bench, Unit, Against string
			Value, Ratio         float64
		}
		if err := dec.Decode(&f); err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Bench)
		if f.Value <= 0 || f.Ratio <= 0 || f.Against == "" || strings.Contains(f.Unit, "loopback") != (f.Bench == "history" || f.Bench == "pushed" || f.Bench == "watched") {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"answers", "history", "history", "posts", "pushed", "pushed", "watched"}; !slices.Equal(got, want) {
		t.Errorf("figures %v, want %v", got, want)
	}
}

// TestChannelInterrupted: a history whose process ends anywhere, again and again,
// is in the end there whole: each answer once, under the ID of its step, and each
// post.
func TestChannelInterrupted(t *testing.T) {
	w := telegramtest.NewWorld()
	telegrambench.Fill(w, 950)
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close) // behind the Line, for which it would wait
	_, n := roundNode(t)
	by := telegram.NewCollector(telegram.CollectorOptions{Line: lineTo(t, s), Training: true})
	id := addTask(t, n, "telegram:@harbour", taskOptions{})
	rounds := 0
	for ; len(tasksLeft(t, n)) > 0; rounds++ {
		if rounds > 1000 {
			t.Fatal("no end")
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Duration((1+rounds%40)*(1+rounds/200))*time.Millisecond) // longer where the machine is busy
		r := roundOf(n, by)
		r.run(ctx, []wish{{id: id}})
		r.names.end(ctx)
		stop()
		if r.refused != nil {
			t.Fatal(r.refused)
		}
		for _, k := range tasksLeft(t, n) { // what a killed process leaves is free when its lease is over
			if err := n.queue.Renew(t.Context(), k, time.Millisecond); k.Lease.Token > 0 && k.Lease.Until.After(time.Now()) && err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := n.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got, want []holdfast.ID
	for cp, err := range n.cat.Captures(t.Context(), catalog.Query{Kind: holdfast.KindCapture}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, cp.ID)
	}
	for step := range uint64(11) {
		want = append(want, holdfast.CaptureID(id, step, 0))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d captures, want %d", len(got), len(want))
	}
	posts := 0
	for p, err := range n.cat.Posts(t.Context(), catalog.PostQuery{Channel: "1234"}) {
		if err != nil {
			t.Fatal(err)
		}
		if posts++; p.ID != int64(posts) || p.State != catalog.Present || len(p.Versions) != 1 {
			t.Fatalf("post %d: %+v", posts, p)
		}
	}
	if posts != 950 || rounds < 3 {
		t.Errorf("%d posts after %d rounds", posts, rounds)
	}
	t.Logf("%d rounds, asked %d times", rounds, s.Asked("messages.getHistory"))
}
