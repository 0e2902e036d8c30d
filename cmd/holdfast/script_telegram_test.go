package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/gotd/td/tgerr"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/telegram/telegramtest"
)

// telegramCommands adds the script commands of Telegrams of one's own.
func telegramCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	w := &telegramWorld{at: map[string]*ownTelegram{}}
	to["telegram"] = w.command
	to["tme"] = w.tme
	return to
}

type telegramWorld struct {
	mu sync.Mutex
	at map[string]*ownTelegram // by script and name

	pages map[string]*publicPagesOf // likewise
}

type ownTelegram struct {
	*telegramtest.Server
	mu       sync.Mutex
	fault    map[string]error // by method, until `telegram fault NAME METHOD`
	channels map[string]*telegramtest.Channel
}

func (o *ownTelegram) fail(method string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault[method]
}

// command is
//
//	telegram start NAME              a service; $NAME is its file of servers
//	telegram password NAME WORD      its account has a second password from now on
//	telegram fault NAME METHOD [WHAT]  the method answers with this error; none: no more
//	telegram logout NAME             it knows no session any more
//	telegram scan NAME FILE          a device scans the last picture that FILE tells of
//	telegram asked NAME METHOD N     the method was asked for N times
//	telegram awaits NAME METHOD N    waits until it was
//	telegram channel NAME USER N     a channel has N posts, or N more
//	telegram edit NAME USER ID TEXT, delete NAME USER ID, corrupt NAME USER ID,
//	close NAME USER [ERROR]          what happens to it
func (w *telegramWorld) command(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: telegram start|password|fault|logout|scan|asked NAME …")
	}
	k := key(ts, args[1])
	if args[0] == "start" {
		w.start(ts, k, args[1])
		return
	}
	w.mu.Lock()
	o := w.at[k]
	w.mu.Unlock()
	if o == nil {
		ts.Fatalf("no telegram %s", args[1])
	}
	if o.beside(ts, args[0], args[2:]) || o.media(ts, args[0], args[2:]) || o.several(ts, args[0], args[2:]) {
		return
	}
	switch args[0] {
	case "channel", "edit", "delete", "corrupt", "close", "post", "forget", "react", "timeout", "admin", "leave", "join":
		o.change(ts, args[0], args[2:])
	case "password":
		ts.Check(o.SetPassword(args[2], "the usual"))
	case "fault":
		o.setFault(ts, args[2:])
	case "logout":
		o.LogOut()
	case "scan":
		ts.Check(o.scan(ts.MkAbs(args[2])))
	case "awaits":
		o.await(ts, args[2], args[3])
	case "asked":
		if n := strconv.Itoa(o.Asked(args[2])); n != args[3] {
			ts.Fatalf("%s was asked for %s times, want %s", args[2], n, args[3])
		}
	}
}

func (w *telegramWorld) start(ts *testscript.TestScript, k, name string) {
	o := &ownTelegram{fault: map[string]error{}}
	var err error
	o.Server, err = telegramtest.Start(telegramtest.NewWorld(), telegramtest.Options{Fault: o.fail})
	ts.Check(err)
	ts.Defer(o.Close)
	w.mu.Lock()
	w.at[k] = o
	w.mu.Unlock()
	file := filepath.Join(ts.Getenv("WORK"), name+".servers.json")
	ts.Check(os.WriteFile(file, o.File(), 0o600))
	ts.Setenv(name, file)
}

func (o *ownTelegram) setFault(ts *testscript.TestScript, args []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.fault, args[0])
	if len(args) < 2 {
		return
	}
	code := 400
	switch {
	case strings.HasPrefix(args[1], "FLOOD_WAIT"):
		code = 420
	case strings.HasPrefix(args[1], "AUTH_KEY"), strings.HasPrefix(args[1], "USER_DEACTIVATED"):
		code = 401
	}
	o.fault[args[0]] = tgerr.New(code, args[1])
}

func (o *ownTelegram) scan(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	all := regexp.MustCompile(`tg://login\?token=[^"]*`).FindAllString(string(b), -1)
	if len(all) == 0 {
		return errors.New("scan: no picture yet")
	}
	return o.Scan(strings.NewReplacer(`\u003d`, "=", `\u0026`, "&").Replace(all[len(all)-1]))
}
