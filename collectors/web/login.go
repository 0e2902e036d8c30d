package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/web/cgroup"
)

// ErrNoDisplay is wrapped by the error of Login where nobody could see the browser.
var ErrNoDisplay = errors.New("there is no display here")

// Login opens a visible browser at address, with a profile of its own that is removed, and
// gives the cookies that it has when done is closed, or the person closes it, and the local
// storage of the origins that its windows were at. It speaks
// with sites itself: nothing is recorded. proxy is a socks5:// or http:// address without
// a login, "" is the direct line; with one, names are resolved there. Only Browser and Dir
// of o are looked at. Errors: [ErrNoDisplay], [ErrBrowser].
func Login(ctx context.Context, o Options, address, proxy string, done <-chan struct{}) (*collectors.Session, error) {
	screen := display()
	if len(screen) == 0 {
		return nil, fmt.Errorf("open a browser to log in: %w: log in with a browser elsewhere, export its cookies, and add them", ErrNoDisplay)
	}
	if _, err := checkSource(address); err != nil {
		return nil, err
	}
	if o.Browser == "" {
		o.Browser = find()
	}
	work, err := newWorkdir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open a browser to log in: %w", err)
	}
	defer work.remove()
	b, err := start(ctx, launching{path: o.Browser, dir: work.path, known: &programs{}, places: &places{}, limits: together(cgroup.Limits{}, 1), memory: DefaultMemory, flags: visible(proxy), env: screen})
	if err != nil {
		return nil, err
	}
	defer b.close()
	return b.watchLogin(ctx, address, done)
}

// display is what a program needs of the environment to be seen.
func display() (env []string) {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// visible are the switches of a browser that a person uses.
func visible(proxy string) []string {
	list := slices.DeleteFunc(flags(), func(f string) bool {
		name, _, _ := strings.Cut(f, "=")
		return slices.Contains([]string{"--headless", "--proxy-server", "--host-resolver-rules", "--mute-audio", "--hide-scrollbars"}, name)
	})
	if proxy != "" {
		list = append(list, "--proxy-server="+proxy, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE "+hostOf(proxy))
	}
	return list
}

func hostOf(proxy string) string {
	_, host, _ := strings.Cut(proxy, "://")
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// watchLogin looks at the cookies, and at what the windows have stored, twice a second, so
// that they are there when the last window is closed.
func (b *browser) watchLogin(ctx context.Context, address string, done <-chan struct{}) (*collectors.Session, error) {
	top := b.session("", ctx)
	if _, err := (proto.TargetCreateTarget{URL: address}).Call(top); err != nil {
		return nil, fmt.Errorf("open %.200q: %w", address, err)
	}
	kept, windows := &collectors.Session{}, &visited{b: b, first: webOrigin(address)}
	for {
		got, err := proto.StorageGetCookies{}.Call(top)
		if err == nil {
			kept.Cookies = kept.Cookies[:0]
			for _, c := range got.Cookies {
				kept.Cookies = append(kept.Cookies, fromBrowser(c))
			}
			windows.look(ctx)
		}
		over := false
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-done:
			over = true
		case <-b.dead: // the person has closed it
			over = true
		case <-time.After(loginEvery):
		}
		if over || windows.gone {
			kept.Origins = windows.origins()
			return kept, nil
		}
	}
}

// loginEvery is how often it is looked.
const loginEvery = 500 * time.Millisecond

func fromBrowser(c *proto.NetworkCookie) collectors.Cookie {
	k := collectors.Cookie{Name: c.Name, Value: c.Value, Domain: strings.TrimPrefix(c.Domain, "."), Path: c.Path, HostOnly: !strings.HasPrefix(c.Domain, "."),
		HTTPOnly: c.HTTPOnly, Secure: c.Secure, SameSite: string(c.SameSite)}
	if !c.Session && c.Expires > 0 {
		k.Expires = time.Unix(int64(c.Expires), 0).UTC()
	}
	return k
}
