package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/pipeline"
)

// TestSweepPartials: what has come of a file goes once no Task wants it, whoever was
// killed before removing it, and stays for as long as one does.
func TestSweepPartials(t *testing.T) {
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := os.WriteFile(n.path(accounts.Files+"a1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	for id := range int64(3) {
		wish, err := json.Marshal(telegram.Wish{File: &telegram.File{Channel: 1001, Post: 7, ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, telegram.Partial("a1", wish))
		options, err := json.Marshal(taskOptions{Collector: wish})
		if err != nil {
			t.Fatal(err)
		}
		if id == 1 {
			if _, err := n.queue.AddTasks(t.Context(), pipeline.Task{Source: "telegram:@harbour_news", Case: holdfast.NewID(), Options: options}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(n.path(partials), names[id]), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.sweepPartials(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(n.path(partials))
	if err != nil || len(left) != 1 || left[0].Name() != names[1] {
		t.Errorf("left: %v, %v; wanted is %s", left, err, names[1])
	}
}
