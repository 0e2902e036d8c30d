package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestScrollWaits: what a page asks for at its end takes a while on a slow line,
// and what it asks for at its next end too; all of it belongs to the page. So does
// what a page has asked for that is short before it comes.
func TestScrollWaits(t *testing.T) {
	const slow = 500 * time.Millisecond
	tall := strings.Repeat("<p>words</p>", 200)
	a := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/page":
			fmt.Fprint(w, tall, `<div id=end>.</div><script>
let n=0; new IntersectionObserver(es=>{if(es[0].isIntersecting&&n++<3)fetch('/more?'+n).then(r=>r.text()).then(t=>{const d=document.createElement('div');d.innerHTML=t;document.body.insertBefore(d,document.getElementById('end'))})}).observe(document.getElementById('end'));</script>`)
		case "/short":
			fmt.Fprint(w, `<script>addEventListener('load',()=>setTimeout(()=>fetch('/late').then(r=>r.text()).then(t=>{document.body.innerHTML=t})))</script>`)
		case "/late":
			time.Sleep(slow)
			fmt.Fprint(w, tall, tall, tall, `<img loading=lazy src=/lazy.png>`)
		case "/more":
			time.Sleep(slow)
			fmt.Fprintf(w, "%s<p>part %s of it</p>", tall, r.URL.RawQuery)
		default:
			http.NotFound(w, r)
		}
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	for page, must := range map[string][]string{"/page": {"GET /more?1", "GET /more?2", "GET /more?3"}, "/short": {"GET /late", "GET /lazy.png"}} {
		got, k := collect(t, c, collectors.Request{Source: "http://localhost:" + a.port() + page, AllowPrivate: true})
		for _, m := range must {
			if !slices.Contains(a.asked(), m) {
				t.Errorf("%s: %s was not asked for (%s: %v)", page, m, got.Outcome, got.Reasons)
			}
		}
		if page == "/page" {
			if text := object(t, got, k, "text.txt"); !strings.Contains(string(text), "part 3 of it") {
				t.Errorf("the last part is not in the text")
			}
		}
	}
}
