//go:build unix

package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

// childEnv makes the test binary a writer on the named directory, to be killed.
const childEnv = "HOLDFAST_TEST_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever keeps Objects and names, and says on stdout what was kept only
// after the call has returned. Each name is the Digest of its bytes.
func writeForever(dir string) error {
	s, err := file.Open(dir, file.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		b := randomBytes(rand.IntN(300_000))
		d, _, err := s.Put(ctx, bytes.NewReader(b))
		if err != nil {
			return err
		}
		fmt.Println("object", d.Hex())
		var items []storage.Item
		for j := range 4 {
			data := randomBytes(rand.IntN(20_000))
			items = append(items, storage.Item{Name: fmt.Sprintf("n/%d/%d/%s", i%7, j%2, hashing.Of(data).Hex()), Data: data})
		}
		if _, err := s.CreateAll(ctx, items...); err != nil {
			return err
		}
		for _, it := range items {
			fmt.Println("name", it.Name)
		}
	}
}

func randomBytes(n int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// Two processes write to one directory and are killed at a random instant,
// again and again: what they said was kept is there and right, and nothing else
// that can be seen is partial.
func TestKill(t *testing.T) {
	rounds := 8
	if os.Getenv("HOLDFAST_LONG") == "1" {
		rounds = 200
	}
	dir := filepath.Join(t.TempDir(), "store")
	kept := make(map[string]bool)
	unfinished := 0
	for range rounds {
		var outs []*bytes.Buffer
		var cmds []*exec.Cmd
		for range 2 {
			cmd, out := exec.CommandContext(t.Context(), os.Args[0]), new(bytes.Buffer)
			cmd.Env = append(os.Environ(), childEnv+"="+dir)
			cmd.Stdout, cmd.Stderr = out, os.Stderr
			must(t, cmd.Start())
			cmds, outs = append(cmds, cmd), append(outs, out)
		}
		time.Sleep(time.Duration(30+rand.IntN(120)) * time.Millisecond)
		for i, cmd := range cmds {
			must(t, cmd.Process.Kill())
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("the writer ended by itself: %v", err)
			}
			addLines(kept, outs[i])
		}
		left, _ := filepath.Glob(filepath.Join(dir, "tmp/*/*"))
		unfinished += len(left)
		checkKilled(t, dir, kept)
	}
	if len(kept) == 0 {
		t.Fatal("no write was finished: nothing was tested")
	}
	t.Logf("%d kills of two writers: %d kept, %d found unfinished in the spool", rounds, len(kept), unfinished)
}

// addLines takes the whole lines only: the last may be cut by the kill.
func addLines(kept map[string]bool, out *bytes.Buffer) {
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			return
		}
		kept[strings.TrimSuffix(line, "\n")] = true
	}
}

func checkKilled(t *testing.T, dir string, kept map[string]bool) {
	t.Helper()
	s, err := file.Open(dir, file.Options{})
	must(t, err)
	defer s.Close()
	seen := make(map[string]bool)
	for o, err := range s.Objects(t.Context()) {
		must(t, err)
		r, _, err := s.Open(t.Context(), o.Digest)
		must(t, err)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatalf("a partial Object is visible: %v", err)
		}
		r.Close()
		seen["object "+o.Digest.Hex()] = true
	}
	for e, err := range s.List(t.Context(), "") {
		must(t, err)
		b, err := s.ReadName(t.Context(), e.Name, 1<<20)
		must(t, err)
		if hashing.Of(b).Hex() != filepath.Base(e.Name) {
			t.Fatalf("a partial name is visible: %s, %d bytes", e.Name, len(b))
		}
		seen["name "+e.Name] = true
	}
	for k := range kept {
		if !seen[k] {
			t.Fatalf("lost: %s", k)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp/*")); len(left) != 1 {
		t.Fatalf("tmp/ holds %v, want this handle's folder alone", left)
	}
}

// Open removes what the dead left, and touches nothing that the living hold.
func TestSweepSparesTheLiving(t *testing.T) {
	dir := t.TempDir()
	living := open(t, dir, file.Options{})
	dead := filepath.Join(dir, "tmp/00000000000000ff")
	must(t, os.Mkdir(dead, 0o700))
	must(t, os.WriteFile(filepath.Join(dead, "7"), []byte("half"), 0o400))
	pr, pw := io.Pipe()
	done := make(chan error)
	go func() { _, _, err := living.Put(t.Context(), pr); done <- err }()
	io.WriteString(pw, "first half, ") // is in the spool when this returns
	open(t, dir, file.Options{})
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spool of the dead is still there: %v", err)
	}
	io.WriteString(pw, "second half")
	pw.Close()
	must(t, <-done)
	if ok, err := living.Has(t.Context(), hashing.Of([]byte("first half, second half"))); !ok || err != nil {
		t.Errorf("the living lost its spool: %v", err)
	}
}

// Handles that open and close at once never remove each other's spool.
func TestOpenRace(t *testing.T) {
	dir := t.TempDir()
	done := make(chan error)
	for i := range 8 {
		go func() {
			for j := range 30 {
				s, err := file.Open(dir, file.Options{})
				if err == nil {
					err = s.Create(t.Context(), fmt.Sprintf("n/%d/%d", i, j), strings.NewReader("x"))
					err = errors.Join(err, s.Close())
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
