package web

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// TestWebPlatform captures pages of the web-platform tests from their own server, which
// logs what it was asked: each of these exchanges is in the record, with its answer or why
// there is none. HOLDFAST_WPT names the tree (docs/platform.md says where one comes from, and
// what was found), HOLDFAST_WPT_EACH how many pages of each folder (4), HOLDFAST_WPT_ONLY a
// word in their addresses; HOLDFAST_WPT_SHOW tells of what was cut or failed.
func TestWebPlatform(t *testing.T) {
	root := os.Getenv("HOLDFAST_WPT")
	if root == "" {
		t.Skip("HOLDFAST_WPT names no tree of the web-platform tests")
	}
	browserPath(t)
	s := startWPT(t, root)
	c := newCollector(t, Options{Resolver: everywhere{}, Roots: s.roots})
	each, only := 4, os.Getenv("HOLDFAST_WPT_ONLY")
	if n := os.Getenv("HOLDFAST_WPT_EACH"); n != "" {
		fmt.Sscan(n, &each)
	}
	asked, lost, pages := 0, 0, 0
	for _, dir := range wptFolders() {
		sum := wptSum{}
		for _, p := range spread(s.pages(t, dir, only), each) {
			sum.add(s.compare(t, c, p))
		}
		t.Logf("TABLE | `%s` | %d | %d | %d | %d | %s |", dir, sum.pages, sum.asked, sum.recorded, sum.lost, sum.outcomes())
		asked, lost, pages = asked+sum.asked, lost+sum.lost, pages+sum.pages
	}
	t.Logf("TABLE | in all | %d | %d | %d | %d | |", pages, asked, asked-lost, lost)
	if pages == 0 {
		t.Error("no page was captured")
	}
}

// wptFolders are of what a page can do with the network, and of what a server can answer.
func wptFolders() []string {
	return []string{"fetch/api/basic", "fetch/api/cors", "fetch/api/redirect", "fetch/api/abort", "fetch/api/response", "fetch/range", "fetch/content-encoding", "fetch/content-type", "fetch/content-length",
		"fetch/http-cache", "fetch/h1-parsing", "fetch/data-urls", "fetch/metadata", "fetch/stale-while-revalidate", "service-workers/service-worker", "service-workers/cache-storage", "websockets", "eventsource",
		"xhr", "resource-timing", "navigation-timing", "server-timing", "beacon", "preload", "loading", "speculation-rules", "html/semantics/embedded-content/media-elements", "html/semantics/embedded-content/the-img-element",
		"html/semantics/embedded-content/the-iframe-element", "html/semantics/scripting-1/the-script-element", "html/browsers/browsing-the-web", "html/syntax/parsing", "cookies", "encoding", "workers",
		"content-security-policy", "referrer-policy", "mixed-content", "subresource-integrity", "streams", "compression", "import-maps", "webmessaging", "webtransport", "x-frame-options", "css/css-fonts", "dom/events", "media-source"}
}

// everywhere is a resolver for which every name is this machine, but those that the tests
// want to be nowhere.
type everywhere struct{}

func (everywhere) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "nonexistent") {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

type wptSum struct {
	pages, asked, recorded, lost int
	of                           map[collectors.Outcome]int
}

func (s *wptSum) add(o wptSum) {
	s.pages, s.asked, s.recorded, s.lost = s.pages+o.pages, s.asked+o.asked, s.recorded+o.recorded, s.lost+o.lost
	if s.of == nil {
		s.of = map[collectors.Outcome]int{}
	}
	for k, n := range o.of {
		s.of[k] += n
	}
}

func (s wptSum) outcomes() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.of)) {
		out = append(out, fmt.Sprintf("%d %s", s.of[k], k))
	}
	return strings.Join(out, ", ")
}

// wpt is the server of the web-platform tests, all of its processes.
type wpt struct {
	root  string
	ports map[string][]int
	roots *x509.CertPool

	mu   sync.Mutex
	hits []string // port, method and path; of a WebSocket the port and WS
}

