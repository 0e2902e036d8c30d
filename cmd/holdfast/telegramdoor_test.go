package main

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/collectors/telegram/telegramtest"
)

// TestLineGivenUp guards that a watch which is given to an account is asked about, also
// where a Task that named none had opened that account's only Line before.
func TestLineGivenUp(t *testing.T) {
	world := telegramtest.NewWorld()
	world.Channel(1001, "harbour_news", "Harbour").Post("quiet")
	s, err := telegramtest.Start(world, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, []byte(s.File()), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"SERVERS": file, "APP_ID": "1", "APP_HASH": "0123456789abcdef0123456789abcdef"} {
		t.Setenv("HOLDFAST_TELEGRAM_"+k, v)
	}
	_, n := roundNode(t)
	if out, errs, code := call("telegram", "login", "--phone", "+"+s.Phone, "--code", s.Code, "--data", n.dir); code != exitDone {
		t.Fatalf("login: %d %s%s", code, out, errs)
	}
	names, err := n.accounts.Names()
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	d := &telegramDoor{n: n, apart: true}
	defer d.Close()
	for _, account := range []string{"", names[0]} {
		r := roundOf(n, d)
		r.account = func(taskOptions) string { return account }
		r.run(t.Context(), []wish{{id: addTask(t, n, "telegram:@harbour_news", taskOptions{})}})
		r.names.end(t.Context())
		if len(r.got) == 0 || r.waits != nil || r.stopped != nil {
			t.Errorf("by account %q: %d captures, waits: %v, stopped: %v", account, len(r.got), r.waits, r.stopped)
		}
	}
}
