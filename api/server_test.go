package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/api/apitest"
	"holdfast/catalog"
	"holdfast/hashing"
)

// world is a node that knows one Case and nothing else.
type world struct {
	token  Token
	text   string
	mu     sync.Mutex // a Server's callers may come at once
	calls  []Call
	failed error
	hold   chan struct{} // a Bundle waits for it
}

const home = holdfast.ID("00112233445566778899aabbccddeeff")

func newWorld(scopes ...string) *world {
	w := &world{token: Token{Name: "desk", Scopes: scopes, Cases: []holdfast.ID{home}}}
	w.text = w.token.Mint()
	return w
}

func (w *world) Token(_ context.Context, text string, now time.Time) (Token, error) {
	return TokenList{w.token}.Open(text, now)
}

func (w *world) Case(_ context.Context, name string) (holdfast.ID, error) {
	if name == "c" || name == string(home) {
		return home, nil
	}
	return "", catalog.ErrNotFound
}

func (w *world) Called(_ context.Context, c Call) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, c)
	return w.failed
}

func (w *world) Ask(_ context.Context, _ Token, id, home holdfast.ID, a Ask) (Asked, bool, error) {
	return Asked{ID: id, At: holdfast.At(time.Now()), CaseID: home, Notes: []string{}, Tasks: []Task{}, Captures: []Capture{}}, true, nil
}
func (w *world) Asked(_ context.Context, _ Token, id holdfast.ID) (Asked, error) {
	return Asked{}, Missing("ask")
}
func (w *world) Open(context.Context, Token) ([]Asked, error) { return nil, errors.New("secret path") }
func (w *world) Captures(context.Context, Token, Query) ([]Capture, error) {
	return nil, errors.New("secret path")
}
func (w *world) Capture(context.Context, Token, holdfast.ID) (Capture, error) {
	return Capture{}, errors.New("secret path")
}
func (w *world) Manifest(context.Context, Token, holdfast.ID, string) ([]byte, error) {
	return nil, errors.New("secret path")
}
func (w *world) Object(context.Context, Token, holdfast.ID, string, string) (holdfast.Object, io.ReadCloser, error) {
	return holdfast.Object{}, nil, errors.New("secret path")
}
func (w *world) AddWatches(context.Context, Token, WatchAsk) (WatchesAdded, error) {
	return WatchesAdded{}, errors.New("secret path")
}
func (w *world) ChangeWatches(context.Context, Token, WatchChange) (WatchesChanged, error) {
	return WatchesChanged{}, errors.New("secret path")
}
func (w *world) Watches(context.Context, Token) (Watches, error) {
	return Watches{}, errors.New("secret path")
}
func (w *world) Bundle(ctx context.Context, _ Token, _ BundleAsk) (*os.File, hashing.Digest, Summary, error) {
	if w.hold != nil {
		<-w.hold
	}
	return nil, hashing.Digest{}, Summary{}, errors.New("secret path")
}

func (w *world) server() *Server {
	return New(Options{Tokens: w, Cases: w, Custody: w, Asks: w, Captures: w, Objects: w, Watches: w, Bundles: w})
}

