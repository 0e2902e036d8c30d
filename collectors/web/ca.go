package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// interception makes the certificates that the recording proxy shows to the
// browser. All have the one key whose pin the browser was started with, so the
// browser accepts these and reports every other bad certificate as usual. The
// key lives in memory only and dies with the Collector.
type interception struct {
	key   *ecdsa.PrivateKey
	pin   string
	root  *x509.Certificate // that signs, for who knows no pins; nil: each signs itself
	mu    sync.Mutex
	certs map[string]*tls.Certificate
}

const maxCerts = 10_000 // names kept; then the cache starts anew

func newInterception() (*interception, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw interception key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("draw interception key: %w", err)
	}
	sum := sha256.Sum256(spki)
	return &interception{key: key, pin: base64.StdEncoding.EncodeToString(sum[:]), certs: map[string]*tls.Certificate{}}, nil
}

// config is for the side of a tunnel that faces the browser; host is used when
// the browser names none.
func (i *interception) config(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if h.ServerName != "" {
				return i.cert(h.ServerName)
			}
			return i.cert(host)
		},
	}
}

func (i *interception) cert(host string) (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if c := i.certs[host]; c != nil {
		return c, nil
	}
	c, err := i.sign(host)
	if err != nil {
		return nil, fmt.Errorf("make certificate for %.253q: %w", host, err)
	}
	if len(i.certs) >= maxCerts {
		clear(i.certs)
	}
	i.certs[host] = c
	return c, nil
}

func (i *interception) sign(host string) (*tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "holdfast recording proxy"},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	parent := t
	if i.root != nil {
		parent = i.root
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &i.key.PublicKey, i.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.key}, nil
}
