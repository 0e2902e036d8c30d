package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the real program, with a real Chromium, real authorities and
// real sites on loopback. Each script says what it guards.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			repo, err := filepath.Abs("../..")
			e.Setenv("HOLDFAST_DATA", filepath.Join(e.WorkDir, "node"))
			e.Setenv("HOLDFAST_BROWSER", os.Getenv("HOLDFAST_BROWSER"))
			e.Setenv("YTDLP", ytdlp())
			e.Setenv("VERIFY_SH", filepath.Join(repo, "export", "verify.sh"))
			e.Values[roleKey{}] = map[string]*exec.Cmd{}
			e.Values[clockKey{}] = map[string]*http.Server{}
			return err
		},
		Condition: func(cond string) (bool, error) {
			if cond == "chromium" {
				return chromium() != "", nil
			}
			if cond == "yt-dlp" { // as deploy/judges installs it
				_, err := os.Stat(ytdlp())
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: apiCommands(exportCommands(watchCommands(alertCommands(telegramCommands(keysCommands(judgeCommands(egressCommands(stampsCommands(map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "nosecret": cmdNoSecret, "site": cmdSite, "tsa": cmdTSA, "office": cmdOffice, "jsonkeys": cmdJSONKeys, "jsonlast": cmdJSONLast,
			"setout": cmdSetOut, "flip": cmdFlip, "mkzip": cmdMkzip, "newer": cmdNewer, "role": cmdRole, "eventually": cmdEventually,
		}))))))))),
	})
}

func ytdlp() string { return filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "bin", "yt-dlp") }

// chromium is the browser that a capture would find, or "".
func chromium() string {
	for _, name := range []string{os.Getenv("HOLDFAST_BROWSER"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"} {
		if name == "" {
			continue
		}
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

// cmdCode is `code N COMMAND…`: the command must exit with N.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		x := (*exec.ExitError)(nil)
		if !errors.As(err, &x) {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got = x.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%v exited with %d, want %s", args[1:], got, args[0])
	}
}

// cmdSite is `site NAME [tls]`: $WORK/site is served, and $NAME is where. A
// request for /once/ hangs the first time, when $WORK/asked appears; those for /meet/?NAME
// are answered when there are three of them at once, of three names, and broken off after
// twenty seconds.
func cmdSite(ts *testscript.TestScript, neg bool, args []string) {
	files, asked := &members{dir: ts.MkAbs("."), next: http.FileServer(http.Dir(ts.MkAbs("site")))}, atomic.Int64{}
	sign, met := ts.MkAbs("asked"), &meeting{here: map[string]int{}, all: make(chan struct{})}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/once/" && asked.Add(1) == 1 {
			_ = os.WriteFile(sign, nil, 0o600) // the script waits for it
			<-r.Context().Done()
			return
		}
		if r.URL.Path == "/meet/" {
			met.wait(r.URL.RawQuery, 3)
			_, _ = io.WriteString(w, "<!doctype html><title>met</title>met") // to a client that may be gone
			return
		}
		files.ServeHTTP(w, r)
	})
	var s *httptest.Server
	if len(args) > 1 {
		s = httptest.NewTLSServer(h)
	} else {
		s = httptest.NewServer(h)
	}
	ts.Defer(func() { s.CloseClientConnections(); s.Close() })
	ts.Setenv(args[0], s.URL)
}

// meeting is of requests with several names.
type meeting struct {
	mu   sync.Mutex
	here map[string]int
	all  chan struct{} // closed once they were there together
}

// wait returns when n names are there at once, or never: it ends the request then.
func (m *meeting) wait(name string, n int) {
	m.mu.Lock()
	m.here[name]++
	if len(m.here) == n {
		select {
		case <-m.all:
		default:
			close(m.all)
		}
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.here[name]--; m.here[name] == 0 {
			delete(m.here, name)
		}
	}()
	select {
	case <-m.all:
	case <-time.After(20 * time.Second):
		panic(http.ErrAbortHandler)
	}
}

// cmdTSA is `tsa start NAME [FLAG…]` and `tsa stop NAME`: the real `authority serve`,
// at the same address each time. $NAME_url and $NAME_roots say where.
func cmdTSA(ts *testscript.TestScript, neg bool, args []string) {
	what, name := args[0], args[1]
	pidFile := ts.MkAbs("tsa-" + name + ".pid")
	if what == "stop" {
		stopProcess(ts, pidFile)
		return
	}
	addr := ts.Getenv(name + "_addr")
	if addr == "" {
		addr = freeAddress(ts)
		ts.Setenv(name+"_addr", addr)
	}
	dir := ts.MkAbs("tsa-" + name)
	var line string
	var err error
	for range 3 { // where a system has one loopback address, it may be a stranger's for a moment
		if line, err = serveTSA(ts, name, addr, dir, pidFile, args[2:]); err == nil {
			break
		}
		time.Sleep(2 * time.Second)
	}
	if err != nil || !strings.HasPrefix(line, "serving http://"+addr) {
		ts.Fatalf("authority serve said %q, %v", line, err)
	}
	ts.Setenv(name+"_url", "http://"+addr+"/")
	ts.Setenv(name+"_roots", filepath.Join(dir, "roots.pem"))
}

