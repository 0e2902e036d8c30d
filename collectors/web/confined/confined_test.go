//go:build linux

package confined

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func shell(t *testing.T, script string) Program {
	return Program{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: t.TempDir(), Memory: 1 << 30, Bytes: 1 << 20, Files: 100}
}

// both runs it in a PID namespace, where there are any, and without.
func both(t *testing.T, f func(t *testing.T, plain bool)) {
	for _, plain := range []bool{false, true} {
		t.Run(map[bool]string{false: "namespace", true: "plain"}[plain], func(t *testing.T) { f(t, plain) })
	}
}

func ended(t *testing.T, p Program, limit time.Duration) Ended {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	e, err := Run(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A program has what it is given, and nothing else of ours.
func TestGiven(t *testing.T) {
	t.Setenv("OUR_OWN", "secret")
	both(t, func(t *testing.T, plain bool) {
		p := shell(t, `env; pwd; cat; echo complaint >&2; exit 3`)
		p.plain, p.Env = plain, append(p.Env, "GIVEN=yes")
		e := ended(t, p, time.Minute)
		if e.Exit != 3 || e.Why != nil || e.Said != "complaint" || e.Left != 0 {
			t.Errorf("%+v", e)
		}
		var names []string
		for l := range strings.Lines(e.Told) {
			if name, _, ok := strings.Cut(l, "="); ok {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if want := []string{"GIVEN", "HOLDFAST_RUN", "HOME", "LANG", "PATH", "PWD", "TMPDIR", "TZ"}; !slices.Equal(names, want) {
			t.Errorf("it has %v, not %v", names, want)
		}
		if !strings.HasSuffix(e.Told, p.Dir) {
			t.Errorf("it is in %q", e.Told)
		}
	})
	if _, err := Run(context.Background(), Program{Path: "/nothing/here", Dir: t.TempDir(), Memory: 1, Bytes: 1, Files: 1}); err == nil {
		t.Error("what is not there was started")
	}
}

// running counts processes with this argument.
func running(arg string) (n int) {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range list {
		if b, err := os.ReadFile(name); err == nil && slices.Contains(strings.Split(string(b), "\x00"), arg) {
			n++
		}
	}
	return n
}

// What hangs, and starts others in other groups that hang too, is over with all of them.
func TestEndsWithAll(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		arg := fmt.Sprintf("86%d", time.Now().UnixNano()%1e12)
		p := shell(t, fmt.Sprintf(`sleep %[1]s & setsid sleep %[1]s & (setsid sh -c 'trap "" TERM HUP; sleep %[1]s & wait' &) & echo started; wait; sleep %[1]s`, arg))
		p.plain = plain
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go func() {
			for range 2000 {
				if running(arg) >= 3 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			stop()
		}()
		e, err := Run(ctx, p)
		if err != nil || !errors.Is(e.Why, ErrTime) || e.Exit != -1 || e.Told != "started" {
			t.Errorf("%+v %v", e, err)
		}
		if n := running(arg); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

// What it leaves behind when it ends by itself is ended too.
func TestOutlived(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		arg := fmt.Sprintf("87%d", time.Now().UnixNano()%1e12)
		p := shell(t, fmt.Sprintf(`setsid sleep %s >/dev/null 2>&1 & exit 0`, arg))
		p.plain = plain
		if e := ended(t, p, time.Minute); e.Exit != 0 || e.Why != nil {
			t.Errorf("%+v", e)
		}
		if n := running(arg); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

func TestBounds(t *testing.T) {
	if _, err := exec.LookPath("head"); err != nil {
		t.Skip("NO head")
	}
	for name, c := range map[string]struct {
		script string
		want   error
	}{
		"one file":  {`sleep 0.3; head -c 3000000 /dev/zero > a; sleep 600`, nil}, // refused by the system, once it is told: the program goes on
		"exec":      {`exec head -c 3000000 /dev/zero > a`, ErrBytes},
		"two files": {`head -c 700000 /dev/zero > a; head -c 700000 /dev/zero > b; sleep 600`, ErrBytes},
		"at once":   {`head -c 700000 /dev/zero > a; head -c 700000 /dev/zero > b`, ErrBytes},
		"files":     {`i=0; while :; do i=$((i+1)); : > f$i; done`, ErrFiles},
		"memory":    {`x=$(head -c 200000000 /dev/zero | tr '\0' a); sleep 600`, ErrMemory},
		"signal":    {`kill -SEGV $$; sleep 1; exec sh -c 'ulimit -t 1; while :; do :; done'`, ErrSignal},
	} {
		t.Run(name, func(t *testing.T) {
			p := shell(t, c.script)
			p.Memory = 100 << 20
			limit := 2 * time.Minute
			if c.want == nil {
				limit, c.want = 2*time.Second, ErrTime
			}
			p.plain = name == "signal" || name == "exec" // the first of a namespace gets no signal that it does not handle
			e := ended(t, p, limit)
			if !errors.Is(e.Why, c.want) || e.Exit != -1 {
				t.Errorf("%+v", e)
			}
			if st, err := os.Stat(filepath.Join(p.Dir, "a")); err == nil && st.Size() > p.Bytes {
				t.Errorf("a file has %d bytes", st.Size())
			}
		})
	}
}

// Only the ends of what it says are kept, and they are text.
func TestSays(t *testing.T) {
	e := ended(t, shell(t, `echo first; head -c 100000 /dev/zero | tr '\0' x; head -c 100000 /dev/zero | tr '\0' y >&2; printf '\377last' >&2`), time.Minute)
	if !strings.HasPrefix(e.Told, "first\nx") || len(e.Told) != maxTold || !strings.HasSuffix(e.Said, "y\uFFFDlast") || len(e.Said) > maxSaid+2 {
		t.Errorf("%d %.20q, %d %q", len(e.Told), e.Told, len(e.Said), e.Said[len(e.Said)-10:])
	}
}

func TestPath(t *testing.T) {
	dir := t.TempDir()
	bin, err := Path(dir, "sh", "no-such-program")
	if err != nil {
		t.Fatal(err)
	}
	p := shell(t, `command -v sh; command -v ls`)
	p.Env = []string{"PATH=" + bin}
	if e := ended(t, p, time.Minute); e.Told != filepath.Join(bin, "sh") || e.Exit == 0 {
		t.Errorf("%+v", e)
	}
}
