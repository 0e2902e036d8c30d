package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/cmd/internal/nodedir"
	"holdfast/mirror"
)

// copied is a copy of a mirror, to be changed.
func copied(t *testing.T, safe string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "safe")
	if err := os.CopyFS(to, os.DirFS(safe)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(to, "store"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chmod(path, 0o400)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ends runs a command that must not hang.
func ends(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	done := make(chan struct{})
	go func() { out, errs, code = call(args...); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%q hangs", args)
	}
	return out, errs, code
}

// TestRestoreSigned guards that with the fingerprint a restored node trusts and
// asks only whom the old one has signed, whatever lies in the mirror, and that a
// statement which is older than the mirror's store is noticed.
func TestRestoreSigned(t *testing.T) {
	n := sealedNode(t, 1)
	fp, err := n.fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	older, safe := filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "safe")
	again := func() {
		t.Helper()
		if out, errs, code := call("mirror", "--to", safe, "--data", n.dir, "--json"); code != 0 || !strings.Contains(out, `"signed":true`) {
			t.Fatal(out, errs)
		}
	}
	again()
	if err := os.CopyFS(older, os.DirFS(filepath.Join(safe, "node"))); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := call("seal", "--data", n.dir, "--wait", "1m"); code != 0 { // the line that tells of the mirror
		t.Fatal(out, errs)
	}
	again()
	chains, _ := filepath.Glob(filepath.Join(safe, "node/outbox/*.jsonl"))
	chain := "outbox/" + filepath.Base(chains[0])
	for name, c := range map[string]struct {
		fp     string
		change func(node string)
		want   string // on stderr; "" is exit 0
		could  bool   // the node is made, and exit 1 says what is wrong
	}{
		"untouched":         {fp: fp},
		"in groups":         {fp: strings.ToUpper(fp[:32]) + " " + fp[32:]},
		"not asked for":     {want: "NOT CHECKED"},
		"another node":      {fp: strings.Repeat("0", 64), want: "has not this fingerprint"},
		"authorities":       {fp: fp, change: func(node string) { os.WriteFile(filepath.Join(node, nodedir.FileAuthorities), []byte("[]"), 0o600) }},
		"policy":            {fp: fp, change: func(node string) { os.Remove(filepath.Join(node, nodedir.FilePolicy)) }},
		"settings":          {fp: fp, change: func(node string) { os.WriteFile(filepath.Join(node, nodedir.FileSettings), []byte("{}"), 0o600) }},
		"no statement":      {fp: fp, change: func(node string) { os.Remove(filepath.Join(node, filepath.Base(mirror.FileStatement))) }, want: "not signed"},
		"changed statement": {fp: fp, change: func(node string) { edit(t, filepath.Join(node, filepath.Base(mirror.FileStatement)), otherSignature) }, want: "holdfast: restore from"},
		"older statement": {fp: fp, change: func(node string) {
			for _, f := range []string{mirror.FileStatement, mirror.FileMark} {
				edit(t, filepath.Join(node, filepath.Base(f)), func([]byte) []byte { b, _ := os.ReadFile(filepath.Join(older, filepath.Base(f))); return b })
			}
		}, want: "somebody has put an older statement there"},
		"cut chain": {fp: fp, change: func(node string) { edit(t, filepath.Join(node, chain), func(b []byte) []byte { return b[:len(b)/2] }) }, want: "custody chain"},
		"longer chain": {fp: fp, change: func(node string) {
			edit(t, filepath.Join(node, chain), func(b []byte) []byte { return append(b, "{}\n"...) })
		}},
		"tasks": {fp: fp, change: func(node string) { os.WriteFile(filepath.Join(node, mirror.FileTasks), []byte("{}\n"), 0o600) }, want: "not the Tasks that the node has signed", could: true},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := copied(t, safe), filepath.Join(t.TempDir(), "again")
			if c.change != nil {
				c.change(filepath.Join(from, "node"))
			}
			args := []string{"restore", "--from", from, "--data", to, "--json"}
			if c.fp != "" {
				args = append(args, "--node", c.fp)
			}
			out, errs, code := ends(t, args...)
			refused := c.want != "" && c.fp != ""
			if (code != 0) != refused || !strings.Contains(errs, c.want) || strings.Contains(out, `"checked":true`) != (c.fp != "" && (!refused || c.could)) {
				t.Errorf("exit %d\n%s\n%s", code, out, errs)
			}
			if refused && !c.could {
				if exists(filepath.Join(to, nodedir.FileSettings)) {
					t.Error("a node was made")
				}
				return
			}
			was, err1 := os.ReadFile(n.path(nodedir.FileAuthorities))
			is, err2 := os.ReadFile(filepath.Join(to, nodedir.FileAuthorities))
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(was, is) {
				t.Errorf("authorities are others than the node's: %v", err)
			}
			if out, errs, code := call("policy", "show", "--data", to); code != 0 || !strings.Contains(out, n.set.Name) {
				t.Errorf("policy: %d %s%s", code, out, errs)
			}
		})
	}
}

