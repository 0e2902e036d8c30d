package web

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
)

const (
	storedToken  = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyZWFkZXIifQ.c3RvcmVkLXRva2Vu"
	deviceKey    = "device-key-0123456789ab"
	onceToken    = "once-and-never-stored-0123"
	renewedToken = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyZW5ld2VkIn0.cmVuZXdlZC10b2tlbg"
)

// tokenSite shows its words to whose script sends the token that only local storage has,
// renews it, and shows the token that it was given; history and opener are told too.
func tokenSite() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><title>app</title><p id=p>log in first</p><p id=w></p><p id=d></p><script>
const saved = localStorage.getItem('auth');
w.textContent = 'history ' + history.length + ', others ' + (localStorage.length - (saved ? 1 : 0)) + ', opener ' + opener;
if (saved) fetch('/words', {headers: {Authorization: 'Bearer ' + JSON.parse(saved).access}}).then(r => r.json()).then(j => {
  p.textContent = j.words + ' You hold ' + JSON.parse(saved).access;
  localStorage.setItem('auth', JSON.stringify({access: j.renewed}));
  fetch('/once', {headers: {'X-Auth-Token': j.once}});
});
if (saved) { d.textContent = 'From here: ' + localStorage.device; localStorage.removeItem('device') }</script>`)
	})
	mux.HandleFunc("/words", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+storedToken {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"words": "Words for members: 14 boats.", "renewed": renewedToken, "once": onceToken})
	})
	for _, path := range []string{"/once", "/favicon.ico"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	}
	return mux
}

func storedSession(origin string) *collectors.Session {
	return &collectors.Session{Name: "reader", Origins: []collectors.Origin{
		{Origin: "https://elsewhere.test", Items: []collectors.Item{{Name: "never", Value: "asked-for-anything-0123"}}},
		{Origin: origin, Items: []collectors.Item{{Name: "auth", Value: `{"access":"` + storedToken + `"}`}, {Name: "device", Value: deviceKey}, {Name: "theme", Value: "dark"}}}}}
}

// TestStorage: a session without a cookie, whose token local storage has, is no expired
// one: the page finds it there before its first script, and only at its origin; nothing
// but the page is asked for, and the page's window tells of no other. The token, the one
// that it was renewed with, and what was put elsewhere, are in no Object that is not
// restricted, nor in what a Manifest says. All of it in both manners.
func TestStorage(t *testing.T) {
	roots := x509.NewCertPool()
	looked := &noting{names: names{"*": loopback}}
	c := newCollector(t, Options{Resolver: looked, Roots: roots})
	cert := ownCert(t, c, "site.test")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	s := serve2(t, tokenSite(), cert)
	origin := "https://site.test:" + s.port()
	nobody := func() string {
		t.Helper()
		a, k := collect(t, c, collectors.Request{Source: origin + "/", AllowPrivate: true})
		text := string(object(t, a, k, "text.txt"))
		if !strings.Contains(text, "log in first") || !strings.Contains(text, "others 0") {
			t.Errorf("without a session: %q", text)
		}
		return text[strings.Index(text, "history"):strings.Index(text, ", others")]
	}
	history := nobody()
	for _, decoded := range []bool{false, true} {
		req := collectors.Request{Source: origin + "/", AllowPrivate: true, Session: storedSession(origin)}
		if decoded {
			req.Options = []byte(`{"decoded":true}`)
		}
		before := len(s.asked())
		a, k := collect(t, c, req)
		text := string(object(t, a, k, "text.txt"))
		if a.Outcome != collectors.Complete || !strings.Contains(text, "Words for members: 14 boats. You hold ****") || !strings.Contains(text, history+", others 2, opener null") || a.Collection.Account != "reader" {
			t.Fatalf("decoded %v: %s %v, %+v: %q", decoded, a.Outcome, a.Reasons, a.Completeness, text)
		}
		asked := s.asked()[before:]
		if i := slices.IndexFunc(asked, func(r string) bool { return strings.Contains(r, "/words") }); len(asked) > 4 || i < 1 || !strings.Contains(asked[0], "/") {
			t.Errorf("decoded %v: asked %q", decoded, asked)
		}
		if x := a.Collection; !strings.Contains(fmt.Sprint(x.Notes), "the local storage for 2 origins of a session were given") || strings.Contains(fmt.Sprint(x.Notes), "windows that the page opened") {
			t.Errorf("notes %q", x.Notes)
		}
		nowhere(t, a, k, storedToken, renewedToken, deviceKey, onceToken, "asked-for-anything-0123")
		if log := object(t, a, k, commandsName); bytes.Count(log, []byte(`"DOMStorage.setDOMStorageItem","number"`)) != 4 || bytes.Contains(log, []byte("elsewhere.test")) == false || bytes.Contains(log, []byte(`"theme"`)) {
			t.Errorf("the log of commands: %.4000s", log)
		}
	}
	nobody() // again
	if all := looked.all(); strings.Contains(all, "elsewhere") || !strings.Contains(all, "site.test") {
		t.Errorf("looked for %q", all)
	}
}

// nowhere looks for secrets in what leaves by default.
func nowhere(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, list ...string) {
	t.Helper()
	said, _ := json.Marshal([]any{a.Address, a.Reasons, a.Collection, a.Completeness, a.Transformations})
	look := map[string][][]byte{"the Manifest": {said}}
	for _, o := range a.Objects {
		if !o.Restricted {
			look[o.Name] = unpacked(t, o.Name, object(t, a, k, o.Name))
		}
	}
	for where, all := range look {
		for _, secret := range list {
			for form, text := range spellings(secret) {
				for _, b := range all {
					if i := bytes.Index(b, []byte(text)); i >= 0 {
						t.Errorf("%s has %.12s… (%s): …%.200q", where, secret, form, b[max(0, i-80):])
					}
				}
			}
		}
	}
}

// TestStorageRefused: what the browser does not take is captured by nobody, and said
// without a value; others go on.
func TestStorageRefused(t *testing.T) {
	s := serve(t, article(), nil)
	bad := storedSession("http://" + s.addr)
	bad.Origins[1].Items = append(bad.Origins[1].Items, collectors.Item{Name: "big", Value: strings.Repeat("secret-0123456789", 1<<20)}) // browsers stop at 10 MB
	c := newCollector(t, Options{})
	a, err := c.Collect(t.Context(), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: bad}, &discard{})
	if a != nil || !errors.Is(err, collectors.ErrSession) || strings.Contains(err.Error(), "secret-0123") || strings.Contains(err.Error(), storedToken) || len(s.asked()) > 0 {
		t.Errorf("%v, %.300v, asked %v", a, err, s.asked())
	}
	if a, _ := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true}); a.Outcome != collectors.Complete {
		t.Errorf("the next: %v", a.Reasons)
	}
}

// A page that stores without measure does not keep itself from being captured: that not
// all of it was looked for is told.
func TestStoredMuch(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><p>words<script>for (let i = 0; i < 3000; i++) localStorage.setItem('a' + i, 'value-of-twenty-' + i); localStorage.setItem('token', 'the-one-that-counts-0123'); document.body.append(localStorage.token)</script>`)
	}), nil)
	req := collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: storedSession("http://" + s.addr)}
	a, k := collect(t, newCollector(t, Options{}), req)
	if text := string(object(t, a, k, "text.txt")); a.Outcome == collectors.Failed || !strings.Contains(text, "words\n\n************************") || !strings.Contains(fmt.Sprint(a.Collection.Notes), "is more than was looked for") {
		t.Errorf("%v %v: %q", a.Outcome, a.Reasons, text)
	}
	many := slices.Repeat([]collectors.Item{{Name: "token", Value: storedToken}}, maxStorageSecrets+1)
	if err := CheckStorage([]collectors.Origin{{Origin: "https://a.test", Items: many}}); !errors.Is(err, collectors.ErrStorage) {
		t.Errorf("%v", err)
	}
}

// A program that fetches films is said to have had cookies where there were any.
func TestHadCookies(t *testing.T) {
	for want, s := range map[string]*collectors.Session{"had the session's": theSession("h"), "had no": storedSession("https://h")} {
		if got := hadCookies(s); !strings.Contains(got, want) {
			t.Errorf("%q: want %q", got, want)
		}
	}
	if got := hadCookies(nil); !strings.Contains(got, "had no") {
		t.Errorf("%q", got)
	}
}

// noting are names, and which of them were looked for.
type noting struct {
	names
	mu   sync.Mutex
	list []string
}

func (n *noting) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.list = append(n.list, host)
	n.mu.Unlock()
	return n.names.LookupNetIP(ctx, network, host)
}

func (n *noting) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.list, " ")
}
