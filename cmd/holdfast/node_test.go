package main

import (
	"io"
	"net"
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/authorities"
	"holdfast/preserve/authority"
)

// TestPolicyOfTwoProcesses guards that a node opened before another process
// pinned an authority counts that authority's tokens when it exports.
func TestPolicyOfTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	c := &cli{out: io.Discard, errs: io.Discard, data: filepath.Join(dir, "node")}
	one, err := c.initNode(t.Context(), initOptions{label: "two"})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	for name, n := range map[string]*node{"alpha": one, "beta": two} {
		addLocal(t, n, dir, name)
	}
	for name, n := range map[string]*node{"one": one, "two": two} {
		p, err := n.policy()
		if err != nil || len(p.Authorities) != 2 {
			t.Errorf("%s knows %+v, %v; want two authorities", name, p, err)
		}
	}
	if err := two.removeAuthority(t.Context(), "alpha"); err != nil {
		t.Fatal(err)
	}
	if p, err := one.policy(); err != nil || ended(p, "alpha") != 1 || ended(p, "beta") != 0 {
		t.Errorf("after the end of alpha: %+v, %v", p, err)
	}
}

func ended(p *holdfast.Policy, operator string) (n int) {
	for _, a := range p.Authorities {
		if a.Operator == operator && a.Until != nil {
			n++
		}
	}
	return n
}

func addLocal(t *testing.T, n *node, dir, name string) {
	t.Helper()
	a, err := authority.Open(filepath.Join(dir, name), authority.Options{Operator: name})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go serve(t.Context(), l, a.Handler())
	e := authorities.Entry{Name: name, URL: "http://" + l.Addr().String() + "/", Operator: name}
	if err := e.Check(filepath.Join(dir, name, "roots.pem")); err != nil {
		t.Fatal(err)
	}
	if err := n.addAuthority(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := n.tryAuthority(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}