// otherSignature swaps two bytes within the signed text, which stays a text.
func otherSignature(b []byte) []byte {
	at := bytes.Index(b, []byte(`"payload":"`)) + 40
	for ; b[at] == b[at+4]; at += 4 {
	}
	for i := range 4 {
		b[at+i], b[at+4+i] = b[at+4+i], b[at+i]
	}
	return b
}

// TestMirrorUnsigned: where the key does not open the mirror is made, without a
// statement, and that is said; an older one goes, since it would lie.
func TestMirrorUnsigned(t *testing.T) {
	n, safe := sealedNode(t, 1), filepath.Join(t.TempDir(), "safe")
	for i, signed := range []bool{true, false, true} {
		key := n.path(n.keys.Newest().File)
		if err := os.Rename([]string{key, key, key + ".away"}[i], []string{key, key + ".away", key}[i]); err != nil {
			t.Fatal(err)
		}
		out, errs, code := call("mirror", "--to", safe, "--data", n.dir, "--json")
		if code != 0 || !strings.Contains(out, fmt.Sprintf(`"signed":%t`, signed)) || strings.Contains(errs, "not signed") == signed {
			t.Errorf("%d: exit %d\n%s%s", i, code, out, errs)
		}
		if exists(filepath.Join(safe, mirror.FileStatement)) != signed {
			t.Errorf("%d: statement is there: %t", i, !signed)
		}
	}
}

// TestMirrorForeign guards what is read of a mirror: a pipe is not waited for, a
// link does not lead out, and no file is read past its bound.
func TestMirrorForeign(t *testing.T) {
	n, safe := sealedNode(t, 1), filepath.Join(t.TempDir(), "safe")
	if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{mirror.FileMark, "node/node.json", "node/policy.json", "node/authorities.json", "node/egresses.json", "node/tasks.jsonl"} {
		for kind, put := range map[string]func(path string) error{
			"pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
			"link": func(path string) error {
				return os.Symlink(filepath.Join(safe, filepath.FromSlash(name)), path)
			},
			"large": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 5<<30)) },
		} {
			if name == "node/egresses.json" && kind == "link" {
				continue // the node has none: the link leads nowhere
			}
			t.Run(kind+" "+filepath.Base(name), func(t *testing.T) {
				from, to := copied(t, safe), filepath.Join(t.TempDir(), "again")
				path := filepath.Join(from, filepath.FromSlash(name))
				os.Remove(path)
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				if out, errs, code := ends(t, "restore", "--from", from, "--data", to); code != exitCould {
					t.Errorf("exit %d\n%s\n%s", code, out, errs)
				}
				if exists(filepath.Join(to, nodedir.FileSettings)) {
					t.Error("a node was made")
				}
			})
		}
	}
	if err := errors.Join(os.Remove(filepath.Join(safe, mirror.FileMark)), unix.Mkfifo(filepath.Join(safe, mirror.FileMark), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := ends(t, "seal", "--data", n.dir, "--wait", "1m"); code != 0 || !strings.Contains(errs, "out of reach") {
		t.Errorf("seal beside a mirror that is a pipe: exit %d %s", code, errs)
	}
}

// TestMirrorLeadsIn guards that a mirror never writes through a link: it would
// put its egresses.json, which has no logins, in the place of the node's.
func TestMirrorLeadsIn(t *testing.T) {
	n, dir := sealedNode(t, 1), t.TempDir()
	safe := filepath.Join(dir, "safe")
	if err := os.Symlink(n.dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call("mirror", "--to", filepath.Join(dir, "link", "safe"), "--data", n.dir); code != exitUsage {
		t.Errorf("a mirror in the node, by a link: exit %d %s", code, errs)
	}
	if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{"node/outbox", "store", "node"} {
		path := filepath.Join(safe, filepath.FromSlash(name))
		if err := errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path)); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != exitCould || !strings.Contains(errs, "is a link") {
			t.Errorf("%s: exit %d %s", name, code, errs)
		}
		if err := errors.Join(os.Remove(path), os.Rename(path+".real", path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(safe, "node/outbox", strings.Repeat("0", 32)+".jsonl"), []byte("{}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != exitCould || !strings.Contains(errs, "is in the mirror and not here") {
		t.Errorf("a chain that the node has lost: exit %d %s", code, errs)
	}
}
