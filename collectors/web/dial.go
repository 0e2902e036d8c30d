package web

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/collectors"
	"holdfast/hashing"
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	connectTimeout = 10 * time.Second // per address
	tlsTimeout     = 15 * time.Second
)

// fault is why an exchange did not happen: a code for the record and the
// cause for people.
type fault struct {
	code    string
	err     error
	blocked bool // by our own rules, not by the network
}

func (f *fault) Error() string { return f.code + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// peer is what is known of one upstream connection, or of the attempt at one.
type peer struct {
	host     string // with port, as asked for
	address  netip.AddrPort
	resolved []string
	told     []told // what the resolver said of the name
	// unobserved: an egress resolved the name and connected, we saw neither.
	unobserved bool
	tls        *tls.ConnectionState
	hello      string // whose ClientHello it was: helloBrowser, helloOld
	verdict    string // "ok" or why the certificate does not verify; "" without TLS
}

// dialer connects to sites. The address that is judged is the one that is
// dialled, so a name that changes its answer between the two gains nothing.
type dialer struct {
	via          *collectors.Via // nil: connect directly
	resolver     Resolver
	roots        *x509.CertPool // nil: the system's
	allowPrivate bool
	self         []netip.AddrPort // our own listeners: never dialled, it would loop
	now          func() time.Time
	answers      *answers
}

// answers keeps what names resolved to, for one capture: one question a name,
// as a browser's own cache would ask.
type answers struct {
	mu   sync.Mutex
	of   map[string][]netip.Addr
	told map[string][]told
	room int // bytes of messages that may still be kept
}

const (
	maxAnswers   = 10_000
	maxToldBytes = 16 << 20
)

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if onion(host) {
		return nil, &fault{code: "dns-failed", err: fmt.Errorf("%.200q is known to Tor alone, and no resolver was asked for it: capture it --via an egress that is Tor", host)}
	}
	d.answers.mu.Lock()
	addrs := d.answers.of[host]
	d.answers.mu.Unlock()
	if addrs != nil {
		return addrs, nil
	}
	var err error
	if t, ok := d.resolver.(teller); ok {
		var heard []told
		addrs, heard, err = t.LookupTold(ctx, host)
		d.answers.hear(host, heard)
	} else {
		addrs, err = d.resolver.LookupNetIP(ctx, "ip", host)
	}
	if err != nil {
		return nil, &fault{code: "dns-failed", err: unserved(err)}
	}
	d.answers.mu.Lock()
	defer d.answers.mu.Unlock()
	if len(d.answers.of) < maxAnswers {
		d.answers.of[host] = addrs
	}
	return addrs, nil
}

// unserved is an error of a resolver without the server's address: that is the office's
// own, and records carry the error.
func unserved(err error) error {
	var de *net.DNSError
	if !errors.As(err, &de) {
		return err
	}
	bare := *de
	bare.Server = ""
	return &bare
}

// onion reports whether a name is Tor's: a resolver that is asked for one (RFC 7686) learns
// who looks for what.
func onion(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "onion" || strings.HasSuffix(name, ".onion")
}

// hear keeps what was said of a name; of one that could not be resolved, what was said last.
func (a *answers) hear(host string, heard []told) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range heard {
		a.room -= len(m.raw)
	}
	if a.room >= 0 {
		a.told[host] = heard
	}
}

func (a *answers) said(host string) []told {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told[host]
}

// way is how a connection is wanted.
type way struct {
	secure bool // TLS
	h1     bool // HTTP/1.1 even where the site speaks HTTP/2
}

// dial connects to host:port and speaks TLS if that is wanted. The peer is returned
// with an error too, as far as it is known; the error is a *fault.
func (d *dialer) dial(ctx context.Context, host, port string, w way) (net.Conn, *peer, error) {
	p := &peer{host: net.JoinHostPort(host, port)}
	conn, err := d.reach(ctx, host, port, p)
	if err != nil || !w.secure {
		return conn, p, err
	}
	tconn, err := d.handshake(ctx, conn, host, p, w.h1)
	if err != nil && refused(ctx, err) && !d.gone(ctx) {
		tconn, err = d.anew(ctx, host, port, p, err)
	}
	if err != nil {
		if d.gone(ctx) {
			return nil, p, lost("the egress went away during the TLS handshake")
		}
		if d.via != nil && isNetwork(err) {
			err = errors.New(bare(err))
		}
		return nil, p, &fault{code: "tls-failed", err: err}
	}
	return tconn, p, nil
}

// anew makes TLS once more, with what old sites take; first is why a browser could not.
func (d *dialer) anew(ctx context.Context, host, port string, p *peer, first error) (net.Conn, error) {
	p.resolved = nil // it is told again
	conn, err := d.reach(ctx, host, port, p)
	if err != nil {
		return nil, first
	}
	tconn, err := d.handshakeBy(ctx, conn, host, p, helloOld, func(ctx context.Context, c net.Conn) (net.Conn, tls.ConnectionState, error) {
		return shakeOld(ctx, c, host)
	})
	if err != nil {
		return nil, first
	}
	return tconn, nil
}

// reach connects the one way that this capture has.
func (d *dialer) reach(ctx context.Context, host, port string, p *peer) (net.Conn, error) {
	if d.via != nil {
		return d.through(ctx, host, port, p)
	}
	addrs, err := d.resolve(ctx, host, p)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, addrs, port, p)
}

