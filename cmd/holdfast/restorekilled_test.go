package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/restore"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/preserve/plans"
)

// cutShort makes a mirror whose run looked when the newest Seal was signed and
// not logged; with planned: when it had plan and packs only.
func cutShort(t *testing.T, n *node, safe string, planned bool) (seal string) {
	t.Helper()
	tree, err := preserve.LastTree(t.Context(), n.store, n.set.VKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(n.path(fmt.Sprintf("store/tlog/%s/checkpoint/%d", n.set.Name, tree.Size))); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != 0 {
		t.Fatal(errs)
	}
	plans, err := filepath.Glob(filepath.Join(safe, "store/seals/*/plan.json"))
	if err != nil || len(plans) < 3 {
		t.Fatalf("%d plans, %v", len(plans), err)
	}
	last := filepath.Dir(plans[len(plans)-1])
	if exists(filepath.Join(last, "inclusion")) {
		t.Fatalf("%s is logged", last)
	}
	if planned {
		if err := errors.Join(os.Remove(filepath.Join(last, "statement.dsse.json")), os.RemoveAll(filepath.Join(last, "timestamps"))); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Base(last)
}

// killedLate restores up to the last step of all, which takes restore.json away.
func killedLate(t *testing.T, o restore.Options, to string) {
	t.Helper()
	c := &cli{out: io.Discard, errs: io.Discard, data: to}
	r := restore.New(c.restoreHost(), o)
	defer r.Close()
	if err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock, err := r.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := r.Files(t.Context()); err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(to, restore.FileName))
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := c.openRestored(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := c.finishRestored(t.Context(), n, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, restore.FileName), mark, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreKilledLate guards what the same command says of a restore that was
// killed when the new node had finished the Seals of the old one: what the node
// has made itself is no damage of the mirror, in its own log or in the one that
// goes on; what the mirror has lost or got since is named.
func TestRestoreKilledLate(t *testing.T) {
	t.Setenv("HOLDFAST_PASSPHRASE", "six words that nobody would guess")
	for name, o := range map[string]restore.Options{"lost": {}, "kept": {Keys: "keys.age"}} {
		t.Run(name, func(t *testing.T) {
			n, dir := sealedNode(t, 3), t.TempDir()
			o.From = filepath.Join(dir, "safe")
			to, keys := filepath.Join(dir, "again"), filepath.Join(dir, "keys.age")
			if _, errs, code := call("key", "export", keys, "--data", n.dir); code != 0 {
				t.Fatal(errs)
			}
			if o.Keys != "" {
				o.Keys = keys
			}
			seal := cutShort(t, n, o.From, name != "kept")
			killedLate(t, o, to)
			if found, _ := filepath.Glob(filepath.Join(to, "store/seals", seal, "inclusion/*/*")); len(found) != 1 {
				t.Fatalf("%s was not finished: %q", seal, found)
			}
			if exists(filepath.Join(to, nodedir.FileCarry)) {
				t.Errorf("%s is there, though nothing is left to do", nodedir.FileCarry)
			}
			mark, err := os.ReadFile(filepath.Join(to, restore.FileName))
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"restore", "--from", o.From, "--data", to, "--json"}
			if o.Keys != "" {
				args = append(args, "--keys", keys)
			}
			out, errs, code := call(args...)
			if code != 0 || !strings.Contains(out, `"problems":0`) {
				t.Errorf("exit %d\n%s\n%s", code, out, errs)
			}
			if o.Keys == "" && !strings.Contains(out, `"reason":"the keys are lost"`) {
				t.Errorf("no reason: %s", out)
			}
			// Lost and got since: a token of a Seal that the mirror has logged, and a
			// Seal from nowhere.
			tokens, _ := filepath.Glob(filepath.Join(o.From, "store/seals/*/timestamps/*/*"))
			p, err := plans.Read(t.Context(), n.store, "seals/"+seal+"/plan.json")
			if err != nil {
				t.Fatal(err)
			}
			p.Queue, p.Captures, p.Packs = "0123456789abcdef", []holdfast.Planned{}, []holdfast.Pack{}
			p.First, p.Last, p.Skipped = 1, 1, []holdfast.Skipped{{ID: holdfast.NewID(), Position: 1, Reason: "poison"}}
			p.Seal = holdfast.SealID(p.Queue, p.Partition, p.First)
			later := filepath.Join(o.From, "store/seals", p.Seal, "plan.json")
			b, err := p.Encode()
			if err == nil {
				err = errors.Join(os.Remove(tokens[0]), os.MkdirAll(filepath.Dir(later), 0o700), os.WriteFile(later, b, 0o400))
			}
			if err = errors.Join(err, os.WriteFile(filepath.Join(to, restore.FileName), mark, 0o600)); err != nil {
				t.Fatal(err)
			}
			out, errs, code = call(args...)
			lost := strings.TrimPrefix(tokens[0], filepath.Join(o.From, "store")+"/")
			if code != exitCould || !strings.Contains(out, `"problems":2`) || !strings.Contains(errs, lost) || !strings.Contains(errs, mirror.ErrLater.Error()) {
				t.Errorf("exit %d\n%s\n%s", code, out, errs)
			}
			if exists(filepath.Join(to, "store/seals", p.Seal)) {
				t.Error("a Seal came into a node that is there")
			}
		})
	}
}
