package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A message of any size costs itself and nothing else: the one behind it is read,
// and no file is left.
func TestLargeMessages(t *testing.T) {
	l := &link{dir: t.TempDir(), most: 3 << 20, pending: map[int]*sentCommand{}, events: map[string]func(string, json.RawMessage){}}
	word := func(n int) string { return strings.Repeat("x", n) }
	stream := fmt.Sprintf(`{"id":1,"result":{"data":"%s"}}`+"\x00"+`{"method":"Page.frameNavigated","sessionId":"s","params":{"url":"%s"}}`+"\x00"+`{"id":2,"result":{}}`+"\x00", word(4<<20), word(2<<20))
	one, two := make(chan reply, 1), make(chan reply, 1)
	l.pending[1], l.pending[2] = &sentCommand{ch: one}, &sentCommand{ch: two}
	seen := 0
	l.events["s"] = func(_ string, p json.RawMessage) { seen = len(p) }
	r := bufio.NewReaderSize(strings.NewReader(stream), 64<<10)
	for range 3 {
		m, err := l.message(r)
		if err != nil {
			t.Fatal(err)
		}
		l.deliver(m)
	}
	if m := <-one; !m.over {
		t.Error("a message above the bound does not say so")
	}
	if m := <-two; string(m.json) != `{"id":2,"result":{}}` {
		t.Errorf("the message behind it: %q", m.json)
	}
	if seen < 2<<20 {
		t.Errorf("an event of 2 MB was seen with %d bytes", seen)
	}
	if left, _ := os.ReadDir(l.dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// What came before a failure, a part, and what was sent anew are no second try.
func TestHeal(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/html"
	for _, c := range []struct {
		name, method string
		first        int // number of the answer that is whole; the failure has 2
		head         string
		healed       bool
	}{
		{"asked again", "GET", 3, head, true},
		{"before", "GET", 1, head, false},
		{"other data", "POST", 3, head, false},
		{"a part", "GET", 3, "HTTP/1.1 206 Partial Content\r\nContent-Type: text/html", false},
	} {
		x := unvisited(t, "http://host.test/")
		main := x.madeUp(t, 9, "http://host.test/", head, "<p>page")
		whole := x.madeUp(t, c.first, "http://host.test/data", c.head, "data")
		broken := x.madeUp(t, 2, "http://host.test/data", "", "")
		whole.method, broken.method = c.method, c.method
		broken.fail("connection-closed", errors.New("it hung up"))
		a, _ := x.over(t, main, whole, broken)
		if healed := a.Completeness.Failed == 0; healed != c.healed || healed != (len(a.Completeness.Missing) == 0) {
			t.Errorf("%s: healed %v, %+v", c.name, healed, a.Completeness)
		}
	}
}
