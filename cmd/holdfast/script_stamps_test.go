package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/preserve/authority"
)

// stampsCommands are those of the scripts about time-stamps that travel as
// files, about wrong clocks and about credentials.
func stampsCommands(in map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	in["clock"], in["redirector"] = cmdClock, cmdRedirector
	return in
}

// cmdClock runs an office's own authority whose clock is wrong:
//
//	clock NAME new         makes it; $NAME_url and $NAME_roots say where; nobody answers there yet
//	clock NAME on OFFSET   it answers, OFFSET ahead of this machine (negative: behind)
//	clock NAME off
func cmdClock(ts *testscript.TestScript, neg bool, args []string) {
	name, addr := args[0], ts.Getenv(args[0]+"_addr")
	dir := ts.MkAbs("clock-" + name)
	by := -60 * 24 * time.Hour // its certificates begin before any clock of a script
	switch args[1] {
	case "new":
		addr = freeAddress(ts)
		ts.Setenv(name+"_addr", addr)
		ts.Setenv(name+"_url", "http://"+addr+"/")
		ts.Setenv(name+"_roots", filepath.Join(dir, "roots.pem"))
	case "on":
		var err error
		by, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	a, err := authority.Open(dir, authority.Options{Operator: "Operator " + name, Now: func() time.Time { return time.Now().Add(by) }})
	ts.Check(err)
	running, _ := ts.Value(clockKey{}).(map[string]*http.Server)
	if s := running[addr]; s != nil {
		ts.Check(s.Close())
		delete(running, addr)
	}
	if args[1] != "on" {
		return
	}
	l, err := net.Listen("tcp", addr)
	for range 40 { // somebody's connection may have the port just now
		if err == nil {
			break
		}
		time.Sleep(250 * time.Millisecond)
		l, err = net.Listen("tcp", addr)
	}
	ts.Check(err)
	s := &http.Server{Handler: a.Handler()}
	running[addr] = s
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { _ = s.Close() })
}

// clockKey finds the running authorities of one script.
type clockKey struct{}

// cmdRedirector is `redirector NAME URL`: $NAME answers every question with a
// redirect to URL that keeps method and body.
func cmdRedirector(ts *testscript.TestScript, neg bool, args []string) {
	s := httptest.NewServer(http.RedirectHandler(args[1], http.StatusTemporaryRedirect))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL+"/")
}
