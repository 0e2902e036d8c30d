package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/api"
	"holdfast/api/apitest"
	"holdfast/catalog"
	"holdfast/cmd/internal/spool"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// doorWorld is a node with its door open, whose pages come from a stand-in.
type doorWorld struct {
	t    *testing.T
	n    *node
	door *apiDoor
	srv  *httptest.Server
	spec *apitest.Spec
	asks atomic.Int64 // pages that were asked for
}

func newDoorWorld(t *testing.T) *doorWorld {
	t.Helper()
	_, n := roundNode(t)
	w := &doorWorld{t: t, n: n}
	loop := newCollectLoop(n)
	loop.r.by = only(collects(func(source string) (*collectors.Acquired, error) {
		w.asks.Add(1)
		now := time.Now()
		page, asked := []byte("<p>a page"), []byte("Cookie: secret")
		a := &collectors.Acquired{Started: now, Ended: now, Outcome: collectors.Complete, Objects: []collectors.Object{
			{Name: nameDOM, Role: "dom", MediaType: "text/html", Size: int64(len(page)), Digest: hashing.Of(page), Inline: page},
			{Name: "requests.warc.gz", Role: "requests", MediaType: "application/warc", Restricted: true, Size: int64(len(asked)), Digest: hashing.Of(asked), Inline: asked}}}
		if strings.Contains(source, "gone") {
			a.Outcome, a.Reasons = collectors.Failed, []collectors.Reason{{Code: "http-status", Detail: "404"}}
		}
		return a, nil
	}))
	loop.r.names.age = 100 * time.Millisecond
	spool, err := spool.Open(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- loop.run(ctx) }()
	go func() { done <- n.work(ctx) }()
	w.door = &apiDoor{n: n, signs: loop.signs(true), spool: spool}
	w.srv = httptest.NewServer(api.New(api.Options{Tokens: w.door, Cases: w.door, Custody: w.door, Asks: w.door, Captures: w.door, Objects: w.door, Watches: w.door, Bundles: w.door, Log: n.log, Stop: ctx.Done()}))
	t.Cleanup(func() {
		w.srv.Close()
		stop()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		spool.Close()
	})
	r, err := http.Get(w.srv.URL + "/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	file, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	w.spec = apitest.New(t, file)
	w.spec.Check(t, true, r.Request, nil, r)
	return w
}

// token makes one, by the command's own way to it.
func (w *doorWorld) token(name string, scopes []string, cases ...holdfast.ID) (string, api.Token) {
	w.t.Helper()
	k := api.Token{Name: name, Agent: holdfast.Agent{Pseudonym: name, Office: "elsewhere"}, Scopes: scopes, Cases: cases, Added: holdfast.At(time.Now())}
	text := k.Mint()
	err := w.n.changeTokens(w.t.Context(), func(l api.TokenList) (api.TokenList, error) { return l.Add(k, time.Now()) })
	if err != nil {
		w.t.Fatal(err)
	}
	return text, k
}

// do makes a call, holds it against the file, and reads the answer into out.
func (w *doorWorld) do(status int, method, path, token, key string, in, out any) *http.Response {
	w.t.Helper()
	var body []byte
	switch v := in.(type) {
	case nil:
	case string:
		body = []byte(v)
	default:
		var err error
		if body, err = json.Marshal(v); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, w.srv.URL+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if tag, ok := out.(ifNoneMatch); ok {
		r.Header.Set("If-None-Match", string(tag))
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	w.spec.Check(w.t, status < 300 || status == 422, r, body, got)
	b, err := io.ReadAll(got.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if got.StatusCode != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, got.StatusCode, status, b)
	}
	if _, told := out.(*api.Problem); told || out != nil && status < 300 {
		if err := json.Unmarshal(b, out); err != nil {
			w.t.Fatal(err)
		}
	}
	return got
}

// ifNoneMatch is what the caller has.
type ifNoneMatch string

// until asks for an ask until all of it is sealed.
func (w *doorWorld) until(id holdfast.ID, token string) (a api.Asked) {
	w.t.Helper()
	for range 300 {
		w.do(200, "GET", "/v1/asks/"+string(id), token, "", nil, &a)
		if a.Done && len(a.Captures) > 0 && !slices.ContainsFunc(a.Captures, func(c api.Capture) bool { return c.State != catalog.Sealed }) {
			return a
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("not sealed: %+v", a)
	return a
}

// TestDoorIsAsItSays guards the contract with a real node: each answer that the file
// describes is made to come, and is as described. What only a broken or a busy node
// answers is in package api's own test.
func TestDoorIsAsItSays(t *testing.T) {
	w := newDoorWorld(t)
	one, err := w.n.caseNamed(t.Context(), "one")
	two, err2 := w.n.caseNamed(t.Context(), "two")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	all := api.Scopes()[:4]
	text, _ := w.token("desk", all, one)
	none, _ := w.token("none", []string{api.ScopeRestricted}, one)
	other, _ := w.token("other", all, two)
	wide, _ := w.token("wide", all, one, two)

	ask := api.Ask{Sources: []string{"https://a.example/", "https://a.example/gone"}, Case: "one", Note: "because", Timeout: 5}
	var a api.Asked
	w.do(202, "POST", "/v1/captures", text, "k", ask, &a)
	w.do(200, "POST", "/v1/captures", text, "k", ask, &a)
	ask.Note = "other"
	w.do(422, "POST", "/v1/captures", text, "k", ask, nil)
	a = w.until(a.ID, text)
	if len(a.Captures) != 2 || w.asks.Load() != 2 {
		t.Fatalf("one ask, %d captures of %d pages: %+v", len(a.Captures), w.asks.Load(), a)
	}
	slices.SortFunc(a.Captures, func(x, y api.Capture) int { return strings.Compare(string(x.Source), string(y.Source)) }) // both in one millisecond, perhaps
	if got := a.Captures[1]; got.Outcome != "failed" || !slices.Equal(got.Reasons, []string{"http-status: 404"}) {
		t.Errorf("what failed: %+v", got)
	}
	id := a.Captures[0].ID
	var open struct{ Asks []api.Asked }
	w.do(200, "GET", "/v1/asks", text, "", nil, &open)
	if len(open.Asks) != 0 {
		t.Errorf("not done: %+v", open)
	}
	tag := w.do(200, "GET", "/v1/asks/"+string(a.ID), text, "", nil, nil).Header.Get("ETag")
	w.do(304, "GET", "/v1/asks/"+string(a.ID)+"?wait=0", text, "", nil, ifNoneMatch(tag))
	var k api.Capture
	tag = w.do(200, "GET", "/v1/captures/"+string(id), text, "", nil, &k).Header.Get("ETag")
	w.do(304, "GET", "/v1/captures/"+string(id)+"?wait=1", text, "", nil, ifNoneMatch(tag))
	if k.State != catalog.Sealed || k.NotAfter == nil {
		t.Errorf("%+v", k)
	}
	var m struct {
		Found holdfast.Found
		Agent holdfast.Agent
	}
	w.do(200, "GET", "/v1/captures/"+string(id)+"/manifest?why=look", text, "", nil, &m)
	if m.Found != (holdfast.Found{How: "api ask " + string(a.ID), Why: "because"}) || m.Agent.Pseudonym != "desk" {
		t.Errorf("the Manifest says %+v", m)
	}
	var first, rest api.Page
	w.do(200, "GET", "/v1/captures?limit=1&state=sealed&case=one", text, "", nil, &first)
	w.do(200, "GET", "/v1/captures?limit=1000&after="+first.Next, text, "", nil, &rest)
	if len(first.Captures) != 1 || len(rest.Captures) != 1 || rest.Next != "" || first.Captures[0].ID == rest.Captures[0].ID {
		t.Errorf("pages %+v, %+v", first, rest)
	}
	watch := api.WatchAsk{Watches: []api.Watch{{Source: "telegram:@harbour", Cases: []string{"one"}, Note: "n", Media: "none"}}}
	w.do(200, "POST", "/v1/watches", text, "", watch, nil)
	var ws api.Watches
	w.do(200, "GET", "/v1/watches", text, "", nil, &ws)
	if len(ws.Watches) != 1 || strings.Contains(string(ws.Watches[0]), `"account"`) {
		t.Errorf("watches %s", ws.Watches)
	}
	objects := "/v1/captures/" + string(id) + "/objects/"
	got := w.do(200, "GET", objects+nameDOM+"?why=look", text, "", nil, nil)
	if got.Header.Get("Content-Type") != "application/octet-stream" || got.ContentLength != 9 {
		t.Errorf("a page's document goes out as %v", got.Header)
	}
	w.do(403, "GET", objects+"requests.warc.gz", text, "", nil, nil)
	trusted, _ := w.token("trusted", api.Scopes(), one)
	w.do(200, "GET", objects+"requests.warc.gz", trusted, "", nil, nil)
	w.do(404, "GET", objects+"nothing", text, "", nil, nil)
	w.do(404, "GET", objects+nameDOM, other, "", nil, nil)
	reads, _ := w.token("reads", []string{api.ScopeRead}, one)
	w.do(403, "GET", objects+nameDOM, reads, "", nil, nil)
	bundle := w.do(200, "GET", "/v1/bundle?case=one", text, "", nil, nil)
	if bundle.Header.Get("Content-Type") != "application/zip" {
		t.Errorf("%v", bundle.Header)
	}

	// What is refused.
	far := "/v1/captures/" + strings.Repeat("0", 32)
	for path, methods := range map[string][]string{"/v1/captures": {"GET", "POST"}, "/v1/asks": {"GET"}, "/v1/asks/" + string(a.ID): {"GET"}, "/v1/captures/" + string(id): {"GET"},
		"/v1/captures/" + string(id) + "/manifest": {"GET"}, objects + nameDOM: {"GET"}, "/v1/watches": {"GET", "POST"}, "/v1/watches/changes": {"POST"}, "/v1/bundle?case=one": {"GET"}} {
		for _, method := range methods {
			w.do(401, method, path, "", "", nil, nil)
			w.do(403, method, path, none, "", nil, nil)
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			w.do(400, method, path+sep+"token=x", text, "", nil, nil)
		}
	}
	w.do(400, "GET", "/v1/openapi.yaml?token=x", "", "", nil, nil)
	for _, path := range []string{"/v1/captures", "/v1/watches", "/v1/watches/changes"} {
		w.do(413, "POST", path, text, "", strings.Repeat(" ", api.MaxBody+1), nil)
		w.do(400, "POST", path, text, "", "{", nil)
		r, _ := http.NewRequest("POST", w.srv.URL+path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+text)
		got, err := http.DefaultClient.Do(r)
		if err != nil || got.StatusCode != 415 {
			t.Fatalf("no type: %v, %v", got, err)
		}
		w.spec.Check(t, false, r, []byte("{}"), got)
		got.Body.Close()
	}
	w.do(422, "POST", "/v1/captures", text, "", api.Ask{Sources: []string{"https://10.1.2.3/"}}, nil)
	w.do(422, "POST", "/v1/captures", text, "", api.Ask{Sources: []string{"https://a.example/"}, Via: "socks5://10.0.0.1:1"}, nil)
	w.do(422, "POST", "/v1/captures", text, "", api.Ask{Sources: []string{"https://a.example/"}, Via: "nowhere"}, nil)
	w.do(422, "POST", "/v1/watches", text, "", api.WatchAsk{Watches: []api.Watch{{Source: "https://a.example/"}}}, nil)
	change := func(status int, token, what, why string, sources ...string) {
		t.Helper()
		w.do(status, "POST", "/v1/watches/changes", token, "", api.WatchChange{Change: what, Sources: sources, Why: why}, nil)
	}
	change(200, text, api.WatchPause, "", "telegram:@harbour")
	change(200, text, api.WatchResume, "", "telegram:@harbour")
	w.do(404, "POST", "/v1/watches/changes", text, "", api.WatchChange{Change: api.WatchPause, Sources: []string{"https://a.example/"}}, nil) // a page, and none that is watched
	for _, refused := range [][]string{{api.WatchPause, "x", "ftp://a.example/"}, {api.WatchRemove, " ", "telegram:@harbour"}} {
		change(422, text, refused[0], refused[1], refused[2:]...)
	}
	change(404, text, api.WatchPause, "", "telegram:@harbour", "telegram:@nobody_has")
	change(404, other, api.WatchRemove, "why", "telegram:@harbour") // another Case's is as if it were not there
	w.do(422, "GET", "/v1/bundle?case=two", other, "", nil, nil)
	w.do(404, "GET", far, text, "", nil, nil)
	w.do(404, "GET", "/v1/bundle?capture="+string(id), other, "", nil, nil)

	// Another Case is as if it were not there.
	for _, path := range []string{"/v1/captures/" + string(id), "/v1/captures/" + string(id) + "/manifest", "/v1/asks/" + string(a.ID)} {
		w.do(404, "GET", path, other, "", nil, nil)
	}
	w.do(404, "GET", "/v1/asks/"+string(a.ID), wide, "", nil, nil) // another token's
	w.do(403, "GET", "/v1/captures?case=one", other, "", nil, nil)
	w.do(403, "GET", "/v1/captures?case=nothing", other, "", nil, nil)
	w.do(403, "GET", "/v1/bundle?case=one", other, "", nil, nil)
	var page api.Page
	if w.do(200, "GET", "/v1/captures", other, "", nil, &page); len(page.Captures) != 0 {
		t.Errorf("the other Case sees %+v", page)
	}
	w.do(200, "GET", "/v1/watches", other, "", nil, &ws)
	if len(ws.Watches) != 0 {
		t.Errorf("the other Case sees %s", ws.Watches)
	}
	w.do(200, "POST", "/v1/watches", other, "", api.WatchAsk{Watches: []api.Watch{{Source: "telegram:@harbour"}}}, nil)
	w.do(403, "POST", "/v1/watches", other, "", api.WatchAsk{Watches: []api.Watch{{Source: "telegram:@harbour", Note: "mine"}}}, nil)
	change(403, other, api.WatchRemove, "why", "telegram:@harbour") // it is the other Case's too
	change(403, text, api.WatchPause, "", "telegram:@harbour")
	change(200, wide, api.WatchPause, "", "telegram:@harbour")
	change(200, wide, api.WatchRemove, "why", "telegram:@harbour")
	w.do(200, "GET", "/v1/watches", wide, "", nil, &ws)
	if len(ws.Watches) != 0 {
		t.Errorf("what was ended is watched: %s", ws.Watches)
	}
	// A watch has an end of Cases, and the answer names it.
	var many []holdfast.ID
	for i := range maxWatchCases + 1 {
		id, err := w.n.caseNamed(t.Context(), fmt.Sprintf("many%d", i))
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, id)
	}
	hoard, _ := w.token("hoard", all, many...)
	row := api.Watch{Source: "telegram:@hoarded"}
	for _, id := range many[:maxWatchCases] {
		row.Cases = append(row.Cases, string(id))
	}
	w.do(200, "POST", "/v1/watches", hoard, "", api.WatchAsk{Watches: []api.Watch{row}}, nil)
	row.Cases = []string{string(many[maxWatchCases])}
	var p api.Problem
	w.do(422, "POST", "/v1/watches", hoard, "", api.WatchAsk{Watches: []api.Watch{row}}, &p)
	if !strings.Contains(p.Detail, fmt.Sprintf("at most %d", maxWatchCases)) {
		t.Errorf("too many cases: %+v", p)
	}
	// What was added is seen, without the name of its home.
	if out, errs, code := call("case", "add", "two", string(id), "--data", w.n.dir); code != 0 {
		t.Fatalf("case add: %d %s%s", code, out, errs)
	}
	if w.do(200, "GET", "/v1/captures/"+string(id), other, "", nil, &k); k.Case != "" || k.ID != id {
		t.Errorf("added: %+v", k)
	}
	w.do(403, "GET", "/v1/bundle?capture="+string(id), other, "", nil, nil)
	w.do(200, "GET", "/v1/bundle?case=two", other, "", nil, nil)

	w.often(text, id, a.ID)
	if unseen := w.spec.Unseen("500", "408", "503"); len(unseen) > 0 {
		t.Errorf("described, and never seen: %q", unseen)
	}
	w.lines(one, []string{"POST /v1/captures", "GET /v1/asks/{id}", "GET /v1/captures/{id}", "GET /v1/captures/{id}/manifest", "GET /v1/captures/{id}/objects/{name}", "GET /v1/captures", "GET /v1/asks", "POST /v1/watches", "GET /v1/watches", "POST /v1/watches/changes", "GET /v1/bundle"})
}

// often makes each call too often.
func (w *doorWorld) often(text string, capture, ask holdfast.ID) {
	for _, k := range [][2]string{{"GET", "/v1/captures"}, {"POST", "/v1/captures"}, {"GET", "/v1/asks"}, {"GET", "/v1/asks/" + string(ask)}, {"GET", "/v1/captures/" + string(capture)},
		{"GET", "/v1/captures/" + string(capture) + "/manifest"}, {"GET", "/v1/captures/" + string(capture) + "/objects/" + nameDOM}, {"GET", "/v1/watches"}, {"POST", "/v1/watches"}, {"POST", "/v1/watches/changes"}, {"GET", "/v1/bundle?case=one"}} {
		for range 1000 {
			r, err := http.NewRequest(k[0], w.srv.URL+k[1], nil)
			if err != nil {
				w.t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+text)
			q := r.URL.Query()
			q.Set("x", "y") // 400 in no time, until it is too often
			r.URL.RawQuery = q.Encode()
			got, err := http.DefaultClient.Do(r)
			if err != nil {
				w.t.Fatal(err)
			}
			w.spec.Check(w.t, false, r, nil, got)
			got.Body.Close()
			if got.StatusCode == http.StatusTooManyRequests {
				break
			}
		}
	}
}

// lines guards that each call is in the Custody of its Case, under the token's Agent,
// and that no line holds a secret.
func (w *doorWorld) lines(home holdfast.ID, want []string) {
	w.t.Helper()
	seen, actions := map[string]bool{}, map[string]bool{}
	err := w.n.outbox.Lines(home, func(b []byte, _ holdfast.Head) error {
		var l struct {
			Action string
			Agent  holdfast.Agent
			X      struct{ Call, Token, Refused string }
		}
		if err := json.Unmarshal(b, &l); err != nil {
			return err
		}
		if l.Agent.Office == "elsewhere" {
			actions[l.Action] = true
		}
		if l.Action == "called" && l.X.Refused == "" {
			seen[l.X.Call] = true
			if l.Agent.Office != "elsewhere" || len(l.X.Token) != 12 {
				return fmt.Errorf("a call as %+v: %s", l.Agent, b)
			}
		}
		if bytes.Contains(b, []byte("hft_")) {
			return fmt.Errorf("a token: %s", b)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
	for _, k := range want {
		if !seen[k] {
			w.t.Errorf("no line tells of %s: %v", k, seen)
		}
	}
	for _, k := range []string{"accessed", "exporting", "exported", "watch-added", "watch-paused", "watch-resumed", "watch-removed", "collected"} {
		if !actions[k] {
			w.t.Errorf("no line %s under the token's Agent: %v", k, actions)
		}
	}
}

// TestAskedAgain guards promise 1 for what is asked for over the network: a crash at
// each point between the ask's file and its mark, and the same ask twice at once, give
// the same Tasks once; one that is done is not done again, and a Task that got a new
// ID is still known.
func TestAskedAgain(t *testing.T) {
	_, n := roundNode(t)
	ctx := t.Context()
	d := &apiDoor{n: n, signs: &collectSigns{n: n}}
	who := api.Token{ID: "0123456789ab", Cases: []holdfast.ID{n.set.Unfiled}}
	a := api.Ask{Sources: []string{"https://a.example/", "https://b.example/"}}
	id := api.AskID(who.ID, "k")
	askNow := func() api.Asked {
		t.Helper()
		got, _, err := d.Ask(ctx, who, id, n.set.Unfiled, a)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	both := make(chan api.Asked)
	for range 2 {
		go func() {
			got, _, err := d.Ask(ctx, who, id, n.set.Unfiled, a)
			if err != nil {
				t.Error(err)
			}
			both <- got
		}()
	}
	one, two := <-both, <-both
	if one.Tasks[0].ID != two.Tasks[0].ID || len(tasksLeft(t, n)) != 2 {
		t.Fatalf("twice at once: %+v, %+v, %d tasks", one, two, len(tasksLeft(t, n)))
	}
	mark := askFiles(n.path(dirAsks)).name(who.ID, id, ".added")
	if err := os.Remove(mark); err != nil { // killed before it
		t.Fatal(err)
	}
	if askNow(); len(tasksLeft(t, n)) != 2 {
		t.Errorf("%d tasks", len(tasksLeft(t, n)))
	}
	if err := os.Remove(mark); err != nil { // killed before the Tasks
		t.Fatal(err)
	}
	for _, k := range tasksLeft(t, n) {
		k, err := n.takeToDrop(ctx, k.ID)
		if err == nil {
			_, err = n.queue.Publish(ctx, k.Finish())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := askNow(); len(tasksLeft(t, n)) != 2 || got.Tasks[0].ID != one.Tasks[0].ID {
		t.Errorf("%d tasks, %+v", len(tasksLeft(t, n)), got)
	}
	if ager, ok := n.queue.(interface{ AgeTasks(context.Context) error }); ok {
		if err := ager.AgeTasks(ctx); err != nil {
			t.Fatal(err)
		}
		ts, err := n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{one.Tasks[0].ID}, Lease: time.Minute})
		if err != nil || len(ts) != 1 || ts[0].ID == one.Tasks[0].ID {
			t.Fatalf("taken %+v, %v", ts, err)
		}
		if got := askNow(); got.Done || got.Tasks[0].State != api.TaskHeld {
			t.Errorf("under a new ID: %+v", got.Tasks)
		}
	}
	for _, k := range tasksLeft(t, n) {
		_ = n.queue.Renew(ctx, k, time.Millisecond)
		time.Sleep(10 * time.Millisecond)
		if k, err := n.takeToDrop(ctx, k.ID); err == nil {
			_, _ = n.queue.Publish(ctx, k.Finish())
		}
	}
	if got := askNow(); len(tasksLeft(t, n)) != 0 || !got.Done {
		t.Errorf("done, and asked again: %d tasks, %+v", len(tasksLeft(t, n)), got)
	}
	if left, _ := filepath.Glob(filepath.Join(n.path(dirAsks), who.ID, "*")); len(left) != 2 {
		t.Errorf("files %q", left)
	}
}
