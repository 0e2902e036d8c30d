package main

import (
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// await waits until a method was asked for so often.
func (o *ownTelegram) await(ts *testscript.TestScript, method, times string) {
	n, err := strconv.Atoi(times)
	ts.Check(err)
	for end := time.Now().Add(awaitLong); o.Asked(method) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("%s was asked for %d times, want %d", method, o.Asked(method), n)
		}
	}
}