func serveTSA(ts *testscript.TestScript, name, addr, dir, pidFile string, args []string) (line string, err error) {
	cmd := exec.Command("holdfast", append([]string{"authority", "serve", "--operator", "Operator " + name, "--listen", addr, "--dir", dir}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stderr = ts.Stderr()
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Check(os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600))
	gone := make(chan struct{})
	line, err = bufio.NewReader(out).ReadString('\n')
	go func() { _ = cmd.Wait(); close(gone) }()
	ts.Defer(func() { _ = cmd.Process.Kill(); <-gone })
	return line, err
}

func stopProcess(ts *testscript.TestScript, pidFile string) {
	b, err := os.ReadFile(pidFile)
	ts.Check(err)
	pid, err := strconv.Atoi(string(b))
	ts.Check(err)
	p, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(p.Signal(os.Interrupt))
	for range 500 {
		if p.Signal(syscall.Signal(0)) != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("process %d does not end on an interrupt", pid)
}

// freeAddress is one that stays free while nobody listens there: on a loopback address of
// its own, as ports of 127.0.0.1 that were let go of become those of other tests' servers.
func freeAddress(ts *testscript.TestScript) string {
	ip := netip.AddrFrom4([4]byte{127, 1 + byte(rand.IntN(250)), byte(rand.IntN(256)), 1 + byte(rand.IntN(250))})
	l, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil { // a system with 127.0.0.1 alone
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	ts.Check(err)
	defer l.Close()
	return l.Addr().String()
}

// cmdOffice makes a node and two running authorities that it asks.
func cmdOffice(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("holdfast", "init", "--label", "office"))
	for _, name := range []string{"alpha", "beta"} {
		cmdTSA(ts, false, []string{"start", name})
		ts.Check(ts.Exec("holdfast", "authority", "add", name, ts.Getenv(name+"_url"), "--operator", "Operator "+name, "--roots", ts.Getenv(name+"_roots")))
	}
}

func jsonLines(ts *testscript.TestScript) (rows []map[string]any) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			ts.Fatalf("stdout has a line that is no JSON object: %q: %v", line, err)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		ts.Fatalf("stdout is empty")
	}
	return rows
}

// cmdJSONKeys is `jsonkeys [-butlast] N KEY…`: stdout has N lines (+ for one or
// more), and each is an object with these members.
func cmdJSONKeys(ts *testscript.TestScript, neg bool, args []string) {
	rows := jsonLines(ts)
	if args[0] == "-butlast" {
		rows, args = rows[:len(rows)-1], args[1:]
	}
	if args[0] != "+" && args[0] != strconv.Itoa(len(rows)) || len(rows) == 0 {
		ts.Fatalf("%d lines, want %s", len(rows), args[0])
	}
	for _, row := range rows {
		for _, k := range args[1:] {
			if _, ok := row[k]; !ok {
				ts.Fatalf("no member %s in %v", k, row)
			}
		}
	}
}

// cmdJSONLast is `jsonlast KEY=VALUE…`: members of the last line.
func cmdJSONLast(ts *testscript.TestScript, neg bool, args []string) {
	rows := jsonLines(ts)
	row := rows[len(rows)-1]
	for _, a := range args {
		k, want, _ := strings.Cut(a, "=")
		if got := fmt.Sprint(row[k]); got != want {
			ts.Fatalf("%s is %q, want %q", k, got, want)
		}
	}
}

// cmdSetOut is `setout NAME REGEXP`: $NAME becomes the first group in stdout.
func cmdSetOut(ts *testscript.TestScript, neg bool, args []string) {
	f := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if f == nil {
		ts.Fatalf("stdout has nothing like %s", args[1])
	}
	ts.Setenv(args[0], f[1])
}

// cmdFlip is `flip ZIP ENTRY`: one bit changes, and the ZIP's checksums with it.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	ts.Check(err)
	name := args[1]
	for _, f := range z.File { // files that were captured side by side have their numbers by chance
		if ok, err := path.Match(args[1], f.Name); err == nil && ok {
			name = f.Name
		}
	}
	ts.Check(flipInZip(b, name))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// cmdMkzip is `mkzip ZIP FILE…`.
func cmdMkzip(ts *testscript.TestScript, neg bool, args []string) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range args[1:] {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = io.WriteString(w, ts.ReadFile(name))
		ts.Check(err)
	}
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), buf.Bytes(), 0o600))
}

// cmdNewer is `newer ZIP OUT`: OUT says of itself that it has format version 2.
func cmdNewer(ts *testscript.TestScript, neg bool, args []string) {
	const name = "data/export.dsse.json"
	in, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer in.Close()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, f := range in.File {
		r, err := f.OpenRaw()
		ts.Check(err)
		raw, err := io.ReadAll(r)
		ts.Check(err)
		h := f.FileHeader
		if f.Name == name {
			raw = nextVersion(ts, raw)
			h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE(raw), uint64(len(raw)), uint64(len(raw))
		}
		w, err := z.CreateRaw(&h)
		ts.Check(err)
		_, err = w.Write(raw)
		ts.Check(err)
	}
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), buf.Bytes(), 0o600))
}

func nextVersion(ts *testscript.TestScript, dsse []byte) []byte {
	p := regexp.MustCompile(`"payload":"([^"]*)"`).FindSubmatch(dsse)
	if p == nil {
		ts.Fatalf("no payload in %s", dsse)
	}
	text, err := base64.StdEncoding.DecodeString(string(p[1]))
	ts.Check(err)
	i := bytes.LastIndex(text, []byte(`"version":1`))
	if i < 0 {
		ts.Fatalf("no version in %s", text)
	}
	text[i+len(`"version":`)] = '2'
	return bytes.Replace(dsse, p[1], []byte(base64.StdEncoding.EncodeToString(text)), 1)
}
