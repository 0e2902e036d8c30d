package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cmd/internal/nodedir"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// The window follows the list of authorities while the node seals.
func TestWindowFollowsAuthorities(t *testing.T) {
	dir := t.TempDir()
	c := &cli{out: io.Discard, errs: io.Discard, data: filepath.Join(dir, "node")}
	n, err := c.initNode(t.Context(), initOptions{label: "window"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	addLocal(t, n, dir, "alpha")
	q, err := preserve.NewQuorum(preserve.QuorumOptions{Trust: n.trust, Store: n.store})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	s := &sealing{quorum: q, recon: &preserve.Reconciler{}}
	run := s.preserve(n)
	if got := run.WindowNow(); got != pipeline.WindowOwn {
		t.Errorf("own: %v", got)
	}
	list, _, err := n.authorities().Entries()
	if err != nil {
		t.Fatal(err)
	}
	stranger := list[0]
	stranger.Name, stranger.Public = "stranger", true
	if err := wholefile.WriteJSON(n.path(nodedir.FileAuthorities), append(list, stranger)); err != nil {
		t.Fatal(err)
	}
	if err := s.askAnew(n); err != nil {
		t.Fatal(err)
	}
	if got := run.WindowNow(); got != pipeline.WindowPublic {
		t.Errorf("with a public one: %v", got)
	}
}

// A number that is missing is never less than the contract's two.
func TestQuorumIsTwoUnlessConfigured(t *testing.T) {
	dir := t.TempDir()
	c := &cli{out: io.Discard, errs: io.Discard, data: filepath.Join(dir, "node")}
	n, err := c.initNode(t.Context(), initOptions{label: "quorum"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for configured, want := range map[int]int{0: 2, 1: 1, 3: 3} {
		n.set.Quorum = configured
		if p, err := n.policy(); err != nil || p.Quorum != want {
			t.Errorf("configured %d: %+v, %v", configured, p, err)
		}
	}
	n.set.Quorum = -1
	if err := n.set.Write(n.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := nodedir.Read(n.dir); err == nil || !strings.Contains(err.Error(), "1 or more") {
		t.Errorf("a quorum below zero: %v", err)
	}
}
