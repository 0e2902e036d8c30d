package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors/web/cgroup"
)

// ErrBrowser is wrapped by the error for a browser that cannot be started. The
// text says what to do.
var ErrBrowser = errors.New("no usable browser")

const (
	startTimeout = 60 * time.Second // the very first start of a machine takes 10
	// recycleAfter captures a browser is replaced: what leaks in it is bounded.
	recycleAfter = 200
	// maxTempPath leaves room for the socket that the browser makes below it;
	// the system allows 107 bytes for the path of one.
	maxTempPath = 60
)

// browser is one running browser process with a profile of its own, which holds
// nothing: every capture has a context that is thrown away.
type browser struct {
	*link
	cmd       *exec.Cmd
	dir       string // profile and spilled messages
	version   proto.BrowserGetVersionResult
	flags     []string // as recorded
	exited    chan struct{}
	stderr    *tail
	begun     *commandLog // what it was told before the first capture
	program   *program
	group     *cgroup.Group // of its processes; nil: there is none
	ungrouped error         // why
	limits    cgroup.Limits // of it
	struck    cgroup.Struck // as seen last; guarded by mu
	hung      bool          // it was ended because it opened no page; likewise
	camera    chan struct{} // held by the one page whose picture is made
	printer   chan struct{} // held by the two tall pages that are printed
	paints    paints
	mu        sync.Mutex
	tabs      map[proto.BrowserBrowserContextID]*tab
	frames    map[proto.TargetTargetID]frame // those with a process of their own, of all tabs; the browser's own number bounds it
	decoder   *decoder                       // of a browser with one capture; nil: proxies see for themselves
	stopped   string                         // why a process was ended last; "" is none was
	stoppedAt time.Time
	short     string // another name of dir, "" is none
	users     int    // captures running in it; guarded by the Collector
	uses      int    // captures begun in it; likewise
	condemned bool   // likewise
}

// launching is what a browser is started with.
type launching struct {
	path   string // of the program
	pin    string // of the proxy's certificates
	dir    string // in which its own folder is made
	known  *programs
	places *places
	limits cgroup.Limits // of all its processes together
	memory int64         // of one
	flags  []string
	env    []string // besides what it always has; nil but for a display
}

func (c *Collector) launching() launching {
	return launching{path: c.opts.Browser, pin: c.cas.pin, dir: c.work.path, known: &c.known, places: &c.places, limits: c.limits(), memory: c.opts.Memory, flags: flags()}
}

// start launches a browser. The environment is not handed down: a proxy variable or
// a locale of this machine must not change what is captured.
func start(ctx context.Context, l launching) (*browser, error) {
	path := l.path
	dir, err := os.MkdirTemp(l.dir, "browser-*")
	if err != nil {
		return nil, fmt.Errorf("start browser: %w", err)
	}
	b := &browser{dir: dir, exited: make(chan struct{}), stderr: &tail{}, flags: l.flags, camera: make(chan struct{}, 1), printer: make(chan struct{}, 2), begun: &commandLog{},
		tabs: map[proto.BrowserBrowserContextID]*tab{}, frames: map[proto.TargetTargetID]frame{}}
	if err := b.launchInGroup(l); err != nil {
		b.endGroup()
		b.removeDir()
		return nil, fmt.Errorf("start browser %s: %w: %w; install chromium, or say where it is (HOLDFAST_BROWSER=/path)", path, ErrBrowser, err)
	}
	if err := b.greet(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("start browser %s: %w: %w%s", path, ErrBrowser, err, b.stderr.quote())
	}
	go b.watch(l.memory) // ends with the process
	b.program = l.known.identify(b.cmd.Process.Pid, b.dir, b.flags)
	return b, nil
}

func (b *browser) launch(path, pin string, env []string) error {
	fromUs, toBrowser, err := os.Pipe()
	if err != nil {
		return err
	}
	fromBrowser, toUs, err := os.Pipe()
	if err != nil {
		fromUs.Close()
		toBrowser.Close()
		return err
	}
	private := []string{"--remote-debugging-pipe", "--user-data-dir=" + b.dir, "--ignore-certificate-errors-spki-list=" + pin, "about:blank"}
	b.cmd = exec.Command(path, append(b.flags[:len(b.flags):len(b.flags)], private...)...)
	b.cmd.ExtraFiles = []*os.File{fromUs, toUs} // descriptors 3 and 4
	b.cmd.Env = []string{"HOME=" + b.dir, "XDG_CONFIG_HOME=" + b.dir, "XDG_CACHE_HOME=" + b.dir,
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC"}
	b.cmd.Env = append(append(b.cmd.Env, b.temporary()...), env...)
	b.cmd.Stderr = b.stderr
	b.cmd.WaitDelay = time.Second
	ownGroup(b.cmd)
	if b.group != nil {
		b.group.Into(b.cmd)
	}
	err = b.cmd.Start()
	fromUs.Close()
	toUs.Close()
	if err != nil {
		toBrowser.Close()
		fromBrowser.Close()
		return err
	}
	b.link = newLink(fromBrowser, toBrowser, b.dir)
	go func() { // ends with the process; close waits for it
		_ = b.cmd.Wait() // how it ended is seen on the link
		fromBrowser.Close()
		close(b.exited)
	}()
	return nil
}

// temporary tells the browser where to make what is temporary: in its own folder, which is
// removed, by another name of it where its own is too long. What lay in the system's
// folder would stay there when the browser is killed.
func (b *browser) temporary() []string {
	dir := b.dir
	if len(dir) > maxTempPath {
		short, err := shortName(dir)
		if err != nil {
			return nil
		}
		if b.short = short; len(short) > maxTempPath {
			return nil // a system whose own folder has a long name
		}
		dir = short
	}
	return []string{"TMPDIR=" + dir}
}

func (b *browser) removeDir() {
	os.RemoveAll(b.dir)
	if b.short != "" {
		os.Remove(b.short)
	}
}

// greet waits until the browser answers.
func (b *browser) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := b.session("", ctx)
	v, err := proto.BrowserGetVersion{}.Call(s)
	if err != nil {
		return err
	}
	b.version = *v
	b.handle("", b.target)
	return proto.TargetSetDiscoverTargets{Discover: true}.Call(s)
}

