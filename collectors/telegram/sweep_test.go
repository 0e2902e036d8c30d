package telegram

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
)

// TestSweep guards asking for posts by number: what is there comes, what is not is
// said to be absent beside it, and what cannot be read is alone in an answer.
func TestSweep(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for range 200 {
		ch.Post("post")
	}
	ch.Delete(50, 60)
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	ids := []int{3, 60, 199, 3, 500, 150, 50}
	all := walk(t, c, "telegram:@harbour", Wish{IDs: ids}, nil)
	if len(all) != 2 || !slices.Equal(idsIn(t, all), []int{199, 150, 3}) {
		t.Fatalf("%d captures, %v", len(all), idsIn(t, all))
	}
	h, _ := all[1].posts(t)
	if fmt.Sprint(h["absent"]) != "[500 60 50]" || fmt.Sprint(h["asked"]) != "[500 199 150 60 50 3]" || h["method"] != "channels.getMessages" || h["pts"] == nil {
		t.Errorf("head %v", h)
	}

	// Where another Task has found the channel its name is not asked for.
	known, ok := Known(all[0].Next.Cursor)
	if id, found := ChannelOf(known); !ok || !found || id != 1234 {
		t.Fatalf("%s, %d", known, id)
	}
	asked := s.Asked("contacts.resolveUsername")
	opts, _ := json.Marshal(Wish{IDs: ids})
	a, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour", Options: opts, Cursor: known}, &collectorstest.Keeper{})
	if err != nil || a.Next != nil || a.Outcome != collectors.Complete || s.Asked("contacts.resolveUsername") != asked {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour", Cursor: known}, &collectorstest.Keeper{})
	if err != nil || a.Next == nil || len(a.Next.Cursor) == 0 {
		t.Errorf("a history from a known channel: %+v, %v", a, err)
	}

	for _, bad := range [][]int{{150}, {199, 3}, {500}, {199, 150, 3}} {
		for _, id := range bad {
			if id != 500 {
				ch.Corrupt(id)
			}
		}
		got, alone := walk(t, c, "telegram:@harbour", Wish{IDs: ids}, nil), []int{}
		for _, s := range got[1:] {
			if h, posts := s.posts(t); h["unread"] != nil && len(posts) == 0 && len(h["asked"].([]any)) == 1 {
				alone = append(alone, int(h["asked"].([]any)[0].(float64)))
			}
		}
		if len(alone)+len(idsIn(t, got)) != 3 || slices.ContainsFunc(bad, func(id int) bool { return id != 500 && !slices.Contains(alone, id) }) {
			t.Errorf("unreadable %v: alone %v, read %v in %d captures", bad, alone, idsIn(t, got), len(got))
		}
	}
}

// TestDownTo: a history that is wanted from the newest down to an id ends with the
// page that has it.
func TestDownTo(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for range 450 {
		ch.Post("post")
	}
	ch.Delete(230)
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	for to, last := range map[int]int{230: 150, 450: 351, 351: 351, 350: 251, 9000: 351} {
		if got := idsIn(t, walk(t, c, "telegram:@harbour", Wish{DownTo: to}, nil)); got[len(got)-1] > min(to, last+1) || got[len(got)-1] < last-1 {
			t.Errorf("down to %d: %d posts, %d…%d", to, len(got), got[0], got[len(got)-1])
		}
	}
	for _, bad := range []Wish{{IDs: []int{0}}, {IDs: []int{-1}}, {IDs: make([]int, 101)}, {IDs: []int{1}, Limit: 1}, {IDs: []int{1}, DownTo: 1}, {DownTo: -1}} {
		opts, _ := json.Marshal(bad)
		if a, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour", Options: opts}, &collectorstest.Keeper{}); !errors.Is(err, collectors.ErrRefused) || a != nil {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
