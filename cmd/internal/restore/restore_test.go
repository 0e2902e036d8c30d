package restore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/hashing"
	"holdfast/keyring"
	"holdfast/pipeline"
	"holdfast/vault"
	"holdfast/wholefile"
)

// aMirror is the mirror of a node that is real but for what seals: it has one Object, one
// capture that its custody names and no plan has, and one Task.
func aMirror(t *testing.T) (at string, set *nodedir.Settings) {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := vault.New(dir, nil)
	set = &nodedir.Settings{Version: 1, LogKey: nodedir.FileLogKey, Created: holdfast.At(time.Now()), Quorum: 2, Unfiled: holdfast.NewID()}
	if err := set.DrawLogKey(v, "office"); err != nil {
		t.Fatal(err)
	}
	k, err := keyring.Make(t.Context(), v, nodedir.FileSealKey, "", false)
	if err != nil {
		t.Fatal(err)
	}
	k.Made, set.Keys = set.Created, []keyring.Key{k}
	e := set.EngineSet(dir, log)
	if err := errors.Join(set.Write(dir), e.Make(t.Context(), "")); err != nil {
		t.Fatal(err)
	}
	store, err := e.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	queue, err := e.OpenQueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	facts, err := set.Facts(dir, holdfast.Software{Name: "test", Digest: hashing.Of(nil)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, queue, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []pipeline.Entry{{Action: "opened"}, {Action: "collected", Objects: []string{string(holdfast.NewID())}}} {
		l.Case = set.Unfiled
		if _, err := out.Append(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := store.Put(t.Context(), strings.NewReader("an object")); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), v, set.KeyList())
	if err != nil {
		t.Fatal(err)
	}
	p := &holdfast.Policy{Kind: "policy", Version: holdfast.Version, Quorum: 2, Authorities: []holdfast.Authority{},
		Nodes: []holdfast.PolicyNode{{Name: set.Name, Log: holdfast.PolicyLog{Key: set.VKey, Origin: set.Name}, Keys: keyring.Policy(ring.All())}}}
	policy, perr := p.Encode()
	conf, serr := wholefile.EncodeJSON(set)
	if err := errors.Join(perr, serr); err != nil {
		t.Fatal(err)
	}
	n := &mirrors.Node{Dir: dir, As: set.Mirrored(), VKey: set.VKey, Store: store, Queue: queue, Custody: out, Log: log, Signer: ring.Signer,
		Files: func(context.Context) (map[string][]byte, error) {
			return map[string][]byte{nodedir.FileSettings: conf, nodedir.FilePolicy: policy, nodedir.FileAuthorities: []byte("[]\n"), nodedir.FileAlerts: []byte("{}\n")}, nil
		},
		Tasks: func(context.Context) iter.Seq2[pipeline.Task, error] {
			return func(yield func(pipeline.Task, error) bool) {
				yield(pipeline.Task{ID: holdfast.NewID(), Source: "https://host.invalid/", Case: set.Unfiled}, nil)
			}
		}}
	at = filepath.Join(t.TempDir(), "safe")
	if done, err := n.Run(t.Context(), mirrors.Options{To: at}); err != nil || done.Problems != 0 || done.Unsigned != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	return at, set
}

// into is a restore into dir of which nobody is asked anything.
func into(t *testing.T, dir string, o Options) *Restore {
	r := New(Host{Dir: dir, Vault: vault.New(dir, nil), Log: slog.New(slog.DiscardHandler), Secrets: []string{"keys/*"},
		Progress: func() (func(int64), func()) { return func(int64) {}, func() {} },
		Look: func(context.Context, *nodedir.Settings, bool) (Seen, error) {
			return nil, errors.New("a store that is this mirror's alone was looked into")
		}}, o)
	t.Cleanup(r.Close)
	return r
}

// TestFiles makes a node whose keys are lost, as often as it is killed, and one only.
func TestFiles(t *testing.T) {
	at, was := aMirror(t)
	dir := filepath.Join(t.TempDir(), "again")
	id, name := "", ""
	for i, kill := range []string{"before node.json", "behind node.json", ""} {
		r := into(t, dir, Options{From: at})
		if err := r.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		unlock, err := r.Claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.Join(r.Warnings(), "\n"); !strings.Contains(w, "NOT CHECKED") || !strings.Contains(w, "a new log begins") || !strings.Contains(w, "in clear") {
			t.Errorf("warnings: %s", w)
		}
		other := into(t, dir, Options{From: at})
		if err := other.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Claim(t.Context()); err == nil || !strings.Contains(err.Error(), "at work") {
			t.Errorf("two at once: %v", err)
		}
		if err := r.Files(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := r.Done(t.Context())
		if d.From != was.Name || !d.NewLog || d.Why != "the keys are lost" || d.Lost != 1 || d.Problems != 0 || d.Checked || !d.AlertsLeft || d.SameQueue || !d.Rebuild || d.Tasks != 1 {
			t.Errorf("%d: %+v", i, d)
		}
		if want := int64(max(0, 1-i)); d.Files != want {
			t.Errorf("%d: %d files copied, want %d", i, d.Files, want)
		}
		if id == "" {
			id = r.ID()
		}
		if r.ID() != id {
			t.Errorf("%d: another restore: %s, want %s", i, r.ID(), id)
		}
		set, err := nodedir.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			name = set.Name
		}
		if set.Name == was.Name || len(set.Former) != 1 || len(set.Former[0].Keys) != 1 || i == 2 && set.Name != name {
			t.Errorf("%d: %+v", i, set)
		}
		if err := Unfinished(dir); err == nil || !strings.Contains(err.Error(), "give the same") {
			t.Errorf("%d: unfinished, and %v", i, err)
		}
		unlock()
		switch kill {
		case "before node.json":
			if err := os.Remove(filepath.Join(dir, nodedir.FileSettings)); err != nil {
				t.Fatal(err)
			}
		case "":
			if err := r.Finish(); err != nil || Unfinished(dir) != nil {
				t.Errorf("finished: %v, %v", err, Unfinished(dir))
			}
		}
	}
	q, err := (&nodedir.Settings{}).EngineSet(dir, slog.New(slog.DiscardHandler)).OpenQueue(t.Context())
	if err == nil {
		defer q.Close()
		var ts []pipeline.Task
		if ts, err = q.Tasks(t.Context(), "", 10); len(ts) != 1 {
			t.Errorf("%d Tasks, want the mirror's one, once", len(ts))
		}
	}
	if err != nil {
		t.Error(err)
	}
	for _, left := range []string{nodedir.FileCarry, mirrors.FileName, "store/objects/sha256"} {
		if _, err := os.Stat(filepath.Join(dir, left)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, nodedir.FileAlerts)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rules of alerts that nobody has checked: %v", err)
	}
}

// TestRefused: what is no mirror, or no new directory, is refused before anything is made.
func TestRefused(t *testing.T) {
	at, _ := aMirror(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begun := filepath.Join(t.TempDir(), "begun")
	if err := claimed(t, begun, Options{From: at}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		o    Options
		want string
	}{
		"no mirror":         {"new", Options{From: full}, "no mirror is there"},
		"within the mirror": {filepath.Join(at, "new"), Options{From: at}, "outside the mirror"},
		"not empty":         {full, Options{From: at}, `it holds "a"`},
		"another one begun": {begun, Options{From: at, Old: true}, "another restore was begun there"},
		"join without":      {"new", Options{From: at, Join: "x"}, "give --store s3://"},
		"no fingerprint":    {"new", Options{From: at, Node: strings.Repeat("0", 64)}, "has not this fingerprint"},
	} {
		dir := c.dir
		if dir == "new" {
			dir = filepath.Join(t.TempDir(), "new")
		}
		if err := claimed(t, dir, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := os.Stat(dir); c.dir == "new" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a directory was made: %v", name, err)
		}
	}
	var usage *engineset.UsageError
	if err := claimed(t, full, Options{From: "s3://"}); !errors.As(err, &usage) {
		t.Errorf("a bucket without a name: %v, want a usage error", err)
	}
}

func claimed(t *testing.T, dir string, o Options) error {
	r := into(t, dir, o)
	if err := r.Read(t.Context()); err != nil {
		return err
	}
	unlock, err := r.Claim(t.Context())
	if err == nil {
		unlock()
	}
	return err
}

// TestUnsealed: what was told as lost, or has a plan, is not named again.
func TestUnsealed(t *testing.T) {
	chain, home := holdfast.NewID(), holdfast.NewID()
	planned, told, lost := holdfast.NewID(), holdfast.NewID(), holdfast.NewID()
	k := Unsealed{Planned: map[holdfast.ID]bool{planned: true, holdfast.EventID(chain, 1): true}}
	for i, l := range []holdfast.Line{{Action: "collected", Objects: []string{string(planned), string(lost), string(told)}}, {Action: "lost", Objects: []string{string(told)}},
		{Action: "received", Objects: []string{string(lost)}}, {Action: "noted", Objects: []string{string(holdfast.NewID())}}} {
		l.Chain, l.N, l.Case, l.Node, l.At = chain, int64(i+1), home, "a.0123456789abcdef", holdfast.At(time.Now())
		b, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		k.Take(b)
	}
	k.Take([]byte("no line"))
	if got := k.Lost(); !slices.Equal(got, []string{string(lost)}) || k.lines != 3 {
		t.Errorf("%v, %d lines: want %s, and 3 lines that no plan has", got, k.lines, lost)
	}
}
