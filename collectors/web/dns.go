package web

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"holdfast/warc"
)

// Bounds of what is kept of one name's resolution.
const (
	maxTold    = 32  // messages
	maxRecords = 200 // of all of them, read for people
)

// teller is a Resolver that also says what it was told: the messages of DNS as they came.
// No message is no error: a name may stand in the machine's own list.
type teller interface {
	LookupTold(ctx context.Context, host string) ([]netip.Addr, []told, error)
}

// told is one message of DNS that answered a question.
type told struct {
	at  time.Time
	raw []byte
}

// hearing resolves as the system does, by Go's own client, and keeps what the servers say.
// It is safe for concurrent use.
type hearing struct {
	// dial reaches a server of the system's list. Optional: directly.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

var (
	_ Resolver = hearing{}
	_ teller   = hearing{}
)

// LookupNetIP implements Resolver.
func (h hearing) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	addrs, _, err := h.LookupTold(ctx, host)
	return addrs, err
}

// LookupTold implements teller. Each call has a client of its own, so that what it hears
// answers this question; where that client cannot ask, the system's is asked, and tells nothing.
func (h hearing) LookupTold(ctx context.Context, host string) ([]netip.Addr, []told, error) {
	e := &ear{}
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dial := h.dial
		if dial == nil {
			dial = (&net.Dialer{}).DialContext
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return e.at(c), nil
	}}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	heard := e.heard()
	if err == nil || len(heard) > 0 || ctx.Err() != nil {
		return addrs, heard, err
	}
	addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return addrs, nil, err
}

// ear keeps what it hears on the connections of one question.
type ear struct {
	mu   sync.Mutex
	told []told
}

func (e *ear) heard() []told {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told[:len(e.told):len(e.told)]
}

func (e *ear) hear(b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.told) < maxTold {
		e.told = append(e.told, told{time.Now(), append([]byte(nil), b...)})
	}
}

// at listens on a connection. Go's client tells UDP from TCP by the methods that it has.
func (e *ear) at(c net.Conn) net.Conn {
	if u, ok := c.(*net.UDPConn); ok {
		return &heardPacket{UDPConn: u, e: e}
	}
	return &heardStream{Conn: c, e: e}
}

// heardPacket hears what answers its question; what else comes the client drops too.
type heardPacket struct {
	*net.UDPConn
	e   *ear
	ids map[uint16]bool
}

func (c *heardPacket) Write(b []byte) (int, error) {
	if c.ids == nil {
		c.ids = map[uint16]bool{}
	}
	if len(b) > 1 {
		c.ids[binary.BigEndian.Uint16(b)] = true
	}
	return c.UDPConn.Write(b)
}

func (c *heardPacket) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if n > 1 && c.ids[binary.BigEndian.Uint16(b)] {
		c.e.hear(b[:n])
	}
	return n, err
}

// heardStream hears messages behind their lengths (RFC 1035, 4.2.2).
type heardStream struct {
	net.Conn
	e   *ear
	buf []byte
}

func (c *heardStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.buf = append(c.buf, b[:n]...)
	for len(c.buf) >= 2 {
		size := 2 + int(binary.BigEndian.Uint16(c.buf))
		if len(c.buf) < size {
			break
		}
		c.e.hear(c.buf[2:size])
		c.buf = c.buf[size:]
	}
	return n, err
}

// dnsNote is what the resolver said of a name, once for a capture: read for people, and
// each message as it came.
type dnsNote struct {
	Records  []dnsRecord `json:"records,omitempty"`
	Cut      bool        `json:"cut,omitempty"` // there are more records, or one that cannot be read
	Messages []dnsTold   `json:"messages"`
}

type dnsRecord struct {
	Name string `json:"name"`
	Type string `json:"type"` // A, AAAA, CNAME, or TYPE and its number
	TTL  uint32 `json:"ttl"`  // seconds, as the resolver said
	Data string `json:"data,omitempty"`
}

type dnsTold struct {
	At      string `json:"at"`
	Message []byte `json:"message"`
}

func describeTold(list []told) *dnsNote {
	if len(list) == 0 {
		return nil
	}
	n := &dnsNote{}
	for _, m := range list {
		n.Messages = append(n.Messages, dnsTold{m.at.UTC().Format(warc.TimeFormat), m.raw})
		n.read(m.raw)
	}
	return n
}

// read adds the answers of a message, as far as they can be read.
func (n *dnsNote) read(raw []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(raw); err != nil || p.SkipAllQuestions() != nil {
		n.Cut = true
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return
		}
		if err != nil || len(n.Records) == maxRecords {
			n.Cut = true
			return
		}
		r := dnsRecord{Name: clean(h.Name.String()), Type: strings.TrimPrefix(h.Type.String(), "Type"), TTL: h.TTL}
		if r.Data, err = dataOf(&p, h); err != nil {
			n.Cut = true
			return
		}
		if r.Data == "" {
			r.Type = fmt.Sprintf("TYPE%d", h.Type)
		}
		n.Records = append(n.Records, r)
	}
}

func dataOf(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (string, error) {
	switch h.Type {
	case dnsmessage.TypeA:
		a, err := p.AResource()
		return netip.AddrFrom4(a.A).String(), err
	case dnsmessage.TypeAAAA:
		a, err := p.AAAAResource()
		return netip.AddrFrom16(a.AAAA).String(), err
	case dnsmessage.TypeCNAME:
		c, err := p.CNAMEResource()
		return clean(c.CNAME.String()), err
	}
	return "", p.SkipAnswer()
}
