package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/collectorstest"
)

// egressCommands adds the script commands of egresses and bad lines.
func egressCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	w := &egressWorld{proxies: map[string]*collectorstest.Proxy{}}
	to["egress"], to["badline"], to["deadlysite"], to["twofaced"] = w.egress, w.badLine, w.deadlySite, twoFaced
	return to
}

type egressWorld struct {
	mu      sync.Mutex
	proxies map[string]*collectorstest.Proxy // by script and name
}

func key(ts *testscript.TestScript, name string) string { return ts.Getenv("WORK") + " " + name }

func (w *egressWorld) stop(k string) {
	w.mu.Lock()
	p := w.proxies[k]
	delete(w.proxies, k)
	w.mu.Unlock()
	if p != nil {
		p.Close()
	}
}

// egress is `egress start NAME [user:password | from ADDRESS]` and `egress stop NAME`: a
// proxy at $NAME (host:port), for which every name is a machine of this test's. What
// it is asked for stands in $WORK/NAME.asked.
func (w *egressWorld) egress(ts *testscript.TestScript, neg bool, args []string) {
	k := key(ts, args[1])
	if args[0] == "stop" {
		w.stop(k)
		return
	}
	o := collectorstest.ProxyOptions{}
	if len(args) > 3 { // from another address of this machine
		from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(args[3])}}
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return from.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		}
	} else if len(args) > 2 {
		o.User, o.Password, _ = strings.Cut(args[2], ":")
	}
	log := ts.MkAbs(args[1] + ".asked")
	o.Asked = func(address string) {
		if f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			io.WriteString(f, address+"\n")
			f.Close()
		}
	}
	p, err := collectorstest.StartProxy(o)
	ts.Check(err)
	ts.Defer(func() { w.stop(k) })
	w.mu.Lock()
	w.proxies[k] = p
	w.mu.Unlock()
	ts.Setenv(args[1], p.Address())
}

// badLine is `badline NAME ADDRESS`: $NAME is an address whose first two
// connections are reset (the browser tries twice by itself), and from then on
// every second; the others lead to ADDRESS.
func (w *egressWorld) badLine(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
	to := strings.TrimPrefix(args[1], "http://")
	var n atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if i := n.Add(1); i == 2 || i%2 == 1 {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				continue
			}
			go func() {
				defer c.Close()
				up, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { io.Copy(up, c); up.Close() }()
				io.Copy(c, up)
			}()
		}
	}()
}

// deadlySite is `deadlysite NAME EGRESS`: $WORK/site is served at port $NAME,
// and the first request for /deadly.png kills the egress.
func (w *egressWorld) deadlySite(ts *testscript.TestScript, neg bool, args []string) {
	k, files, killed := key(ts, args[1]), http.FileServer(http.Dir(ts.MkAbs("site"))), atomic.Bool{}
	hits := ts.MkAbs("hits")
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f, err := os.OpenFile(hits, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			io.WriteString(f, r.URL.Path+"\n")
			f.Close()
		}
		if filepath.Base(r.URL.Path) == "deadly.png" && killed.CompareAndSwap(false, true) {
			go w.stop(k)
			<-r.Context().Done()
			return
		}
		files.ServeHTTP(rw, r)
	}))
	ts.Defer(func() { s.CloseClientConnections(); s.Close() })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	ts.Setenv(args[0], port)
}

// twoFaced is `twofaced NAME ADDRESS`: a site at port $NAME that shows who comes from ADDRESS
// another page, and answers the first who asks for a page once a second one has asked too.
func twoFaced(ts *testscript.TestScript, neg bool, args []string) {
	var asked atomic.Int64
	both := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(rw, r)
			return
		}
		if n := asked.Add(1); n == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-r.Context().Done():
			return
		}
		rw.Header().Set("Content-Type", "text/html")
		if from, _, _ := net.SplitHostPort(r.RemoteAddr); from == args[1] {
			io.WriteString(rw, "<!doctype html><link rel=icon href=data:,><title>The site</title><p>This page is not shown in your country.")
			return
		}
		io.WriteString(rw, "<!doctype html><link rel=icon href=data:,><title>The site</title><p>Fourteen people were hurt at the harbour.")
	}))
	ts.Defer(func() { s.CloseClientConnections(); s.Close() })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	ts.Setenv(args[0], port)
}
