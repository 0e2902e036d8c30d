package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// TestPlanPutBack: a Seal whose plan is missing, or another, when the catalog
// hears of it leaves its captures pending, and nothing says that they wait in the
// queue. Once the plan is back the next command shows them sealed; the catalog is
// not made again for it.
func TestPlanPutBack(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"missing": func(*testing.T, string) {},
		"damaged": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("{}"), 0o400); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, n := roundNode(t)
			id := holdfast.ID(acceptOnly(t, n, n.set.Unfiled, "https://one.invalid/", pipeline.Outside{}))
			if err := n.nameRest(t.Context()); err != nil {
				t.Fatal(err)
			}
			sealOnly(t, n)
			plans, err := filepath.Glob(filepath.Join(n.path("store/seals"), "*/plan.json"))
			if err != nil || len(plans) == 0 {
				t.Fatal(plans, err)
			}
			away := t.TempDir()
			for i, p := range plans {
				if err := os.Rename(p, filepath.Join(away, string(rune('a'+i)))); err != nil {
					t.Fatal(err)
				}
				spoil(t, p)
			}
			state := func() catalog.Capture {
				t.Helper()
				n, err := c.open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				cp, err := n.cat.Capture(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				return cp
			}
			if cp := state(); cp.State != catalog.Pending || cp.Reason != catalog.ReasonUnplaced {
				t.Errorf("without its plan the capture is %q: %q", cp.State, cp.Reason)
			}
			if _, errs, code := call("seal", "--wait", "1s", "--data", c.data); !(name == "missing" && code == exitUnsealed && strings.Contains(errs, catalog.ReasonUnplaced) || name == "damaged" && code == exitCould && strings.Contains(errs, "read plan: malformed")) {
				t.Errorf("seal: exit %d: %s", code, errs)
			}
			for i, p := range plans {
				_ = os.Remove(p)
				if err := os.Rename(filepath.Join(away, string(rune('a'+i))), p); err != nil {
					t.Fatal(err)
				}
			}
			if cp := state(); cp.State != catalog.Sealed || cp.Seal == "" || cp.Reason != "" {
				t.Errorf("with its plan the capture is %q in %q: %q", cp.State, cp.Seal, cp.Reason)
			}
			if out, errs, code := call("seal", "--wait", "30s", "--data", c.data); code != 0 {
				t.Errorf("seal: exit %d: %s%s", code, out, errs)
			}
		})
	}
}

// sealOnly seals what is there, and tells no catalog.
func sealOnly(t *testing.T, n *node) {
	t.Helper()
	unlock, err := filelock.Try(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		t.Fatal("no lock", err)
	}
	s, err := n.startSealing(t.Context(), unlock)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers(), Log: n.log}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.preserve(n).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}
