package keyring

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/vault"
	"holdfast/wholefile"
)

// world is a directory with keys and their list. Each call of the outside counts; the
// stop-th fails, as where a process was killed.
type world struct {
	t     *testing.T
	dir   string
	ring  *Ring
	calls int
	stop  int
	told  map[string]int
	anew  int
	by    preserve.SignedBy
}

var errStopped = errors.New("stopped")

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), told: map[string]int{}, stop: -1}
	if err := os.Mkdir(filepath.Join(w.dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(List{Keys: []Key{w.make("")}})
	return w
}

func (w *world) make(name string) Key {
	k, err := Make(w.t.Context(), vault.New(w.dir, nil), name, "", false)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// open is as by a process of its own.
func (w *world) open() *Keeper {
	l, err := w.Read()
	if err == nil {
		w.ring, err = Open(w.t.Context(), vault.New(w.dir, nil), l)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &Keeper{Ring: w.ring, Book: w, Record: w, Files: []string{"keys/seal*"}}
}

func (w *world) call() error {
	w.calls++
	if w.calls == w.stop {
		return errStopped
	}
	return nil
}

func (w *world) file() string { return filepath.Join(w.dir, "list.json") }

func (w *world) write(l List) {
	b, err := wholefile.EncodeJSON(l)
	if err == nil {
		err = wholefile.Replace(w.file(), b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Read() (l List, err error) {
	b, err := wholefile.Read(w.file(), 1<<20)
	if err == nil {
		err = wholefile.DecodeJSON("list.json", b, &l)
	}
	return l, err
}

func (w *world) Change(ctx context.Context, edit func(*List) error) error {
	l, err := w.Read()
	if err := errors.Join(err, edit(&l), w.call()); err != nil {
		return err
	}
	w.write(l)
	return w.ring.Take(ctx, l)
}

func (w *world) Tell(_ context.Context, ch *Change) error {
	w.told[ch.Action]++
	return w.call()
}

func (w *world) Rejudge(context.Context) error {
	w.anew++
	return w.call()
}

func (w *world) SignedBy(context.Context, []byte) (preserve.SignedBy, error) { return w.by, w.call() }

// TestChangeStopsAnywhere: wherever a change of keys stops behind its write, who comes
// next finishes it: told of, judged anew where a thief had the key, the old key ended and
// its private half gone, and nothing left to do.
func TestChangeStopsAnywhere(t *testing.T) {
	ctx := t.Context()
	since := holdfast.At(time.Now())
	for what, since := range map[string]*holdfast.Time{"key-rotated": nil, "key-compromised": &since} {
		for stop := 1; ; stop++ {
			w := newWorld(t)
			k := w.open()
			was := w.ring.Newest()
			next := w.make("")
			if w.ring.Newest().ID() != was.ID() {
				t.Fatal("a key that was only drawn signs")
			}
			if _, err := k.Rotate(ctx, next, since); err != nil {
				t.Fatal(err)
			}
			w.calls, w.stop = 0, stop
			stopped := k.Finish(ctx)
			if stopped != nil && !errors.Is(stopped, errStopped) {
				t.Fatal(stopped)
			}
			w.stop = -1
			k = w.open()
			if stopped != nil && !k.Pending(must(w.Read())) && w.ring.Holds(was) {
				t.Errorf("%s, stopped at call %d: nothing is pending", what, stop)
			}
			if err := k.Finish(ctx); err != nil {
				t.Fatal(err)
			}
			l := must(w.Read())
			old := w.ring.All()[0]
			if l.Left != nil || k.Pending(l) || w.ring.Holds(old) || old.Until == nil || old.Retired == nil || w.ring.Newest().ID() != next.ID() {
				t.Errorf("%s, stopped at call %d: %+v, left %+v", what, stop, l.Keys, l.Left)
			}
			if w.told[what] == 0 || len(w.told) != 1 || (w.anew > 0) != (since != nil) {
				t.Errorf("%s, stopped at call %d: told %v, judged anew %d times", what, stop, w.told, w.anew)
			}
			if s, err := w.ring.Signer(ctx); err != nil || holdfast.KeyID(s.SPKI()) != next.ID() {
				t.Errorf("%s, stopped at call %d: signs with another key, %v", what, stop, err)
			}
			if stopped == nil { // there is no such call
				if stop < 3 {
					t.Errorf("%s: only %d calls", what, stop-1)
				}
				break
			}
		}
	}
}

func must(l List, err error) List {
	if err != nil {
		panic(err)
	}
	return l
}

// TestKeyWaitsForItsLastSeal: a retired key has no end and keeps its private half while a
// Seal of it has no quorum; then it ends a day after the last one, or after its last use.
func TestKeyWaitsForItsLastSeal(t *testing.T) {
	ctx := t.Context()
	for _, behind := range []time.Duration{-time.Hour, 48 * time.Hour} {
		w := newWorld(t)
		k := w.open()
		next := w.make("")
		if _, err := k.Rotate(ctx, next, nil); err != nil {
			t.Fatal(err)
		}
		w.by = preserve.SignedBy{Seals: 1, Open: []string{"a"}}
		if err := k.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		if old := w.ring.All()[0]; old.State() != "retiring" || !w.ring.Holds(old) || !k.Pending(must(w.Read())) {
			t.Errorf("with an open Seal it is %s", old.State())
		}
		last := next.Made.Add(behind)
		w.by = preserve.SignedBy{Seals: 1, Last: last}
		if err := k.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		want := next.Made.Time
		if last.After(want) {
			want = last
		}
		old := w.ring.All()[0]
		if old.State() != "retired" || w.ring.Holds(old) || !old.Until.Equal(holdfast.At(want.Add(Margin)).Time) {
			t.Errorf("it is %s until %v, want %v", old.State(), old.Until, want.Add(Margin))
		}
		if _, err := k.Rotate(ctx, next, nil); err == nil {
			t.Error("the key that signs was made the next one")
		}
	}
}

// TestSignerIsTheListed: a file that holds another key than the list says signs nothing,
// and the one key of settings without a list is known by being opened.
func TestSignerIsTheListed(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	first, other := w.make("keys/seal.pem"), w.make("")
	text, err := os.ReadFile(filepath.Join(w.dir, other.File))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(ctx, vault.New(w.dir, nil), List{First: Key{File: first.File, Made: first.Made}})
	if err != nil || r.Newest().ID() != first.ID() || r.Newest().Made != first.Made {
		t.Fatalf("%v, %v", r.Newest(), err)
	}
	if err := wholefile.Replace(filepath.Join(w.dir, first.File), text, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = Open(ctx, vault.New(w.dir, nil), List{Keys: []Key{first}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Signer(ctx); err == nil || !strings.Contains(err.Error(), "put the right one back") {
		t.Errorf("another key signs: %v", err)
	}
	if k, err := Make(ctx, vault.New(w.dir, nil), first.File, "", true); err == nil || !errors.As(err, new(*LeftoverError)) {
		t.Errorf("a rehearsal took up a real key: %v, %v", k, err)
	}
}
