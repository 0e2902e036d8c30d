package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/filelock"
)

// TestStoppedWhileOpening: a process that is asked to stop while it opens its node (here
// it waits for a rebuild) has ended well; one that was not, and cannot open it, has not.
func TestStoppedWhileOpening(t *testing.T) {
	_, n := roundNode(t)
	n.Close()
	unlock, err := filelock.Wait(t.Context(), n.path(nodedir.FileNoPrune))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, args := range [][]string{{"node", "index"}, {"node", "api", "--listen", "127.0.0.1:0"}, {"watch", "run"}} {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, stop)
		var out, errs bytes.Buffer
		if code := run(ctx, append(args, "--data", n.dir), strings.NewReader(""), &out, &errs); code != exitDone || !strings.Contains(out.String(), "stopped") {
			t.Errorf("%v: exit %d, %s %s", args, code, out.String(), errs.String())
		}
	}
	if code := run(t.Context(), []string{"node", "index", "--data", filepath.Join(n.dir, "none")}, strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer)); code != exitUsage {
		t.Errorf("without a node: exit %d, which a service manager tries again for ever", code)
	}
	var errs bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if code := run(ctx, []string{"list", "--data", n.dir}, strings.NewReader(""), new(bytes.Buffer), &errs); code != exitCould {
		t.Errorf("a command that was stopped has done nothing: exit %d", code)
	}
}

// TestNoBrowser: where no browser starts, Telegram's Tasks go on.
func TestNoBrowser(t *testing.T) {
	_, n := roundNode(t)
	n.set.Browser = "/nowhere/chromium"
	l := newCollectLoop(n)
	var mu sync.Mutex
	var done []string
	l.r.by["telegram"] = collects(func(source string) (*collectors.Acquired, error) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, source)
		return &collectors.Acquired{Started: time.Now(), Ended: time.Now(), Outcome: collectors.Complete}, nil
	})
	page := addTask(t, n, "https://page.invalid/", taskOptions{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = l.run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: never; %q", what, l.whyOf(page))
			}
		}
	}
	wait("the page waits, as there is no browser", func() bool { return l.whyOf(page) != "" })
	addTask(t, n, "telegram:@name", taskOptions{})
	wait("a channel is asked for all the same", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(done, "telegram:@name")
	})
	wait("the page alone waits", func() bool { // what was asked is accepted behind the question
		ts, err := n.queue.Tasks(t.Context(), "", 10)
		return err == nil && len(ts) == 1 && ts[0].Source == holdfast.Source("https://page.invalid/")
	})
}
