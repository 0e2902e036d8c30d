package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDeployCompose: deploy/compose whole, by Docker's daemon and Docker's compose, out of
// a copy of the repository. The image is built by its Dockerfile; three brokers, MinIO,
// PostgreSQL and the roles come up; what is captured through the API with a scoped token is
// sealed under two authorities' tokens; roles end in order, are killed, turn red and green;
// `down` and `up` again lose nothing (testdata/compose/way.sh). Images that no registry
// gives here are made under the same names (testdata/compose/images.sh). To compile
// holdfast in its image takes ten minutes and more, so HOLDFAST_LONG has it.
func TestDeployCompose(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" || os.Getenv("HOLDFAST_JUDGES") == "" || os.Getenv("HOLDFAST_ENGINES") == "" {
		t.Skip("HOLDFAST_LONG, HOLDFAST_JUDGES and HOLDFAST_ENGINES have compose tried: ./test long")
	}
	l := linters{t}
	compose := filepath.Dir(l.find("docker-compose"))
	env := append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+compose, "DOCKER_CONFIG="+t.TempDir(), "DOCKER_HOST="+dockerDaemon(t))
	run := func(most time.Duration, script string, args ...string) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), most)
		defer stop()
		cmd := exec.CommandContext(ctx, "bash", append([]string{filepath.Join("testdata/compose", script)}, args...)...)
		cmd.Env = env
		cmd.WaitDelay = 30 * time.Second
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it takes down what it has brought up
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		if script == "way.sh" && !strings.HasSuffix(string(out), "== done\n") {
			t.Fatalf("%s did not come to its end", script)
		}
	}
	work := t.TempDir()
	repository := filepath.Join(work, "repository")
	if out, err := exec.Command("git", "clone", "-q", "../..", repository).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	// As it lies, not as it was committed: what is tried is what is here.
	for _, d := range []string{"deploy", "cmd/holdfast/testdata/compose"} {
		if err := os.RemoveAll(filepath.Join(repository, d)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(repository, d), os.DirFS("../../"+d)); err != nil {
			t.Fatal(err)
		}
	}
	run(20*time.Minute, "images.sh", filepath.Join(work, "images"))
	run(60*time.Minute, "way.sh", repository, filepath.Join(work, "way"))
}

// dockerDaemon gives the address of Docker's daemon: one that answers already, or one of
// the test's own, with images and networks of its own, which root can start.
func dockerDaemon(t *testing.T) string {
	if err := exec.Command("docker", "version").Run(); err == nil {
		if host := os.Getenv("DOCKER_HOST"); host != "" {
			return host
		}
		return "unix:///var/run/docker.sock"
	}
	if _, err := exec.LookPath("dockerd"); err != nil || os.Getuid() != 0 {
		t.Skip("NOT RUN: no Docker daemon answers here, and none can be started (that needs dockerd, and root)")
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	host := "unix://" + filepath.Join(dir, "sock")
	cmd := exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"), "--host", host)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for range 120 {
		select {
		case <-ended:
			said, _ := os.ReadFile(log.Name())
			t.Skipf("NOT RUN: dockerd does not start here: %s", said[max(0, len(said)-2000):])
		default:
		}
		if exec.Command("docker", "--host", host, "version").Run() == nil {
			return host
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatal("dockerd does not answer for a minute")
	return ""
}
