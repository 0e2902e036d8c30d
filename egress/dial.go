package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"

	"holdfast/collectors"
)

// maxProxyAnswer bounds what a proxy answers to CONNECT.
const maxProxyAnswer = 16 << 10

// Dial connects by way of a proxy, which resolves the name; nothing goes another way, and an
// error names the way out by its label alone. What a proxy answers is bounded; how long it
// may take is the context's.
func Dial(v *collectors.Via) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	if v.Scheme == "http" {
		return func(ctx context.Context, _, address string) (net.Conn, error) { return connectThrough(ctx, v, address) }, nil
	}
	var auth *proxy.Auth
	if v.User != "" {
		auth = &proxy.Auth{User: v.User, Password: v.Password}
	}
	d, err := proxy.SOCKS5("tcp", v.Address, auth, &net.Dialer{})
	if err != nil {
		return nil, err
	}
	c, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("this SOCKS5 knows no end of waiting")
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("through egress %s: %w", v.Label(), err)
		}
		return conn, nil
	}, nil
}

// connectThrough is HTTP CONNECT.
func connectThrough(ctx context.Context, v *collectors.Via, address string) (_ net.Conn, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.Address)
	if err != nil {
		return nil, fmt.Errorf("through egress %s: %w", v.Label(), err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			conn.Close()
		}
	}()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if v.User != "" {
		r.SetBasicAuth(v.User, v.Password)
		r.Header.Set("Proxy-Authorization", r.Header.Get("Authorization"))
		r.Header.Del("Authorization")
	}
	if err := r.Write(conn); err != nil {
		return nil, fmt.Errorf("through egress %s: %w", v.Label(), err)
	}
	in := bufio.NewReaderSize(&bounded{Conn: conn, left: maxProxyAnswer}, 4096)
	a, err := http.ReadResponse(in, r)
	if err != nil {
		return nil, fmt.Errorf("through egress %s: %w", v.Label(), err)
	}
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("through egress %s: it answered %d", v.Label(), a.StatusCode)
	}
	early := make([]byte, in.Buffered()) // a mail server speaks first
	if _, err := in.Read(early); len(early) > 0 && err != nil {
		return nil, err
	}
	return &spoken{Conn: conn, early: early}, nil
}

// bounded ends what a proxy answers.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer has no end")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// spoken is a connection from which something was read already.
type spoken struct {
	net.Conn
	early []byte
}

func (s *spoken) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}
