package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/deploy/engines"
)

// TestTor runs the scripts of pages that are captured through Tor: a network of its own on
// this machine, of the real program, with a site that it leads to.
func TestTor(t *testing.T) {
	scripts, err := filepath.Glob("testdata/tor/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	if chromium() == "" {
		t.Skip("no Chromium: set HOLDFAST_BROWSER")
	}
	w := &torWorld{t: t}
	w.site(t)
	w.net = engines.Tor(t, map[string]string{"site.test": engines.TorExit, "one.test": engines.TorExit, "two.test": engines.TorExit, "inside.test": torInside}, map[int]string{80: torOnion + ":" + w.port, 443: w.secure})
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/tor",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOLDFAST_DATA", filepath.Join(e.WorkDir, "node"))
			e.Setenv("HOLDFAST_BROWSER", os.Getenv("HOLDFAST_BROWSER"))
			e.Setenv("PORT", w.port)
			e.Setenv("ONION", w.net.Onion)
			e.Values[torClients{}] = map[string]*engines.TorClient{}
			return nil
		},
		Cmds: watchCommands(exportCommands(map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "tsa": cmdTSA, "office": cmdOffice, "jsonkeys": cmdJSONKeys, "jsonlast": cmdJSONLast, "setout": cmdSetOut,
			"tor": w.tor, "hits": w.hits,
		})),
	})
}

// Addresses of this machine by which a site knows how it was reached.
const (
	torOnion  = "127.0.0.3" // by the onion service
	torInside = "127.0.0.9" // private: the exit refuses it
)

type torClients struct{}

// torWorld is the network and the site, one for all scripts: each asks for paths that
// begin with its own name.
type torWorld struct {
	t            *testing.T
	net          *engines.TorNetwork
	port, secure string
	asked        siteHits
	clients      atomic.Int64
	deadly       atomic.Pointer[engines.TorClient] // is killed by who asks for deadly.png
}

// site serves at one port of each address. A page says another thing to who comes by Tor.
func (w *torWorld) site(t *testing.T) {
	h := http.HandlerFunc(w.page)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	_, w.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	for _, a := range []string{engines.TorExit, torOnion, torInside} {
		l, err := net.Listen("tcp", net.JoinHostPort(a, w.port))
		if err != nil {
			t.Fatal(err)
		}
		other := &http.Server{Handler: h}
		go func() { _ = other.Serve(l) }()
		t.Cleanup(func() { other.Close() })
	}
	secure := httptest.NewUnstartedServer(h)
	l, err := net.Listen("tcp", torOnion+":0")
	if err != nil {
		t.Fatal(err)
	}
	secure.Listener.Close()
	secure.Listener = l
	secure.StartTLS()
	t.Cleanup(secure.Close)
	w.secure = secure.Listener.Addr().String()
}

func (w *torWorld) page(rw http.ResponseWriter, r *http.Request) {
	at, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	w.asked.add(at + " " + r.URL.Path)
	words := "Fourteen people were hurt at the harbour."
	if at == engines.TorExit {
		words = "This page is not shown in your country."
	}
	rw.Header().Set("Content-Type", "text/html")
	more := ""
	switch base := filepath.Base(r.URL.Path); base {
	case "deadly.png":
		if c := w.deadly.Swap(nil); c != nil {
			go c.Kill()
		}
		<-r.Context().Done()
		return
	case "deadly":
		more = "<img src=deadly.png><script>setTimeout(()=>fetch('after'),500)</script>"
	case "inside":
		for _, to := range []string{"127.0.0.1:" + w.port, "[::1]:" + w.port, "localhost:" + w.port, "10.0.0.1", "169.254.169.254", "inside.test:" + w.port} {
			more += "<img src=//" + to + r.URL.Path + "/secret.png>"
		}
	}
	fmt.Fprintf(rw, "<!doctype html><link rel=icon href=data:,><title>The site</title><p>%s%s", words, more)
}

// tor is `tor client NAME`, which makes one that is not started, $NAME its SOCKS; `tor
// start NAME`, `tor ready NAME`, `tor kill NAME`, `tor deadly NAME` (who asks the site for
// deadly.png kills it), `tor streams NAME` (from now on $WORK/NAME.streams has each step of
// each), `tor resolved HOST` (the exit's resolver was asked for it).
func (w *torWorld) tor(ts *testscript.TestScript, neg bool, args []string) {
	clients := ts.Value(torClients{}).(map[string]*engines.TorClient)
	what, name := args[0], args[1]
	c := clients[name]
	switch what {
	case "client":
		clients[name] = w.net.Client(w.t, fmt.Sprint(name, w.clients.Add(1)))
		ts.Setenv(name, clients[name].SOCKS)
	case "start":
		ts.Check(c.Start())
	case "ready":
		ts.Check(c.Ready())
	case "kill":
		c.Kill()
	case "deadly":
		w.deadly.Store(c)
	case "streams":
		log, err := os.OpenFile(ts.MkAbs(name+".streams"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		ts.Check(err)
		ctx, cancel := context.WithCancel(context.Background())
		ts.Defer(cancel)
		ts.Check(c.Streams(ctx, func(step, circuit, target string) { io.WriteString(log, step+" "+circuit+" "+target+"\n") }))
	case "resolved":
		if slices.Contains(w.net.Resolved(), name) == neg {
			ts.Fatalf("the exit was asked for %v", w.net.Resolved())
		}
	default:
		ts.Fatalf("tor %s: unknown", what)
	}
}

// hits is `hits N ADDRESS PREFIX`: so often the site was asked at that address for paths
// that begin so.
func (w *torWorld) hits(ts *testscript.TestScript, neg bool, args []string) {
	got := w.asked.count(args[1] + " " + args[2])
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("asked %d times at %s for %s…, want %s: %s", got, args[1], args[2], args[0], strings.Join(w.asked.all(), ", "))
	}
}

// siteHits is a list that many write to.
type siteHits struct {
	mu   sync.Mutex
	list []string
}

func (a *siteHits) add(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, s)
}

func (a *siteHits) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

func (a *siteHits) count(prefix string) (n int) {
	for _, s := range a.all() {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}
