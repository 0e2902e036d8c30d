package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast"
	"holdfast/pipeline"
)

// A line that another process wrote and did not live to fsync is made durable
// before it is built upon, whenever this handle meets it.
func TestOutboxSyncsWhatOthersWrote(t *testing.T) {
	dir := t.TempDir()
	q, home := openQueue(t, dir), holdfast.NewID()
	var synced []string
	fail := error(nil)
	o, err := pipeline.OpenOutboxSync(filepath.Join(dir, "outbox"), facts, q, func(f *os.File) error {
		synced = append(synced, filepath.Base(f.Name()))
		return fail
	})
	must(t, err)
	if !slices.Contains(synced, filepath.Base(dir)) {
		t.Errorf("the outbox's own entry is not made durable: %q", synced)
	}
	_, err = o.Append(t.Context(), pipeline.Entry{Case: home, Action: "opened"})
	must(t, err)
	other := openOutbox(t, dir, q)
	for range 3 {
		h, err := other.Append(t.Context(), note(home, "by another"))
		must(t, err)
		for i := range 2 {
			synced = nil
			got, err := o.Head(t.Context(), home)
			must(t, err)
			if got != h || len(synced) != 1-i {
				t.Fatalf("head %d of %d, look %d, fsyncs %q", got.Length, h.Length, i+1, synced)
			}
		}
	}
	_, err = other.Append(t.Context(), note(home, "and once more"))
	must(t, err)
	fail = unix.EIO
	if _, err := o.Head(t.Context(), home); !errors.Is(err, pipeline.ErrStopped) {
		t.Errorf("head whose line is not on the disk: %v", err)
	}
	fail = nil // the kernel would say so
	if _, err := o.Head(t.Context(), home); !errors.Is(err, pipeline.ErrStopped) {
		t.Errorf("head after a failed fsync: %v", err)
	}
}

// Chains are found whatever the directory is called, and what a crash left of a
// mark is removed.
func TestOutboxDirectory(t *testing.T) {
	dir, home := filepath.Join(t.TempDir(), "a[b]*?"), holdfast.NewID()
	must(t, os.Mkdir(dir, 0o700))
	q := openQueue(t, dir)
	h, err := openOutbox(t, dir, q).Append(t.Context(), pipeline.Entry{Case: home, Action: "opened"})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "outbox", ".mark-123"), []byte("9"), 0o600))
	got, err := openOutbox(t, dir, q).Append(t.Context(), note(home, "second"))
	must(t, err)
	if got.Chain != h.Chain || got.Length != 2 {
		t.Errorf("a second chain: %+v after %+v", got, h)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "outbox"))
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".mark") {
			t.Errorf("left: %s", e.Name())
		}
	}
}
