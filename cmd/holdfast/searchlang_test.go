package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/alert"
	"holdfast/alert/rules"
)

// TestSearchLanguage: where a text gives no guess, what a watch says of its channel
// counts, and no other channel's texts; what was guessed stays; and how much nobody
// guessed is said.
func TestSearchLanguage(t *testing.T) {
	_, n := roundNode(t)
	for id, name := range []string{"alpha", "gamma"} {
		acceptPosts(t, n, false, saidPosts(t, time.Now(), map[string]any{"channel": fmt.Sprint(77 + id), "method": "messages.getHistory", "names": []string{name}, "title": "A"},
			saidPost(1, "Порт "+name, 1), saidPost(2, "Пожар в порту, жертвы есть, сообщают очевидцы", 1), saidPost(3, "Порт: пожежа, є жертви і поранені", 1)))
	}
	found := func(args ...string) string {
		t.Helper()
		out, _ := askPosts(t, n, exitDone, append([]string{"--json", "search", "порт*"}, args...)...)
		var all []string
		for line := range strings.Lines(out) {
			var row struct {
				Seen []struct {
					Channel string
					Post    int
				}
				Event     string
				Unguessed int
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			for _, s := range row.Seen {
				all = append(all, fmt.Sprintf("%s/%d", s.Channel, s.Post))
			}
			if row.Event != "" {
				all = append(all, fmt.Sprint(row.Unguessed))
			}
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ want, args string }{
		{"77/2 78/2 2", "--lang ru"}, {"77/3 78/3 2", "--lang UK"}, {"2", "--lang en"},
	} {
		if got := found(strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s: %s, want %s", c.args, got, c.want)
		}
	}
	if _, errs := askPosts(t, n, exitUsage, "search", "порт", "--lang", "ka"); !strings.Contains(errs, "it is one of") {
		t.Errorf("a language of which nobody knows anything: %s", errs)
	}
	askPosts(t, n, exitDone, "watch", "add", "@alpha", "--case", "c", "--lang", "uk-UA")
	askPosts(t, n, exitDone, "watch", "add", "@gamma", "--case", "c", "--lang", "ka")
	for _, c := range []struct{ want, args string }{
		{"77/2 78/2 2", "--lang ru"}, {"77/3 78/3 77/1 2", "--lang uk"}, {"78/1 2", "--lang ka"}, {"78/3 2", "--lang uk --source @gamma"},
	} {
		if got := found(strings.Fields(c.args)...); got != c.want && got != strings.Replace(c.want, "77/3 78/3 77/1", "77/1 77/3 78/3", 1) {
			t.Errorf("watched, %s: %s, want %s", c.args, got, c.want)
		}
	}
}

// TestSilentWeb: a channel of which only its public pages are known is not silent while
// they show new posts.
func TestSilentWeb(t *testing.T) {
	_, n := roundNode(t)
	p := saidPost(1, "new", 0)
	p["posted"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	acceptPosts(t, n, false, saidPosts(t, time.Now(), map[string]any{"channel": "77", "method": "web", "names": []string{"alpha"}, "title": "A"}, p))
	if err := n.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent := func(now time.Time) []alert.Event {
		t.Helper()
		events, err := newFinder(n, []*rules.Rule{{Name: "quiet", Silent: "1h", Source: "telegram:@alpha"}}).Silent(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	if got := silent(time.Now().Add(59 * time.Minute)); len(got) != 0 {
		t.Errorf("silent: %+v", got)
	}
	if got := silent(time.Now().Add(2 * time.Hour)); len(got) != 1 || !strings.Contains(got[0].Words, "last at") {
		t.Errorf("not silent: %+v", got)
	}
}
