package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What a command does not ask for is left out of its Tasks: they stay as they were.
func TestPageFlags(t *testing.T) {
	for f, want := range map[pageFlags]string{{}: "", {Consent: "refuse", More: "buttons"}: "", {Consent: "leave", More: "buttons"}: `{"consent":"leave","more":"buttons"}`, {Consent: "refuse", More: "none"}: `{"consent":"refuse","more":"none"}`} {
		if got, err := f.options(false); err != nil || string(got) != want {
			t.Errorf("%+v: %s, %v", f, got, err)
		}
	}
	if got, err := (pageFlags{}).options(true); err != nil || string(got) != `{"consent":"refuse","more":"buttons","decoded":true}` {
		t.Errorf("decoded: %s, %v", got, err)
	}
	if (pageFlags{Consent: "accept", More: "buttons"}).check() == nil || (pageFlags{Consent: "leave", More: "all"}).check() == nil || (pageFlags{Consent: "leave", More: "none"}).check() != nil {
		t.Error("what is refused")
	}
	dir := t.TempDir()
	if got := recipesOf(dir); got != "" {
		t.Errorf("recipes in %q", got)
	}
	if err := os.Mkdir(filepath.Join(dir, "recipes"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := recipesOf(dir); got != filepath.Join(dir, "recipes") {
		t.Errorf("recipes in %q", got)
	}
}
