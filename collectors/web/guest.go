package web

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"time"

	"holdfast/warc"
)

// guest is a program that asks through the recording proxy besides the browser, on a port
// of its own: what it asks is recorded as the page's requests are, refused where they
// would be, of the same budget, and told apart from them.
type guest struct {
	name     string
	cas      *interception // with a root of its own
	listener net.Listener
}

// newGuest draws a key and makes the root that the guest is to trust; both are this
// capture's alone.
func newGuest(name string) (*guest, error) {
	cas, err := newInterception()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "holdfast recording proxy, for one capture"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(31 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &cas.key.PublicKey, cas.key)
	if err == nil {
		cas.root, err = x509.ParseCertificate(der)
	}
	if err != nil {
		return nil, fmt.Errorf("make certificate for %s: %w", name, err)
	}
	return &guest{name: name, cas: cas}, nil
}

func (g *guest) address() string { return "http://" + g.listener.Addr().String() }

// roots is the file of what the guest trusts: the proxy, and nobody else. What goes
// another way to a site under TLS is refused by the guest itself.
func (g *guest) roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.cas.root.Raw})
}

// listen opens a loopback port that the dialer will never dial.
func (d *dialer) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start recording proxy: %w", err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	d.self = append(d.self, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	return l, nil
}

func (p *proxy) closeListeners() {
	p.listener.Close()
	for _, g := range p.guests {
		if g.listener != nil {
			g.listener.Close()
		}
	}
}

// casFor is who makes the certificates that a client is shown.
func (p *proxy) casFor(cl *client) *interception {
	if cl.guest != nil {
		return cl.guest.cas
	}
	return p.cas
}

// indexGuests puts into the index what only a guest asked for. A replay must find the
// page's own answers, so of an address that the page had the guest's is not in it.
func (r *recorder) indexGuests() {
	page := map[string]bool{}
	for _, c := range r.index {
		page[c.URL] = true
	}
	r.index = append(r.index, slices.DeleteFunc(r.guests, func(c warc.Capture) bool { return page[c.URL] })...)
	r.guests = nil
}
