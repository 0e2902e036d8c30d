package main

import (
	"fmt"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// change does to a channel what a script says.
func (o *ownTelegram) change(ts *testscript.TestScript, what string, args []string) {
	o.mu.Lock()
	ch := o.channel(args[0])
	o.mu.Unlock()
	if what == "post" || what == "forget" || what == "react" || what == "timeout" || what == "admin" || what == "leave" || what == "join" {
		o.live(ts, ch, what, args)
		return
	}
	n := 0
	if len(args) > 1 && what != "close" {
		var err error
		n, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	switch what {
	case "channel":
		for range n {
			ch.Post(fmt.Sprintf("Fire at the harbour, %s", args[0]))
		}
	case "edit":
		ch.Edit(n, args[2])
	case "delete":
		ch.Delete(n)
	case "corrupt":
		ch.Corrupt(n)
	case "close":
		ch.Close(append(args, "")[1])
	}
}