// TestFileIsTrue guards the contract against the code: each route is in the file and
// each of the file is there; each member of what is sent and answered likewise; what a
// node cannot do, is too busy for, and what comes too slowly is answered as described.
func TestFileIsTrue(t *testing.T) {
	spec := apitest.New(t, openAPI)
	w := newWorld(Scopes()...)
	s := w.server()
	s.stall = 200 * time.Millisecond
	if got := s.routes(); !slices.Equal(got, spec.Routes()) {
		t.Errorf("the server has\n%q, the file\n%q", got, spec.Routes())
	}
	for name, v := range map[string]any{"Ask": Ask{}, "Asked": Asked{}, "Task": Task{}, "Capture": Capture{}, "Page": Page{}, "Watch": Watch{}, "Problem": Problem{}} {
		if got, want := members(v), spec.Members(t, name); !slices.Equal(got, want) {
			t.Errorf("%s has %q, the file %q", name, got, want)
		}
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	do := func(method, path, body string) *http.Response {
		t.Helper()
		r := send(t, srv.URL, method, path, w.text, body)
		spec.Check(t, false, r.Request, []byte(body), r)
		return r
	}
	for _, route := range spec.Routes() { // what fails inside says nothing of the inside
		method, path, _ := strings.Cut(route, " ")
		if path == "/v1/openapi.yaml" || path == "/v1/asks/{id}" || route == "POST /v1/captures" {
			continue
		}
		path = strings.NewReplacer("{id}", string(home), "{name}", "dom.html").Replace(path)
		if path == "/v1/bundle" {
			path += "?case=c"
		}
		body := `{"watches":[{"source":"telegram:@name"}]}`
		if path == "/v1/watches/changes" {
			body = `{"change":"remove","sources":["telegram:@name"],"why":"closed"}`
		}
		r := do(method, path, body)
		b, _ := io.ReadAll(r.Body)
		if r.StatusCode != 500 || strings.Contains(string(b), "secret") {
			t.Errorf("%s: %d %s", route, r.StatusCode, b)
		}
	}
	w.failed = errors.New("disk full") // what Custody cannot be told of is not done
	if r := do("POST", "/v1/captures", `{"sources":["https://example.org/"]}`); r.StatusCode != 500 {
		t.Errorf("without a line of custody: %d", r.StatusCode)
	}
	w.failed = nil
	for _, path := range []string{"/v1/captures", "/v1/watches", "/v1/watches/changes"} {
		spec.Check(t, false, request(t, srv.URL, "POST", path), nil, slow(t, srv, "POST", path, w.text))
	}
	w.hold = make(chan struct{})
	for range exports {
		go func() {
			if r, err := http.DefaultClient.Do(with(request(t, srv.URL, "GET", "/v1/bundle?case=c"), w.text)); err == nil {
				r.Body.Close()
			}
		}()
	}
	for len(s.bundles) < exports {
		time.Sleep(time.Millisecond)
	}
	if r := do("GET", "/v1/bundle?case=c", ""); r.StatusCode != 503 {
		t.Errorf("a third bundle at once: %d", r.StatusCode)
	}
	close(w.hold)
}

func members(v any) (all []string) {
	t := reflect.TypeOf(v)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func request(t *testing.T, base, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func with(r *http.Request, token string) *http.Request {
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func send(t *testing.T, base, method, path, token, body string) *http.Response {
	t.Helper()
	r := with(request(t, base, method, path), token)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	if method == "GET" {
		r.Body, r.ContentLength = nil, 0
	}
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { got.Body.Close() })
	got.Request = r
	return got
}

// slow sends the head of a call and a part of its body, and no more.
func slow(t *testing.T, srv *httptest.Server, method, path, token string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", method, path, token)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("a slow body: %v", err)
	}
	if r.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a slow body: %d", r.StatusCode)
	}
	return r
}

// bigWorld is a node whose Bundle is larger than what any line holds unread.
type bigWorld struct {
	*world
	file string
}

func (w bigWorld) Bundle(context.Context, Token, BundleAsk) (*os.File, hashing.Digest, Summary, error) {
	f, err := os.Open(w.file)
	return f, hashing.Digest{}, Summary{Bytes: 64 << 20}, err
}

// TestStandsStill guards the node against who asks for a Bundle and does not read it:
// its connection, and its turn, are taken back.
func TestStandsStill(t *testing.T) {
	w := bigWorld{newWorld(ScopeExport), t.TempDir() + "/big"}
	if err := os.WriteFile(w.file, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Tokens: w, Cases: w, Custody: w, Asks: w, Captures: w, Watches: w, Bundles: w})
	s.stall = 300 * time.Millisecond
	srv := httptest.NewServer(s)
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/bundle?case=c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", w.text)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	for until := time.Now().Add(20 * time.Second); len(s.bundles) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it still has its turn")
		}
	}
}

