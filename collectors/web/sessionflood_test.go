package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"holdfast/collectors"
)

// TestSessionFlooded: a site that sets more values than can be looked for does not keep
// itself from being captured, and nothing of it is let out unsearched.
func TestSessionFlooded(t *testing.T) {
	flood := func(w http.ResponseWriter, from int) {
		for i := range 2000 {
			w.Header().Add("Set-Cookie", fmt.Sprintf("c%d=a/+%%%%26%020d; Path=/", from+i, from+i))
		}
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			flood(w, 0)
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<!doctype html><title>flood</title><p>Words for members.<script src=more.js></script>")
		case "/more.js":
			flood(w, 2000)
			w.Header().Set("Content-Type", "text/javascript")
		}
	}), nil)
	session := theSession("127.0.0.1")
	for i := range session.Cookies {
		session.Cookies[i].Secure = false
	}
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Session: session})
	if a.Outcome != collectors.Complete || !strings.Contains(string(object(t, a, k, "text.txt")), "Words for members") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	for _, o := range a.Objects {
		if o.Restricted == (o.Name == "withheld.json") {
			t.Errorf("%s: restricted %v", o.Name, o.Restricted)
		}
	}
	if !slices.ContainsFunc(a.Collection.Notes, func(n string) bool { return strings.Contains(n, "more values that may give access") }) {
		t.Errorf("notes %q", a.Collection.Notes)
	}
	var list withheldList
	if err := json.Unmarshal(object(t, a, k, "withheld.json"), &list); err != nil || len(list.Objects) != len(a.Objects)-2 { // without itself, and the requests
		t.Errorf("%d of %d Objects are listed, %v", len(list.Objects), len(a.Objects), err)
	}
}
