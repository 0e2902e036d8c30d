package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/hashing"
)

// program is what runs as the browser. The path that was given may be a script that
// starts another program with further switches (Debian's is); what counts is the
// process itself, as the system shows it.
type program struct {
	flags  []string      // that it runs with, without those that hold paths or keys of this machine
	added  []string      // of those, what was not asked for
	done   chan struct{} // closed when digest and err are there; nil: they are
	digest hashing.Digest
	err    error // why digest is not known
}

// programs remembers digests: a Chromium has 300 MB, and reading them takes half a second.
// One that changes in place has another size or time. The zero value is empty.
type programs struct {
	mu    sync.Mutex
	known map[programKey]hashing.Digest
}

type programKey struct {
	path     string
	size     int64
	modified time.Time
}

var errProgram = errors.New("this system does not show which program a process runs")

// identify looks at the browser that was started as pid with a profile in dir. The digest
// comes later: wait for it.
func (p *programs) identify(pid int, dir string, asked []string) *program {
	g := &program{flags: asked, done: make(chan struct{})}
	at, line, err := runs(pid, dir)
	if err != nil {
		g.err = err
		close(g.done)
		return g
	}
	g.flags, g.added = compareFlags(line, asked, dir)
	path, perr := os.Readlink(at + "/exe")
	f, err := os.Open(at + "/exe") // the program that runs, even if another has been put in its place
	if err = errors.Join(err, perr); err != nil {
		g.err = fmt.Errorf("read the browser's program: %w", err)
		close(g.done)
		return g
	}
	go func() { // ends with the file
		defer close(g.done)
		defer f.Close()
		g.digest, g.err = p.digest(f, path)
	}()
	return g
}

func (p *programs) digest(f *os.File, path string) (hashing.Digest, error) {
	st, err := f.Stat()
	if err != nil {
		return hashing.Digest{}, fmt.Errorf("read the browser's program: %w", err)
	}
	key := programKey{path, st.Size(), st.ModTime()}
	p.mu.Lock()
	d, ok := p.known[key]
	p.mu.Unlock()
	if ok {
		return d, nil
	}
	if d, _, err = hashing.Copy(io.Discard, f); err != nil {
		return hashing.Digest{}, fmt.Errorf("read the browser's program: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[programKey]hashing.Digest{}
	}
	p.known[key] = d
	return d, nil
}

// wait waits for the digest.
func (g *program) wait(ctx context.Context) error {
	if g.done == nil {
		return nil
	}
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// notes says what an examiner must know of it.
func (g *program) notes() (list []string) {
	if g.err != nil {
		list = append(list, "Which program ran as the browser is not known: "+clean(g.err.Error())+".")
	}
	if len(g.added) > 0 {
		list = append(list, "The browser's launcher on this machine added switches: "+clean(strings.Join(g.added, " "))+".")
	}
	if slices.ContainsFunc(g.flags, loadsExtensions) || len(g.flags) > 0 && !slices.Contains(g.flags, noExtensions) {
		list = append(list, "The browser was started with extensions: they could change what a page shows.")
	}
	return list
}

const noExtensions = "--disable-extensions"

func loadsExtensions(flag string) bool {
	name, value, _ := strings.Cut(flag, "=")
	return name == "--load-extension" && strings.Trim(value, ", ") != "" || name == "--disable-extensions-except" && strings.Trim(value, ", ") != ""
}

// compareFlags takes from a command line the switches, without those that are of this
// machine alone, and says which of them were not asked for. A switch that was given
// twice counts as it was given last.
func compareFlags(line, asked []string, dir string) (flags, added []string) {
	for _, a := range line[min(1, len(line)):] {
		name, _, _ := strings.Cut(a, "=")
		if !strings.HasPrefix(a, "--") || slices.Contains(ownSwitches(), name) {
			continue
		}
		a = clean(strings.ReplaceAll(a, dir, "PROFILE"))
		flags = append(flags, a)
		if !slices.Contains(asked, a) {
			added = append(added, a)
		}
	}
	return flags, added
}

// ownSwitches hold paths and keys of this machine, or how it is spoken to.
func ownSwitches() []string {
	return []string{"--remote-debugging-pipe", "--user-data-dir", "--ignore-certificate-errors-spki-list"}
}

// runs finds the browser among pid and what it started: the one with the profile in dir
// that is no helper. It gives its folder in /proc, and its command line.
func runs(pid int, dir string) (at string, line []string, err error) {
	for _, id := range append([]int{pid}, group(pid)...) {
		at = fmt.Sprintf("/proc/%d", id)
		b, err := os.ReadFile(at + "/cmdline")
		if err != nil {
			continue
		}
		line = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if !slices.Contains(line, "--user-data-dir="+dir) || slices.ContainsFunc(line, func(a string) bool { return strings.HasPrefix(a, "--type=") }) {
			continue
		}
		if path, err := os.Readlink(at + "/exe"); err != nil || isShell(path) {
			continue
		}
		return at, line, nil
	}
	return "", nil, errProgram
}

// isShell: a launcher that does not give way to the browser has its switches too.
func isShell(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return slices.Contains([]string{"sh", "dash", "bash", "busybox", "ksh", "zsh"}, name)
}
