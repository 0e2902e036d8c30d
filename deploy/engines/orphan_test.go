package engines

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const orphanEnv = "HOLDFAST_TEST_ORPHANS"

// TestOrphanChild is the process that is killed: it starts servers and tells where.
func TestOrphanChild(t *testing.T) {
	if os.Getenv(orphanEnv) == "" {
		t.Skip("it is started by TestOrphans")
	}
	k, s, p := Kafka(t, 1), MinIO(t), PostgreSQL(t)
	fmt.Printf("at %s %s 127.0.0.1:%d\n", k.Brokers[0], strings.TrimPrefix(s.Endpoint, "http://"), p.port)
	time.Sleep(time.Minute)
}

// TestOrphans guards against servers that live on where a test's process was killed.
func TestOrphans(t *testing.T) {
	folder(t, "kafka/classpath")
	dir := t.TempDir()                                         // what the child cannot clean up any more
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // another user's server goes through it
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestOrphanChild$", "-test.v")
	child.Env = append(os.Environ(), orphanEnv+"=1", "TMPDIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var at []string
	for in := bufio.NewScanner(out); at == nil && in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), "at "); ok {
			at = strings.Fields(rest)
		}
	}
	if len(at) != 3 {
		t.Fatalf("the child told of %q", at)
	}
	for _, a := range at {
		if !listens(a) {
			t.Errorf("nothing listens on %s", a)
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	for begun := time.Now(); listens(at[0]) || listens(at[1]) || listens(at[2]); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("of %v some listen on", at)
		}
	}
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
