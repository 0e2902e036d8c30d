package export_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dying stands for every tool of verify.sh: the call whose number is in "die" says
// all but the last line of what it has to say, and is killed.
const dying = `#!/bin/bash
exec 9>>HERE/calls
flock 9
printf x >&9
n=$(stat -c %s HERE/calls)
exec 9>&-
[ "$n" = "$DIE" ] || exec REAL "$@"
REAL "$@" >HERE/said 2>/dev/null
SED '$d' HERE/said
printf '%s\n' "NAME $*" >HERE/died
kill -9 $$
`

// TestScriptOnDyingTools: whichever call of whichever tool dies in the middle, no
// list is short without a word: either the script says all that it says of the
// Bundle, or it ends with 2 and has called nothing contradicted.
func TestScriptOnDyingTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.page("https://example.org/a"), w.page("https://example.org/b")
	w.seal(2, a)
	w.line("noted", []string{string(a)}, nil)
	w.seal(2, b)
	o := w.options(a, b)
	path, _ := write(t, o)
	sh, trust := script(t, w)
	text := must(os.ReadFile(sh))
	if err := os.WriteFile(sh, []byte(strings.Replace(string(text), "read -t 60 ", "read -t 2 ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, call int) (out, died string, code, calls int) {
		bin := t.TempDir()
		for name := range strings.FieldsSeq("openssl sha256sum xxd awk unzip sed sort find cmp comm cut grep head tail tr uniq wc xargs cat mktemp mkfifo mkdir touch dirname rm") {
			body := strings.NewReplacer("HERE", bin, "NAME", name, "REAL", must(exec.LookPath(name)), "SED", must(exec.LookPath("sed"))).Replace(dying)
			if err := os.WriteFile(filepath.Join(bin, name), []byte(body), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		cmd := exec.CommandContext(ctx, "bash", sh, "--trust", trust, path)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), fmt.Sprint("DIE=", call))
		cmd.WaitDelay = time.Second
		said, _ := cmd.CombinedOutput()
		who, _ := os.ReadFile(filepath.Join(bin, "died"))
		n, err := os.Stat(filepath.Join(bin, "calls"))
		if err != nil {
			t.Fatal(err, string(said))
		}
		return string(said), strings.TrimSpace(string(who)), cmd.ProcessState.ExitCode(), int(n.Size())
	}
	whole, _, code, calls := run(t, -1)
	if code != 0 || !strings.Contains(whole, "PROVEN") || strings.Count(whole, "\nok  ") < 15 || strings.Count(whole, " grew into ") != 2 {
		t.Fatalf("exit %d\n%s", code, whole)
	}
	try := func(call int) {
		t.Run(fmt.Sprint(call), func(t *testing.T) {
			t.Parallel()
			out, died, code, _ := run(t, call)
			switch {
			case died == "": // fewer calls this time
			case code == 0 && strings.HasPrefix(died, "rm ") && strings.HasPrefix(out, whole): // the last one, of which bash tells behind the verdict
			case strings.Contains(out, "CONTRADICTED"), code != 2 && (code != 0 || out != whole):
				t.Errorf("call %d of %d dies (%.200s): exit %d\n%s", call, calls, died, code, out)
			}
		})
	}
	if os.Getenv("HOLDFAST_LONG") == "1" {
		for call := 1; call <= calls; call++ {
			try(call)
		}
		return
	}
	const tries = 10 // one of each stretch of the way
	for i := range tries {
		try(1 + i*calls/tries + rand.IntN(max(1, calls/tries)))
	}
}
