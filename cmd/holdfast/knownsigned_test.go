package main

import (
	"database/sql"
	"io"
	"testing"
	"time"

	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/preserve"
)

// TestSealsBesideRebuild: a catalog that is made again, or whose rebuild was broken
// off, is no reason not to seal.
func TestSealsBesideRebuild(t *testing.T) {
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	db, err := sql.Open("sqlite", n.path("catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE meta SET complete = 0`); err != nil {
		t.Fatal(err)
	}
	s := &sealing{recon: &preserve.Reconciler{}}
	if err := s.addSigned(t.Context(), n); err == nil {
		t.Error("the catalog answered: the test proves nothing")
	}
	if err := s.knownSigned(t.Context(), n); err != nil {
		t.Errorf("sealing stops: %v", err)
	}
}

// TestAsksBehindRebuild: a question that meets a rebuild at work is answered when
// that has ended.
func TestAsksBehindRebuild(t *testing.T) {
	c := &cli{out: io.Discard, errs: io.Discard}
	made, err := c.benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	c.data = made.dir
	n, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	db, err := sql.Open("sqlite", n.path("catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	unlock, err := filelock.Wait(t.Context(), n.path(nodedir.FileNoPrune))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE meta SET complete = 0`); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() {
		if _, err := db.Exec(`UPDATE meta SET complete = 1`); err != nil {
			t.Error(err)
		}
		unlock()
	})
	if _, err := n.cat.Case(t.Context(), string(n.set.Unfiled)); err != nil {
		t.Errorf("beside a rebuild: %v", err)
	}
}
