package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/rules"
	"holdfast/messages"
)

// TestWallsAreSaid: what a rule may give is documented and said to people.
func TestWallsAreSaid(t *testing.T) {
	doc, err := os.ReadFile("web.go")
	if err != nil {
		t.Fatal(err)
	}
	english, err := messages.Open("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range rules.Codes() {
		if !bytes.Contains(doc, []byte(code+",")) || !english.Has("reason."+code) {
			t.Errorf("%s: documented %t, said %t", code, bytes.Contains(doc, []byte(code+",")), english.Has("reason."+code))
		}
	}
	for _, role := range []string{"archive", "requests", "source", "dom", "text", "mhtml", "screenshot", "stamped", "pdf", "commands", "withheld", "frames", "film", "film-facts",
		"post-text", "post-screenshot", "before-dom", "before-text", "before-screenshot", "actions"} {
		if !english.Has("page.role." + role) {
			t.Errorf("nobody is told what %s is", role)
		}
	}
}

const prose = "<p>The history of such tests is long, and this page tells it in many words that go on and on.</p>"

// TestWallPages: a wall in place of a page is told, kept with all that was made of it,
// and never passes for the page; an article about walls is an article.
func TestWallPages(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		status := map[string]int{"/cloudflare": 403, "/451": 451, "/404": 404, "/403": 403}[r.URL.Path]
		if r.URL.Path == "/cloudflare" {
			w.Header().Set("CF-Mitigated", "challenge")
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		io.WriteString(w, map[string]string{
			"/cloudflare": `<title>Just a moment...</title><p>Verify you are human by completing the action below.`,
			"/captcha":    `<title>site</title><p>Please complete the CAPTCHA<div class=h-captcha style="width:300px;height:80px">box</div>`,
			"/slider":     `<title>A film</title>` + strings.Repeat(prose, 60) + `<div id=captcha-verify-container style="position:fixed;left:300px;top:100px;width:700px;height:500px;background:#fff">Drag the slider</div>`,
			"/451":        `<p>Unavailable`,
			"/country":    `<title>Film</title><p>This video is not available in your country.`,
			"/404":        `<p>nothing`,
			"/403":        `<p>no`,
			"/removed":    `<title>Сторінку не знайдено</title><h1>Сторінку не знайдено</h1>`,
			"/members":    `<title>Sign in</title><form><input name=u><input type=password name=p><button>Sign in</button></form>`,
			"/photo":      `<title>A photo</title>` + strings.Repeat(prose, 60) + `<div role=dialog style="position:fixed;left:300px;top:100px;width:700px;height:500px;background:#fff">Log in to see more<form><input type=password></form></div>`,
			"/article":    `<title>How “verify you are human” came about</title><h1>Page not found, and other walls</h1><p>Please complete the CAPTCHA. This video is not available in your country.` + strings.Repeat(prose, 60) + `<div class=g-recaptcha style="width:300px;height:80px">for the comments</div><form>Log in <input type=password></form>`,
			"/picture":    `<title>A photo</title>` + strings.Repeat(prose, 60) + `<div role=dialog style="display:none">Log in<input type=password></div>`,
		}[r.URL.Path])
	}), nil)
	c := newCollector(t, Options{})
	for path, test := range map[string]struct {
		outcome collectors.Outcome
		reasons string
	}{
		"/cloudflare": {collectors.Failed, "http-status bot-wall"}, "/captcha": {collectors.Partial, "bot-wall"}, "/slider": {collectors.Partial, "bot-wall"},
		"/451": {collectors.Failed, "http-status geo-wall"}, "/country": {collectors.Partial, "geo-wall"}, "/404": {collectors.Failed, "http-status not-found"},
		"/403": {collectors.Failed, "login-wall"}, "/removed": {collectors.Partial, "not-found"}, "/members": {collectors.Partial, "login-wall"},
		"/photo": {collectors.Partial, "login-wall"}, "/article": {collectors.Complete, ""}, "/picture": {collectors.Complete, ""},
	} {
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true})
		var got []string
		for _, r := range a.Reasons {
			got = append(got, r.Code)
		}
		if a.Outcome != test.outcome || strings.Join(got, " ") != test.reasons {
			t.Errorf("%s: %s %v, want %s %s", path, a.Outcome, a.Reasons, test.outcome, test.reasons)
		}
		for _, name := range []string{"page.wacz", "source.html", "dom.html", "text.txt", "screenshot.png"} {
			object(t, a, k, name) // nothing of a wall is dropped
		}
	}
}

