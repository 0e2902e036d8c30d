package engines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// PG is one PostgreSQL server, whose user holdfast may do all and needs the password.
type PG struct {
	URL      string // postgres://holdfast@127.0.0.1:PORT/holdfast?sslmode=disable, without the password
	Password string // to be given as PGPASSWORD

	bin, dir string
	port     int
	user     *syscall.Credential
	s        *server
}

// PostgreSQL starts a server with an empty database; lines of postgresql.conf may be added.
// It does not wait for the disk at each commit: what a kill of the process loses is the
// same, and no test here takes the power away.
func PostgreSQL(t testing.TB, conf ...string) *PG {
	t.Helper()
	// The link itself may lie in a folder that only root reads.
	bin, err := filepath.EvalSymlinks(filepath.Join(folder(t, "postgresql/bin/postgres"), "postgresql/bin"))
	if err != nil {
		t.Fatal(err)
	}
	p := &PG{bin: bin, dir: scratch(t, "postgresql"), port: port(t), Password: "not a secret", user: notRoot(t)}
	p.URL = p.at("holdfast")
	pw := filepath.Join(p.dir, "password")
	if err := os.WriteFile(pw, []byte(p.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p.user != nil {
		if err := os.Chown(p.dir, int(p.user.Uid), int(p.user.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(p.dir, "data")
	p.run(t, "initdb", "-D", data, "-U", "holdfast", "-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	lines := append([]string{"fsync=off", "listen_addresses='127.0.0.1'", "unix_socket_directories=''", "dynamic_shared_memory_type=mmap"}, conf...)
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("\n" + strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	p.s = &server{name: "postgresql", dir: p.dir, user: p.user, stop: syscall.SIGQUIT,
		args: []string{filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(p.port)}}
	p.s.must(t, func(ctx context.Context) error { return p.ask(ctx, "postgres", "SELECT 1") })
	if err := p.ask(t.Context(), "postgres", "CREATE DATABASE holdfast"); err != nil {
		t.Fatal(err)
	}
	return p
}

// DSN is a URL with the password in it, for a client of a test's own.
func (p *PG) DSN(url string) string {
	return strings.Replace(url, "holdfast@", "holdfast:"+strings.ReplaceAll(p.Password, " ", "%20")+"@", 1)
}

// Database makes an empty database of that name (letters, digits, _) and gives its URL.
func (p *PG) Database(t testing.TB, name string) string {
	t.Helper()
	if err := p.ask(t.Context(), "postgres", `CREATE DATABASE "`+name+`"`); err != nil {
		t.Fatal(err)
	}
	return p.at(name)
}

// Data is the folder that the server keeps all in; its log of writes is pg_wal there.
func (p *PG) Data() string { return filepath.Join(p.dir, "data") }

// Do runs a statement in a database as the server's superuser.
func (p *PG) Do(t testing.TB, database, sql string) {
	t.Helper()
	if err := p.ask(t.Context(), database, sql); err != nil {
		t.Fatal(err)
	}
}

// Kill ends all of the server's processes at once, as a crash does.
func (p *PG) Kill() { p.s.end(syscall.SIGQUIT) }

// Stop ends the server as its operator would; who is connected is cut off.
func (p *PG) Stop() { p.s.end(syscall.SIGINT) }

// Pause makes the server hang (its first process: who is connected still has his own).
func (p *PG) Pause() { p.s.pause() }

// Resume ends Pause.
func (p *PG) Resume() { p.s.signal(syscall.SIGCONT) }

// Restart ends the server if it runs, and starts it on the same port with the same data.
func (p *PG) Restart(t testing.TB) {
	t.Helper()
	p.Stop()
	if err := p.s.start(); err != nil {
		t.Fatal(err)
	}
	if err := p.s.await(func(ctx context.Context) error { return p.ask(ctx, "postgres", "SELECT 1") }); err != nil {
		t.Fatal(err)
	}
}

func (p *PG) at(name string) string {
	return fmt.Sprintf("postgres://holdfast@127.0.0.1:%d/%s?sslmode=disable", p.port, name)
}

func (p *PG) ask(ctx context.Context, db, sql string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, p.at(db))
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (p *PG) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// notRoot is whom PostgreSQL runs as where this process is root, which it refuses: the
// user that its package made.
func notRoot(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root: %v", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
