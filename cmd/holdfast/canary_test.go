package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// TestCanarySight: what counts as seen of each act, and what does not.
func TestCanarySight(t *testing.T) {
	token := string(holdfast.NewID())
	digest := func(text string) hashing.Digest { return hashing.Of([]byte(text)) }
	first := catalog.Version{Text: digest(telegram.CanaryText(token, 1)), First: catalog.Sight{How: catalog.HowDifference, Capture: "1"}}
	second := catalog.Version{Text: digest(telegram.CanaryText(token, 2)), First: catalog.Sight{How: catalog.HowSweep, Capture: "2"}}
	web := first
	web.First.How = catalog.HowWeb
	gone := &catalog.Sight{How: catalog.HowDifference, Capture: "3"}
	for name, d := range map[string]struct {
		p    catalog.Post
		what string
		want string
	}{
		"posted":                {catalog.Post{Versions: []catalog.Version{first}}, actPost, "1"},
		"posted, on a page":     {catalog.Post{Versions: []catalog.Version{web}}, actPost, ""},
		"posted, other text":    {catalog.Post{Versions: []catalog.Version{{Text: digest("x")}}}, actPost, ""},
		"posted, edit alone":    {catalog.Post{Versions: []catalog.Version{second}}, actPost, ""},
		"edited":                {catalog.Post{Versions: []catalog.Version{first, second}}, actEdit, "2"},
		"edited, not seen":      {catalog.Post{Versions: []catalog.Version{first}}, actEdit, ""},
		"deleted":               {catalog.Post{State: catalog.Absent, Gone: gone, Versions: []catalog.Version{first}}, actDelete, "3"},
		"deleted, not reliable": {catalog.Post{State: catalog.Unknown, Gone: gone}, actDelete, ""},
		"deleted, not seen":     {catalog.Post{State: catalog.Edited, Versions: []catalog.Version{first, second}}, actDelete, ""},
	} {
		got := ""
		if s := canarySight(d.p, d.what, token); s != nil {
			got = string(s.Capture)
		}
		if got != d.want {
			t.Errorf("%s: %q, want %q", name, got, d.want)
		}
	}
}

// TestCanaryCounts: what was not done is no act; what was seen too late is not seen;
// the middle and the longest delays count from the service's answer.
func TestCanaryCounts(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	act := func(what string, accepted, sealed time.Duration) *canaryAct {
		a := &canaryAct{what: what, id: 7, answered: at}
		if accepted > 0 {
			a.sight, a.accepted = &catalog.Sight{}, at.Add(accepted)
		}
		if sealed > 0 {
			a.sealed = at.Add(sealed)
		}
		a.judge(time.Minute)
		return a
	}
	refused := &canaryAct{what: actEdit, id: 8, result: canaryRefused, said: "CHAT_ADMIN_REQUIRED"}
	refused.judge(time.Minute)
	l := lastOf("telegram:@own", []*canaryAct{act(actPost, time.Second, 2*time.Second), act(actEdit, 3*time.Second, 0), act(actDelete, 61*time.Second, 62*time.Second), act(actEdit, 0, 0), refused}, time.Minute)
	if l.Made != 4 || l.Seen != 2 || !slices.Equal(l.Missed, []string{"delete of post 7 (late)", "edit of post 7 (missed)"}) || *l.Accepted != (spread{3000, 61000}) || *l.Sealed != (spread{2000, 62000}) {
		t.Errorf("%+v, %v, %v", l, l.Accepted, l.Sealed)
	}
	if !strings.Contains(l.finding(), "2 of 4 acts") || l.row()["recall"] != 0.5 {
		t.Errorf("%q, %v", l.finding(), l.row())
	}
	none := lastOf("telegram:@own", []*canaryAct{refused}, time.Minute)
	if none.Made != 0 || none.finding() != "" || none.row()["recall"] != nil || none.Accepted != nil {
		t.Errorf("%+v", none)
	}
}