// consentSite has banners of several makings. Each answer asks /chose?….
func consentSite(other func() string) http.Handler {
	press := func(label, id, choice string) string {
		return fmt.Sprintf(`<button id=%q onclick="fetch('/chose?%s');document.querySelectorAll('.b').forEach(e=>e.remove())">%s</button>`, id, choice, label)
	}
	fixed := `style="position:fixed;left:0;right:0;bottom:0;height:200px;background:#fff"`
	pages := map[string]string{
		"/words":    `<div class=b ` + fixed + `>We value your privacy and use cookies. ` + press("Accept all", "x", "accept") + press("Reject all", "y", "refuse") + `</div>`,
		"/accepts":  `<div class=b ` + fixed + `>Diese Seite verwendet Cookies. ` + press("Einstellungen", "s", "settings") + press("Alle akzeptieren", "x", "accept") + `</div>`,
		"/onetrust": `<div id=onetrust-banner-sdk class=b ` + fixed + `>Küpsised. ` + press("Nõus", "onetrust-accept-btn-handler", "accept") + press("Ei", "onetrust-reject-all-handler", "refuse") + `</div>`,
		"/late":     `<script src="/cdn.cookielaw.org/otSDKStub.js"></script>`,
		"/shadow": `<div id=usercentrics-root class=b></div><script>const r=document.getElementById('usercentrics-root').attachShadow({mode:'open'});
r.innerHTML='<div style="position:fixed;left:0;right:0;bottom:0;height:300px;background:#fff">Cookies <button data-testid=uc-deny-all-button>Deny</button><button data-testid=uc-accept-all-button>Accept</button></div>';
for(const b of r.querySelectorAll('button'))b.onclick=()=>{fetch('/chose?'+(b.textContent=='Deny'?'refuse':'accept'));document.getElementById('usercentrics-root').remove()}</script>`,
		"/frame": `<iframe class=b id=sp_message_iframe_1 style="position:fixed;left:0;bottom:0;width:1366px;height:300px;border:0" src="OTHER/inframe"></iframe>
<script>onmessage=e=>{fetch('/chose?'+e.data);document.querySelector('.b').remove()}</script>`,
		"/newsletter": `<div class=b ` + fixed + `>Our newsletter: see our privacy policy. <input type=email> ` + press("OK", "x", "subscribed") + press("Accept", "y", "accept") + `</div>`,
		"/wall":       `<div id=cookie-wall style="position:fixed;inset:0;background:#fff">We use cookies. <a href="/pay">Accept or pay</a></div><div id=cookies-dialog role=dialog class=b style="position:fixed;inset:0;background:#eee">Cookies? <button>Accept</button></div>`,
		"/blank":      `<div id=cookie-wall style="position:fixed;inset:0;background:#fff">We use cookies. <a href="/pay">Accept or pay</a></div>`,
		"/none":       `<button onclick="fetch('/chose?pressed')">Accept</button><p>A shop of cookies.`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inframe":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<p>We use cookies<button title="Reject all" onclick="parent.postMessage('refuse','*')">No</button><button class=sp_choice_type_11 onclick="parent.postMessage('accept','*')">Yes</button>`)
		case "/cdn.cookielaw.org/otSDKStub.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprintf(w, "setTimeout(()=>document.body.insertAdjacentHTML('beforeend',`%s`),900)", pages["/onetrust"])
		case "/chose":
		default:
			body, ok := pages[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			if other != nil {
				body = strings.ReplaceAll(body, "OTHER", other())
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<title>page</title><h1>The page</h1>"+strings.Repeat(prose, 5)+body)
		}
	})
}

