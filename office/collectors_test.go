package office_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast/office"
)

// collectors: who says that it is there is told of until its lease is over or it leaves,
// as it said last.
func collectors(t *testing.T, open func() *office.Book) {
	ctx, a, b := t.Context(), open().Collectors(), open().Collectors()
	there := func(want string) {
		t.Helper()
		got, err := b.There(ctx)
		if s := fmt.Sprintf("%s", got); err != nil || s != want {
			t.Errorf("there are %s, %v: want %s", s, err, want)
		}
	}
	say := func(process, body string, lease time.Duration) {
		t.Helper()
		if err := a.Beat(ctx, process, lease, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	there("[]")
	say("two/x", "well", time.Hour)
	say("one/y", "well too", time.Hour)
	say("two/x", "no browser", time.Hour)
	there("[well too no browser]")
	say("one/y", "well too", 0) // it has died
	there("[no browser]")
	if err := a.Leave(ctx, "two/x"); err != nil {
		t.Fatal(err)
	}
	there("[]")
	if err := a.Beat(ctx, "big", time.Hour, make([]byte, office.MaxCollector+1)); err == nil {
		t.Error("one without a bound was taken")
	}
}
