package web

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

func readList(t *testing.T, lines ...string) *collectors.KnownList {
	t.Helper()
	k, err := collectors.ReadKnownList(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestNeverKeep: bodies on a list, as sent or decoded, sent or received, are in
// no Object in any form; what is not on it stays; the record says what, why
// and by which list.
func TestNeverKeep(t *testing.T) {
	seen, packed, other := picture(1), picture(2), picture(3)
	secret := bytes.Repeat([]byte("the very bytes "), 300)
	mux := http.NewServeMux()
	send := func(path, coding string, b []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			if coding == "" {
				w.Header().Set("X-Mark", "stays")
				w.Write(b[:10])
				w.(http.Flusher).Flush() // chunked
				w.Write(b[10:])
				return
			}
			w.Header().Set("Content-Encoding", coding)
			switch coding {
			case "gzip":
				z := newGzip(w)
				z.Write(b)
				z.Close()
			case "zstd":
				z, _ := zstd.NewWriter(w)
				z.Write(b)
				z.Close()
			default:
				w.Write(b)
			}
		})
	}
	send("/seen.png", "", seen)
	send("/packed.png", "gzip", packed)
	send("/packed2.png", "zstd", secret)
	send("/other.png", "gzip", other)
	send("/odd.png", "sdch", other)
	mux.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<title>page</title><p>words that stay<img src=/seen.png><img src=/packed.png><img src=/other.png><img src=/odd.png>
<script>fetch('/packed2.png').then(r=>r.arrayBuffer()).then(b=>{fetch('/up',{method:'POST',body:b});
const i=new Image();i.src='data:image/png;base64,'+btoa(String.fromCharCode(...new Uint8Array(b)));document.body.append(i)})</script>`)
	})
	s := serve(t, mux, nil)
	c := newCollector(t, Options{})
	lists := []*collectors.KnownList{
		readList(t, fmt.Sprintf("%x", md5.Sum(packed)), fmt.Sprintf("%x", sha1.Sum(seen))),
		readList(t, fmt.Sprintf("sha256:%x", sha256.Sum256(secret))),
	}
	req := collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, NeverKeep: lists, Budget: collectors.Budget{Time: 20 * time.Second}}
	a, k := collect(t, c, req)
	if a.Outcome != collectors.Partial || !hasReason(a, codeNeverKeep) || !hasReason(a, "never-keep-unchecked") || a.Completeness.Blocked != 4 {
		t.Errorf("%s %v, blocked %d", a.Outcome, a.Reasons, a.Completeness.Blocked)
	}
	var names []string
	for _, o := range a.Objects {
		names = append(names, o.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{commandsName, "page.wacz", "requests.warc.gz", "source.html", "text.txt"}) {
		t.Errorf("objects %v", names)
	}
	// Everything, unpacked: archives member by member.
	var all [][]byte
	for _, name := range names {
		all = append(all, object(t, a, k, name))
	}
	answers := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
	requests := readWarc(t, object(t, a, k, "requests.warc.gz"))
	for _, r := range append(answers, requests...) {
		all = append(all, r.block)
	}
	for _, known := range [][]byte{seen[20:60], packed[20:60], secret[:40]} {
		for _, form := range [][]byte{known, []byte(base64.StdEncoding.EncodeToString(known))[:40]} {
			if slices.ContainsFunc(all, func(b []byte) bool { return bytes.Contains(b, form) }) {
				t.Error("bytes on a list were kept")
			}
		}
	}
	notes, heads := 0, 0
	for _, r := range answers {
		path := strings.TrimPrefix(r.url, "http://"+s.addr)
		if r.kind == warc.Response && (path == "/seen.png" || path == "/packed.png" || path == "/packed2.png") {
			heads++
			if r.Get("WARC-Truncated") != "unspecified" || len(r.body) > 0 || !strings.Contains(r.head.Start, "200") || path == "/seen.png" && r.head.Fields.Get("X-Mark") != "stays" {
				t.Errorf("%s: truncated %q, %d bytes of body, %q", path, r.Get("WARC-Truncated"), len(r.body), r.head.Start)
			}
		}
		if path == "/other.png" && len(r.body) == 0 {
			t.Error("what is on no list is not kept")
		}
		if r.kind == warc.Metadata && bytes.Contains(r.block, []byte(`"withheld"`)) && bytes.Contains(r.block, []byte(lists[0].Digest().String())) {
			notes++
		}
	}
	if notes != 2 || heads != 3 {
		t.Errorf("%d notes, %d heads", notes, heads)
	}
	// Without the lists the same page is kept whole: the test sees what it looks for.
	req.NeverKeep = nil
	a, k = collect(t, c, req)
	if w := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)); !slices.ContainsFunc(w, func(r record) bool { return bytes.Contains(r.block, seen[20:60]) }) || !hasObject(a, "screenshot.png") {
		t.Error("the page without lists is not whole")
	}
}

func hasObject(a *collectors.Acquired, name string) bool {
	return slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Name == name })
}

// TestNeverKeepEchoed: a request on a list whose answer is the same bytes, which
// the page shows as text: they are in no Object, and both are told of.
func TestNeverKeepEchoed(t *testing.T) {
	secret := strings.Repeat("forbidden words ", 300)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<p>page<script>fetch('/echo',{method:'POST',body:'forbidden words '.repeat(300)}).then(r=>r.text()).then(t=>document.body.append(t))</script>`)
	})
	s := serve(t, mux, nil)
	req := collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Budget: collectors.Budget{Time: 20 * time.Second},
		NeverKeep: []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256([]byte(secret))))}}
	a, k := collect(t, newCollector(t, Options{}), req)
	answers := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
	told := false
	for _, r := range append(answers, readWarc(t, object(t, a, k, "requests.warc.gz"))...) {
		if bytes.Contains(r.block, []byte(secret[:200])) {
			t.Errorf("the bytes are in a %s of %s", r.kind, r.url)
		}
		told = told || bytes.Contains(r.block, []byte(`"also"`))
	}
	if !told || !hasReason(a, codeNeverKeep) || hasObject(a, "text.txt") {
		t.Errorf("told %v, %v, text %v", told, a.Reasons, hasObject(a, "text.txt"))
	}
}

