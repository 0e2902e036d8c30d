package main

import (
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// several is what happens to one of several accounts, each named by the number of
// its login:
//
//	telegram ban NAME N                  the account is closed
//	telegram hide NAME USER [N…]         the channel is private for these accounts
//	telegram wait NAME N METHOD [WHAT]   the method answers the account with this; none: no more
//	telegram askedby NAME N METHOD [MAX] it has asked for it, MAX times at most
func (o *ownTelegram) several(ts *testscript.TestScript, what string, args []string) bool {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		ts.Check(err)
		return n
	}
	switch what {
	case "ban":
		o.Ban(number(args[0]))
	case "hide":
		var from []int
		for _, a := range args[1:] {
			from = append(from, number(a))
		}
		o.mu.Lock()
		ch := o.channels[args[0]]
		o.mu.Unlock()
		o.Hide(ch, from...)
	case "wait":
		o.Wait(number(args[0]), args[1], append(args, "")[2])
	case "askedby":
		n := o.AskedBy(number(args[0]), args[1])
		if n == 0 || len(args) > 2 && n > number(args[2]) {
			ts.Fatalf("account %s asked for %s %d times", args[0], args[1], n)
		}
	default:
		return false
	}
	return true
}
