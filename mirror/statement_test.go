package mirror_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast"
	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/wholefile"
)

func newDir(t testing.TB) mirror.Dir {
	t.Helper()
	d := mirror.Dir(t.TempDir())
	if err := os.MkdirAll(d.Path("node/outbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// signed is a mirror with a statement of a node, and the node's fingerprint.
func signed(t testing.TB, n *sealtest.Node, change func(*holdfast.PolicyNode)) (mirror.Dir, string) {
	t.Helper()
	d, e := newDir(t), n.Entry()
	change(&e)
	entry, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := *n.Trust.Policy()
	p.Nodes = []holdfast.PolicyNode{e}
	policy, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := &mirror.Statement{Kind: "mirror", Version: 1, Mark: mirror.Mark{Version: 1, ID: "m", Node: n.Name, VKey: n.Tlog.VKey()},
		Files: map[string][]byte{mirror.FilePolicy: policy, "node.json": []byte("{}")}, Tasks: hashing.Of(nil)}
	if err := s.Sign(t.Context(), n.Signer, d); err != nil {
		t.Fatal(err)
	}
	return d, hashing.Of(entry).Hex()
}

// TestStatement guards that a statement is taken only for the fingerprint that was
// given, only as a key of that node has signed it, and not of a key that has ended.
func TestStatement(t *testing.T) {
	n := sealed(t, 0)
	d, fp := signed(t, n, func(*holdfast.PolicyNode) {})
	if s, err := mirror.ReadStatement(t.Context(), d, fp); err != nil || string(s.Files["node.json"]) != "{}" || s.Mark.Node != n.Name {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := mirror.ReadStatement(t.Context(), d, strings.Repeat("0", 64)); err == nil || !strings.Contains(err.Error(), "has not this fingerprint") {
		t.Errorf("another fingerprint: %v", err)
	}
	raw, err := os.ReadFile(d.Path(mirror.FileStatement))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(raw); at += 37 {
		bad := bytes.Clone(raw)
		bad[at] ^= 1
		if err := os.WriteFile(d.Path(mirror.FileStatement), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mirror.ReadStatement(t.Context(), d, fp); err == nil {
			t.Errorf("byte %d of %d is another and nobody says so", at, len(raw))
		}
	}
	ended := holdfast.At(time.Now())
	d, fp = signed(t, n, func(e *holdfast.PolicyNode) { e.Keys[0].Until = &ended })
	if _, err := mirror.ReadStatement(t.Context(), d, fp); err == nil || !strings.Contains(err.Error(), "somebody has changed them") {
		t.Errorf("a key that has ended: %v", err)
	}
	if _, err := mirror.ReadStatement(t.Context(), newDir(t), fp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no statement: %v", err)
	}
}

// FuzzStatement: whatever lies there, nothing that is not signed is taken.
func FuzzStatement(f *testing.F) {
	n := sealtest.NewNode(f, sealtest.NodeOptions{})
	d, fp := signed(f, n, func(*holdfast.PolicyNode) {})
	raw, err := os.ReadFile(d.Path(mirror.FileStatement))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(d.Path(mirror.FileStatement), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := mirror.ReadStatement(t.Context(), d, fp); err == nil && (s.Mark.Node != n.Name || string(s.Files["node.json"]) != "{}") {
			t.Errorf("%+v was taken from %q", s, b)
		}
	})
}

// TestMark guards of which node a mirror is and whether it is newer: by the name, by
// a name that the node had before, and by the log.
func TestMark(t *testing.T) {
	n, other := sealed(t, 1), sealed(t, 0)
	tree, err := preserve.LastTree(t.Context(), n.Files, n.Tlog.VKey())
	if err != nil {
		t.Fatal(err)
	}
	further, fork := *tree, *tree
	further.Size++
	fork.Root = hashing.Of([]byte("another root"))
	mark := mirror.Mark{Version: 1, ID: "m", Unfiled: n.Case, Node: n.Name, VKey: n.Tlog.VKey(), Log: tree}
	me := mirror.Node{Name: n.Name, Unfiled: n.Case}
	renamed := mirror.Node{Name: other.Name, Unfiled: n.Case, Former: []mirror.FormerLog{{Name: n.Name}}}
	for name, c := range map[string]struct {
		node mirror.Node
		log  *holdfast.Tree
		want error
	}{
		"as new":            {me, tree, nil},
		"no log yet":        {me, nil, nil},
		"newer":             {me, &further, mirror.ErrNewer},
		"a fork":            {me, &fork, preserve.ErrFork},
		"of a former name":  {renamed, &further, nil},
		"of a name to come": {mirror.Node{Name: other.Name, Unfiled: n.Case}, tree, mirror.ErrNewer},
		"of another node":   {mirror.Node{Name: n.Name, Unfiled: "00"}, tree, errAny},
	} {
		m := mark
		m.Log = c.log
		err := m.Against(t.Context(), c.node, n.Files)
		if c.want == errAny && err != nil {
			continue
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newDir(t)
	if err := mark.Write(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got, err := mirror.ReadMark(t.Context(), d); err != nil || got.ID != "m" || *got.Log != *tree {
		t.Errorf("read %+v, %v", got, err)
	}
	mark.Version = 2
	if err := mark.Write(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.ReadMark(t.Context(), d); err == nil || !strings.Contains(err.Error(), "newer holdfast") {
		t.Errorf("of a newer holdfast: %v", err)
	}
}

var errAny = errors.New("any")

// TestForeign guards what is read of a disk that others had: no pipe is waited for,
// no link leads out, nothing is read past its bound.
func TestForeign(t *testing.T) {
	out := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(out, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, put := range map[string]func(path string) error{
		"pipe":  func(path string) error { return unix.Mkfifo(path, 0o600) },
		"link":  func(path string) error { return os.Symlink(out, path) },
		"large": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 5<<30)) },
	} {
		d := newDir(t)
		for _, name := range []string{mirror.FileMark, mirror.FileStatement, "node/" + mirror.FileTasks, "node/outbox/x.jsonl"} {
			if err := put(d.Path(name)); err != nil {
				t.Fatal(err)
			}
		}
		_, mark := mirror.ReadMark(t.Context(), d)
		_, statement := mirror.ReadStatement(t.Context(), d, "")
		_, tasks := mirror.Tasks(t.Context(), d, func(pipeline.Task) error { return nil })
		_, chain := mirror.Read(t.Context(), d, "node/outbox/x.jsonl", mirror.MaxChain)
		for what, err := range map[string]error{"mark": mark, "statement": statement, "tasks": tasks, "chain": chain} {
			if err == nil || kind == "large" && !errors.Is(err, wholefile.ErrTooLarge) {
				t.Errorf("%s is a %s: %v", what, kind, err)
			}
		}
		if err := errors.Join(os.RemoveAll(d.Path("store")), os.Symlink(t.TempDir(), d.Path("store"))); err != nil {
			t.Fatal(err)
		}
		if err := d.CheckLinks(); !errors.Is(err, mirror.ErrNone) {
			t.Errorf("its store is a link: %v", err)
		}
	}
}

// TestApart guards that no mirror lies in its node, or the other way round, links
// and folders that are not there yet followed.
func TestApart(t *testing.T) {
	dir := t.TempDir()
	node := filepath.Join(dir, "node")
	if err := errors.Join(os.Mkdir(node, 0o700), os.Symlink(node, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]bool{"safe": true, "node": false, "node/safe": false, ".": false, "link/new/safe": false, "node-2": true} {
		if got, err := mirror.Apart(node, filepath.Join(dir, to)); got != want || err != nil {
			t.Errorf("%s: %t, %v", to, got, err)
		}
	}
}