// TestConsent: a banner is refused where it can be, accepted else; the page before it was
// answered is kept, and what was pressed is told.
func TestConsent(t *testing.T) {
	var s, other *site
	s = serve(t, consentSite(func() string { return "http://cmp.test:" + other.port() }), nil)
	other = serve(t, consentSite(nil), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	for _, test := range []struct{ path, options, chose, note string }{
		{"/words", "", "refuse", `"Reject all" was pressed (refused), and it went away`}, {"/accepts", "", "accept", `"Alle akzeptieren" was pressed (accepted)`},
		{"/onetrust", "", "refuse", "(OneTrust)"}, {"/late", "", "refuse", "(OneTrust)"}, {"/shadow", "", "refuse", "(Usercentrics)"},
		{"/frame", "", "refuse", "in a frame of http://cmp.test:"}, {"/newsletter", "", "", ""}, {"/none", "", "", ""},
		{"/words", `{"consent":"leave"}`, "", "it was left alone"}, {"/wall", "", "", "and it stayed"},
		{"/blank", "", "", "nothing in it that answers it"},
	} {
		t.Run(test.path[1:]+test.options, func(t *testing.T) {
			before := len(s.asked())
			a, k := collect(t, c, collectors.Request{Source: "http://page.test:" + s.port() + test.path, AllowPrivate: true, Options: []byte(test.options)})
			var chose []string
			for _, h := range s.asked()[before:] {
				if _, what, ok := strings.Cut(h, "/chose?"); ok {
					chose = append(chose, what)
				}
			}
			if strings.Join(chose, " ") != test.chose {
				t.Errorf("the site was told %q, want %q", chose, test.chose)
			}
			notes := strings.Join(a.Collection.Notes, "\n")
			if test.note != "" && !strings.Contains(notes, test.note) || test.note == "" && strings.Contains(notes, "consent") {
				t.Errorf("notes %s", notes)
			}
			if wall := test.path == "/wall" || test.path == "/blank"; wall != hasReason(a, "consent-wall") || !wall && a.Outcome != collectors.Complete {
				t.Errorf("%s %v", a.Outcome, a.Reasons)
			}
			kept := slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "before-consent.png" })
			if kept != (test.note != "" && test.options == "" && test.path != "/blank") {
				t.Errorf("the page before: kept %t", kept)
			}
			if kept && test.path != "/frame" && test.path != "/shadow" {
				if b, was := object(t, a, k, "text.txt"), object(t, a, k, "before-consent.txt"); test.path != "/wall" && len(was) <= len(b) || len(object(t, a, k, "before-consent.html")) == 0 {
					t.Errorf("before %q\nafter %q", was, b)
				}
				if acts := string(object(t, a, k, "actions.json")); !strings.Contains(acts, `"for":"consent"`) || !strings.Contains(acts, test.path) {
					t.Errorf("actions %s", acts)
				}
			}
		})
	}
}

// TestMoreButtons: what gives more of a page is pressed until it gives none, and nothing
// is pressed that leaves, sends, buys or logs in.
func TestMoreButtons(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/page":
			io.WriteString(w, `<title>list</title><div id=l></div><button id=m onclick="more()">Load more…</button><button onclick="fetch('/dead')">Show more replies</button>
<a href="/next">Load more</a><a href="#" id=h role=button>Показати ще</a><form method=post action="/post"><button>Load more</button></form><form action="/search"><input name=q><button>Show more</button></form>
<button onclick="fetch('/buy')">Buy more</button><button onclick="fetch('/login')">Log in to see more</button><button style="display:none" onclick="fetch('/hidden')">Load more</button>
<div role=button onclick="location='/gone'" hidden>Load more</div>
<script>let n=0;function more(){n++;fetch('/part?'+n).then(r=>r.text()).then(t=>{document.getElementById('l').insertAdjacentHTML('beforeend',t);if(n==4)document.getElementById('m').remove()})}
document.getElementById('h').onclick=()=>{fetch('/part?link').then(r=>r.text()).then(t=>{document.getElementById('l').insertAdjacentHTML('beforeend',t);document.getElementById('h').remove()})}</script>`)
		case "/endless":
			io.WriteString(w, `<title>endless</title><div id=l></div><button onclick="fetch('/part?e').then(r=>r.text()).then(t=>document.getElementById('l').insertAdjacentHTML('beforeend',t))">Load more</button>`)
		case "/trap": // a script that leaves when what looks harmless is pressed
			io.WriteString(w, `<title>trap</title><button onclick="location='/elsewhere'">Load more</button>`)
		case "/part":
			time.Sleep(50 * time.Millisecond)
			fmt.Fprintf(w, "<p>part %s<img loading=lazy src='/img?%s'>", r.URL.RawQuery, r.URL.RawQuery)
		default:
			io.WriteString(w, "<p>other")
		}
	}), nil)
	c := newCollector(t, Options{})
	get := func(path, options string) (*collectors.Acquired, string, []string) {
		before := len(s.asked())
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true, Options: []byte(options)})
		return a, string(object(t, a, k, "text.txt")), s.asked()[before:]
	}
	a, text, asked := get("/page", "")
	for _, part := range []string{"part 1", "part 4", "part link"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in the text %q", part, text)
		}
	}
	for _, h := range asked {
		for _, never := range []string{"/next", "/post", "/search", "/buy", "/login", "/hidden", "/gone"} {
			if strings.Contains(h, " "+never) {
				t.Errorf("%s was asked for", h)
			}
		}
	}
	if n := strings.Count(strings.Join(asked, " "), "/dead"); n != 1 || a.Outcome != collectors.Complete || !slices.Contains(asked, "GET /img?4") {
		t.Errorf("%s %v; a button that brings nothing was pressed %d times; %q", a.Outcome, a.Reasons, n, asked)
	}
	if a, text, _ = get("/endless", ""); !hasReason(a, "more-bounded") || strings.Count(text, "part e") != maxPresses {
		t.Errorf("%s %v: %d presses, want %d", a.Outcome, a.Reasons, strings.Count(text, "part e"), maxPresses)
	}
	if a, text, _ = get("/endless", `{"more":"none"}`); a.Outcome != collectors.Complete || strings.Contains(text, "part") {
		t.Errorf("%s %v %q", a.Outcome, a.Reasons, text)
	}
	a, text, asked = get("/trap", "")
	if a.Outcome != collectors.Complete || a.Address.Final != "http://"+s.addr+"/trap" || !strings.Contains(text, "Load more") || slices.Contains(asked, "GET /elsewhere") {
		t.Errorf("%s %v %+v %q", a.Outcome, a.Reasons, a.Address, asked)
	}
}