func startWPT(t *testing.T, root string) *wpt {
	s := &wpt{root: root, ports: map[string][]int{}}
	var held []net.Listener
	for kind, n := range map[string]int{"http": 2, "https": 2, "ws": 1, "wss": 1, "h2": 1, "http-private": 1, "http-public": 1, "https-private": 1, "https-public": 1} {
		for range n {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, l)
			s.ports[kind] = append(s.ports[kind], l.Addr().(*net.TCPAddr).Port)
		}
	}
	for _, l := range held {
		l.Close()
	}
	dir := t.TempDir()
	config, err := json.Marshal(map[string]any{"ports": s.ports, "server_host": "127.0.0.1", "check_subdomains": false, "logging": map[string]any{"level": "debug"},
		"ssl": map[string]any{"type": "openssl", "openssl": map[string]any{"base_path": filepath.Join(dir, "certs"), "duration": 30}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", "from tools.serve import serve; serve.main()", "--config", filepath.Join(dir, "config.json"))
	cmd.Dir, cmd.Env = root, append(os.Environ(), "PYTHONPATH=tools", "PYTHONUNBUFFERED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait(); r.Close() })
	go s.read(r)
	for _, ports := range s.ports {
		for _, p := range ports {
			s.await(t, p)
		}
	}
	pem, err := os.ReadFile(filepath.Join(dir, "certs", "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	return s
}

func (s *wpt) await(t *testing.T, port int) {
	for range 600 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("the server of the web-platform tests does not listen at %d", port)
}

// read takes from the server's log what it was asked for.
func (s *wpt) read(r *os.File) {
	h1 := regexp.MustCompile(` on port (\d+)\] DEBUG - ([A-Za-z-]+) ([/*]\S*)$`)
	h2 := regexp.MustCompile(` on port (\d+)\] DEBUG - \([0-9a-f]+ - \d+\) <RequestReceived .*\(b':method', b'([^']+)'\).*\(b':path', b["'](.*?)["']\)`)
	rewriting := regexp.MustCompile(` on port (\d+)\] DEBUG - Rewriting request path (\S+) to (\S+)$`)
	frames, rewritten := fmt.Sprint(s.ports["h2"][0]), map[string]string{} // by what comes next in that port's log
	ws := regexp.MustCompile(` on port (\d+)\] DEBUG - Sent server's opening handshake`)
	for in := bufio.NewReaderSize(r, 1<<20); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		hit := ""
		if m := rewriting.FindStringSubmatch(line); m != nil {
			rewritten[m[1]+" "+m[3]] = m[2]
		} else if m := h1.FindStringSubmatch(line); m != nil && m[1] != frames {
			path := m[3]
			if from := rewritten[m[1]+" "+path]; from != "" {
				path = from
			}
			hit = m[1] + " " + m[2] + " " + path
		} else if m := h2.FindStringSubmatch(line); m != nil {
			hit = m[1] + " " + m[2] + " " + m[3]
		} else if m := ws.FindStringSubmatch(line); m != nil {
			hit = m[1] + " WS"
		}
		if hit != "" {
			s.mu.Lock()
			s.hits = append(s.hits, hit)
			s.mu.Unlock()
		}
	}
}

func (s *wpt) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hits
	s.hits = nil
	return h
}

// pages are the addresses of a folder's tests, those below it too.
func (s *wpt) pages(t *testing.T, dir, only string) (out []string) {
	err := filepath.WalkDir(filepath.Join(s.root, dir), func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"resources", "support", "tools", "META-INF"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		p := s.address(path)
		if p != "" && strings.Contains(p, only) {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		t.Logf("%s: %v", dir, err)
	}
	return out
}

func (s *wpt) address(path string) string {
	name := filepath.Base(path)
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(name, "manual") || strings.Contains(name, "crash") {
		return ""
	}
	rel, _ := filepath.Rel(s.root, path)
	query := ""
	switch {
	case strings.HasSuffix(name, ".any.js"):
		rel = strings.TrimSuffix(rel, ".js") + ".html"
		if m := regexp.MustCompile(`(?m)^// META: global=(.*)$`).FindSubmatch(b); m != nil && !strings.Contains(string(m[1]), "window") {
			kind := map[bool]string{true: ".sharedworker.html", false: ".worker.html"}[strings.HasPrefix(string(m[1]), "sharedworker")]
			rel = strings.TrimSuffix(rel, ".html") + kind
		}
		if m := regexp.MustCompile(`(?m)^// META: variant=(\?.*)$`).FindSubmatch(b); m != nil {
			query = string(m[1])
		}
	case strings.HasSuffix(name, ".window.js"), strings.HasSuffix(name, ".worker.js"):
		rel = strings.TrimSuffix(rel, ".js") + ".html"
	case slices.Contains([]string{".html", ".htm", ".xhtml", ".svg"}, filepath.Ext(name)) && strings.Contains(string(b), "testharness.js"):
	default:
		return ""
	}
	scheme, port := "http", s.ports["http"][0]
	switch {
	case strings.Contains(name, ".h2."), strings.Contains(query, "wpt_flags=h2"):
		scheme, port = "https", s.ports["h2"][0]
	case strings.Contains(name, ".https."), strings.HasSuffix(name, ".serviceworker.html"), strings.Contains(query, "wpt_flags=https"), strings.Contains(query, "wss"):
		scheme, port = "https", s.ports["https"][0]
	}
	return fmt.Sprintf("%s://web-platform.test:%d/%s%s", scheme, port, filepath.ToSlash(rel), strings.TrimSpace(query))
}

// spread is n of a list, evenly from its beginning to its end.
func spread(list []string, n int) (out []string) {
	n = min(n, len(list))
	for i := range n {
		out = append(out, list[i*len(list)/n])
	}
	return out
}

// compare captures a page and looks for each exchange of the server's log in the record.
func (s *wpt) compare(t *testing.T, c *Collector, page string) (sum wptSum) {
	s.take()
	t.Log(page)
	a, k := collect(t, c, collectors.Request{Source: page, AllowPrivate: true, Budget: collectors.Budget{Time: 40 * time.Second}})
	time.Sleep(300 * time.Millisecond) // for the server to write
	asked := s.take()
	sum = wptSum{pages: 1, asked: len(asked), of: map[collectors.Outcome]int{a.Outcome: 1}}
	requests, answers := s.recorded(t, a, k)
	recorded := map[string]int{}
	for _, r := range requests {
		recorded[r.hit]++
		sum.recorded++
		if answers[r.url]--; answers[r.url] < 0 {
			t.Errorf("UNANSWERED %s: of %s the record has neither an answer nor why there is none", page, r.hit)
		}
	}
	for _, hit := range asked {
		if recorded[hit]--; recorded[hit] < 0 {
			sum.lost++
			t.Errorf("LOST %s: %s", page, hit)
		}
	}
	for hit, n := range recorded {
		if n > 0 {
			t.Logf("MORE %s: %d × %s", page, n, hit)
		}
	}
	return sum
}

type wptRequest struct{ hit, url string }

// recorded are the requests of a capture, and how many answers, or words on why there is
// none, it has of each address.
func (s *wpt) recorded(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) (list []wptRequest, answers map[string]int) {
	ws := []string{fmt.Sprint(s.ports["ws"][0]), fmt.Sprint(s.ports["wss"][0])}
	for _, r := range readWarc(t, object(t, a, k, "requests.warc.gz")) {
		line, _, _ := strings.Cut(string(r.block), "\r\n")
		f, port := strings.Split(line, " "), portOf(r.url)
		if r.kind != warc.Request || len(f) < 2 || port == "" {
			continue
		}
		hit := port + " " + f[0] + " " + f[1]
		if slices.Contains(ws, port) {
			hit = port + " WS"
		}
		list = append(list, wptRequest{hit, r.url})
	}
	answers = map[string]int{}
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		var note struct{ URL, Code, Error, Answer string }
		switch {
		case r.kind == warc.Response:
			answers[r.url]++
		case r.kind == warc.Metadata && json.Unmarshal(r.block, &note) == nil && note.Answer == "" && note.Code != "" && note.Error != "":
			answers[note.URL]++
		}
	}
	return list, answers
}

func portOf(u string) string {
	_, rest, _ := strings.Cut(u, "://")
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, "?")
	_, port, _ := net.SplitHostPort(host)
	return port
}
