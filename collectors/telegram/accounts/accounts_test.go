package accounts_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/vault"
)

func book(t *testing.T, names ...string) (*accounts.Book, string) {
	t.Helper()
	dir := t.TempDir()
	b := accounts.New(vault.New(dir, nil))
	for _, name := range names {
		if err := b.Keep(accounts.File(name), telegram.Options{}.Servers.Service(), &telegram.Login{User: 7, Session: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	return b, dir
}

// TestFree: the account that is well, in nobody's hands and waits with nothing is taken
// first, in the order of people; and where none can be had it is said why.
func TestFree(t *testing.T) {
	b, _ := book(t, "a10", "a2", "a1")
	if names, err := b.Names(); err != nil || !slices.Equal(names, []string{"a1", "a2", "a10"}) {
		t.Fatalf("%v, %v", names, err)
	}
	take := func(only, want string) func() {
		t.Helper()
		a, unlock, err := b.Free(telegram.Options{}, only)
		if want == "" {
			if err == nil || !errors.As(err, new(accounts.Error)) {
				t.Errorf("took %v, %v", a, err)
			}
			return func() {}
		}
		if err != nil || a.Name != want {
			t.Fatalf("took %v, %v, want %s", a, err, want)
		}
		return unlock
	}
	take("", "a1")()
	if err := b.NoteWait(t.Context(), "a1", "messages.getHistory", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	free := take("", "a2")
	if unlock, err := b.Lock("a2"); err != nil || unlock != nil {
		t.Errorf("a lease was given twice, %v", err)
	}
	if _, _, err := b.Free(telegram.Options{}, "a2"); !errors.Is(err, accounts.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	take("", "a10")()
	if err := b.Note(t.Context(), "a10", accounts.State{Name: "a10", State: telegram.StateBanned, Since: holdfast.At(time.Now()), Do: "nothing"}); err != nil {
		t.Fatal(err)
	}
	take("a10", "")
	take("", "a1")() // it waits with one method, and may ask all else
	free()
	take("", "a2")()
	take("a3", "")
}

// TestStates: what is noted of one account changes nothing of another, a wait that is over
// is forgotten, what it waits with outlives a new state, and a file that is lost means that
// all are well.
func TestStates(t *testing.T) {
	b, dir := book(t, "a1", "a2")
	ctx, hour := t.Context(), time.Now().Add(time.Hour)
	until := holdfast.At(time.Now().Add(-time.Second))
	err := errors.Join(
		b.NoteWait(ctx, "a1", "over", time.Now().Add(-time.Minute)), b.NoteWait(ctx, "a1", "b", hour), b.NoteWait(ctx, "a1", "a", hour.Add(time.Hour)),
		b.Note(ctx, "a2", accounts.State{Name: "a2", State: telegram.StateWaiting, Since: until, Until: &until, Do: "wait"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	states, err := b.States()
	if err != nil || len(states) != 2 {
		t.Fatalf("%+v, %v", states, err)
	}
	if s := states["a1"]; s.State != telegram.StateOK || len(s.Waits) != 2 || s.Waits[0].Method != "a" {
		t.Errorf("%+v", s)
	}
	if s := states["a1"].Shown(); s.State != telegram.StateWaiting || !s.Until.After(hour) || !strings.Contains(s.Words(), "a until ") {
		t.Errorf("shown as %+v", s)
	}
	if s := states["a2"]; s.State != telegram.StateOK {
		t.Errorf("who has waited is %+v", s)
	}
	if err := b.Note(ctx, "a1", accounts.State{Name: "a1", State: telegram.StateBanned, Since: until}); err != nil {
		t.Fatal(err)
	}
	if states, err = b.States(); err != nil || len(states["a1"].Waits) != 2 || states["a1"].State != telegram.StateBanned {
		t.Errorf("%+v, %v", states["a1"], err)
	}
	if err := os.Remove(filepath.Join(dir, accounts.FileStates)); err != nil {
		t.Fatal(err)
	}
	if states, err = b.States(); err != nil || len(states) != 0 {
		t.Errorf("lost: %+v, %v", states, err)
	}
}

// TestSessionIsShownToItsService: a session of another service, and one that is damaged,
// is opened for nobody, and its text is in no error.
func TestSessionIsShownToItsService(t *testing.T) {
	b, dir := book(t)
	if err := b.Keep(accounts.File("a1"), "elsewhere", &telegram.Login{User: 7, Session: []byte(`{"secret":"x9"}`)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		k, err := b.Open("a1", telegram.Options{})
		if err == nil || !errors.As(err, new(accounts.Error)) || strings.Contains(err.Error(), "x9") {
			t.Errorf("opened %v, %v", k, err)
		}
		if err := os.WriteFile(filepath.Join(dir, accounts.File("a1")), []byte(`{"session":"x9`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, ok := range map[string]bool{"a1": true, "": false, "A": false, "a.b": false, strings.Repeat("a", 40): true, strings.Repeat("a", 41): false, "ä": false, "a\n": false} {
		if accounts.ValidName(name) != ok {
			t.Errorf("name %q", name)
		}
	}
}
