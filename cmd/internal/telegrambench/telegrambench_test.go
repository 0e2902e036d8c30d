package telegrambench_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"holdfast/cmd/internal/telegrambench"
)

// TestMain is the service, where a test has begun this program as one.
func TestMain(m *testing.M) {
	if os.Getenv("TELEGRAMBENCH_SERVE") != "" {
		if err := telegrambench.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, of telegrambench.World) *telegrambench.Service {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env, cmd.Stderr = append(os.Environ(), "TELEGRAMBENCH_SERVE=1"), os.Stderr
	s, err := telegrambench.Start(cmd, of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestFollow: posts are made in the channels that there are, and each is timed to the line
// that says that its capture is sealed; where the lines end before that it is said.
func TestFollow(t *testing.T) {
	const channels, count = 3, 7
	s := start(t, telegrambench.World{Channels: channels})
	in, out := io.Pipe()
	say := func(format string, a ...any) {
		if _, err := fmt.Fprintf(out, format+"\n", a...); err != nil {
			t.Error(err)
		}
	}
	lines := telegrambench.Read(in)
	go func() {
		say("no line of this kind")
		for i := range channels {
			say(`{"event":"accepted","id":"h%d","part":"backfill"}`, i)
			say(`{"event":"sealed","id":"h%d"}`, i)
		}
	}()
	begun := 0
	took, err := lines.Follow(s, channels, count, func() {
		begun++
		go func() {
			say(`{"event":"accepted","id":"c","part":"follow"}`)
			for i := range channels {
				for k := range count {
					say(`{"event":"post","channel":"%d","id":%d,"capture":"c"}`, 2000+i, 21+k)
				}
			}
			say(`{"event":"sealed","id":"c"}`)
		}()
	})
	if err != nil || len(took) != count || begun != 1 {
		t.Fatalf("%v, %d times begun, %v", took, begun, err)
	}
	out.Close()
	lines.Wait()
	if _, err := lines.Follow(s, channels+1, 1, func() { t.Error("began without a channel") }); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("the lines have ended: %v", err)
	}
}

// TestLine: who is told of a service gets a line to it, and is told when that is gone.
func TestLine(t *testing.T) {
	s := start(t, telegrambench.World{Messages: 3})
	gone := make(chan error, 1)
	line, stop, err := s.Line(t.Context(), "a1", func(err error) { gone <- err })
	if err != nil || line == nil {
		t.Fatal(err)
	}
	stop()
	<-gone
	wrong := s.Up
	wrong.Code = "0"
	if _, _, err := wrong.Line(t.Context(), "a1", func(error) {}); err == nil {
		t.Error("logged in with a wrong code")
	}
}

// TestAnswers: what is read is read whole.
func TestAnswers(t *testing.T) {
	if rate, limit, err := telegrambench.Answers(250); err != nil || rate <= 0 || limit <= 0 {
		t.Errorf("%f, %f, %v", rate, limit, err)
	}
}
