package web

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

const (
	sessionSecret = "s%3AhT7/qPz+Login.0123456789abcdef"
	freshSecret   = "fresh-4d5e6f70-8192-a3b4"
)

// secretSite shows its page to who has the cookie, and gives the cookie back in every
// form that it can.
func secretSite() http.Handler {
	mux := http.NewServeMux()
	in := func(w http.ResponseWriter, r *http.Request) (string, bool) {
		c, err := r.Cookie("sid")
		if err != nil || c.Value != sessionSecret {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return "", false
		}
		http.SetCookie(w, &http.Cookie{Name: "fresh", Value: freshSecret, Path: "/", Secure: true})
		http.SetCookie(w, &http.Cookie{Name: "n", Value: "7", Path: "/"})
		w.Header().Set("X-Session", c.Value)
		return c.Value, true
	}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		v, ok := in(w, r)
		if !ok {
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		z := newGzip(w)
		defer z.Close()
		fmt.Fprintf(z, `<!doctype html><title>members</title><p>Words for members. Your key is %s<p><a href="/next?token=%s">next</a><script>window.key=%q;fetch('/json');fetch('/zstd');fetch('/plain');fetch('/moved?t='+encodeURIComponent(window.key));fetch('/gone?t='+window.key)</script><p id=b64>%s`,
			v, url.QueryEscape(v), v, base64.StdEncoding.EncodeToString([]byte("user:"+v)))
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		if v, ok := in(w, r); ok {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]string{"hex": hex.EncodeToString([]byte(v)), "plain": v})
		}
	})
	mux.HandleFunc("/zstd", func(w http.ResponseWriter, r *http.Request) {
		if v, ok := in(w, r); ok {
			w.Header().Set("Content-Encoding", "zstd")
			z, _ := zstd.NewWriter(w)
			fmt.Fprintf(z, "before %s behind", v)
			z.Close()
		}
	})
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "nothing of it here") })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/plain?"+r.URL.RawQuery, http.StatusFound)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// spellings of a secret, made here and not by what looks for them.
func spellings(v string) map[string]string {
	out := map[string]string{"plain": v, "query": url.QueryEscape(v), "path": url.PathEscape(v), "hex": hex.EncodeToString([]byte(v)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(v)))}
	for i := range 3 {
		e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + v))
		out[fmt.Sprint("base64 at ", i)] = e[4 : len(e)-4]
	}
	if u, err := url.QueryUnescape(v); err == nil {
		out["undone"] = u
	}
	return out
}

// unpacked is b and what is in it: members of archives, records, bodies without codings.
func unpacked(t *testing.T, name string, b []byte) [][]byte {
	t.Helper()
	all := [][]byte{b}
	if strings.HasSuffix(name, ".wacz") {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			all = append(all, waczMember(t, b, f.Name))
		}
		for _, r := range readWarc(t, waczMember(t, b, warc.ArchiveName)) {
			all = append(all, r.block, r.head.Raw)
			if body, err := undone(r.head, r.body); err == nil {
				all = append(all, body)
			}
			for _, f := range r.Fields {
				all = append(all, []byte(f.Value))
			}
		}
	}
	return all
}

func theSession(host string) *collectors.Session {
	return &collectors.Session{Name: "reader", Cookies: []collectors.Cookie{{Name: "sid", Value: sessionSecret, Domain: host, Path: "/", HostOnly: true, HTTPOnly: true, Secure: true}}}
}

// TestSession: with a session the page is the member's; what gives access to it is in no
// Object that is not restricted, nor in what a Manifest says, in whatever form; each
// Object that had it is there whole, and has a copy in its place that says the rest; and
// what is withheld is listed.
func TestSession(t *testing.T) {
	ca := newCA(t)
	s := serve2(t, secretSite(), ca.issue(t, "site.test", time.Now().Add(time.Hour)))
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: ca.pool()})
	address := "https://site.test:" + s.port() + "/"
	a, k := collect(t, c, collectors.Request{Source: address, AllowPrivate: true, Session: theSession("site.test")})
	if text := string(object(t, a, k, "text.txt")); a.Outcome == collectors.Failed || !strings.Contains(text, "Words for members") || a.Collection.Account != "reader" {
		t.Fatalf("%s %v: %q as %q", a.Outcome, a.Reasons, text, a.Collection.Account)
	}
	said, _ := json.Marshal(struct {
		A any
		B any
		C any
		D any
		E any
	}{a.Address, a.Reasons, a.Collection, a.Completeness, a.Transformations})
	look := map[string][][]byte{"the Manifest": {said}}
	kept := map[string]bool{}
	for _, o := range a.Objects {
		b := object(t, a, k, o.Name)
		if !o.Restricted {
			look[o.Name] = unpacked(t, o.Name, b)
		}
		kept[o.Name] = o.Restricted
	}
	for where, all := range look {
		for _, secret := range []string{sessionSecret, freshSecret} {
			for form, text := range spellings(secret) {
				for _, b := range all {
					if i := bytes.Index(b, []byte(text)); i >= 0 {
						t.Errorf("%s has the secret (%s): …%.200q", where, form, b[max(0, i-80):])
					}
				}
			}
		}
	}
	for name, restricted := range map[string]bool{"page.wacz": false, "whole-page.wacz": true, "requests.warc.gz": true, "dom.html": false, "whole-dom.html": true, "source.html": false, "whole-source.html": true,
		"text.txt": false, "whole-text.txt": true, "page.mhtml": true, "page.pdf": true, "screenshot.png": true, "stamped.png": true, "commands.jsonl": false, "withheld.json": false} {
		if got, ok := kept[name]; !ok || got != restricted {
			t.Errorf("%s: there %v, restricted %v", name, ok, got)
		}
	}
	if !bytes.Contains(object(t, a, k, "whole-source.html"), []byte(sessionSecret)) || !bytes.Contains(object(t, a, k, "source.html"), []byte("Your key is ****")) {
		t.Error("the whole source has not what the copy lacks")
	}
	checkShown(t, a, k, address)
	checkWithheldList(t, a, k)
	// The next capture is nobody's.
	a, _ = collect(t, c, collectors.Request{Source: address, AllowPrivate: true})
	if a.Outcome != collectors.Failed || !hasReason(a, "login-wall") || hasObject(a, "withheld.json") || a.Collection.Account != "" {
		t.Errorf("without a session: %s %v", a.Outcome, a.Reasons)
	}
}

