//go:build unix

package web

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestBrowserHangs: a browser that stands still is ended and another makes the capture,
// which says so.
func TestBrowserHangs(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>alive")
	}), nil)
	c := newCollector(t, Options{})
	if _, err := c.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := c.browser
	if err := syscall.Kill(first.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Budget: collectors.Budget{Time: 15 * time.Second}})
	if a.Outcome != collectors.Complete || string(object(t, a, k, "text.txt")) != "alive" || c.browser == first {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	for _, r := range a.Reasons {
		if r.Code == "browser-restarted" && strings.Contains(r.Detail, "it did not open a page") {
			return
		}
	}
	t.Errorf("it is not told: %v", a.Reasons)
}
