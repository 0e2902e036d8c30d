package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/filelock"
	"holdfast/mirror"
	"holdfast/pipeline"
)

// TestRestoreCountsLosses: what a restore says is lost is never less than what
// the mirror's custody and the old queue's positions show, also where the mirror
// lacks its end; what custody names is named as lost, once, and nothing else is.
func TestRestoreCountsLosses(t *testing.T) {
	c, n := roundNode(t)
	accept := func(name string) string {
		t.Helper()
		id := acceptOnly(t, n, n.set.Unfiled, "https://"+name+".invalid/", pipeline.Outside{})
		if err := n.nameRest(t.Context()); err != nil { // its custody line
			t.Fatal(err)
		}
		return id
	}
	do := func(want int, args ...string) (string, string) {
		t.Helper()
		out, errs, code := call(args...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d: %s%s", args, code, want, out, errs)
		}
		return out, errs
	}
	kept := accept("kept")
	do(0, "seal", "--data", c.data)
	before, _ := filepath.Glob(filepath.Join(n.path("store/seals"), "*"))
	had := map[string]bool{}
	for _, name := range before {
		had[filepath.Base(name)] = true
	}
	tail := []string{accept("one"), accept("two"), accept("three")}
	do(0, "seal", "--data", c.data)
	for range 9 { // lines that only the old queue has: they are no captures
		if err := n.event(t.Context(), "noted", nil); err != nil {
			t.Fatal(err)
		}
	}
	queued := accept("queued")
	acceptOnly(t, n, n.set.Unfiled, "https://unnamed.invalid/", pipeline.Outside{}) // no line names it
	free, err := filelock.Share(n.path(fileCollecting))                             // while somebody collects, nobody else names
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	safe := filepath.Join(t.TempDir(), "safe")
	do(0, "mirror", "--to", safe, "--data", c.data)
	free()
	for name, v := range map[string]struct {
		cut, short, packs bool
		code              int
		lost              []string
	}{
		"whole":             {lost: []string{queued}},
		"lacks its end":     {cut: true, code: 1, lost: append([]string{queued}, tail...)},
		"run was cut short": {cut: true, short: true, lost: append([]string{queued}, tail...)},
		"lacks its packs":   {packs: true, code: 1, lost: append([]string{queued}, tail...)},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := copied(t, safe), filepath.Join(t.TempDir(), "again")
			if v.cut || v.packs {
				cutSeals(t, from, had, v.packs)
			}
			if v.short {
				m, err := mirror.ReadMark(t.Context(), mirror.Dir(from))
				if err != nil {
					t.Fatal(err)
				}
				m.Whole = nil
				if err := m.Write(t.Context(), mirror.Dir(from)); err != nil {
					t.Fatal(err)
				}
			}
			out, errs, code := call("restore", "--from", from, "--data", to, "--json")
			if code != v.code {
				t.Errorf("exit %d, want %d: %s%s", code, v.code, out, errs)
			}
			if v.cut && !v.short && !strings.Contains(errs, "has it no more") {
				t.Errorf("that its end is missing is not said: %s", errs)
			}
			var said struct {
				Lost int `json:"lost"`
			}
			if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &said); err != nil || said.Lost != len(v.lost)+1 {
				t.Errorf("%d are said to be lost, want %d: %v, %s", said.Lost, len(v.lost)+1, err, out)
			}
			again, err := (&cli{out: io.Discard, errs: io.Discard, data: to}).open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			all, _ := lineCount(t, again, "lost", "")
			for _, id := range v.lost {
				if _, naming := lineCount(t, again, "lost", id); naming != 1 {
					t.Errorf("%s is named %d times as lost", id, naming)
				}
			}
			if _, naming := lineCount(t, again, "lost", kept); naming != 0 || all != 1 {
				t.Errorf("%d lines of loss, %d name what is kept", all, naming)
			}
			if out, errs, code := call("seal", "--data", to, "--wait", "30s"); code != 0 {
				t.Errorf("seal: exit %d: %s%s", code, out, errs)
			}
			for id, plans := range planOf(t, again) {
				if plans != 1 && !v.packs { // without packs the dead plan has the lines too
					t.Errorf("%s is in %d plans", id, plans)
				}
			}
		})
	}
}

// cutSeals takes the Seals that a mirror has beside had out of it, and of its log
// all but the first state; with packs: it takes packs and what was signed.
func cutSeals(t *testing.T, from string, had map[string]bool, packs bool) {
	t.Helper()
	store := filepath.Join(from, "store")
	gone, _ := filepath.Glob(filepath.Join(store, "seals", "*"))
	all, _ := filepath.Glob(filepath.Join(store, "cases/*/packs/*.zip"))
	points, _ := filepath.Glob(filepath.Join(store, "tlog/*/checkpoint/*"))
	for _, name := range append(gone, all...) {
		if had[strings.TrimSuffix(filepath.Base(name), ".zip")] {
			continue
		}
		var err error
		if parts, _ := filepath.Glob(filepath.Join(name, "*")); packs && len(parts) > 0 {
			for _, part := range parts {
				if filepath.Base(part) != "plan.json" {
					err = errors.Join(err, os.RemoveAll(part))
				}
			}
		} else {
			err = os.RemoveAll(name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range points {
		if n, err := strconv.Atoi(filepath.Base(name)); err != nil || n > len(had)+1 { // entry 0 is the log's birth
			if err = errors.Join(err, os.Remove(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
