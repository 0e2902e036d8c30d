package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

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

// TestSweepSpools guards that what dead processes left goes, and what live ones
// have stays.
func TestSweepSpools(t *testing.T) {
	data := t.TempDir()
	live, err := openSpool(data)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	long := time.Now().Add(-2 * spoolGrace)
	for name, old := range map[string]bool{"spool-dead/lock": false, "spool-dead/browser/x": false, "spool-young/x": false, "spool-old/x": true, "spool-dead.gone/browser/x": false, ".new-spool-young/lock": false, ".new-spool-old/lock": true, ".new-young": false, ".new-old": true, "other": true} {
		file := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if old {
			for f := file; f != data; f = filepath.Dir(f) {
				if err := os.Chtimes(f, long, long); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := sweepSpools(data); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{filepath.Base(live.dir) + "/lock": true, "spool-dead": false, "spool-young": true, "spool-old": false, "spool-dead.gone": false, ".new-spool-young": true, ".new-spool-old": false, ".new-young": true, ".new-old": false, "other": true} {
		if _, err := os.Lstat(filepath.Join(data, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

// TestSpoolRemoved guards that whoever is killed while a spool is removed leaves what
// the next one removes: what has the name of a spool has the lock's file in it.
func TestSpoolRemoved(t *testing.T) {
	data := t.TempDir()
	s, err := openSpool(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if err := os.WriteFile(filepath.Join(s.dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed := make(chan struct{})
	go func() {
		defer close(removed)
		s.Close()
	}()
	there := func(name string) bool { _, err := os.Lstat(name); return err == nil }
	for looks := 0; ; looks++ {
		if !there(filepath.Join(s.dir, "lock")) && there(s.dir) {
			t.Fatalf("look %d: without a lock: whoever is killed now leaves it for an hour", looks)
		}
		select {
		case <-removed:
			if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
			return
		default:
		}
	}
}

// TestPlanFrom guards which files rebuild takes for those of a plan that is not
// carried out yet.
func TestPlanFrom(t *testing.T) {
	const q = "0123456789abcdef"
	seal := holdfast.SealID(q, 0, 77)
	for name, want := range map[string][2]int64{
		"seals/" + seal + "/plan.json":             {0, 77},
		"cases/x/packs/" + seal + ".zip":           {0, 77},
		"seals/" + seal:                            {0, 77},
		"seals/" + q + "-3-" + seal[19:]:           {3, 77},
		"seals/" + q + "--3-" + seal[19:]:          {},
		"seals/" + q + "-03-" + seal[19:]:          {},
		"seals/fedcba9876543210-0-77/plan.json":    {},
		"seals/0123456789abcdef-0-77/plan.json":    {},
		"objects/sha256/00/" + q + "-not-a-number": {},
	} {
		if p, first := planFrom(name, q); int64(p) != want[0] || first != want[1] {
			t.Errorf("planFrom(%s) = %d, %d, want %d", name, p, first, want)
		}
	}
}
