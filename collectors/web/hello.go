package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	utls "github.com/refraction-networking/utls"
)

// The first words of TLS to a site.
const (
	// helloBrowser is the ClientHello of a Chromium, byte for byte but for what is drawn at
	// random: a wall that tells browsers from programs sees the one that the page is shown in.
	helloBrowser = "chromium"
	// helloOld is Go's own, which goes down to TLS 1.0: for sites that end a Chromium's.
	helloOld = "go-tls1.0"
)

// protoH2 is the ALPN name of HTTP/2 over TLS (RFC 9113, 3.2).
const protoH2 = "h2"

// shake makes TLS on conn as a browser does; with h1 it offers nothing but HTTP/1.1.
func shake(ctx context.Context, conn net.Conn, host string, h1 bool) (net.Conn, tls.ConnectionState, error) {
	spec, err := utls.UTLSIdToSpec(utls.HelloChrome_Auto)
	if err != nil {
		return nil, tls.ConnectionState{}, fmt.Errorf("make ClientHello: %w", err)
	}
	if h1 {
		onlyH1(&spec)
	}
	c := utls.UClient(conn, &utls.Config{ServerName: host, InsecureSkipVerify: true}, utls.HelloCustom) //nolint:gosec // verified in judge, never trusted here
	if err := c.ApplyPreset(&spec); err != nil {
		return nil, tls.ConnectionState{}, fmt.Errorf("make ClientHello: %w", err)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, tls.ConnectionState{}, err
	}
	s := c.ConnectionState()
	return c, tls.ConnectionState{Version: s.Version, HandshakeComplete: s.HandshakeComplete, CipherSuite: s.CipherSuite, NegotiatedProtocol: s.NegotiatedProtocol,
		ServerName: s.ServerName, PeerCertificates: s.PeerCertificates, OCSPResponse: s.OCSPResponse, SignedCertificateTimestamps: s.SignedCertificateTimestamps}, nil
}

// onlyH1 is what a browser offers for a WebSocket.
func onlyH1(spec *utls.ClientHelloSpec) {
	spec.Extensions = slices.DeleteFunc(spec.Extensions, func(e utls.TLSExtension) bool {
		switch e := e.(type) {
		case *utls.ALPNExtension:
			e.AlpnProtocols = []string{"http/1.1"}
		case *utls.ApplicationSettingsExtension, *utls.ApplicationSettingsExtensionNew:
			return true
		}
		return false
	})
}

// shakeOld is for a site that ends a browser's handshake.
func shakeOld(ctx context.Context, conn net.Conn, host string) (net.Conn, tls.ConnectionState, error) {
	c := tls.Client(conn, &tls.Config{
		ServerName:         host,
		NextProtos:         []string{"http/1.1"},
		MinVersion:         tls.VersionTLS10, // an old server is recorded as one
		InsecureSkipVerify: true,             //nolint:gosec // verified in judge, never trusted here
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, tls.ConnectionState{}, err
	}
	return c, c.ConnectionState(), nil
}

// refused reports whether a handshake failed by what the two said to each other, and not
// by the network or the time.
func refused(ctx context.Context, err error) bool {
	var n net.Error
	return ctx.Err() == nil && !(errors.As(err, &n) && n.Timeout())
}
