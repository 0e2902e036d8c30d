package nodedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/vault"
)

// TestParse refuses what no holdfast of now wrote, or somebody has changed.
func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"version":2,"log_key":"keys/log.key","quorum":2}`, "use a newer holdfast"},
		{`{"version":1,"log_key":"keys/log.key","quorum":-1}`, "quorum is -1"},
		{`{"version":1,"log_key":"keys/log.key","quorum":2,"pages":17}`, "pages is 17"},
		{`{"version":1,"log_key":"keys/log.key","quorum":2,"pages":-1}`, "pages is -1"},
		{`{"version":1,"log_key":"../elsewhere","quorum":2}`, "not keys/NAME"},
		{`{"version":1,"log_key":"keys/log.key","keys":[{"file":"/etc/passwd"}]}`, "not keys/NAME"},
		{`{"version":1,"log_key":"keys/.hidden"}`, "not keys/NAME"},
		{`{"version":1,"log_key":"keys/log.key","unknown":1}`, "unknown"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	s, err := Parse([]byte(`{"version":1,"log_key":"keys/log.key"}`))
	if err != nil || s.Operators() != 2 {
		t.Errorf("without a quorum: %v, %v, want 2 operators", s, err)
	}
	if k := s.KeyList(); k.First.File != FileSealKey || s.URLs() != (engineset.URLs{}) {
		t.Errorf("settings of before there was a list: %+v, %+v", k, s.URLs())
	}
}

// TestChange loses no change of two that come at once.
func TestChange(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, ErrNoNode) {
		t.Fatalf("an empty directory: %v, want ErrNoNode", err)
	}
	s := &Settings{Version: 1, Name: "a.0123456789abcdef", LogKey: FileLogKey, Created: holdfast.At(time.Now()), Quorum: 1}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	const each = 20
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range each {
				if err := Change(t.Context(), dir, func(s *Settings) error { s.Quorum++; s.Leave().Queue = true; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	refused := errors.New("no")
	if err := Change(t.Context(), dir, func(s *Settings) error { s.Quorum = 9; return refused }); !errors.Is(err, refused) {
		t.Errorf("a change that is refused: %v", err)
	}
	got, err := Read(dir)
	if err != nil || got.Quorum != 1+4*each || got.Open == nil || !got.Open.Queue {
		t.Errorf("%+v, %v: want a quorum of %d, and the queue's work open", got, err, 1+4*each)
	}
}

// TestDrawLogKey: who is killed between the key and node.json gets the same name again,
// and no other label takes the key up.
func TestDrawLogKey(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := vault.New(dir, nil)
	one, two := &Settings{LogKey: FileLogKey}, &Settings{LogKey: FileLogKey}
	if err := errors.Join(one.DrawLogKey(v, "a"), two.DrawLogKey(v, "a")); err != nil || one.Name != two.Name || one.VKey != two.VKey || !strings.HasPrefix(one.Name, "a.") {
		t.Errorf("%v: %q and %q, want one name", err, one.Name, two.Name)
	}
	if err := two.DrawLogKey(v, "b"); err == nil || !strings.Contains(err.Error(), one.Name) && !strings.Contains(err.Error(), "node a") {
		t.Errorf("another label: %v", err)
	}
	var usage *engineset.UsageError
	if err := one.DrawLogKey(v, "No Label!"); !errors.As(err, &usage) {
		t.Errorf("a label that no log can have: %v, want a usage error", err)
	}
}
