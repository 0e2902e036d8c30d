//go:build linux

package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// inPublic is set in the process whose loopback has public addresses.
const inPublic = "HOLDFAST_TEST_PUBLIC"

// public is an address that is no private one; in the namespace it is ours.
const public = "93.184.216.34"

// TestPublicPage runs TestPublicPageInside in a network namespace of its own, where a
// page can be at a public address, and what it must not reach is there to be reached.
func TestPublicPage(t *testing.T) {
	if os.Getenv(inPublic) != "" {
		t.Skip("runs in TestPublicPageInside")
	}
	browserPath(t)
	args := []string{"-n"}
	if os.Geteuid() != 0 {
		args = []string{"-r", "-n"}
	}
	const prepare = `set -e
ip link set lo up
for a in ` + public + ` 169.254.169.254 10.0.0.1; do ip addr add $a/32 dev lo; done
exec "$@"`
	if err := exec.Command("unshare", append(args, "sh", "-c", prepare, "sh", "true")...).Run(); err != nil {
		t.Skipf("WHAT A PUBLIC PAGE REACHES IS NOT TESTED: no network namespace here: %v; needs unshare, ip, and the right to use them", err)
	}
	cmd := exec.Command("unshare", append(args, "sh", "-c", prepare, "sh", os.Args[0], "-test.run=^TestPublicPageInside$", "-test.v", "-test.count=1", "-test.timeout=9m")...)
	cmd.Env = append(os.Environ(), inPublic+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPublicPageInside") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// rebinding answers with a public address at first, and with one of this machine's then.
type rebinding struct {
	mu    sync.Mutex
	asked map[string]int
}

func (r *rebinding) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		r.asked = map[string]int{}
	}
	r.asked[host]++
	out, inside := netip.MustParseAddr(public), netip.MustParseAddr("127.0.0.1")
	switch {
	case strings.HasPrefix(host, "metadata"):
		return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
	case strings.HasPrefix(host, "both"):
		return []netip.Addr{inside, out}, nil
	case strings.HasPrefix(host, "rebind") && r.asked[host] > 1:
		return []netip.Addr{inside}, nil
	}
	return []netip.Addr{out}, nil
}

