package export_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScriptOnDeadTools: a tool that dies or never answers makes verify.sh slow or
// ends it with 2. It never hangs, and never calls a sound bundle contradicted.
func TestScriptOnDeadTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.page("https://example.org/a")
	w.seal(3, id)
	w.line("noted", []string{string(id)}, nil)
	path, _ := write(t, w.options(id))
	sh, trust := script(t, w)
	text, err := os.ReadFile(sh)
	if err != nil {
		t.Fatal(err)
	}
	hurried := strings.Replace(string(text), "read -t 60 ", "read -t 2 ", 1)
	if hurried == string(text) {
		t.Fatal("verify.sh waits in another way")
	}
	if err := os.WriteFile(sh, []byte(hurried), 0o600); err != nil {
		t.Fatal(err)
	}
	const piped = `case "$*" in *pipe*) `
	for name, tc := range map[string]struct {
		tool, does string
		code       int
		says       string
	}{
		"exits at once":                     {"sha256sum", `exit 1`, 2, "sha256sum does not work"},
		"is killed at once":                 {"sha256sum", `kill -9 $$`, 2, "sha256sum does not work"},
		"openssl exits at once":             {"openssl", `exit 1`, 2, "OpenSSL 3 or later is needed"},
		"xxd is killed at once":             {"xxd", `kill -9 $$`, 2, "xxd does not work"},
		"dies with many files":              {"sha256sum", `case "$*" in *data/*) kill -9 $$;; esac`, 2, "sha256sum failed"},
		"dies with the lines":               {"sha256sum", `case "$*" in *line.*) kill -9 $$;; esac`, 2, "sha256sum failed"},
		"dies before it opens the pipe":     {"sha256sum", piped + `kill -9 $$;; esac`, 0, "PROVEN"},
		"dies with whoever started it":      {"sha256sum", piped + `kill -9 $PPID $$;; esac`, 0, "PROVEN"},
		"never opens the pipe":              {"sha256sum", piped + `exec sleep 20;; esac`, 0, "PROVEN"},
		"says nothing of the pipe":          {"sha256sum", piped + `cat pipe >/dev/null; exec sleep 20;; esac`, 0, "PROVEN"},
		"says something else of the pipe":   {"sha256sum", piped + `cat pipe; exit;; esac`, 0, "PROVEN"},
		"says one hash and dies":            {"sha256sum", piped + `exec REAL pipe;; esac`, 0, "PROVEN"},
		"dies before the last log":          {"sort", `case "$*" in *trees*) REAL "$@" | sed '$d'; kill -9 $$;; esac`, 2, "sort failed"},
		"dies before the last timestamp":    {"grep", `case "$*" in *timestamps/*) REAL "$@" | sed '$d'; kill -9 $$;; esac`, 2, "grep failed"},
		"dies with a timestamp":             {"openssl", `case "$*" in *"ts -verify"*) kill -9 $$;; esac`, 2, "openssl failed"},
		"dies with a hash of a list":        {"cut", `case "$*" in -c1-64) printf x >>HERE/n; [ "$(wc -c <HERE/n)" -ne 12 ] || kill -9 $$;; esac`, 2, "cut failed"},
		"dies with the names that are odd":  {"find", `case "$*" in *regex*print) kill -9 $$;; esac`, 2, "find failed"},
		"dies once the pipe has been tried": {"sha256sum", piped + `touch HERE/tried; exit 1;; esac; [ ! -e HERE/tried ] || exit 1`, 2, "sha256sum failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			real, err := exec.LookPath(tc.tool)
			if err != nil {
				t.Skip(err)
			}
			bin := t.TempDir()
			body := "#!/bin/bash\n" + tc.does + "\nexec REAL \"$@\"\n"
			body = strings.NewReplacer("REAL", real, "HERE", bin).Replace(body)
			if err := os.WriteFile(filepath.Join(bin, tc.tool), []byte(body), 0o755); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute) // of a busy machine
			defer stop()
			cmd := exec.CommandContext(ctx, "bash", sh, "--trust", trust, path)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			cmd.WaitDelay = time.Second
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || !strings.Contains(string(out), tc.says) || strings.Contains(string(out), "CONTRADICTED") {
				t.Errorf("exit %d, want %d and %q\n%s", code, tc.code, tc.says, out)
			}
		})
	}
}
