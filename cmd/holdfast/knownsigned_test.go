package main

import (
	"database/sql"
	"io"
	"testing"

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