// allowed refuses early what dial would refuse.
func (d *dialer) allowed(ctx context.Context, host, port string, p *peer) error {
	if d.via != nil {
		return d.literal(host, port)
	}
	_, err := d.resolve(ctx, host, p)
	return err
}

// resolve returns the addresses that may be dialled, in the resolver's order.
func (d *dialer) resolve(ctx context.Context, host string, p *peer) ([]netip.Addr, error) {
	addrs, err := []netip.Addr(nil), error(nil)
	if a, perr := netip.ParseAddr(host); perr == nil {
		addrs = []netip.Addr{a}
	} else {
		addrs, err = d.lookup(ctx, host)
		if p.told = d.answers.said(host); err != nil {
			return nil, err
		}
	}
	var allowed []netip.Addr
	why := "no address"
	for i, a := range addrs {
		a = a.Unmap()
		if i < 64 {
			p.resolved = append(p.resolved, a.String())
		}
		if kind := special(a); kind != "" && !(d.allowPrivate && kind != neverDialled) {
			why = fmt.Sprintf("%s is %s", a, kind)
			continue
		}
		allowed = append(allowed, a)
	}
	if len(allowed) == 0 {
		return nil, &fault{code: "address-refused", blocked: true,
			err: fmt.Errorf("resolve %s: %s; private addresses are captured only when allowed", host, why)}
	}
	return allowed[:min(len(allowed), 8)], nil
}

func (d *dialer) connect(ctx context.Context, addrs []netip.Addr, port string, p *peer) (net.Conn, error) {
	var errs []error
	for _, a := range addrs {
		ap, err := netip.ParseAddrPort(net.JoinHostPort(a.String(), port))
		if err != nil || slices.Contains(d.self, ap) {
			return nil, &fault{code: "address-refused", blocked: true, err: fmt.Errorf("connect to %s port %.20q: refused", a, port)}
		}
		p.address = ap
		nd := net.Dialer{Timeout: connectTimeout}
		conn, err := nd.DialContext(ctx, "tcp", ap.String())
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, &fault{code: "connect-failed", err: errors.Join(errs...)}
}

// handshake accepts any certificate and records what verification says of it:
// a site with a bad certificate is a find, not a reason to look away. The
// verdict is of this very connection.
func (d *dialer) handshake(ctx context.Context, conn net.Conn, host string, p *peer, h1 bool) (net.Conn, error) {
	return d.handshakeBy(ctx, conn, host, p, helloBrowser, func(ctx context.Context, c net.Conn) (net.Conn, tls.ConnectionState, error) {
		return shake(ctx, c, host, h1)
	})
}

func (d *dialer) handshakeBy(ctx context.Context, conn net.Conn, host string, p *peer, hello string,
	make func(context.Context, net.Conn) (net.Conn, tls.ConnectionState, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	tc, state, err := make(ctx, &wire{Conn: conn})
	if err != nil {
		conn.Close()
		return nil, err
	}
	p.tls, p.hello, p.verdict = &state, hello, d.judge(state.PeerCertificates, host)
	return tc, nil
}

// wire sees how a connection under TLS ends.
type wire struct {
	net.Conn
	ended atomic.Bool
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		w.ended.Store(true)
	}
	return n, err
}

// unclosed reports whether a connection that has ended did so without the
// alert by which TLS says that this is the end.
func (u *upstream) unclosed() bool {
	tc, ok := u.conn.(interface{ NetConn() net.Conn })
	if !ok {
		return false
	}
	w, ok := tc.NetConn().(*wire)
	return ok && w.ended.Load()
}

// judge verifies a chain as a browser would, without revocation.
func (d *dialer) judge(chain []*x509.Certificate, host string) string {
	if len(chain) == 0 {
		return "no certificate"
	}
	opts := x509.VerifyOptions{DNSName: host, Roots: d.roots, Intermediates: x509.NewCertPool(), CurrentTime: d.now()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return err.Error()
	}
	return "ok"
}

// chainDigests names the certificates that the peer sent, leaf first.
func (p *peer) chainDigests() (out []hashing.Digest) {
	if p.tls == nil {
		return nil
	}
	for _, c := range p.tls.PeerCertificates {
		out = append(out, sha256.Sum256(c.Raw))
	}
	return out
}

const neverDialled = "multicast, broadcast or unspecified"

// special says what kind of address a is when it does not belong to the public
// internet, else "". The list is IANA's special-purpose registries for IPv4
// and IPv6; 6to4, Teredo and NAT64 are refused whole because a private IPv4
// address can be hidden in them.
func special(a netip.Addr) string {
	a = a.Unmap()
	if a.Zone() != "" {
		return "link-local"
	}
	switch {
	case a.IsMulticast(), a.IsUnspecified(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return neverDialled
	case a.IsLoopback():
		return "loopback"
	case a.IsLinkLocalUnicast():
		return "link-local"
	case a.IsPrivate():
		return "private"
	}
	i := slices.IndexFunc(specialNets(), func(n netip.Prefix) bool { return n.Contains(a) })
	if i >= 0 {
		return "of a special-purpose network"
	}
	return ""
}

func specialNets() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func newAnswers() *answers {
	return &answers{of: map[string][]netip.Addr{}, told: map[string][]told{}, room: maxToldBytes}
}