// TestNeverKeepMain: the address itself is such a body, and nothing of it is on
// disk once the capture is over: the spool is gone, and the browser's folder.
func TestNeverKeepMain(t *testing.T) {
	body := picture(9)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		w.Write(body)
	}), nil)
	c := newCollector(t, Options{})
	list := readList(t, fmt.Sprintf("%x", sha256.Sum256(body)))
	keep := &collectorstest.Keeper{}
	look := func() {
		filepath.WalkDir(c.work.path, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if b, _ := os.ReadFile(path); bytes.Contains(b, body[20:80]) {
					t.Errorf("the bytes are in %s", path)
				}
			}
			return nil
		})
	}
	a, err := c.Collect(t.Context(), collectors.Request{Source: "http://" + s.addr + "/x.png", AllowPrivate: true, NeverKeep: []*collectors.KnownList{list}}, keep)
	if err != nil {
		t.Fatal(err)
	}
	look()
	if a.Outcome != collectors.Partial || !hasReason(a, codeNeverKeep) || hasObject(a, "screenshot.png") || hasObject(a, "source.png") || hasObject(a, "page.mhtml") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	for _, o := range a.Objects {
		if bytes.Contains(o.Inline, body[20:80]) {
			t.Errorf("the bytes are in %s", o.Name)
		}
	}
}

// TestErase: what is behind the head is overwritten in place before the file
// is cut, and the digests are those of what stays.
func TestErase(t *testing.T) {
	s, err := newSpool(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte("HTTP/1.1 200 OK\r\n\r\n")
	s.begin(head)
	s.content(bytes.Repeat([]byte("secret"), 50_000))
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	same, err := os.Open(s.file.Name()) // sees the file's own blocks
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	if err := s.erase(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(same)
	if err != nil || !bytes.Equal(got, head) || s.size != int64(len(head)) || s.body != 0 || s.blockDigest() != warc.Digest(head) || s.payloadDigest() != warc.Digest(nil) {
		t.Errorf("%q, size %d, body %d, %v", got, s.size, s.body, err)
	}
}
