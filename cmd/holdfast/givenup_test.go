package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// TestGivenUpInCustody: captures of a plan that was given up are named as lost in custody,
// once, with the plan, in their Case where that can be known; Events are not, since their
// lines are published again. doctor tells it, and so does verify of a Bundle.
func TestGivenUpInCustody(t *testing.T) {
	c, n := roundNode(t)
	open := func(name string, known ...holdfast.ID) holdfast.ID {
		t.Helper()
		home := holdfast.NewID()
		if _, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: home, Action: "opened", Agent: n.set.Agent, X: []byte(`{"name":"` + name + `"}`)}); err != nil {
			t.Fatal(err)
		}
		for _, id := range known {
			if _, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: home, Action: "collected", Agent: n.set.Agent, Objects: []string{string(id)}}); err != nil {
				t.Fatal(err)
			}
		}
		return home
	}
	named, packed, strange := holdfast.NewID(), holdfast.NewID(), holdfast.NewID()
	reef, sound := open("reef", named), open("sound")
	head, err := n.outbox.Head(t.Context(), sound)
	if err != nil {
		t.Fatal(err)
	}
	event := holdfast.EventID(head.Chain, 1)
	plan := func(lost []holdfast.ID, homes ...holdfast.ID) pipeline.GivenUp {
		p := &holdfast.Plan{Seal: holdfast.SealID("00112233445566aa", 0, 7)}
		for _, id := range lost {
			p.Captures = append(p.Captures, holdfast.Planned{ID: id})
		}
		for _, home := range homes {
			p.Packs = append(p.Packs, holdfast.Pack{Case: home})
		}
		return pipeline.GivenUp{Plan: p, Lost: lost}
	}
	for range 2 { // again, after a crash
		for _, g := range []pipeline.GivenUp{plan([]holdfast.ID{named, packed, event}, sound), plan([]holdfast.ID{strange}, reef, sound)} {
			if err := n.tellGivenUp(t.Context(), g); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.Close()
	dir := t.TempDir()
	note := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(note, []byte("a note"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := call("add", note, "--case", "reef", "--giver", "Maria", "--data", c.data, "--json"); code != 0 {
		t.Fatalf("add: exit %d: %s%s", code, out, errs)
	}
	n, err = c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for at, want := range map[holdfast.ID]holdfast.ID{reef: named, sound: packed, n.set.Unfiled: strange} {
		var lost []string
		err := n.outbox.Lines(at, func(raw []byte, _ holdfast.Head) error {
			l, err := holdfast.ParseLine(raw)
			if err == nil && l.Action == "lost" {
				if lost = append(lost, l.Objects...); string(l.X) != `{"plan":"00112233445566aa-0-00000000000000000007"}` || !strings.Contains(l.Why, "was given up") {
					t.Errorf("a line says %q, %s", l.Why, l.X)
				}
			}
			return err
		})
		if err != nil || !slices.Equal(lost, []string{string(want)}) {
			t.Errorf("case %s: lost are %v, not %v, %v", at, lost, want, err)
		}
	}
	if out, _, _ := call("doctor", "--data", c.data); !strings.Contains(out, "3 captures were accepted and come into no Seal") {
		t.Errorf("doctor says %s", out)
	}
	if out, errs, code := call("export", "--case", "reef", dir+"/out.zip", "--data", c.data); code != 0 {
		t.Fatalf("export: exit %d: %s%s", code, out, errs)
	}
	if out, errs, code := call("policy", "export", dir+"/p.json", "--data", c.data); code != 0 {
		t.Fatalf("policy export: exit %d: %s%s", code, out, errs)
	}
	out, errs, _ := call("verify", dir+"/out.zip", "--policy", dir+"/p.json", "--json")
	if !strings.Contains(out, `"captures-lost"`) || !strings.Contains(out, "names 1 captures that were accepted and are lost") {
		t.Errorf("verify says %s%s", out, errs)
	}
}
