package web

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/hashing"
)

// readCommands checks head and end of a log, and gives its commands.
func readCommands(t *testing.T, b []byte) (list []command, end commandsEnd) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	var head commandsHead
	if json.Unmarshal([]byte(lines[0]), &head); head.Kind != "commands" || head.Version != 1 || head.Browser == "" {
		t.Fatalf("head %s", lines[0])
	}
	for _, l := range lines[1 : len(lines)-1] {
		var c command
		if err := json.Unmarshal([]byte(l), &c); err != nil || c.Kind != "command" || c.Sent == "" {
			t.Fatalf("%s: %v", l, err)
		}
		list = append(list, c)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Kind != "end" || end.Listed != len(list) {
		t.Fatalf("end %s, %d commands: %v", lines[len(lines)-1], len(list), err)
	}
	return list, end
}

// overheard keeps a copy of what goes to the browser.
type overheard struct {
	io.WriteCloser
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.all.Write(p)
	o.mu.Unlock()
	return o.WriteCloser.Write(p)
}

// TestCommandLog: what went over the pipe to the browser for a capture is what its log
// has, command by command, also what somebody had the page do by hand; and nothing of
// another capture's.
func TestCommandLog(t *testing.T) {
	var c *Collector
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/by-hand.js" {
			onlyTab(c).session.tell(proto.RuntimeEvaluate{Expression: "document.body.append('never served')"})
			onlyTab(c).session.tell(proto.RuntimeEvaluate{Expression: "1", ContextID: 999_999})
			return
		}
		io.WriteString(w, "<title>a page</title><p>served <script src=/by-hand.js></script>")
	}), nil)
	c = newCollector(t, Options{})
	if _, err := c.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/first", AllowPrivate: true})
	first, _ := readCommands(t, object(t, a, k, commandsName))
	o := &overheard{WriteCloser: c.browser.out}
	c.browser.link.mu.Lock()
	c.browser.out = o
	c.browser.link.mu.Unlock()
	a, k = collect(t, c, collectors.Request{Source: "http://" + s.addr + "/second", AllowPrivate: true})
	list, end := readCommands(t, object(t, a, k, commandsName))
	if end.Unlisted != 0 || a.Outcome != collectors.Complete {
		t.Errorf("end %+v, %s %v", end, a.Outcome, a.Reasons)
	}
	begun := slices.IndexFunc(list, func(c command) bool { return c.Method == "Target.createBrowserContext" })
	if begun < 2 || list[0].Method != "Browser.getVersion" || list[0].Answered == "" {
		t.Fatalf("the log begins with %+v", list[:min(3, len(list))])
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := strings.Split(strings.TrimSuffix(o.all.String(), "\x00"), "\x00")
	if len(sent) != len(list)-begun {
		t.Errorf("%d commands went out, %d are in the log", len(sent), len(list)-begun)
	}
	var hand, wrong, dom int
	for i, c := range list[begun:] {
		var m struct {
			ID        int
			SessionID string
			Method    string
			Params    json.RawMessage
		}
		if err := json.Unmarshal([]byte(sent[i]), &m); err != nil {
			t.Fatal(err)
		}
		if m.ID != c.Number || m.Method != c.Method || m.SessionID != c.Session || c.Params != nil && string(m.Params) != string(c.Params) {
			t.Errorf("sent %s\nlogged %+v", sent[i], c)
		}
		p := string(c.Params)
		switch {
		case strings.Contains(p, "never served"):
			hand++
		case strings.Contains(p, "999999") && c.Error != "":
			wrong++
		case strings.Contains(p, "getHTML"):
			dom++
		}
	}
	if hand != 1 || wrong != 1 || dom != 1 {
		t.Errorf("by hand %d, refused %d, DOM %d: %+v", hand, wrong, dom, list)
	}
	if slices.ContainsFunc(list, func(c command) bool { return strings.Contains(string(c.Params), "/first") }) {
		t.Error("it has another capture's commands")
	}
	if !slices.ContainsFunc(first, func(c command) bool {
		return c.Method == "Page.navigate" && strings.Contains(string(c.Params), "/first")
	}) {
		t.Errorf("the first capture's log: %+v", first)
	}
	// How one notices: what the page shows beyond what was received, and that only the
	// log tells of.
	if !bytes.Contains(object(t, a, k, "dom.html"), []byte("never served")) || bytes.Contains(object(t, a, k, "source.html"), []byte("never served")) {
		t.Error("the edit is not in the DOM, or is in the source")
	}
}

