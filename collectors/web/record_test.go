package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// unvisited is a capture whose exchanges are made up: what the recorder and the
// judgement make of them needs no browser.
func unvisited(t *testing.T, address string) *capture {
	t.Helper()
	x := &capture{req: collectors.Request{Source: address, Budget: withDefaults(collectors.Budget{})}, address: address, browser: &browser{begun: &commandLog{}, program: &program{}}, log: &commandLog{},
		started: time.Now(), dir: t.TempDir(), meter: &meter{}, view: &view{}}
	var err error
	if x.rec, err = newRecorder(x.dir, x.started); err != nil {
		t.Fatal(err)
	}
	return x
}

// madeUp is an exchange that is over; the head says status and fields, "" is no answer.
func (x *capture) madeUp(t *testing.T, number int, url, head, body string) *exchange {
	t.Helper()
	e := &exchange{number: number, id: warc.NewID(), method: "GET", url: url, started: time.Now(), peer: &peer{host: "host.test:80"}}
	var err error
	if e.request, err = newSpool(x.dir, nil); err != nil {
		t.Fatal(err)
	}
	e.request.begin([]byte("GET / HTTP/1.1\r\n\r\n"))
	if head != "" {
		if e.response, err = newSpool(x.dir, nil); err != nil {
			t.Fatal(err)
		}
		e.status = 200
		fmt.Sscanf(head, "HTTP/1.1 %d", &e.status)
		for _, line := range strings.Split(head, "\r\n")[1:] {
			if name, value, ok := strings.Cut(line, ": "); ok {
				e.fields = append(e.fields, warc.Field{Name: name, Value: value})
			}
		}
		e.response.begin([]byte(head + "\r\n\r\n"))
		e.response.content([]byte(body))
		if err := e.response.close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.request.close(); err != nil {
		t.Fatal(err)
	}
	return e
}

// taken is what the proxy makes of an exchange whose body is on a list.
func (e *exchange) taken(t *testing.T, s *spool, of string) {
	t.Helper()
	if err := e.takeOut(s, withheld{Of: of, As: "sent", Digest: "sha256:00", List: "list of " + of}); err != nil {
		t.Fatal(err)
	}
}

// over runs the recorder over the exchanges and judges.
func (x *capture) over(t *testing.T, list ...*exchange) (*collectors.Acquired, *collectorstest.Keeper) {
	t.Helper()
	in := make(chan *exchange, len(list))
	for _, e := range list {
		in <- e
	}
	close(in)
	x.rec.run(in)
	if err := x.rec.finish(time.Now(), nil, &wholes{}); err != nil {
		t.Fatal(err)
	}
	k := &collectorstest.Keeper{}
	a, err := x.acquired(context.Background(), k)
	if err != nil {
		t.Fatal(err)
	}
	return a, k
}

// view writes a file that the browser is said to have made.
func (x *capture) shown(t *testing.T, name, role, text string) {
	t.Helper()
	f := file{name: name, role: role, mediaType: "text/plain", path: filepath.Join(x.dir, name)}
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x.view.files = append(x.view.files, f)
}

// Nothing is dropped without a word where a page has more failures than the
// Manifest lists: each body that is on a list has its note, the numbers count
// all, the text goes with the last of them, and the main failure is found.
func TestManyFailures(t *testing.T) {
	const n = 1100
	x := unvisited(t, "http://host.test/main")
	x.shown(t, "text.txt", "text", "words of a listed body")
	x.view.title = "title of a listed body"
	var list []*exchange
	for i := range n {
		kind := "image/png"
		if i == n-1 {
			kind = "text/plain"
		}
		e := x.madeUp(t, i+1, fmt.Sprintf("http://host.test/%d", i), "HTTP/1.1 200 OK\r\nContent-Type: "+kind, "")
		e.withheld = &withheld{Of: "answer", As: "sent", Digest: "sha256:00", List: "list of answer"}
		e.fault = &fault{code: codeNeverKeep, blocked: true, err: errors.New("on a list")}
		list = append(list, e)
	}
	main := x.madeUp(t, n+1, "http://host.test/main", "", "")
	main.fail("connection-closed", errors.New("it hung up"))
	a, k := x.over(t, append(list, main)...)
	if hasObject(a, "text.txt") || strings.Contains(string(object(t, a, k, "page.wacz")), "title of a listed body") {
		t.Error("text or title of a page whose 1,100th body is on a list were kept")
	}
	if !hasReason(a, "connection-closed") || a.Outcome != collectors.Failed {
		t.Errorf("the main failure is lost: %s %v", a.Outcome, a.Reasons)
	}
	if a.Completeness.Blocked != n || len(a.Completeness.Missing) != maxNoted || !a.Completeness.Cut {
		t.Errorf("%d blocked, %d listed, cut %v", a.Completeness.Blocked, len(a.Completeness.Missing), a.Completeness.Cut)
	}
	if s := fmt.Sprint(a.Reasons); !strings.Contains(s, "1100 bodies are on list list of answer") {
		t.Errorf("reasons do not count all: %.300s", s)
	}
	notes := 0
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		if strings.Contains(string(r.block), `"withheld"`) {
			notes++
		}
	}
	if notes != n {
		t.Errorf("%d of %d bodies have a note", notes, n)
	}
}

// A request and its answer that are on two lists are counted for both.
func TestBothListsCounted(t *testing.T) {
	x := unvisited(t, "http://host.test/")
	main := x.madeUp(t, 1, "http://host.test/", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>page")
	echo := x.madeUp(t, 2, "http://host.test/echo", "HTTP/1.1 200 OK\r\nContent-Type: image/png", "body")
	echo.taken(t, echo.request, "request")
	echo.taken(t, echo.response, "answer")
	a, _ := x.over(t, main, echo)
	for _, list := range []string{"1 bodies are on list list of answer", "1 bodies are on list list of request"} {
		if !strings.Contains(fmt.Sprint(a.Reasons), list) {
			t.Errorf("no reason %q: %v", list, a.Reasons)
		}
	}
}

// What a used-up budget refused is in no record: the reason names the budget, of
// the address itself and of what a page asked for.
func TestBudgetNamed(t *testing.T) {
	for _, address := range []string{"http://host.test/main", "http://host.test/next"} {
		x := unvisited(t, address)
		main := x.madeUp(t, 1, "http://host.test/main", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>page")
		refused := &exchange{method: "GET", url: "http://host.test/next", peer: &peer{}, fault: &fault{code: "request-budget", blocked: true, err: errRequests}}
		a, _ := x.over(t, main, refused)
		if !hasReason(a, "request-budget") || hasReason(a, "no-answer") || (a.Outcome == collectors.Failed) != (address == refused.url) {
			t.Errorf("%s: %s %v", address, a.Outcome, a.Reasons)
		}
	}
}

// Whatever a server calls the kind of its answer, the Object has a media type
// that a Manifest takes: `Content-Type: none` lost the whole capture.
func TestMediaType(t *testing.T) {
	for sent, want := range map[string]string{"none": "text/html", "html; charset=x": "text/html", "a/" + strings.Repeat("b", 300): "text/html", "text/plain": "text/plain", "IMAGE/png": "image/png"} {
		x := unvisited(t, "http://host.test/")
		a, _ := x.over(t, x.madeUp(t, 1, "http://host.test/", "HTTP/1.1 200 OK\r\nContent-Type: "+sent, "<html><p>page"))
		for _, o := range a.Objects {
			if o.Role == "source" && o.MediaType != want {
				t.Errorf("%.40q is kept as %.40q, want %s", sent, o.MediaType, want)
			}
		}
	}
}
