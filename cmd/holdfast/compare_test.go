package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// comparedRow is what a test looks at of a line of `posts --compare --json`.
type comparedRow struct {
	ID      int
	Result  string
	Fields  []struct{ Field, Result, Record, Page string }
	Record  *struct{ Capture holdfast.ID }
	Page    *struct{ Capture holdfast.ID }
	Missing *struct{ Capture holdfast.ID }
	Custody *struct {
		Case holdfast.ID `json:"case_id"`
		N    int64
	}
	Error string
}

func (r comparedRow) String() string {
	s := fmt.Sprintf("%d %s", r.ID, r.Result)
	for _, f := range r.Fields {
		if f.Result != "equal" {
			s += fmt.Sprintf(" [%s %s %q %q]", f.Field, f.Result, f.Record, f.Page)
		}
	}
	return s
}

func comparedRows(t *testing.T, out string) (rows []comparedRow) {
	t.Helper()
	for line := range strings.Lines(out) {
		var r comparedRow
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// TestComparePosts guards which two views of a post are held against each other,
// what is said of them, and that custody has it once, without what was compared.
func TestComparePosts(t *testing.T) {
	t.Setenv("HOLDFAST_TELEGRAM_SERVERS", "")
	t.Setenv("HOLDFAST_TELEGRAM_WEB", "")
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	give := func(method string, lines ...map[string]any) holdfast.ID {
		at = at.Add(time.Hour)
		return acceptPosts(t, n, false, saidPosts(t, at, map[string]any{"channel": "77", "method": method, "names": []string{"alpha"}}, lines...))
	}
	shown := func(id int, text string, more ...any) map[string]any { // a page's content is another
		p := saidPost(id, text, 0)
		p["content"] = hashing.Of([]byte("page " + text))
		for i := 0; i < len(more); i += 2 {
			p[more[i].(string)] = more[i+1]
		}
		return p
	}
	old := give("messages.getHistory", saidPost(1, "one", 5), saidPost(2, "two", 5), saidPost(3, "three", 5), saidPost(4, "four", 5))
	before := give("web", shown(2, "two"))
	page := give("web", shown(1, "one", "views_shown", "9K"), shown(2, "two, the page says"), shown(3, "three", "edited_mark", true), shown(9, "nine"))
	later := give("channels.getMessages", saidPost(3, "three, edited much later", 5))
	_ = before

	out, _ := askPosts(t, n, exitDone, "posts", "@alpha", "--compare", "--json")
	rows := comparedRows(t, out)
	got := ""
	for _, r := range rows {
		got += r.String() + "\n"
		if r.Record.Capture != old && r.Record.Capture != later || r.Page.Capture != page || r.Custody.N == 0 || r.Custody.Case != n.set.Unfiled {
			t.Errorf("%s is of %v and %v, %v", r, r.Record, r.Page, r.Custody)
		}
	}
	want := `1 equal
2 differs [text differs "two" "two, the page says"]
3 differs [edited differs "" "edited"] [text differs "three, edited much later" "three"]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	lines := func() (all []holdfast.Line) {
		err := n.outbox.Lines(n.set.Unfiled, func(b []byte, _ holdfast.Head) error {
			var l holdfast.Line
			if err := json.Unmarshal(b, &l); err != nil {
				return err
			}
			if l.Action == compared {
				all = append(all, l)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := lines()
	if len(first) != 2 || strings.Contains(fmt.Sprintf("%s", first[0].X), "the page says") || !strings.Contains(string(first[0].X), `"text":"differs"`) || first[0].Objects[0] != string(old) || first[0].Objects[1] != string(page) {
		t.Errorf("custody has %+v", first)
	}
	again, _ := askPosts(t, n, exitDone, "posts", "@alpha", "--compare", "--json")
	if again != out || len(lines()) != 2 {
		t.Errorf("asked again: %d lines, %s", len(lines()), again)
	}
	text, _ := askPosts(t, n, exitDone, "posts", "@alpha", "--compare")
	if !strings.Contains(text, `text: service "two", page "two, the page says"`) {
		t.Errorf("said: %s", text)
	}

	// Of one post: what has one view alone, and a page that says there is none.
	for post, says := range map[int]string{4: "no public page was captured", 9: "on the public page only", 1: "equal"} {
		if text, _ := askPosts(t, n, exitDone, "posts", fmt.Sprintf("@alpha/%d", post), "--compare"); !strings.Contains(text, says) {
			t.Errorf("post %d: %s", post, text)
		}
	}
	askPosts(t, n, exitCould, "posts", "@alpha/8", "--compare")
	askPosts(t, n, exitUsage, "posts", "@alpha", "--compare", "--versions")
	gone := acceptMissing(t, n, "https://t.me/alpha/1?embed=1", at.Add(time.Hour))
	one, _ := askPosts(t, n, exitDone, "posts", "@alpha/1", "--compare", "--json")
	if r := comparedRows(t, one); len(r) != 1 || r[0].Missing == nil || r[0].Missing.Capture != gone || r[0].Result != "equal" {
		t.Errorf("a page without the post: %s", one)
	}
	acceptMissing(t, n, "https://t.me/alpha/2?embed=1", at.Add(-24*time.Hour))
	two, _ := askPosts(t, n, exitDone, "posts", "@alpha/2", "--compare", "--json")
	if r := comparedRows(t, two); len(r) != 1 || r[0].Missing != nil {
		t.Errorf("an older page without the post: %s", two)
	}
}

// acceptMissing takes a capture through intake that says that a post's page had none.
func acceptMissing(t *testing.T, n *node, source holdfast.Source, at time.Time) holdfast.ID {
	t.Helper()
	body := []byte("{}")
	intake := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	a := &collectors.Acquired{Started: at, Ended: at, Outcome: collectors.Complete,
		Objects: []collectors.Object{{Name: "missing.json", Role: roleMissing, MediaType: "application/json", Size: int64(len(body)), Digest: hashing.Of(body), Inline: body}}}
	got, err := intake.Accept(t.Context(), pipeline.Task{ID: holdfast.NewID(), Source: source, Case: n.set.Unfiled}, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}
