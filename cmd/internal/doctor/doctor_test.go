package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/telegram/accounts"
	"holdfast/keyring"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/vault"
)

// said is a Report and what it was told, a line each.
func said() (*Report, *[]string) {
	lines := new([]string)
	return &Report{Say: func(level, what, detail string) { *lines = append(*lines, level+" "+what+": "+detail) }}, lines
}

func has(t *testing.T, name string, lines []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
		t.Errorf("%s: %q, want %q", name, lines, want)
	}
}

// TestPermissions finds what others can read, and says how to shut it.
func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "keys"), 0o700), os.WriteFile(filepath.Join(dir, nodedir.FileSealKey), nil, 0o600), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := Permissions(dir); err != nil {
		t.Errorf("all is shut: %v", err)
	}
	for _, name := range []string{nodedir.FileSealKey, nodedir.FileConfig, nodedir.FileEgresses, accounts.FileStates} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o640)); err != nil {
			t.Fatal(err)
		}
		if err := Permissions(dir); err == nil || !strings.Contains(err.Error(), "chmod go= "+path) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeys: a key that opens, signs, and is counted; each of them that is not.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := vault.New(dir, nil)
	k, err := keyring.Make(t.Context(), v, nodedir.FileSealKey, "", false)
	if err != nil {
		t.Fatal(err)
	}
	k.Made = holdfast.At(time.Now())
	ring, err := keyring.Open(t.Context(), v, keyring.List{Keys: []keyring.Key{k}})
	if err != nil {
		t.Fatal(err)
	}
	opens, shut := func() error { return nil }, errors.New("shut")
	counted := keyring.Policy(ring.All())
	until := holdfast.At(time.Now())
	ended := slices.Clone(counted)
	ended[0].Until = &until
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"well":      {Keys(opens, ring.Signer, counted), ""},
		"log shut":  {Keys(func() error { return shut }, ring.Signer, counted), "the log key does not open: shut"},
		"seal shut": {Keys(opens, func(context.Context) (preserve.Signer, error) { return nil, shut }, counted), "the seal key does not open: shut"},
		"ended":     {Keys(opens, ring.Signer, ended), "not one that the node's policy counts now"},
		"of nobody": {Keys(opens, ring.Signer, nil), "not one that the node's policy counts now"},
		"another one": {Keys(opens, func(ctx context.Context) (preserve.Signer, error) {
			s, err := ring.Signer(ctx)
			return other{s, t}, err
		}, counted), "its own public half does not verify it"},
	} {
		if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
}

// other signs with a key that it does not show.
type other struct {
	preserve.Signer
	t *testing.T
}

func (o other) SPKI() []byte {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// TestAuthorities: what does not answer is a fault that says what to do, and so is a quorum
// that cannot be had.
func TestAuthorities(t *testing.T) {
	out := &os.PathError{Op: "ask", Path: "x", Err: context.DeadlineExceeded}
	for name, c := range map[string]struct {
		errs []error
		need int
		want []string
	}{
		"too few are asked": {[]error{out}, 2, []string{"FAULT authority: a0 of Office 0: ask x: context deadline exceeded: it is out of reach", "FAULT quorum: 1 operators are asked and 2 must agree", "note clock: not measured"}},
		"too few answer":    {[]error{out, preserve.ErrOpenLine}, 1, []string{"give it an https URL", "FAULT quorum: 0 of 2 operators answer now and 1 must agree"}},
		"it said so":        {[]error{fmt.Errorf("timestamp from a0: %w\nand more", preserve.ErrIssuer)}, 1, []string{"`holdfast authority remove` it and add it again"}},
	} {
		d, lines := said()
		o := Office{Dir: t.TempDir(), Quorum: c.need, Clock: func(preserve.Drift) { t.Error("nothing was measured") },
			Stamp: func(_ context.Context, a preserve.Authority) (*preserve.Timestamp, error) {
				return nil, c.errs[a.Name[1]-'0']
			}}
		for i := range c.errs {
			o.Asked = append(o.Asked, preserve.Authority{Name: fmt.Sprintf("a%d", i), Operator: fmt.Sprintf("Office %d", i)})
		}
		d.Authorities(t.Context(), o)
		for _, w := range c.want {
			has(t, name, *lines, w)
		}
		if slices.ContainsFunc(*lines, func(l string) bool { return strings.Contains(l, "timestamp from") || strings.Contains(l, "\n") }) {
			t.Errorf("%s: said twice, or more than a line: %q", name, *lines)
		}
	}
}

// TestQueue counts what waits, and what waits for a person.
func TestQueue(t *testing.T) {
	endless := holdfast.NewID()
	all := []pipeline.Task{{ID: holdfast.NewID()}, {ID: holdfast.NewID(), Damaged: true}, {ID: endless}, {ID: holdfast.NewID(), Lease: pipeline.Lease{Until: time.Now().Add(time.Hour)}}}
	tasks := Tasks{Endless: func(k pipeline.Task) bool { return k.ID == endless }, Damaged: errors.New("not whole"), All: func(context.Context) iter.Seq2[pipeline.Task, error] {
		return func(yield func(pipeline.Task, error) bool) {
			for _, k := range all {
				if !yield(k, nil) {
					return
				}
			}
		}
	}}
	d, lines := said()
	d.Queue(t.Context(), nil, tasks)
	has(t, "tasks", *lines, "FAULT tasks: 1 of them: not whole")
	has(t, "tasks", *lines, "note queue: sound; 1 Tasks wait and 1 are being done")
	all = all[2:3]
	d, lines = said()
	d.Queue(t.Context(), nil, tasks)
	has(t, "none", *lines, "ok queue: sound; no Task waits, 0 are being done")
	if d.Faults != 0 {
		t.Errorf("%d faults: %q", d.Faults, *lines)
	}
}

// TestMirrors: one that is out of reach is worth a note, and no fault.
func TestMirrors(t *testing.T) {
	n := &mirrors.Node{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	d, lines := said()
	d.Mirrors(t.Context(), n)
	if len(*lines) != 0 {
		t.Errorf("without a mirror: %q", *lines)
	}
	if err := mirrors.Write(n.Dir, []mirrors.Known{{ID: string(holdfast.NewID()), Path: filepath.Join(n.Dir, "gone")}}); err != nil {
		t.Fatal(err)
	}
	d.Mirrors(t.Context(), n)
	has(t, "gone", *lines, "note mirror: "+filepath.Join(n.Dir, "gone")+" is out of reach")
	if d.Faults != 0 {
		t.Errorf("%d faults: %q", d.Faults, *lines)
	}
}