// session speaks for the browser itself; a capture has one with a log of its own.
func (b *browser) session(id string, ctx context.Context) session {
	return session{link: b.link, id: id, ctx: ctx, log: b.begun}
}

func (b *browser) alive() bool {
	select {
	case <-b.dead:
		return false
	default:
		return true
	}
}

// target sees to what belongs to a page and is no part of its own target.
func (b *browser) target(method string, params json.RawMessage) {
	if method == "Fetch.requestPaused" {
		if d := b.decoding(); d != nil {
			d.event(params)
		}
		return
	}
	var e struct {
		TargetInfo *proto.TargetTargetInfo
		TargetID   proto.TargetTargetID
		Status     string
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	switch info := e.TargetInfo; {
	case method == "Target.targetCreated" && info != nil && info.Type == "page":
		b.closePopup(info)
	case method == "Target.targetCreated" && info != nil, method == "Target.targetInfoChanged" && info != nil && info.Type != "page":
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.tabs[info.BrowserContextID] != nil {
			b.frames[info.TargetID] = frame{info.BrowserContextID, clean(info.URL), string(info.Type)}
		}
	case method == "Target.targetDestroyed":
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.frames, e.TargetID)
	case method == "Target.targetCrashed":
		b.crashed(e.TargetID, e.Status)
	}
}

func (b *browser) decoding() *decoder {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decoder
}

// frame is one of another site than its page, in a process of its own; also a
// worker. The tab's own session is not told of its end.
type frame struct {
	context proto.BrowserBrowserContextID
	url     string
	kind    string // "iframe", "service_worker", …
}

// crashed notes for the page that its process, or a frame's, is gone; one that is closed
// already is over, and what is of the browser's own (chrome://…) is no part of the page.
// The status of what we ended, or the system for want of memory, is killed.
func (b *browser) crashed(id proto.TargetTargetID, status string) {
	b.askGroup()
	b.mu.Lock()
	f, known := b.frames[id]
	t := b.tabs[f.context]
	for _, o := range b.tabs {
		if o.target == id {
			t = o
		}
	}
	why := b.stopped
	b.mu.Unlock()
	if t != nil && status == "killed" && why != "" {
		t.saw(func() { t.overMemory = why })
	}
	if !known || t == nil || strings.HasPrefix(f.url, "chrome") || strings.HasPrefix(f.url, "devtools:") {
		return
	}
	t.saw(func() {
		if t.crashes++; t.crashes == 1 {
			t.crashedFrame = f.url
		}
	})
}

// closePopup closes a window that a page opened: it would cover it. What it asked
// for until then is recorded, since it shares the page's context.
func (b *browser) closePopup(info *proto.TargetTargetInfo) {
	b.mu.Lock()
	t := b.tabs[info.BrowserContextID]
	b.mu.Unlock()
	if t == nil || t.target == info.TargetID {
		return
	}
	ours := false
	t.saw(func() {
		if ours = t.furnishing; !ours {
			t.popups++
		}
	})
	if ours {
		return
	}
	t.top(context.Background()).tell(proto.TargetCloseTarget{TargetID: info.TargetID})
}

// close ends the browser and removes its profile. It asks first, waits two
// seconds, then kills the process group.
func (b *browser) close() {
	if b.link != nil {
		b.session("", context.Background()).tell(proto.BrowserClose{})
		b.out.Close()
	}
	select {
	case <-b.exited:
	case <-time.After(2 * time.Second):
		kill(b.cmd)
		<-b.exited
	}
	kill(b.cmd) // helpers that outlived it
	b.endGroup()
	b.removeDir()
}

// tail keeps the last bytes that the browser complained.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-2048):]
	return len(p), nil
}

func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(string(bytes.ToValidUTF8(t.b, nil))); s != "" {
		return fmt.Sprintf(" (it said %q)", s[max(0, len(s)-400):])
	}
	return ""
}
