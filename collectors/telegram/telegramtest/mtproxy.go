package telegramtest

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gotd/td/mtproxy/obfuscated2"
)

// MTProxy is one for tests: it speaks the obfuscated form with the intermediate
// codec, of a secret of 16 bytes that is handed on with ee before it.
type MTProxy struct {
	l      net.Listener
	wg     sync.WaitGroup
	passed atomic.Int64
}

// MTProxy starts one that leads to the servers; Close ends it.
func (s *Server) MTProxy(secret []byte) (*MTProxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &MTProxy{l: l}
	to := map[int]string{}
	for _, o := range s.DCs().Options {
		to[o.ID] = net.JoinHostPort(o.IPAddress, strconv.Itoa(o.Port))
	}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c, secret, to) })
		}
	})
	return p, nil
}

// Address is its host:port.
func (p *MTProxy) Address() string { return p.l.Addr().String() }

// Passed is how many connections it has led on.
func (p *MTProxy) Passed() int { return int(p.passed.Load()) }

// Close ends it when its connections have ended.
func (p *MTProxy) Close() {
	p.l.Close()
	p.wg.Wait()
}

func (p *MTProxy) serve(c net.Conn, secret []byte, to map[int]string) {
	defer c.Close()
	in, meta, err := obfuscated2.Accept(c, secret)
	if err != nil || meta.Protocol != [4]byte{0xee, 0xee, 0xee, 0xee} {
		return // a wrong secret reads as noise
	}
	out, err := net.Dial("tcp", to[int(meta.DC)])
	if err != nil {
		return
	}
	defer out.Close()
	if _, err := out.Write(meta.Protocol[:]); err != nil {
		return
	}
	p.passed.Add(1)
	var both sync.WaitGroup
	both.Go(func() { io.Copy(out, in); out.Close() })
	io.Copy(in, out)
	c.Close()
	both.Wait()
}
