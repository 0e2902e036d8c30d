package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"holdfast/collectors"
	"holdfast/warc"
)

// nameServer answers over UDP, or over TCP to who comes by it, and keeps what it said.
type nameServer struct {
	udp  net.PacketConn
	tcp  net.Listener
	cut  bool // over UDP it says that there is more than fits
	mu   sync.Mutex
	said [][]byte
}

func startNames(t *testing.T, cut bool) *nameServer {
	t.Helper()
	s := &nameServer{cut: cut}
	var err error
	if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.tcp, err = net.Listen("tcp", s.udp.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.udp.Close(); s.tcp.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := s.udp.ReadFrom(b)
			if err != nil {
				return
			}
			s.udp.WriteTo([]byte("\x00\x00 somebody else's"), from) // of another question: nobody hears it
			s.udp.WriteTo(s.answer(b[:n], s.cut), from)
		}
	}()
	go func() {
		for {
			c, err := s.tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					size := make([]byte, 2)
					if _, err := io.ReadFull(c, size); err != nil {
						return
					}
					b := make([]byte, int(size[0])<<8|int(size[1]))
					io.ReadFull(c, b)
					a := s.answer(b, false)
					c.Write([]byte{byte(len(a) >> 8)})
					c.Write(append([]byte{byte(len(a))}, a...))
				}
			}()
		}
	}()
	return s
}

// answer says that site.test is a name of host.test, and where that is; nothing else is there.
func (s *nameServer) answer(b []byte, cut bool) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true, Truncated: cut}, Questions: []dnsmessage.Question{q}}
	host := dnsmessage.MustNewName("host.test.")
	switch {
	case q.Name.String() != "site.test.":
		m.RCode = dnsmessage.RCodeNameError
	case cut:
	default:
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 3600}, Body: &dnsmessage.CNAMEResource{CNAME: host}}}
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: host, Class: dnsmessage.ClassINET, TTL: 77}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, out)
	return out
}

func (s *nameServer) hearing() hearing {
	return hearing{dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network[:3], s.udp.LocalAddr().String())
	}}
}

func connections(t *testing.T, answers []record) (out []connectionNote) {
	t.Helper()
	for _, r := range answers {
		if strings.HasPrefix(r.url, "urn:holdfast:connection:") {
			var n connectionNote
			if err := json.Unmarshal(r.block, &n); err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// What the resolver said is in the record: each message as it came, and the names, types
// and times to live in it; of a name that is not there too.
func TestResolverIsHeard(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			ns := startNames(t, over == "tcp")
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, "<title>x</title><script>fetch('http://gone.test/x').catch(()=>0)</script>")
			}), nil)
			c := newCollector(t, Options{Resolver: ns.hearing()})
			got, k := collect(t, c, collectors.Request{Source: "http://site.test:" + s.port() + "/", AllowPrivate: true})
			notes := connections(t, readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName)))
			find := func(host string) *dnsNote {
				i := slices.IndexFunc(notes, func(n connectionNote) bool { return strings.HasPrefix(n.Host, host) })
				if i < 0 || notes[i].DNS == nil {
					t.Fatalf("nothing of DNS for %s: %+v", host, notes)
				}
				for _, m := range notes[i].DNS.Messages {
					ns.mu.Lock()
					if at, err := time.Parse(warc.TimeFormat, m.At); err != nil || time.Since(at) > time.Hour || !slices.ContainsFunc(ns.said, func(b []byte) bool { return bytes.Equal(b, m.Message) }) {
						t.Errorf("the server never said %q at %s", m.Message, m.At)
					}
					ns.mu.Unlock()
				}
				return notes[i].DNS
			}
			there := find("site.test")
			for _, want := range []dnsRecord{{"site.test.", "CNAME", 3600, "host.test."}, {"host.test.", "A", 77, "127.0.0.1"}} {
				if !slices.Contains(there.Records, want) {
					t.Errorf("%+v is not in %+v", want, there.Records)
				}
			}
			for _, r := range readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName)) {
				if strings.HasPrefix(r.url, "urn:holdfast:exchange:") && bytes.Contains(r.block, []byte("dns-failed")) && bytes.Contains(r.block, []byte(":53")) {
					t.Errorf("the record tells who resolves for the office: %s", r.block)
				}
			}
			if gone := find("gone.test"); len(gone.Records) != 0 || gone.Cut {
				t.Errorf("%+v", gone)
			}
		})
	}
}

// Whoever answers a question can say anything.
func FuzzTold(f *testing.F) {
	f.Add([]byte("\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := describeTold([]told{{time.Now(), in}})
		if len(n.Records) > maxRecords || !bytes.Equal(n.Messages[0].Message, in) {
			t.Fatalf("%+v", n)
		}
		if _, err := json.Marshal(n); err != nil {
			t.Fatal(err)
		}
		e := &ear{} // and however it cuts it
		s := &heardStream{Conn: nobodyIn{bytes.NewReader(in)}, e: e}
		io.Copy(io.Discard, s)
		for _, m := range e.heard() {
			if !bytes.Contains(in, m.raw) {
				t.Fatalf("heard %q", m.raw)
			}
		}
	})
}

type nobodyIn struct{ io.Reader }

func (nobodyIn) Write(b []byte) (int, error)      { return len(b), nil }
func (nobodyIn) Close() error                     { return nil }
func (nobodyIn) LocalAddr() net.Addr              { return nil }
func (nobodyIn) RemoteAddr() net.Addr             { return nil }
func (nobodyIn) SetDeadline(time.Time) error      { return nil }
func (nobodyIn) SetReadDeadline(time.Time) error  { return nil }
func (nobodyIn) SetWriteDeadline(time.Time) error { return nil }

// The messages of a capture are bounded, whoever sends them.
func TestToldIsBounded(t *testing.T) {
	a := newAnswers()
	big := []told{{time.Now(), make([]byte, 60<<10)}}
	for i := range 1000 {
		a.hear(fmt.Sprint(i), big)
	}
	if n := len(a.told); n > maxToldBytes/(60<<10) || n < 100 {
		t.Errorf("%d messages are kept", n)
	}
}