// TestStrangers guards the door: who has no good token gets nothing and leaves no line
// in Custody; who has one is kept to its scope, Cases and bounds, and each refusal is a
// line.
func TestStrangers(t *testing.T) {
	full := newWorld(ScopeCapture)
	id, secret, _ := split(full.text)
	other := "0" + secret[1:]
	if other == secret {
		other = "1" + secret[1:]
	}
	past := holdfast.At(time.Now().Add(-time.Minute))
	big := strings.Repeat(" ", MaxBody) + "{}"
	for name, k := range map[string]struct {
		method, path, body string
		change             func(*http.Request, *world)
		status             int
		code, refused      string // refused: what Custody says; "-": it is told nothing
	}{
		"no token": {change: func(r *http.Request, _ *world) { r.Header.Del("Authorization") }, status: 401, code: codeToken, refused: "-"},
		"basic":    {change: func(r *http.Request, w *world) { r.SetBasicAuth("desk", w.text) }, status: 401, code: codeToken, refused: "-"},
		"cookie": {change: func(r *http.Request, w *world) {
			r.Header.Del("Authorization")
			r.AddCookie(&http.Cookie{Name: "token", Value: w.text})
		}, status: 401, code: codeToken, refused: "-"},
		"two tokens":    {change: func(r *http.Request, w *world) { r.Header.Add("Authorization", "Bearer "+w.text) }, status: 401, code: codeToken, refused: "-"},
		"other secret":  {change: func(r *http.Request, _ *world) { with(r, tokenPrefix+id+"_"+other) }, status: 401, code: codeToken, refused: "-"},
		"no such id":    {change: func(r *http.Request, _ *world) { with(r, tokenPrefix+"000000000000_"+secret) }, status: 401, code: codeToken, refused: "-"},
		"the hash":      {change: func(r *http.Request, w *world) { with(r, tokenPrefix+id+"_"+w.token.Hash.Hex()) }, status: 401, code: codeToken, refused: "-"},
		"revoked":       {change: func(_ *http.Request, w *world) { w.token.Revoked = &past }, status: 401, code: codeEnded, refused: "-"},
		"expired":       {change: func(_ *http.Request, w *world) { w.token.Until = &past }, status: 401, code: codeEnded, refused: "-"},
		"in the query":  {path: "/v1/captures?token=" + full.text, status: 400, code: codeQuery, refused: "-"},
		"as a value":    {path: "/v1/captures?case=" + full.text, status: 400, code: codeQuery, refused: "-"},
		"wrong scope":   {method: "GET", path: "/v1/watches", status: 403, code: codeScope, refused: codeScope},
		"scope of read": {method: "GET", path: "/v1/captures/" + string(home), status: 403, code: codeScope, refused: codeScope},
		"wrong case":    {body: `{"sources":["https://a.example/"],"case":"d"}`, status: 403, code: codeCase, refused: codeCase},
		"private":       {body: `{"sources":["https://a.example/"],"allow_private":true}`, status: 403, code: codeCase, refused: codeCase},
		"a session":     {body: `{"sources":["https://a.example/"],"session":"reader"}`, status: 403, code: codeCase, refused: codeCase},
		"no session":    {body: `{"sources":["https://a.example/"],"session":"none"}`, status: 403, code: codeCase, refused: codeCase},
		"oversized":     {body: big, status: 413, code: codeLarge, refused: codeLarge},
		"oversized, in pieces": {change: func(r *http.Request, _ *world) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(big)), -1 },
			status: 413, code: codeLarge, refused: codeLarge},
		"a form":       {change: func(r *http.Request, _ *world) { r.Header.Set("Content-Type", "text/plain") }, status: 415, code: codeType, refused: codeType},
		"unknown":      {body: `{"sources":["https://a.example/"],"never_keep":"/etc/passwd"}`, status: 400, code: codeBad, refused: codeBad},
		"two objects":  {body: `{"sources":["https://a.example/"]} {}`, status: 400, code: codeBad, refused: codeBad},
		"no sources":   {body: `{"sources":[]}`, status: 422, code: codeRefused, refused: codeRefused},
		"long key":     {change: func(r *http.Request, _ *world) { r.Header.Set("Idempotency-Key", strings.Repeat("k", maxKey+1)) }, status: 400, code: codeBad, refused: codeBad},
		"a method":     {method: "PUT", status: 405, code: codeMethod, refused: "-"},
		"head":         {method: "HEAD", path: "/v1/bundle?case=c", status: 405, refused: "-"},
		"a query":      {method: "GET", path: "/v1/asks?case=c", status: 400, code: codeBad, refused: codeBad},
		"path, up":     {method: "GET", path: "/v1/asks/../captures", status: 404, code: codeMissing, refused: "-"},
		"path, hidden": {method: "GET", path: "/v1/asks/..%2fcaptures", status: 404, code: codeMissing, refused: "-"},
		"path, twice":  {method: "GET", path: "//v1/asks", status: 404, code: codeMissing, refused: "-"},
		"path, end":    {method: "GET", path: "/v1/asks/", status: 404, code: codeMissing, refused: "-"},
		"no id":        {method: "GET", path: "/v1/asks/..", status: 404, code: codeMissing, refused: "-"},
		"bad id":       {method: "GET", path: "/v1/asks/AA112233445566778899aabbccddeeff", status: 404, code: codeMissing, refused: codeMissing},
		"well":         {status: 202},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{token: full.token, text: full.text, failed: full.failed, hold: full.hold}
			srv := httptest.NewServer(w.server())
			defer srv.Close()
			if k.method == "" {
				k.method = "POST"
			}
			if k.path == "" {
				k.path = "/v1/captures"
			}
			if k.body == "" {
				k.body = `{"sources":["https://a.example/"]}`
			}
			r := with(request(t, srv.URL, k.method, "/"), w.text)
			r.URL.Opaque = "//" + r.URL.Host + k.path // as it is written
			if k.method == "POST" {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(k.body)), int64(len(k.body))
			}
			if k.change != nil {
				k.change(r, w)
			}
			got, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			b, _ := io.ReadAll(got.Body)
			if got.StatusCode != k.status || k.code != "" && !strings.Contains(string(b), `"urn:holdfast:`+k.code+`"`) || got.Header.Get("Set-Cookie") != "" {
				t.Errorf("%d %s, want %d %s", got.StatusCode, b, k.status, k.code)
			}
			if strings.Contains(string(b), secret) {
				t.Errorf("the answer has the secret: %s", b)
			}
			switch {
			case k.refused == "-" && len(w.calls) > 0, k.refused != "-" && (len(w.calls) != 1 || w.calls[0].Refused != k.refused || w.calls[0].Who.ID != id):
				t.Errorf("Custody was told %+v", w.calls)
			}
		})
	}
}

