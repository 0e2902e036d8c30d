package web

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// Elements that a page names like what the views ask of it do not stand in for
// the page: the views show what the person at the screen would see.
func TestClobbered(t *testing.T) {
	names := []string{"body", "documentElement", "title", "doctype", "querySelectorAll", "scrollingElement", "outerHTML"}
	var forms strings.Builder
	for _, n := range names {
		forms.WriteString(`<form name=` + n + `>harmless</form><img name=` + n + ` id=` + n + `>`)
	}
	inner := `<form id=f>`
	for _, n := range []string{"shadowRoot", "outerHTML", "innerText", "scrollHeight", "cloneNode", "getHTML", "querySelectorAll"} {
		inner += `<input name=` + n + `>`
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/x" { // the root itself is a form
			w.Header().Set("Content-Type", "application/xhtml+xml")
			io.WriteString(w, `<form xmlns="http://www.w3.org/1999/xhtml"><input name="outerHTML"/><input name="innerText"/><input name="cloneNode"/><input name="scrollHeight"/><p>the real words</p></form>`)
			return
		}
		io.WriteString(w, `<!doctype html><html lang=uk><title>the real title</title><p>the real words</p>`+forms.String()+inner+`</form><div id=host></div>
<script>host.attachShadow({mode:'open'}).innerHTML='<p>in the shadow'</script><p style="height:3000px">end`)
	}), nil)
	c := newCollector(t, Options{})
	for _, path := range []string{"/", "/x"} {
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true, Budget: collectors.Budget{Time: 20 * time.Second}})
		if a.Outcome != collectors.Complete {
			t.Errorf("%s: %s %v", path, a.Outcome, a.Reasons)
		}
		dom, text := string(object(t, a, k, "dom.html")), string(object(t, a, k, "text.txt"))
		if !strings.Contains(text, "the real words") {
			t.Errorf("%s: text %q", path, text)
		}
		if !strings.Contains(dom, "the real words") || path == "/" && (!strings.HasPrefix(dom, "<!DOCTYPE html>\n<html lang=\"uk\">") || !strings.Contains(dom, "in the shadow")) {
			t.Errorf("%s: dom %.300q", path, dom)
		}
		if pages := string(waczMember(t, object(t, a, k, "page.wacz"), "pages/pages.jsonl")); path == "/" && !strings.Contains(pages, "the real title") {
			t.Errorf("pages %s", pages)
		}
	}
}
