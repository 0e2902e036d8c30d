package main

import (
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/gotd/td/tg"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/telegram/telegramtest"
)

// awaitLong is how long `await` waits; the machine may be busy.
const awaitLong = 2 * time.Minute

// watchCommands adds what scripts of `watch run` need.
func watchCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	to["await"] = cmdAwait
	return to
}

// cmdAwait is `await FILE REGEXP [N]`: waits until the file has N lines (1) that match.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	re, want := regexp.MustCompile("(?m)^.*"+args[1]+".*$"), 1
	if len(args) > 2 {
		var err error
		want, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	for end := time.Now().Add(awaitLong); ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		if len(re.FindAll(b, -1)) >= want {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s has not %d lines like %s:\n%s", args[0], want, args[1], b)
		}
	}
}

// live is what a channel does while it is watched:
//
//	telegram post NAME USER TEXT [URL]  a post, with a word that leads to URL
//	telegram forget NAME USER           what happened before is told no more
//	telegram react NAME USER ID N       so many have reacted
//	telegram timeout NAME USER S        how soon it may be asked about again
//	telegram admin NAME USER            the second number's account may write there
//	telegram leave|join NAME USER       nobody has joined it, so nothing is pushed; or all have
func (o *ownTelegram) live(ts *testscript.TestScript, ch *telegramtest.Channel, what string, args []string) {
	switch what {
	case "post":
		ch.Post(args[1], func(m *tg.Message) {
			if len(args) > 2 {
				m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityTextURL{Offset: 0, Length: 4, URL: args[2]}})
			}
		})
	case "forget":
		ch.Forget()
	case "admin":
		ch.Admin(telegramtest.OtherID)
	case "leave":
		ch.Leave()
	case "join":
		ch.Join()
	case "react":
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		id, err := strconv.Atoi(args[1])
		ts.Check(err)
		ch.React(id, n)
	case "timeout":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ch.SetTimeout(n)
	}
}