// TestOften guards the bound of each token: what comes too often is not told in
// Custody, which it would fill, and other tokens go on.
func TestOften(t *testing.T) {
	w := newWorld(ScopeCapture)
	s := w.server()
	count := map[int]int{}
	for range burst + 20 {
		r := with(httptest.NewRequest("POST", "/v1/captures", strings.NewReader(`{"sources":["https://a.example/"]}`)), w.text)
		out := httptest.NewRecorder()
		s.ServeHTTP(out, r)
		if count[out.Code]++; out.Code == 429 && out.Header().Get("Retry-After") != "1" {
			t.Errorf("429 without a pause: %v", out.Header())
		}
	}
	if count[202] < burst || count[429] == 0 || len(w.calls) != count[202] {
		t.Errorf("%v, %d lines", count, len(w.calls))
	}
	first := w.text
	w.token.Name = "other"
	w.text = w.token.Mint()
	for text, want := range map[string]int{first: 401, w.text: 202} {
		out := httptest.NewRecorder()
		s.ServeHTTP(out, with(httptest.NewRequest("POST", "/v1/captures", strings.NewReader(`{"sources":["https://a.example/"]}`)), text))
		if out.Code != want {
			t.Errorf("%d, want %d", out.Code, want)
		}
	}
}

// TestTokens guards the list: a name once, an end that ends, the secret nowhere.
func TestTokens(t *testing.T) {
	now := time.Now()
	file := t.TempDir() + "/tokens.json"
	a := Token{Name: "a", Scopes: []string{ScopeRead}, Cases: []holdfast.ID{home}, Added: holdfast.At(now)}
	text := a.Mint()
	l, err := TokenList(nil).Add(a, now)
	if err != nil || l.Write(file) != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	_, secret, ok := split(text)
	if err != nil || !ok || strings.Contains(string(raw), secret) {
		t.Fatalf("the file: %v\n%s", err, raw)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if l, err = ReadTokens(file); err != nil {
		t.Fatal(err)
	}
	if k, err := l.Open(text, now); err != nil || k.Name != "a" || !k.May(ScopeRead) || k.May(ScopeExport) || !k.For(home) {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := l.Add(Token{Name: "a"}, now); err == nil {
		t.Error("two tokens of one name")
	}
	if gone := l.Revoke("a", now); len(gone) != 1 {
		t.Errorf("revoked %v", gone)
	}
	if _, err := l.Open(text, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if l, err = l.Add(Token{Name: "a"}, now); err != nil || len(l.Revoke("a", now)) != 1 {
		t.Errorf("the name of one that is revoked: %v", err)
	}
	for _, bad := range []string{"", text[:len(text)-1], text + "0", strings.ToUpper(text), "hft__" + secret, strings.Replace(text, "_", "-", 2)} {
		if _, err := l.Open(bad, now); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestUses guards that a token uses the sessions that it was made for, and no other.
func TestUses(t *testing.T) {
	k := Token{Sessions: []string{"reader"}}
	for session, want := range map[string]bool{"": true, "reader": true, "Reader": false, "read": false, "other": false, "*": false} {
		if k.Uses(session) != want || session != "" && (Token{}).Uses(session) {
			t.Errorf("session %q: %v", session, !want)
		}
	}
}
