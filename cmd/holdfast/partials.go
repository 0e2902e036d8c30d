package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/collectors/telegram"
)

// partials is the folder of files of posts that are on their way.
const partials = "partial"

// sweepPartials removes what has come of files that no Task wants: whoever accepted
// one, or gave it up, and was killed before removing it, has left bytes behind that no
// Capture names and no erasure would find. What lies there was begun for a Task that was
// in the queue, so one that is not there, when it is asked afterwards, is done.
func (n *node) sweepPartials(ctx context.Context) error {
	there, err := os.ReadDir(n.path(partials))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(there) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep files on their way: %w", err)
	}
	accounts, err := n.accounts.Names()
	if err != nil {
		return fmt.Errorf("sweep files on their way: %w", err)
	}
	wanted := map[string]bool{}
	for t, err := range n.waiting(ctx) {
		if err != nil {
			return fmt.Errorf("sweep files on their way: %w", err)
		}
		var o taskOptions
		if t.Damaged || !isTelegram(t.Source) || json.Unmarshal(t.Options, &o) != nil {
			continue
		}
		for _, account := range accounts {
			wanted[telegram.Partial(account, o.Collector)] = true
		}
	}
	for _, e := range there {
		if !wanted[e.Name()] {
			if err := os.RemoveAll(filepath.Join(n.path(partials), e.Name())); err != nil {
				return fmt.Errorf("sweep files on their way: %w", err)
			}
		}
	}
	return nil
}