// TestCommandLogIsBounded: beyond its bounds commands are counted, long parameters are a
// digest, those that give access are nowhere.
func TestCommandLogIsBounded(t *testing.T) {
	l := &commandLog{}
	long, secret := []byte(`{"expression":"`+strings.Repeat("x", maxParams)+`"}`), []byte(`{"cookies":[{"value":"hunter2"}]}`)
	l.sent(1, "s", "Runtime.evaluate", long)
	l.sent(2, "", "Storage.setCookies", secret)
	last := l.sent(3, "s", "Page.enable", []byte("{}"))
	for i := range maxCommands {
		l.sent(4+i, "s", "Page.handleJavaScriptDialog", []byte(`{"accept":true}`))
	}
	l.answered(last, []byte(`{"id":3,"error":{"code":-1,"message":"`+strings.Repeat("é", maxError)+`"}}`))
	dir := t.TempDir()
	f, err := l.save(dir, "Chrome/1", &commandLog{})
	if err != nil {
		t.Fatal(err)
	}
	l.answered(l.list[4], []byte(`{"id":5,"result":{}}`)) // too late to be in it
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	list, end := readCommands(t, b)
	if len(list) != maxCommands || end.Unlisted != 3 || end.Methods["Page.handleJavaScriptDialog"] != 3 {
		t.Errorf("%d listed, end %+v", len(list), end)
	}
	if c := list[0]; c.Params != nil || c.Digest != hashing.Of(long).String() || c.Size != len(long) {
		t.Errorf("long: %+v", c)
	}
	if c := list[1]; !c.Secret || c.Params != nil || c.Digest != "" || bytes.Contains(b, []byte("hunter2")) {
		t.Errorf("secret: %+v", c)
	}
	if c := list[2]; len(c.Error) > maxError || !strings.HasPrefix(c.Error, "é") || c.Answered == "" {
		t.Errorf("error: %+v", c)
	}
	if list[4].Answered != "" {
		t.Error("a closed log was changed")
	}
	if int64(len(b)) > maxCommands*400 {
		t.Errorf("%d bytes", len(b))
	}
}

// TestProgram: what is named is what runs, not the script that starts it, with the
// switches that it runs with; extensions are told of.
func TestProgram(t *testing.T) {
	s := serve(t, article(), nil)
	real := find()
	if v := os.Getenv("HOLDFAST_BROWSER"); v != "" {
		real = v
	}
	script := filepath.Join(t.TempDir(), "launcher")
	// Not exec: the launcher stays, and is not the browser.
	os.WriteFile(script, []byte(fmt.Sprintf("#!/bin/sh\n%s --added-by-launcher --load-extension=/nowhere/extension \"$@\"\n", real)), 0o700)
	c := newCollector(t, Options{Browser: script})
	a, _ := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	at, _, err := runs(c.browser.cmd.Process.Pid, c.browser.dir)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink(at + "/exe")
	if err != nil {
		t.Fatal(err)
	}
	if isShell(exe) || !strings.Contains(filepath.Base(exe), "chrom") {
		t.Errorf("the program is taken to be %s", exe)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, bufio.NewReader(f)); err != nil {
		t.Fatal(err)
	}
	if got := a.Collection.BrowserDigest.Hex(); got != fmt.Sprintf("%x", h.Sum(nil)) {
		t.Errorf("digest %s, %s has %x", got, exe, h.Sum(nil))
	}
	notes := strings.Join(a.Collection.Notes, "\n")
	if !slices.Contains(a.Collection.Flags, "--added-by-launcher") || !slices.Contains(a.Collection.Flags, "--disable-quic") ||
		!strings.Contains(notes, "launcher on this machine added switches: ") || !strings.Contains(notes, "--added-by-launcher") || !strings.Contains(notes, "started with extensions") {
		t.Errorf("flags %q\nnotes %s", a.Collection.Flags, notes)
	}
	if all := strings.Join(append(a.Collection.Flags, a.Collection.Notes...), " "); strings.Contains(all, c.work.path) || strings.Contains(all, c.cas.pin) {
		t.Errorf("paths or keys of this machine: %s", all)
	}
	if len(c.known.known) != 1 {
		t.Errorf("%d digests are known", len(c.known.known))
	}
}

// TestPristine: a page that keeps something in every place that a browser has for it
// finds nothing of it in the next capture.
func TestPristine(t *testing.T) {
	page := `<!doctype html><body><img src=/hold><script>
(async()=>{const out=[];
out.push('cookie:'+document.cookie);out.push('local:'+localStorage.getItem('k'));out.push('session:'+sessionStorage.getItem('k'));
out.push('caches:'+(window.caches?(await caches.keys()).join():''));
const db=await new Promise((y,n)=>{const r=indexedDB.open('d',1);r.onupgradeneeded=()=>r.result.createObjectStore('s');r.onsuccess=()=>y(r.result);r.onerror=n});
const got=await new Promise(y=>{const r=db.transaction('s').objectStore('s').get('k');r.onsuccess=()=>y(r.result)});
out.push('db:'+got);out.push('length:'+history.length);out.push('name:'+window.name);
document.cookie='k=planted;max-age=9999';localStorage.setItem('k','planted');sessionStorage.setItem('k','planted');window.name='planted';
if(window.caches)await (await caches.open('planted')).put('/x',new Response('planted'));
await new Promise(y=>{const t=db.transaction('s','readwrite');t.objectStore('s').put('planted','k');t.oncomplete=y});
await fetch('/cached');document.body.append(out.join(' | '));await fetch('/done')})()</script>`
	var mu sync.Mutex
	cached, done := 0, make(chan bool, 2)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cached":
			mu.Lock()
			cached++
			mu.Unlock()
			w.Header().Set("Cache-Control", "public, max-age=99999")
		case "/done":
			done <- true
		case "/hold": // the page is not loaded before it has looked everywhere
			select {
			case <-done:
			case <-time.After(15 * time.Second):
			}
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
	}), nil)
	c := newCollector(t, Options{})
	for i := range 2 {
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
		text := string(object(t, a, k, "text.txt"))
		if !strings.Contains(text, "db:undefined") || strings.Contains(text, "planted") {
			t.Errorf("capture %d found %q", i+1, text)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if cached != 2 {
		t.Errorf("asked %d times of 2: the cache is not empty", cached)
	}
}