// checkShown: the copy of the archive is whole but for the secrets.
func checkShown(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, address string) {
	t.Helper()
	shown := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
	found := map[string]bool{}
	for _, r := range shown {
		if strings.HasPrefix(r.url, "urn:holdfast:h2:") {
			t.Error("frames, whose heads are in a coding of their own, are in the copy")
		}
		body, err := undone(r.head, r.body)
		if r.kind != warc.Response || err != nil {
			continue
		}
		switch path := strings.TrimPrefix(r.url, address); path {
		case "", "json", "zstd":
			found[path] = bytes.Contains(body, []byte("****")) && r.Get("Holdfast-Label") == labelRedacted && strings.Contains(strings.ToLower(string(r.head.Raw)), "set-cookie: fresh=****")
		case "plain":
			found[path] = string(body) == "nothing of it here" && r.Get("Holdfast-Label") == ""
		}
	}
	for _, path := range []string{"", "json", "zstd", "plain"} {
		if !found[path] {
			t.Errorf("/%s in the copy is not as it should be", path)
		}
	}
	whole := readWarc(t, waczMember(t, object(t, a, k, "whole-page.wacz"), warc.ArchiveName))
	if !slices.ContainsFunc(whole, func(r record) bool { return bytes.Contains(r.head.Raw, []byte(freshSecret)) }) || !slices.ContainsFunc(whole, func(r record) bool { return strings.HasPrefix(r.url, "urn:holdfast:h2:") }) {
		t.Error("the whole archive is not whole")
	}
	if err := collectorstest.Check(a, k); err != nil {
		t.Error(err)
	}
	index := waczMember(t, object(t, a, k, "page.wacz"), "indexes/index.cdx")
	if n := bytes.Count(index, []byte("\n")); n < 5 {
		t.Errorf("%d lines in the index", n)
	}
}

func checkWithheldList(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	t.Helper()
	var list withheldList
	if err := json.Unmarshal(object(t, a, k, "withheld.json"), &list); err != nil || list.Session != "reader" || list.Kind != "withheld" {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, o := range a.Objects {
		listed := slices.ContainsFunc(list.Objects, func(w withheldObject) bool { return w.Object == o.Name })
		if o.Restricted != listed && o.Name != "requests.warc.gz" {
			t.Errorf("%s: restricted %v, listed %v", o.Name, o.Restricted, listed)
		}
	}
	what := map[string]int{}
	for _, r := range list.Records {
		what[r.What]++
	}
	if what["frames"] == 0 || what["redacted"] < 3 {
		t.Errorf("records %v", what)
	}
}

// What cannot be looked into is left out of the copy, not passed on.
func TestRedactAnswer(t *testing.T) {
	x := &capture{req: collectors.Request{Session: theSession("h")}, rec: &recorder{}}
	set, _, err := x.secrets()
	if err != nil {
		t.Fatal(err)
	}
	r := &redaction{x: x, set: set}
	for name, c := range map[string]struct{ block, what, has string }{
		"not gzip":    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip at all", "body", "HTTP/1.1 200 OK"},
		"odd coding":  {"HTTP/1.1 200 OK\r\nContent-Encoding: sdch\r\n\r\nwhatever", "body", ""},
		"cut":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "body", ""},
		"websocket":   {"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello", "body", ""},
		"over chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + sessionSecret[:16] + "\r\n" + fmt.Sprintf("%x", len(sessionSecret)-16) + "\r\n" + sessionSecret[16:] + "\r\n0\r\n\r\n", "redacted", fmt.Sprintf("Content-Length: %d", len(sessionSecret))},
		"clean":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "redacted", "5\r\nhello\r\n0"},
		"short":       {"HTTP/1.1 200 OK\r\nset-COOKIE: a=1; Path=/\r\n\r\n", "redacted", "set-COOKIE: a=*; Path=/"},
		"no head":     {"nothing " + sessionSecret, "redacted", "nothing ***"},
	} {
		out, _, what := r.answer([]byte(c.block))
		if what != c.what || !strings.Contains(string(out), c.has) || bytes.Contains(out, []byte(sessionSecret[20:])) || c.what == "body" && !bytes.HasSuffix(out, []byte("\r\n\r\n")) {
			t.Errorf("%s: %s %q", name, what, out)
		}
	}
}

// A browser that does not take the cookies captures nothing under the session's name.
func TestSessionRefused(t *testing.T) {
	s := serve(t, article(), nil)
	bad := theSession("127.0.0.1")
	bad.Cookies[0].Name, bad.Cookies[0].Secure = "__Secure-sid", false // no browser takes it
	a, err := newCollector(t, Options{}).Collect(t.Context(), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: bad}, &discard{})
	if a != nil || err == nil || !strings.Contains(err.Error(), "session reader") || errors.Is(err, errDead) || strings.Contains(err.Error(), sessionSecret) || len(s.asked()) > 0 {
		t.Errorf("%v, %v, asked %v", a, err, s.asked())
	}
}