// TestLooksAreCheap says what a page without a banner pays for being looked at. It is
// told, and held to ten times of what it may be: the machine of the tests is shared.
func TestLooksAreCheap(t *testing.T) {
	var c *Collector
	told := make(chan time.Duration, 2)
	heavy := strings.Repeat(`<section class=part><h2>Title</h2><p>Words of <a href="/x">a link</a> and <button>copy</button><ul><li>one<li>two<li>three</ul></section>`, 1000)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path != "/now" {
			io.WriteString(w, "<title>heavy</title>"+heavy+"<script>onload=()=>setTimeout(()=>fetch('/now'),200)</script>")
			return
		}
		var times []time.Duration
		commands := maxCommands // the least: the capture itself goes on meanwhile
		asked := func() int {
			l := onlyTab(c).session.log
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.list)
		}
		for range 9 {
			before := asked()
			begun, v := time.Now(), &view{files: []file{{name: "text.txt", path: "walls_test.go"}}}
			tab := onlyTab(c)
			_, banner, _ := tab.banner(r.Context(), bannerWait)
			sc, err := tab.scene(r.Context())
			if err != nil || banner {
				t.Errorf("%v; banner %t", err, banner)
				break
			}
			_, more := tab.nextMore(r.Context(), sc, nil)
			tab.sights(r.Context(), sc.world, v)
			if more || !v.sight.seen {
				t.Errorf("more %t, seen %t", more, v.sight.seen)
			}
			times = append(times, time.Since(begun))
			commands = min(commands, asked()-before)
		}
		if commands > 5 { // a world and a script for each of two moments, and the marks in the second's
			t.Errorf("looking took %d commands", commands)
		}
		// What has nothing to press is not kept from going on.
		tab, kept := onlyTab(c), true
		sc, err := tab.scene(r.Context())
		if pressed := tab.more(r.Context(), time.Second, &meter{maxBytes: 1 << 30}, &view{}); err != nil || pressed || sc.see(r.Context(), `JSON.stringify(!!globalThis.holdfastStay)`, &kept) != nil || kept {
			t.Errorf("a page without a button: pressed %t, kept from going on %t, %v", pressed, kept, err)
		}
		slices.Sort(times)
		if len(times) > 0 {
			told <- times[len(times)/2]
			told <- times[0]
		}
	}), nil)
	c = newCollector(t, Options{})
	collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	d := <-told
	least := <-told
	t.Logf("10,000 elements without banner, button and wall: looked at in %s (median of 9; the least %s)", d, least)
	if least > 10*20*time.Millisecond {
		t.Errorf("looking at a page took %s", least)
	}
}