// TestCanaryLeft: what is looked for after a crash follows from the lines alone: what
// was to be posted, and of which no line says that it is gone; of this channel, and of
// any Case of the watch.
func TestCanaryLeft(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	x := &canaryRun{n: n, account: "c1", canaryPlace: canaryPlace{source: "telegram:@own", channel: "1001", home: n.set.Unfiled, cases: []holdfast.ID{n.set.Unfiled}}}
	will := func(token string, acts ...string) {
		t.Helper()
		for _, a := range acts {
			if err := x.will(t.Context(), a, 0, token, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	measured := func(token string, acts ...*canaryAct) {
		t.Helper()
		for _, a := range acts {
			a.token = token
		}
		if _, err := x.measuredLine(t.Context(), acts); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	will("whole", actPost, actEdit, actDelete)
	measured("whole", &canaryAct{what: actPost, answered: now}, &canaryAct{what: actDelete, answered: now, result: canaryMissed})
	will("refused", actPost)
	measured("refused", &canaryAct{what: actPost, result: canaryRefused})
	will("killed", actPost)
	will("killed at the edit", actPost, actEdit, actDelete)
	will("not deleted", actPost, actDelete)
	measured("not deleted", &canaryAct{what: actPost, answered: now}, &canaryAct{what: actDelete, result: canaryRefused})
	will("unclear", actPost)
	measured("unclear", &canaryAct{what: actPost, result: canaryUnclear})
	will("cleaned", actPost)
	if _, err := x.line(t.Context(), canaryCleaned, "", nil, canaryCleanedX{"c1", "1001", []int{}, x.source, "cleaned"}); err != nil {
		t.Fatal(err)
	}
	x.channel = "1002"
	will("elsewhere", actPost)
	x.channel = "1001"
	if _, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: n.set.Unfiled, Action: "noted", Agent: n.set.Agent, Why: `"canary-writing"`}); err != nil {
		t.Fatal(err)
	}
	left, err := n.canaryLeft(x.canaryPlace)
	var tokens []string
	for token, at := range left {
		tokens = append(tokens, token)
		if at.Sub(now).Abs() > time.Hour {
			t.Errorf("%s: %s", token, at)
		}
	}
	slices.Sort(tokens)
	if want := []string{"killed", "killed at the edit", "not deleted", "unclear"}; err != nil || !slices.Equal(tokens, want) {
		t.Errorf("%q, %v; want %q", tokens, err, want)
	}
	last := canaryLast{Source: "telegram:@own", Made: 3, Seen: 3}
	if err := n.keepCanary(last); err != nil {
		t.Fatal(err)
	}
	last.Seen = 2
	if err := n.keepCanary(last); err != nil {
		t.Fatal(err)
	}
	if of := n.canaryLasts(); len(of) != 1 || of["telegram:@own"].Seen != 2 {
		t.Errorf("%+v", of)
	}
}

// TestFollowings: a channel that was joined is told of; of the others each waits for
// all of them, by the service's pause; posts that a history or a sweep has shown first
// measure nothing.
func TestFollowings(t *testing.T) {
	paused := holdfast.At(time.Now())
	account := "a1"
	task := func(follow string) map[string]pipeline.Task {
		at := json.RawMessage(`{"account":"` + account + `","channel":7,"hash":1,"step":1,"follow":` + follow + `}`)
		b, err := json.Marshal(taskCursor{At: at})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]pipeline.Task{partFollow: {Cursor: b}}
	}
	list := []*watch{{ID: "joined"}, {ID: "left"}, {ID: "new"}, {ID: "paused", Paused: &paused}, {ID: "resolving"}, {ID: "elsewhere"}}
	account = "a2"
	elsewhere := task(`{"pts":3,"member":2,"pause":20}`) // waits for none of another account's
	account = "a1"
	of := followings(list, map[holdfast.ID]map[string]pipeline.Task{"elsewhere": elsewhere, "joined": task(`{"pts":3,"member":1,"pause":5}`), "left": task(`{"pts":3,"member":2,"pause":20}`), "new": task(`{"pts":3}`), "paused": task(`{"pts":3,"member":2}`)})
	for id, want := range map[holdfast.ID]struct {
		joined, known bool
		bound         time.Duration
	}{"joined": {true, true, 0}, "left": {false, true, 40 * time.Second}, "new": {false, false, time.Minute}, "resolving": {}, "elsewhere": {false, true, 20 * time.Second}} {
		if f := of[id]; f.Joined != want.joined || f.Known != want.known || f.Bound != want.bound {
			t.Errorf("%s: %+v", id, f)
		}
	}
	at := holdfast.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	for how, want := range map[string]bool{catalog.HowDifference: true, catalog.HowUpdate: true, catalog.HowHistory: false, catalog.HowSweep: false, catalog.HowWeb: false} {
		p := catalog.Post{Versions: []catalog.Version{{Posted: at, First: catalog.Sight{At: holdfast.At(at.Add(1500 * time.Millisecond)), How: how}}, {Posted: at, First: catalog.Sight{How: catalog.HowDifference}}}}
		if d, ok := followedAfter(p); ok != want || ok && d != 1500*time.Millisecond {
			t.Errorf("%s: %s, %t", how, d, ok)
		}
	}
	if _, ok := followedAfter(catalog.Post{}); ok {
		t.Error("a post that was never seen")
	}
}

// TestCanaryAccounts: the accounts of the two kinds are never taken for each other.
func TestCanaryAccounts(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	keep := func(file string, user int64) {
		t.Helper()
		if err := n.accounts.Keep(file, telegram.Options{}.Servers.Service(), &telegram.Login{User: user, Session: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	keep(canaryFile("c1"), 7)
	if names, err := n.accounts.Names(); err != nil || len(names) != 0 {
		t.Errorf("accounts that read: %q, %v", names, err)
	}
	if names, err := n.allSessions(); err != nil || !slices.Equal(names, []string{"c1"}) {
		t.Errorf("all accounts: %q, %v", names, err)
	}
	if a, unlock, err := n.canaryAccount("", telegram.Options{}); err != nil || a.Name != "c1" {
		t.Errorf("the canary's: %v, %v", a, err)
	} else if _, _, err := n.canaryAccount("c1", telegram.Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("in use: %v", err)
	} else {
		unlock()
	}
	keep(accounts.File("a1"), 8)
	for name, says := range map[string]string{"a1": "an account of its own", "c2": "no account c2", "../x": "a-z, 0-9"} {
		if a, _, err := n.canaryAccount(name, telegram.Options{}); a != nil || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want words with %q", name, a, err, says)
		}
	}
	for _, d := range []struct {
		name   string
		canary bool
		ok     bool
	}{{"a1", true, false}, {"c1", false, false}, {"a1", false, true}, {"c1", true, true}, {"n", true, true}} {
		if file, err := n.fileForLogin(d.name, d.canary); (err == nil) != d.ok {
			t.Errorf("log in %s, canary %t: %q, %v", d.name, d.canary, file, err)
		}
	}
	for user, says := range map[int64]string{7: "", 8: "a1", 9: ""} {
		if err := n.notUsedOtherwise(user, true, telegram.Options{}); (err == nil) != (says == "") {
			t.Errorf("user %d as a canary: %v", user, err)
		}
	}
	if err := n.notUsedOtherwise(7, false, telegram.Options{}); err == nil || !strings.Contains(err.Error(), "c1") {
		t.Errorf("the canary's user, to read with: %v", err)
	}
}
