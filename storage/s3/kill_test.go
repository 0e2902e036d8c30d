package s3_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"holdfast/deploy/engines"
	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/s3"
)

// childEnv makes the test binary a writer into a bucket, to be killed.
const childEnv = "HOLDFAST_TEST_S3"

func TestMain(m *testing.M) {
	if o := os.Getenv(childEnv); o != "" {
		fmt.Fprintln(os.Stderr, writeForever(o))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever keeps Objects and names, some of parts, and says on stdout what was kept
// only after the call has returned. Each name ends in the Digest of its bytes.
func writeForever(options string) error {
	var o s3.Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := s3.Open(ctx, o)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		b := noise(rand.IntN(300_000))
		if i%5 == 4 {
			b = noise(11 << 20)
		}
		d, _, err := s.Put(ctx, bytes.NewReader(b))
		if err != nil {
			return err
		}
		fmt.Println("object", d.Hex())
		var items []storage.Item
		for j := range 4 {
			data := noise(rand.IntN(20_000))
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

// Two processes write to one bucket and are killed at a random instant, again and
// again, and now and then the server is too: what they said was kept is there and
// right, nothing else that can be seen is partial, no key has two versions, and no
// file is left in the spool.
func TestKill(t *testing.T) {
	rounds := 6
	if os.Getenv("HOLDFAST_LONG") == "1" {
		rounds = 150
	}
	server := engines.MinIO(t)
	p := newPlace(t, server, true)
	o := p.options(t)
	p.open(t)
	kept := make(map[string]bool)
	o.Transport, o.Retention, o.Interval, o.Tries = nil, time.Hour, time.Minute, 12
	options, err := json.Marshal(o)
	must(t, err)
	for round := range rounds {
		var outs []*bytes.Buffer
		var cmds []*exec.Cmd
		for range 2 {
			cmd, out := exec.CommandContext(t.Context(), os.Args[0]), new(bytes.Buffer)
			cmd.Env = append(os.Environ(), childEnv+"="+string(options))
			cmd.Stdout, cmd.Stderr = out, os.Stderr
			must(t, cmd.Start())
			cmds, outs = append(cmds, cmd), append(outs, out)
		}
		time.Sleep(time.Duration(300+rand.IntN(1200)) * time.Millisecond)
		if round%3 == 2 {
			server.Restart(t)
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		}
		for i, cmd := range cmds {
			must(t, cmd.Process.Kill())
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("the writer ended by itself: %v", err)
			}
			addLines(kept, outs[i])
		}
		if left, _ := os.ReadDir(o.Spool); len(left) != 0 {
			t.Fatalf("%d files are left in the spool", len(left))
		}
	}
	if len(kept) == 0 {
		t.Fatal("no write was finished: nothing was tested")
	}
	seen := checkKilled(t, p, kept)
	t.Logf("%d kills of two writers: %d kept, %d more found whole", rounds, len(kept), seen-len(kept))
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

func checkKilled(t *testing.T, p place, kept map[string]bool) int {
	t.Helper()
	s := p.open(t)
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
		if !strings.HasSuffix(e.Name, hashing.Of(b).Hex()) {
			t.Fatalf("a partial name is visible: %s, %d bytes", e.Name, len(b))
		}
		seen["name "+e.Name] = true
	}
	for k := range kept {
		if !seen[k] {
			t.Fatalf("lost: %s", k)
		}
	}
	return len(seen)
}
