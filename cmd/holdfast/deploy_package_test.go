package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// packages are built from a copy of deploy/ around programs that are built once.
type packages struct {
	linters
	programs string // built as the package has them
	small    string // the verifier under both names: what a linter is done with at once
}

// newPackages builds the programs as the tests do, so that nothing but their linking is
// new, and without a library of the system's, as in the package that is handed out.
func newPackages(t *testing.T) packages {
	if os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("HOLDFAST_JUDGES is not set: the package is not tried here; ./test does")
	}
	p := packages{linters{t}, t.TempDir(), t.TempDir()}
	for _, name := range []string{"dpkg-deb", "lintian", "unshare", "gcc"} {
		p.find(name)
	}
	p.must(10*time.Minute, nil, "go", "build", "-ldflags", "-s -w -linkmode external -extldflags -static", "-o", p.programs+"/", ".", "../holdfast-verify")
	for _, name := range []string{"holdfast", "holdfast-verify"} {
		p.must(time.Minute, nil, "cp", p.programs+"/holdfast-verify", filepath.Join(p.small, name))
	}
	return p
}

// repository copies what the package is made of.
func (p packages) repository() string {
	p.t.Helper()
	to := mustMkdir(p.t, filepath.Join(p.t.TempDir(), "repository"))
	for _, d := range []string{"deploy", "docs", "go.mod"} {
		p.must(time.Minute, nil, "cp", "-r", "../../"+d, to)
	}
	return to
}

// build gives the path of the package around such programs, for this machine or for arch.
func (p packages) build(repository, programs string, arch ...string) (string, error) {
	out := p.t.TempDir()
	said, err := p.command(10*time.Minute, []string{"HOLDFAST_PROGRAMS=" + programs, "SOURCE_DATE_EPOCH=1700000000", "GOTOOLCHAIN=local", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(repository)},
		filepath.Join(repository, "deploy/deb/build"), append([]string{out}, arch...)...)
	if err != nil {
		return "", fmt.Errorf("deploy/deb/build: %w\n%s", err, said)
	}
	debs, err := filepath.Glob(out + "/*.deb")
	if err == nil && len(debs) != 1 {
		err = fmt.Errorf("deploy/deb/build left %d packages\n%s", len(debs), said)
	}
	if err != nil {
		return "", err
	}
	return debs[0], nil
}

// lint has Debian's own linter read a package: no error and no warning.
func (p packages) lint(deb string) error {
	said, err := p.command(10*time.Minute, nil, "lintian", "--allow-root", "--profile", "debian", "--fail-on", "error,warning", "--tag-display-limit", "0", deb)
	if err != nil {
		return fmt.Errorf("lintian: %w\n%s", err, said)
	}
	return nil
}

// install gives what a new Debian says to a package, from installing to purging; debian is
// the archive that deploy/judges/install has made.
func (p packages) install(debian, deb string) error {
	args := []string{"--mount", "--pid", "--fork", "--net", "--kill-child"}
	if os.Getuid() != 0 {
		args = append(args, "--map-root-user", "--map-auto")
	}
	said, err := p.command(10*time.Minute, nil, "unshare", append(args, "sh", "testdata/package/root.sh", debian, deb)...)
	if err == nil && !strings.HasSuffix(said, "== done\n") {
		err = fmt.Errorf("it did not come to its end")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

func (p packages) command(most time.Duration, env []string, name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(p.t.Context(), most)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p packages) must(most time.Duration, env []string, name string, args ...string) {
	p.t.Helper()
	if out, err := p.command(most, env, name, args...); err != nil {
		p.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// TestDeployPackage: the package is built, Debian's linter finds nothing in it, and a new
// Debian installs it, runs a node, takes a newer version and purges it, leaving the node.
// Packages that are broken are noticed.
func TestDeployPackage(t *testing.T) {
	p := newPackages(t)
	deb, err := p.build(p.repository(), p.programs)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("lintian", func(t *testing.T) {
		p := packages{linters{t}, p.programs, p.small}
		if err := p.lint(deb); err != nil {
			t.Fatal(err)
		}
		for _, b := range []struct{ file, old, new string }{
			{"control", "Section: net\n", "Sections: net\n"},
			{"control", "Depends: ca-certificates, ", "Depends: ca-certificates | , "},
			{"conffiles", "/etc/holdfast/holdfast.env", "/etc/holdfast/holdfest.env"},
			{"postinst", "set -e\n", ""},
		} {
			if err := p.broken(p.small, "deploy/deb/"+b.file, b.old, b.new, p.lint); err == nil {
				t.Errorf("%s: nobody notices %q in place of %q", b.file, b.new, b.old)
			}
		}
	})
	t.Run("install", func(t *testing.T) {
		p := packages{linters{t}, p.programs, p.small}
		debian := filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "debian/debian.tar")
		if !exists(debian) {
			t.Fatalf("%s is not there: deploy/judges/install makes it", debian)
		}
		install := func(deb string) error { return p.install(debian, deb) }
		if err := install(deb); err != nil {
			t.Fatal(err)
		}
		for _, b := range []struct{ file, old, new string }{
			{"deploy/deb/control", "Depends: ca-certificates, ", "Depends: ca-certificates, holdfest, "},
			{"deploy/deb/postrm", "if [ -d", "rm -rf /var/lib/holdfast\nif [ -d"},
			{"deploy/systemd/holdfast@.service", "User=holdfast", "Users=holdfast"},
		} {
			if err := p.broken(p.programs, b.file, b.old, b.new, install); err == nil {
				t.Errorf("%s: nobody notices %q in place of %q", b.file, b.new, b.old)
			}
		}
	})
}

// broken builds a package in which one thing is replaced, and gives what a judge says.
func (p packages) broken(programs, file, old, with string, judge func(deb string) error) error {
	p.t.Helper()
	repository := p.repository()
	path := filepath.Join(repository, file)
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), old) {
		p.t.Fatalf("%s has no %q (%v)", file, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, with, 1)), 0o644); err != nil {
		p.t.Fatal(err)
	}
	deb, err := p.build(repository, programs)
	if err != nil {
		return err
	}
	err = judge(deb)
	p.t.Logf("%s, %q: %v", file, with, err)
	return err
}
