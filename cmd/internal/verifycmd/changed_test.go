package verifycmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChangedWhileRead: a file that moves during the run is an error of the disk
// or of whoever writes it, at whatever it was found; one that was short from the
// beginning is contradicted.
func TestChangedWhileRead(t *testing.T) {
	whole, err := os.ReadFile(good + "world.zip")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		begin []byte
		move  func(path string) error
		exit  int
	}{
		"cut":        {whole, func(p string) error { return os.Truncate(p, int64(len(whole)/3)) }, ExitUsage},
		"grown":      {whole, func(p string) error { return os.WriteFile(p, append(whole, 'x'), 0o600) }, ExitUsage},
		"saved anew": {whole, func(p string) error { return os.Chtimes(p, time.Time{}, time.Now().Add(time.Hour)) }, ExitUsage},
		"short":      {whole[:len(whole)/3], nil, ExitContradicted},
		"untouched":  {whole, func(string) error { return nil }, ExitProven},
	} {
		path := filepath.Join(t.TempDir(), "b.zip")
		if err := os.WriteFile(path, c.begin, 0o600); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		o := Options{File: path, Policy: good + "world.policy.json", Env: func(string) string { return "" }}
		o.Progress = func(int64, int64) {
			once.Do(func() {
				if err := c.move(path); err != nil {
					t.Error(err)
				}
			})
		}
		var out, errs bytes.Buffer
		if got := Run(t.Context(), o, &out, &errs); got != c.exit {
			t.Errorf("%s: exit %d, want %d\n%s%s", name, got, c.exit, out.String(), errs.String())
		}
		if said := strings.Contains(errs.String(), "changed while it was read"); said != (c.exit == ExitUsage) || said && out.Len() > 0 {
			t.Errorf("%s: %s%s", name, out.String(), errs.String())
		}
	}
}
