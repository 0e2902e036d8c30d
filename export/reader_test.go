package export_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/cdp"
	"github.com/go-rod/rod/lib/proto"
)

// reader is a browser as a lawyer has it, which opens a page from a folder.
type reader struct {
	t       *testing.T
	ctx     context.Context
	client  *cdp.Client
	session string
}

// These three let the calls of proto go to the page.
func (r *reader) GetContext() context.Context         { return r.ctx }
func (r *reader) GetSessionID() proto.TargetSessionID { return proto.TargetSessionID(r.session) }
func (r *reader) Call(ctx context.Context, session, method string, params any) ([]byte, error) {
	return r.client.Call(ctx, session, method, params)
}

func chromium() string {
	for _, name := range []string{os.Getenv("HOLDFAST_BROWSER"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"} {
		if _, err := os.Stat(name); name != "" && err == nil {
			return name
		}
	}
	return ""
}

func newReader(t *testing.T) *reader {
	t.Helper()
	bin := chromium()
	if bin == "" {
		t.Skip("no Chromium: set HOLDFAST_BROWSER")
	}
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(stop)
	dir, err := os.MkdirTemp("", "reader")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, bin, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+dir, "about:blank")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, ctx: ctx}
	t.Cleanup(func() { // its own children write to the folder a moment longer than it does
		cmd.Process.Kill()
		cmd.Wait()
		for i := 0; i < 50 && os.RemoveAll(dir) != nil; i++ {
			time.Sleep(100 * time.Millisecond)
		}
	})
	ws := new(cdp.WebSocket)
	if err := ws.Connect(ctx, "ws://127.0.0.1:"+r.port(filepath.Join(dir, "DevToolsActivePort")), nil); err != nil {
		t.Fatal(err)
	}
	r.client = cdp.New().Start(ws)
	go func() {
		for range r.client.Event() { // nobody waits for one; ends with the connection
		}
	}()
	target, err := proto.TargetCreateTarget{URL: "about:blank"}.Call(r)
	if err != nil {
		t.Fatal(err)
	}
	s, err := proto.TargetAttachToTarget{TargetID: target.TargetID, Flatten: true}.Call(r)
	if err != nil {
		t.Fatal(err)
	}
	r.session = string(s.SessionID)
	return r
}

// port is the port, a slash and the path that a Chromium writes when it is ready.
func (r *reader) port(file string) string {
	for range 300 {
		b, _ := os.ReadFile(file)
		if port, path, ok := strings.Cut(string(b), "\n"); ok {
			return port + strings.TrimSpace(path)
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatal("Chromium does not start")
	return ""
}

// open shows a file in light or dark, so many pixels wide.
func (r *reader) open(file, scheme string, width int) {
	r.t.Helper()
	to := (&url.URL{Scheme: "file", Path: file}).String()
	_, err := proto.PageNavigate{URL: to}.Call(r)
	err = errors.Join(err,
		proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}.Call(r),
		proto.EmulationSetDeviceMetricsOverride{Width: width, Height: 900, DeviceScaleFactor: 1}.Call(r))
	if err != nil {
		r.t.Fatal(err)
	}
	for range 300 {
		var ready bool
		r.eval(&ready, `() => document.readyState === "complete" && location.protocol === "file:"`)
		if ready {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("%s does not load", to)
}

// run evaluates a script by the debugger, which the page's rules do not bind.
func (r *reader) run(script string) json.RawMessage {
	r.t.Helper()
	got, err := proto.RuntimeEvaluate{Expression: script, AwaitPromise: true, ReturnByValue: true}.Call(r)
	if err == nil && got.ExceptionDetails != nil {
		err = fmt.Errorf("%s %v", got.ExceptionDetails.Text, got.ExceptionDetails.Exception)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return json.RawMessage(got.Result.Value.JSON("", ""))
}

// eval calls a function in the page and reads what it returns into v.
func (r *reader) eval(v any, function string) {
	r.t.Helper()
	if err := json.Unmarshal(r.run("("+function+")()"), v); err != nil {
		r.t.Fatal(err)
	}
}

// shoot keeps a picture of the whole page, to be looked at, if HOLDFAST_KEEP says
// where.
func (r *reader) shoot(name string) {
	r.t.Helper()
	dir := os.Getenv("HOLDFAST_KEEP")
	if dir == "" {
		return
	}
	got, err := proto.PageCaptureScreenshot{Format: "png", CaptureBeyondViewport: true}.Call(r)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), got.Data, 0o600)
	}
	if err != nil {
		r.t.Error(err)
	}
}
