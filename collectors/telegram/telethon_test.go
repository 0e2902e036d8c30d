package telegram

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
	"holdfast/tl"
)

// round is one whole history.
type round struct {
	Count     int
	Wall, CPU float64 // s; CPU of the reader alone, where it has a process of its own
}

// TestTelethonBeside: a channel's history, as we ask for it, decode it and hash each
// message, against Telethon keeping each message as JSON with its hash, from the same
// server, in turn. The budget is five times as many messages a second.
func TestTelethonBeside(t *testing.T) {
	program := filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "bin", "telethon-history")
	if os.Getenv("HOLDFAST_LONG") == "" || os.Getenv("HOLDFAST_JUDGES") == "" {
		t.Skip("HOLDFAST_LONG and HOLDFAST_JUDGES are not set: `./test long` sets them")
	}
	const messages, rounds = 20_000, 5
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour news")
	for i := range messages {
		ch.Post(fmt.Sprintf("Fire at the harbour, report %d. Людям сказали уйти.", i), func(m *tg.Message) {
			m.SetViews(i)
			m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityBold{Offset: 0, Length: 4}, &tg.MessageEntityTextURL{Offset: 8, Length: 3, URL: "https://example.org/a"}})
		})
	}
	s := start(t, w, telegramtest.Options{})
	line := openLine(t, s, "a1")
	next := telethon(t, program, s)
	var ours, theirs []round
	for range rounds {
		ours, theirs = append(ours, readHistory(t, line, ch)), append(theirs, next())
	}
	middle := func(all []round, of func(round) float64) float64 {
		slices.SortFunc(all, func(a, b round) int {
			if of(a) < of(b) {
				return -1
			}
			return 1
		})
		return of(all[len(all)/2])
	}
	for _, r := range append(ours, theirs...) {
		if r.Count != messages {
			t.Fatalf("%d messages of %d: %+v", r.Count, messages, r)
		}
	}
	wall := func(r round) float64 { return messages / r.Wall }
	cpu := func(r round) float64 { return messages / r.CPU }
	a, b := middle(ours, wall), middle(theirs, wall)
	t.Logf("loopback, %d rounds of %d messages: ours, decoded and hashed, %.0f messages/s (%.0f per CPU-second, with the server's own work); Telethon keeping JSON %.0f (%.0f per CPU-second, without it): %.1f times",
		rounds, messages, a, middle(ours, cpu), b, middle(theirs, cpu), a/b)
	if a < 5*b {
		t.Errorf("%.1f times as many messages a second as Telethon, want 5", a/b)
	}
}

// telethon starts the program and returns what has it read the history once.
func telethon(t *testing.T, program string, s *telegramtest.Server) func() round {
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, s.File(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, file, s.Phone, s.Code, "harbour", "json")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() }) //nolint:errcheck // it has said all that is wanted
	said := json.NewDecoder(bufio.NewReader(out))
	return func() (r round) {
		fmt.Fprintln(in)
		if err := said.Decode(&r); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// readHistory asks for all of it, decodes it and hashes each message.
func readHistory(t *testing.T, l *Line, ch *telegramtest.Channel) (r round) {
	begun, spent := time.Now(), used(t)
	for before := 0; ; {
		x, err := l.ask(t.Context(), &tg.MessagesGetHistoryRequest{Peer: &tg.InputPeerChannel{ChannelID: ch.ID, AccessHash: ch.AccessHash}, OffsetID: before, Limit: pageSize})
		if err != nil {
			t.Fatal(err)
		}
		a, err := tl.Split(x.Answer)
		if err != nil || a.Unread != nil {
			t.Fatal(err, a)
		}
		if len(a.Messages) == 0 {
			break
		}
		for _, m := range a.Messages {
			hashing.Of(m.In(x.Answer))
			before = m.ID
		}
		r.Count += len(a.Messages)
	}
	r.Wall, r.CPU = time.Since(begun).Seconds(), used(t)-spent
	return r
}

func used(t *testing.T) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
