package web

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestSpinEnds: a page, its worker and its frame of another site that never yield are
// ended with their capture: nothing of the browser is busy behind it.
func TestSpinEnds(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := strings.Cut(r.Host, ":")
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/spin":
			io.WriteString(w, `<p>seen<iframe src=http://other.test:`+port+`/frame></iframe><script>new Worker(URL.createObjectURL(new Blob(['for(;;);'])));setTimeout(()=>{for(;;);},500)</script>`)
		case "/frame":
			io.WriteString(w, `<p>frame<script>setTimeout(()=>{for(;;);},200)</script>`)
		case "/shared":
			io.WriteString(w, `<p>shared<script>new SharedWorker('/loop.js');navigator.serviceWorker.register('/loop.js')</script>`)
		case "/loop.js":
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, `setTimeout(()=>{for(;;);},500)`)
		}
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	for _, path := range []string{"/spin", "/shared"} {
		host := "page.test:"
		if path == "/shared" {
			host = "localhost:" // service workers want a secure context
		}
		a, _ := collect(t, c, collectors.Request{Source: "http://" + host + s.port() + path, AllowPrivate: true, Budget: collectors.Budget{Time: 5 * time.Second}})
		if a.Outcome == collectors.Failed {
			t.Errorf("%s: %s %v", path, a.Outcome, a.Reasons)
		}
		pid := c.browser.cmd.Process.Pid
		time.Sleep(2 * time.Second)
		before := spent(pid)
		time.Sleep(3 * time.Second)
		t.Logf("%s: %d processes, busy for %s of 3s", path, len(group(pid)), spent(pid)-before)
		if busy := spent(pid) - before; busy > 2*time.Second {
			t.Errorf("%s: behind the capture the browser was busy for %s of 3s", path, busy)
		}
	}
}

// spent is the CPU time of a process group.
func spent(id int) (sum time.Duration) {
	for _, pid := range group(id) {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) < 13 {
			continue
		}
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		sum += time.Duration(user+system) * 10 * time.Millisecond
	}
	return sum
}
