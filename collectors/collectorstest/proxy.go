package collectorstest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// Proxy is an egress for tests: it speaks SOCKS5 and HTTP CONNECT on one port
// of loopback and remembers what it was asked for. It is safe for concurrent
// use.
type Proxy struct {
	opts   ProxyOptions
	l      net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	asked  []string
	conns  map[net.Conn]struct{}
	closed bool
}

// ProxyOptions say how a Proxy behaves.
type ProxyOptions struct {
	Address        string // optional: any port of 127.0.0.1
	User, Password string // optional: no login
	// Dial connects to host:port, host as it was asked for. Optional: 127.0.0.1
	// with that port, whatever the host.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Asked is told of each address before it is dialled. Optional.
	Asked func(address string)
}

// StartProxy starts a Proxy; Close ends it.
func StartProxy(o ProxyOptions) (*Proxy, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		}
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{opts: o, l: l, conns: map[net.Conn]struct{}{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.hold(c) {
				p.wg.Go(func() { defer p.drop(c); p.serve(c) })
			}
		}
	})
	return p, nil
}

// Address is host:port.
func (p *Proxy) Address() string { return p.l.Addr().String() }

// Asked returns the addresses that it was asked for.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Close dies like a process that is killed: nobody is listened to any more, and
// every connection breaks.
func (p *Proxy) Close() {
	p.l.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(c net.Conn) {
	br := bufio.NewReader(c)
	first, err := br.Peek(1)
	if err != nil {
		return
	}
	var to string
	answer := func(good bool) error { return nil }
	if first[0] == 5 {
		to, err = p.socks(br, c)
		answer = func(good bool) error {
			code := byte(0)
			if !good {
				code = 4
			}
			_, err := c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
			return err
		}
	} else {
		to, err = p.connect(br, c)
		answer = func(good bool) error {
			status := "200 OK"
			if !good {
				status = "502 Bad Gateway"
			}
			_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\n\r\n")
			return err
		}
	}
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, to)
	p.mu.Unlock()
	if p.opts.Asked != nil {
		p.opts.Asked(to)
	}
	up, err := p.opts.Dial(context.Background(), to)
	if aerr := answer(err == nil); err != nil || aerr != nil {
		return
	}
	if p.hold(up) {
		defer p.drop(up)
		go func() { io.Copy(up, br); up.Close() }()
		io.Copy(c, up)
	}
}

func (p *Proxy) socks(br *bufio.Reader, c net.Conn) (string, error) {
	head := make([]byte, 2)
	io.ReadFull(br, head)
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(br, methods); err != nil {
		return "", err
	}
	want := byte(0)
	if p.opts.User != "" {
		want = 2
	}
	if !slices.Contains(methods, want) {
		c.Write([]byte{5, 255})
		return "", errors.New("no method")
	}
	c.Write([]byte{5, want})
	if want == 2 {
		text := func() string {
			n, _ := br.ReadByte()
			b := make([]byte, n)
			io.ReadFull(br, b)
			return string(b)
		}
		br.ReadByte()
		if user, pass := text(), text(); user != p.opts.User || pass != p.opts.Password {
			c.Write([]byte{1, 1})
			return "", errors.New("login")
		}
		c.Write([]byte{1, 0})
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(br, b); err != nil {
		return "", err
	}
	n := map[byte]int{1: 4, 4: 16}[b[3]]
	if b[3] == 3 {
		l, _ := br.ReadByte()
		n = int(l)
	}
	host := make([]byte, n+2)
	if _, err := io.ReadFull(br, host); err != nil {
		return "", err
	}
	name := string(host[:n])
	if b[3] != 3 {
		name = net.IP(host[:n]).String()
	}
	return net.JoinHostPort(name, strconv.Itoa(int(binary.BigEndian.Uint16(host[n:])))), nil
}

func (p *Proxy) connect(br *bufio.Reader, c net.Conn) (string, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return "", err
	}
	login := ""
	if p.opts.User != "" {
		login = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.opts.User+":"+p.opts.Password))
	}
	if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != login {
		io.WriteString(c, "HTTP/1.1 407 no\r\n\r\n")
		return "", errors.New("login")
	}
	return r.Host, nil
}
