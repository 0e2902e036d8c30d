package filelock_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"holdfast/filelock"
)

// TestLock: one has it alone, or several share it, and who waits for it gets it or says
// what he waited for.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.lock")
	first, err := filelock.Try(path)
	if err != nil || first == nil {
		t.Fatal(first == nil, err)
	}
	if second, err := filelock.Try(path); err != nil || second != nil {
		t.Errorf("two have it, %v", err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	over := errors.New("over")
	time.AfterFunc(50*time.Millisecond, func() { stop(over) })
	if got, err := filelock.Wait(ctx, path); !errors.Is(err, over) || got != nil {
		t.Errorf("waited in vain: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, first)
	one, err := filelock.Share(path) // waits
	if err != nil {
		t.Fatal(err)
	}
	two, err := filelock.Share(path)
	if err != nil {
		t.Fatal(err)
	}
	one()
	if alone, err := filelock.Try(path); err != nil || alone != nil {
		t.Errorf("had alone while it is shared, %v", err)
	}
	time.AfterFunc(50*time.Millisecond, two)
	alone, err := filelock.Wait(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	alone()
	if _, err := filelock.Try(filepath.Join(path, "below")); err == nil {
		t.Error("a lock where no file can be")
	}
}
