package telegram

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/gotd/td/mtproxy"
	"github.com/gotd/td/telegram/dcs"
	"golang.org/x/net/proxy"

	"holdfast/collectors"
)

// Proxy is the way to the service: SOCKS5, or an MTProxy, which speaks nothing
// but Telegram. nil is the direct line. When it fails, nothing goes another way.
type Proxy struct {
	name   string // what records call it
	at     string // host:port
	auth   *proxy.Auth
	secret []byte // of an MTProxy
}

// ErrProxy is wrapped by the error for what is no proxy; it repeats nothing of it,
// since a password may be in there.
var ErrProxy = errors.New("not a proxy: write socks5://host:port, socks5://user:password@host:port or tg://proxy?server=…&port=…&secret=…")

// ParseProxy reads socks5://[user:password@]host:port, and the address that people
// hand on for an MTProxy: tg://proxy?server=…&port=…&secret=… or https://t.me/proxy?….
// Errors: [ErrProxy].
func ParseProxy(s string) (*Proxy, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, ErrProxy
	}
	switch {
	case (u.Scheme == "socks5" || u.Scheme == "socks5h") && strings.Trim(u.Path, "/") == "" && u.RawQuery == "":
		p := &Proxy{name: collectors.EgressUnnamed, at: u.Host}
		if u.User != nil {
			password, _ := u.User.Password()
			p.auth = &proxy.Auth{User: u.User.Username(), Password: password}
		}
		return p, p.check()
	case u.Scheme == "tg" && u.Host == "proxy", u.Scheme == "https" && u.Host == "t.me" && u.Path == "/proxy":
		q := u.Query()
		p := &Proxy{name: collectors.EgressUnnamed, at: net.JoinHostPort(q.Get("server"), q.Get("port"))}
		if p.secret, err = proxySecret(q.Get("secret")); err != nil {
			return nil, err
		}
		return p, p.check()
	}
	return nil, ErrProxy
}

// ProxyVia makes one of an egress; of HTTP proxies none can be made.
func ProxyVia(v *collectors.Via) (*Proxy, error) {
	if v.Scheme != "socks5" {
		return nil, fmt.Errorf("egress %s is a proxy for HTTP; Telegram goes through SOCKS5 or an MTProxy: %w", v.Label(), ErrProxy)
	}
	p := &Proxy{name: v.Label(), at: v.Address}
	if v.User != "" {
		p.auth = &proxy.Auth{User: v.User, Password: v.Password}
	}
	return p, p.check()
}

func (p *Proxy) check() error {
	host, port, err := net.SplitHostPort(p.at)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || host == "" {
		return ErrProxy
	}
	return nil
}

// proxySecret reads a secret in hex or base64, as both are handed on.
func proxySecret(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		if b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "=")); err != nil {
			return nil, ErrProxy
		}
	}
	if _, err := mtproxy.ParseSecret(b); err != nil {
		return nil, fmt.Errorf("%w; its secret is none", ErrProxy)
	}
	return b, nil
}

// Label is what records call the way: a name, collectors.EgressDirect of nil, or
// collectors.EgressUnnamed.
func (p *Proxy) Label() string {
	if p == nil {
		return collectors.EgressDirect
	}
	return p.name
}

// GoString keeps %#v from printing password and secret; String keeps %v from it.
func (p *Proxy) GoString() string { return "Proxy{" + p.Label() + "}" }

// String implements fmt.Stringer.
func (p *Proxy) String() string { return p.GoString() }

func (p *Proxy) resolver() (dcs.Resolver, error) {
	if p == nil {
		return dcs.Plain(dcs.PlainOptions{}), nil
	}
	if p.secret != nil {
		return dcs.MTProxy(p.at, p.secret, dcs.MTProxyOptions{})
	}
	d, err := proxy.SOCKS5("tcp", p.at, p.auth, &net.Dialer{})
	if err != nil {
		return nil, err
	}
	c, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("this SOCKS5 knows no end of waiting")
	}
	return dcs.Plain(dcs.PlainOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("through the proxy: %w", err)
		}
		return conn, nil
	}}), nil
}
