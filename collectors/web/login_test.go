package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// Without a display nobody could log in: that is said, with what to do, before anything
// is started.
func TestLoginUnseen(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	dir := t.TempDir()
	made, err := Login(t.Context(), Options{Browser: "/nonexistent", Dir: dir}, "https://host.test/", "", nil)
	if made != nil || !errors.Is(err, ErrNoDisplay) || !strings.Contains(err.Error(), "export its cookies") {
		t.Errorf("%v, %v", made, err)
	}
	t.Setenv("DISPLAY", ":99")
	if _, err := Login(t.Context(), Options{Browser: "/nonexistent", Dir: dir}, "file:///etc/passwd", "", nil); !errors.Is(err, collectors.ErrRefused) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Login(t.Context(), Options{Browser: "/nonexistent", Dir: dir}, "https://host.test/", "", nil); !errors.Is(err, ErrBrowser) {
		t.Errorf("no browser: %v", err)
	}
}

// What a person's browser is started with shows a window, and goes the way that was said.
func TestVisible(t *testing.T) {
	for _, proxy := range []string{"", "socks5://127.0.0.1:9050"} {
		list := visible(proxy)
		for _, f := range list {
			if strings.HasPrefix(f, "--headless") || strings.HasPrefix(f, "--proxy-server") && f != "--proxy-server="+proxy {
				t.Errorf("%q: %s", proxy, f)
			}
		}
		if slices.Contains(list, "--proxy-server="+proxy) != (proxy != "") || !slices.Contains(list, noExtensions) {
			t.Errorf("%q: %q", proxy, list)
		}
	}
}

// What the site set is what is kept, and a capture with it is logged in. The browser here
// shows no window; all else is as for a person.
func TestWatchLogin(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: sessionSecret, Path: "/", HttpOnly: true, MaxAge: 3600})
			w.Write([]byte("<script>localStorage.token = '" + storedToken + "'</script>"))
			return
		}
		if c, err := r.Cookie("sid"); err == nil && c.Value == sessionSecret {
			w.Write([]byte("<p id=p>a member<script>p.textContent = 'a member, ' + localStorage.length + ' stored'</script>"))
			return
		}
		w.Write([]byte("<p>nobody"))
	}), nil)
	c := newCollector(t, Options{})
	l := c.launching()
	l.flags = append(visible(""), "--headless=new")
	b, err := start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan struct{})
	go func() {
		for len(s.asked()) == 0 && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		close(done)
	}()
	made, err := b.watchLogin(ctx, "http://"+s.addr+"/login", done)
	if err != nil {
		t.Fatal(err)
	}
	if o := made.Origins; len(o) != 1 || o[0].Origin != "http://"+s.addr || len(o[0].Items) != 1 || o[0].Items[0] != (collectors.Item{Name: "token", Value: storedToken}) {
		t.Errorf("local storage: %+v", o)
	}
	list := made.Cookies
	if err != nil || len(list) != 1 || list[0].Value != sessionSecret || !list[0].HostOnly || !list[0].HTTPOnly || list[0].Domain != "127.0.0.1" || list[0].Expires.IsZero() {
		t.Fatalf("%+v, %v", list, err)
	}
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: &collectors.Session{Name: "made", Cookies: list, Origins: made.Origins}})
	if text := string(object(t, a, k, "text.txt")); text != "a member, 1 stored" {
		t.Errorf("text %q, %v", text, a.Reasons)
	}
}