// TestPublicPageInside is the inside of TestPublicPage: a page at a public address tries
// to get at this machine, its network, the cloud's metadata and its files, in every way
// that a page has; nothing of it is asked for, nothing comes into the record, and the
// record says what was refused.
func TestPublicPageInside(t *testing.T) {
	if os.Getenv(inPublic) == "" {
		t.Skip("runs in a namespace that TestPublicPage makes")
	}
	const secret = "inside knowledge 4711"
	var reached atomic.Int32
	for _, at := range []string{"127.0.0.1:80", "169.254.169.254:80", "10.0.0.1:80", "127.0.0.1:8080", "[::1]:80"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err)
			continue
		}
		t.Cleanup(func() { l.Close() })
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1); io.WriteString(w, secret) }))
	}
	file, content := secretFile(t)
	pages := map[string]string{
		"/refresh-loopback":  `<meta http-equiv=refresh content="0;url=http://127.0.0.1/x">`,
		"/refresh-metadata":  `<meta http-equiv=refresh content="0;url=http://169.254.169.254/latest/meta-data/">`,
		"/refresh-name":      `<meta http-equiv=refresh content="0;url=http://metadata.test/latest/">`,
		"/refresh-file":      `<meta http-equiv=refresh content="0;url=file://` + file + `">`,
		"/refresh-chrome":    `<meta http-equiv=refresh content="0;url=chrome://version">`,
		"/location-file":     `<script>location='file://` + file + `'</script>`,
		"/location-chrome":   `<script>location='chrome://settings'</script>`,
		"/location-devtools": `<script>location='view-source:file://` + file + `'</script>`,
		"/all": `<p>page<img src=http://127.0.0.1/i><img src=http://10.0.0.1/i><iframe src=http://169.254.169.254/latest/></iframe><iframe src="file://` + file + `"></iframe>
<iframe src=chrome://version></iframe><object data="file://` + file + `"></object><img src="file://` + file + `"><link rel=stylesheet href="file://` + file + `"><script src="file://` + file + `"></script>
<form id=f action=http://127.0.0.1:8080/post method=post target=inner><input name=a value=b></form><iframe name=inner></iframe>
<script>const go=f=>{try{const p=f();p&&p.catch&&p.catch(()=>{})}catch(e){}};
for(const h of ['127.0.0.1','127.1','2130706433','0x7f000001','[::1]','[::ffff:127.0.0.1]','0.0.0.0','localhost','10.0.0.1','169.254.169.254','metadata.test']){
go(()=>fetch('http://'+h+'/fetch',{mode:'no-cors'}));go(()=>new WebSocket('ws://'+h+'/ws'));go(()=>navigator.sendBeacon('http://'+h+'/beacon','x'));go(()=>new EventSource('http://'+h+'/events'))}
go(()=>fetch('file://` + file + `'));go(()=>fetch('chrome://version'));go(()=>window.open('file://` + file + `'));go(()=>document.getElementById('f').submit());
go(()=>{const x=new XMLHttpRequest();x.open('GET','file://` + file + `');x.send()})</script>`,
	}
	l, err := net.Listen("tcp", public+":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch to := strings.TrimPrefix(r.URL.Path, "/to-"); {
		case to != r.URL.Path:
			w.Header().Set("Location", map[string]string{"loopback": "http://127.0.0.1/x", "metadata": "http://169.254.169.254/latest/", "file": "file://" + file, "chrome": "chrome://version", "name": "http://metadata.test/"}[to])
			w.WriteHeader(http.StatusFound)
		case r.URL.Path == "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<!doctype html><title>public</title>%s", pages[r.URL.Path])
		}
	}))
	c := newCollector(t, Options{Resolver: &rebinding{}})
	look := func(address string) *collectors.Acquired {
		t.Helper()
		a, k := collect(t, c, collectors.Request{Source: address, Budget: collectors.Budget{Time: 20 * time.Second}})
		if n := reached.Swap(0); n > 0 {
			t.Errorf("%s: what is inside was asked %d times", address, n)
		}
		for _, o := range a.Objects {
			b := object(t, a, k, o.Name)
			if o.Name == "page.wacz" {
				for _, r := range readWarc(t, waczMember(t, b, warc.ArchiveName)) {
					b = append(b, r.block...)
				}
			}
			for _, s := range []string{secret, content, "root:x:0:0"} {
				if bytes.Contains(b, []byte(s)) {
					t.Errorf("%s: %s has %q", address, o.Name, s)
				}
			}
		}
		return a
	}
	if a := look("http://rebind.test/ok"); a.Outcome != collectors.Complete {
		t.Fatalf("a public page: %s %v", a.Outcome, a.Reasons)
	}
	if a := look("http://rebind.test/ok"); a.Outcome != collectors.Failed || !hasReason(a, "address-refused") {
		t.Errorf("the name that leads inside now: %s %v", a.Outcome, a.Reasons)
	}
	look("http://both.test/ok")
	for path := range pages {
		a := look("http://rebind-" + strings.Trim(path, "/") + ".test" + path)
		if path == "/all" && (a.Outcome != collectors.Partial || a.Completeness.Blocked < 10) {
			t.Errorf("%s: %s %v, %d blocked", path, a.Outcome, a.Reasons, a.Completeness.Blocked)
		}
		if len(a.Reasons) == 0 && strings.HasPrefix(path, "/refresh-") && !strings.Contains(path, "file") && !strings.Contains(path, "chrome") {
			t.Errorf("%s: nothing is said of it: %s", path, a.Outcome)
		}
		if f := a.Address.Final; f != "" && !strings.HasPrefix(f, "http://rebind-") {
			t.Errorf("%s: it ended at %s", path, f)
		}
	}
	for _, to := range []string{"loopback", "metadata", "file", "chrome", "name"} {
		if a := look("http://public.test/to-" + to); a.Outcome != collectors.Failed || len(a.Reasons) == 0 {
			t.Errorf("a redirect to %s: %s %v", to, a.Outcome, a.Reasons)
		}
	}
}
