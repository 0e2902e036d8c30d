// Package confined runs a program that is not ours, and that reads what strangers sent, in
// bounds: of time, of memory, of what it writes, and in which nothing of it is left.
//
// The program has an environment of what it is given and nothing of this process's, no
// input, a folder of its own as its home, and a process group of its own. Where the
// system allows it, it is the first process of a PID namespace: with it the kernel ends
// whatever it has started. Elsewhere its processes are found by a random mark in their
// environment, wherever they moved to; what starts processes with another environment
// in another group is beyond that, and within a control group alone.
//
// It runs as the same user, with that user's files and network: a program must be one
// that its user trusts. The bounds are against what the program is fed with.
//
// A crash of this process ends the program too (Linux); its folder stays, and is the
// caller's to remove.
package confined

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Why a program was ended. [Ended.Why] wraps one of them, or is nil.
var (
	ErrTime   = errors.New("it was ended when no time was left")
	ErrSignal = errors.New("a signal ended it")
	ErrMemory = errors.New("it was ended for the memory that it took")
	ErrBytes  = errors.New("it was ended for what it wrote")
	ErrFiles  = errors.New("it was ended for the number of its files")
)

const (
	maxSaid   = 4 << 10 // of what it complained, the end
	maxTold   = 4 << 10 // of what it said, the beginning
	lookEvery = 200 * time.Millisecond
	mark      = "HOLDFAST_RUN"
)

// Program is what is run. All bounds must be set.
type Program struct {
	Path   string // absolute
	Args   []string
	Env    []string        // NAME=value; HOME, TMPDIR, LANG and TZ are there
	Dir    string          // its folder, empty
	Into   func(*exec.Cmd) // a control group, for instance. Optional.
	Memory int64           // of all its processes together, in bytes, as seen five times a second
	Bytes  int64           // of all files in Dir together, likewise; of each file, exactly, from a moment behind the start on
	Files  int             // in Dir, with folders

	plain bool // without a PID namespace, for tests
}

// Ended is what came of it.
type Ended struct {
	Began, Over time.Time
	Exit        int    // -1: it did not end by itself
	Why         error  // it was ended; nil: it was not
	Told        string // the beginning of its output
	Said        string // the end of what it complained
	Left        int    // processes that outlived it, and were ended
}

// Run starts p and waits for its end, or for that of ctx, or until a bound is met; when it
// returns, nothing of it runs. The error is that it could not be started. Run may be
// called from any goroutine; a Dir is one run's.
func Run(ctx context.Context, p Program) (e Ended, err error) {
	var random [16]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	r := &run{p: p, mark: fmt.Sprintf("%s=%x", mark, random), told: &keeper{most: maxTold}, said: &keeper{most: maxSaid, last: true}}
	e.Began = time.Now()
	done := make(chan error, 1)
	if err := r.start(done); err != nil {
		var at *fs.PathError
		if errors.As(err, &at) { // its text has the path
			err = at.Err
		}
		return e, fmt.Errorf("start %s: %w", filepath.Base(p.Path), err)
	}
	err = r.wait(ctx, done)
	e.Over, e.Why, e.Left = time.Now(), r.why, r.left
	e.Told, e.Said = r.told.text(), r.said.text()
	var exit *exec.ExitError
	switch {
	case r.why == nil && err == nil, r.why == nil && errors.Is(err, exec.ErrWaitDelay):
	case r.why == nil && errors.As(err, &exit):
		e.Exit, e.Why = exit.ExitCode(), signalled(exit)
	default:
		e.Exit = -1
	}
	return e, nil
}

type run struct {
	p          Program
	mark       string
	cmd        *exec.Cmd
	told, said *keeper
	why        error
	left       int
}

// command is made anew for each try to start it.
func (r *run) command() *exec.Cmd {
	c := exec.Command(r.p.Path, r.p.Args...)
	c.Dir = r.p.Dir
	c.Env = append([]string{"HOME=" + r.p.Dir, "TMPDIR=" + r.p.Dir, "LANG=C.UTF-8", "TZ=UTC", r.mark}, r.p.Env...)
	c.Stdout, c.Stderr = r.told, r.said
	c.WaitDelay = time.Second // for children that hold the pipes
	if r.p.Into != nil {
		r.p.Into(c)
	}
	return c
}

// wait looks after the program until it is over, and then ends what it left.
func (r *run) wait(ctx context.Context, done <-chan error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if r.why == nil {
				r.why = r.written() // since the last look
			}
			r.sweep()
			return err
		case <-ctx.Done():
			r.end(ErrTime)
			ctx = context.Background() // the next is its end
		case <-tick.C:
			if r.why != nil {
				r.kill() // once more: it was starting others
			} else if n := r.memory(); n > r.p.Memory {
				r.end(fmt.Errorf("%w: %d MB of %d", ErrMemory, n>>20, r.p.Memory>>20))
			} else if why := r.written(); why != nil {
				r.end(why)
			}
		}
	}
}

func (r *run) end(why error) {
	if r.why == nil {
		r.why = why
	}
	r.kill()
}

// written says which bound the files in its folder break.
func (r *run) written() error {
	var size int64
	files := -1 // the folder itself
	err := filepath.WalkDir(r.p.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if files++; files > r.p.Files {
			return fmt.Errorf("%w: more than %d", ErrFiles, r.p.Files)
		}
		if st, err := d.Info(); err == nil && st.Mode().IsRegular() {
			size += st.Size()
		}
		return nil
	})
	if err == nil && size > r.p.Bytes {
		err = fmt.Errorf("%w: %d bytes of at most %d", ErrBytes, size, r.p.Bytes)
	}
	return err
}

// keeper keeps the beginning or the end of what is written to it.
type keeper struct {
	mu   sync.Mutex
	most int
	last bool
	b    []byte
}

func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last {
		k.b = append(k.b, p[max(0, len(p)-k.most):]...)
		k.b = bytes.Clone(k.b[max(0, len(k.b)-k.most):])
	} else if room := k.most - len(k.b); room > 0 {
		k.b = append(k.b, p[:min(len(p), room)]...)
	}
	return len(p), nil
}

func (k *keeper) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(k.b), "\uFFFD"))
}

// Path makes a folder in dir whose entries are links to the programs of these names in
// /usr/local/bin, /usr/bin and /bin, for a PATH that has them and no other; a name that
// is not there is left out.
func Path(dir string, names ...string) (string, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return "", fmt.Errorf("make folder of programs: %w", err)
	}
	for _, name := range names {
		for _, in := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
			if st, err := os.Stat(filepath.Join(in, name)); err != nil || st.IsDir() {
				continue
			}
			if err := os.Symlink(filepath.Join(in, name), filepath.Join(bin, name)); err != nil {
				return "", fmt.Errorf("make folder of programs: %w", err)
			}
			break
		}
	}
	return bin, nil
}
