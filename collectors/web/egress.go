package web

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/warc"
)

// codeEgress: the proxy that everything is to go through is not there, or does
// not let us. Nothing goes another way.
const codeEgress = "egress-failed"

const (
	egressTimeout = 45 * time.Second // to the site, through the proxy: it may be a long way
	probeTimeout  = 5 * time.Second
	maxProxyHead  = 16 << 10
)

func lost(format string, a ...any) error {
	return &fault{code: codeEgress, err: fmt.Errorf(format, a...)}
}

// through connects to host:port by way of d.via. The name goes to the proxy as
// it is: the node asks no resolver about it. The address of the proxy is in no
// error: records carry those, and an egress has a name so that its address need
// not be known.
func (d *dialer) through(ctx context.Context, host, port string, p *peer) (_ net.Conn, err error) {
	p.unobserved = true
	if err := d.literal(host, port); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, egressTimeout)
	defer cancel()
	conn, err := d.egress(ctx, connectTimeout)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = lost("the egress did not answer in time")
		}
		if err != nil {
			conn.Close()
		}
	}()
	if d.via.Scheme == "http" {
		return conn, d.tunnel(conn, host, port)
	}
	return conn, d.socks(conn, host, port)
}

// egress connects to the proxy itself.
func (d *dialer) egress(ctx context.Context, limit time.Duration) (net.Conn, error) {
	nd := net.Dialer{Timeout: limit}
	conn, err := nd.DialContext(ctx, "tcp", d.via.Address)
	if err != nil {
		return nil, lost("no connection to the egress: %s", bare(err))
	}
	return conn, nil
}

// gone reports whether the proxy is away: asked when a connection broke, to
// tell a site that hung up from a line that is lost.
func (d *dialer) gone(ctx context.Context) bool {
	if d.via == nil {
		return false
	}
	conn, err := d.egress(ctx, probeTimeout)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// bare is an error of the network without the addresses in it.
func bare(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS: no address in it
		return op.Error()
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return "its name does not resolve"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	}
	return "the connection failed"
}

// isNetwork reports whether an error has addresses in it.
func isNetwork(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// literal refuses what can be judged by its text alone; what a name leads to
// is seen by the proxy only. Whatever is neither a plain name nor an address
// is refused: the proxy might read it as something else than we do.
func (d *dialer) literal(host, port string) error {
	refuse := func(why string) error {
		return &fault{code: "address-refused", blocked: true, err: fmt.Errorf("%.200q: %s; private addresses are captured only when allowed", host, why)}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return refuse("its port is none")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		kind := special(a)
		if kind != "" && !(d.allowPrivate && kind != neverDialled) || slices.Contains(d.self, netip.AddrPortFrom(a.Unmap(), uint16(n))) || a.Zone() != "" {
			return refuse("it is " + kind)
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case name == "" || len(name) > 253 || strings.ContainsFunc(name, odd):
		return refuse("it is no name")
	case last == "" || last[0] >= '0' && last[0] <= '9': // 127.1, 0x7f000001, 2130706433
		return refuse("it is a number, and no address in its usual form")
	case !d.allowPrivate && last == "localhost":
		return refuse("it is this machine")
	}
	return nil
}

func odd(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
}

// socks speaks SOCKS5 (RFC 1928, 1929). It reads exactly what it needs, so what
// the site sends first is left on the connection.
func (d *dialer) socks(conn net.Conn, host, port string) error {
	method := byte(0)
	if d.via.User != "" {
		method = 2
	}
	if _, err := conn.Write([]byte{5, 1, method}); err != nil {
		return lost("greet the egress: %s", bare(err))
	}
	var b [2]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return lost("greet the egress: %s", bare(err))
	}
	if b[0] != 5 || b[1] != method {
		return lost("the egress does not speak SOCKS5, or wants another login than it was given")
	}
	if method == 2 {
		m := append([]byte{1, byte(len(d.via.User))}, d.via.User...)
		m = append(append(m, byte(len(d.via.Password))), d.via.Password...)
		if _, err := conn.Write(m); err != nil {
			return lost("log in at the egress: %s", bare(err))
		}
		if _, err := io.ReadFull(conn, b[:]); err != nil || b[1] != 0 {
			return lost("the egress refused the login")
		}
	}
	if _, err := conn.Write(socksRequest(host, port)); err != nil {
		return lost("ask the egress: %s", bare(err))
	}
	return socksReply(conn)
}

func socksRequest(host, port string) []byte {
	m := []byte{5, 1, 0}
	if a, err := netip.ParseAddr(host); err != nil {
		m = append(append(m, 3, byte(len(host))), host...) // literal has seen that it is at most 254 long
	} else if a = a.Unmap(); a.Is4() {
		m = append(append(m, 1), a.AsSlice()...)
	} else {
		m = append(append(m, 4), a.AsSlice()...)
	}
	n, _ := strconv.ParseUint(port, 10, 16) // literal has seen it
	return binary.BigEndian.AppendUint16(m, uint16(n))
}

// socksReply reads the answer; the address in it is the proxy's own affair.
func socksReply(conn net.Conn) error {
	var head [5]byte // with the first byte of the address, or its length
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return lost("ask the egress: %s", bare(err))
	}
	if head[0] != 5 {
		return lost("the egress answered something else than SOCKS5")
	}
	why := map[byte]string{1: "general failure", 2: "not allowed", 3: "network unreachable", 4: "host unreachable", 5: "connection refused", 6: "no answer in time"}[head[1]]
	switch code := head[1]; {
	case code == 0:
	case code == 2 || code > 6:
		return lost("the egress refused: reply %d %s", code, why)
	default:
		return &fault{code: "connect-failed", err: fmt.Errorf("the egress could not connect: %s", why)}
	}
	rest := map[byte]int{1: 4, 3: 1 + int(head[4]), 4: 16}[head[3]]
	if rest == 0 {
		return lost("the egress answered an address of unknown kind %d", head[3])
	}
	if _, err := io.CopyN(io.Discard, conn, int64(rest-1+2)); err != nil {
		return lost("ask the egress: %s", bare(err))
	}
	return nil
}

// tunnel speaks HTTP CONNECT, for every port: so the bytes to and from the site
// are nobody's to change. It reads its answer byte by byte, for the same reason
// as socks.
func (d *dialer) tunnel(conn net.Conn, host, port string) error {
	to := net.JoinHostPort(host, port)
	m := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n"
	if d.via.User != "" {
		m += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(d.via.User+":"+d.via.Password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, m+"\r\n"); err != nil {
		return lost("ask the egress: %s", bare(err))
	}
	h, err := warc.ReadHead(bufio.NewReaderSize(oneByte{conn}, 16), maxProxyHead)
	if err != nil {
		return lost("ask the egress: %s", bare(err))
	}
	switch status, err := h.Status(); {
	case err != nil:
		return lost("the egress answered something else than HTTP")
	case status/100 == 2:
		return nil
	case status >= 502 && status <= 504:
		return &fault{code: "connect-failed", err: fmt.Errorf("the egress could not connect: it answered %d", status)}
	case status == 407:
		return lost("the egress wants a name and password, or others (407): `holdfast egress add NAME URL --auth FILE`")
	default:
		return lost("the egress refused CONNECT to port %s: it answered %d", port, status)
	}
}

// oneByte reads no further than it is asked: a buffer above it holds nothing
// back of what comes next.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
