//go:build linux

package web

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
)

// inNamespace is set in the process that runs without any network but loopback
// and a line that leads nowhere.
const inNamespace = "HOLDFAST_TEST_NAMESPACE"

// TestNoLeak runs a capture through an egress in a network namespace of its
// own: loopback, and one interface with the default route that leads nowhere.
// The page tries every way out that a browser has; a sniffer on both interfaces
// counts what does not go to the egress. The namespace's resolver is an address
// on that line, so a look-up by anybody would be seen as a packet.
func TestNoLeak(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		t.Skip("runs in TestNoLeakInside")
	}
	browserPath(t)
	args := []string{"-n", "-m"}
	if os.Geteuid() != 0 {
		args = []string{"-r", "-n", "-m"}
	}
	const line = "ip link add line0 type dummy 2>/dev/null || ip tuntap add dev line0 mode tun"
	if err := exec.Command("unshare", append(args, "sh", "-c", line)...).Run(); err != nil {
		t.Skipf("LEAKS ARE NOT TESTED: no network namespace here: %v; needs unshare, ip, and the right to use them", err)
	}
	const prepare = `set -e
ip link set lo up
` + line + `
ip addr add 192.0.2.2/24 dev line0
ip link set line0 arp off
ip link set line0 up
ip route add default via 192.0.2.1 dev line0
printf 'nameserver 192.0.2.53\noptions timeout:1 attempts:1\n' > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@"`
	cmd := exec.Command("unshare", append(args, "sh", "-c", prepare, "sh", t.TempDir(), os.Args[0], "-test.run=^TestNoLeakInside$", "-test.v", "-test.count=1")...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestNoLeakInside") {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "leak_test.go") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// leakPage tries to get out. Every name and address in it is another than the
// page's own.
const leakPage = `<!doctype html><html><head><title>leaks</title>
<link rel=dns-prefetch href=//dns-prefetch.test><link rel=preconnect href=https://preconnect.test>
<link rel=prefetch href=http://prefetch.test/p><link rel=prerender href=http://prerender.test/p>
<link rel=preload as=image href=http://preload.test/p.png><link rel=icon href=http://icon.test/favicon.ico>
<script type=speculationrules>{"prerender":[{"source":"list","urls":["http://speculation.test/p"]}],"prefetch":[{"source":"list","urls":["http://speculation2.test/p"]}]}</script>
</head><body><p>words<a href=http://anchor.test/ ping=http://ping.test/ target=inner>link</a><iframe name=inner></iframe><img src=http://192.0.2.80/literal.png><img src=http://img.test/i.png>
<video src=http://video.test/v.mp4 preload=auto></video><iframe src=http://frame.test/f></iframe><object data=http://object.test/o></object>
<script>
const trying = f => { try { const p = f(); if (p && p.catch) p.catch(() => {}) } catch (e) {} };
for (const ice of ['stun:192.0.2.99:3478', 'stun:stun.test:3478', 'turn:192.0.2.99:3478?transport=tcp', 'turn:turn.test:443?transport=tcp', 'turns:turns.test:443'])
  trying(() => { const c = new RTCPeerConnection({iceServers: [{urls: ice, username: 'u', credential: 'p'}], iceCandidatePoolSize: 4});
    c.createDataChannel('x'); c.onicecandidate = e => e.candidate && fetch('/candidate?' + encodeURIComponent(e.candidate.candidate));
    return c.createOffer().then(o => c.setLocalDescription(o)) });
trying(() => { const a = new RTCPeerConnection(), b = new RTCPeerConnection(); a.onicecandidate = e => e.candidate && b.addIceCandidate(e.candidate);
  b.onicecandidate = e => e.candidate && a.addIceCandidate(e.candidate); a.createDataChannel('y');
  return a.createOffer().then(o => a.setLocalDescription(o)).then(() => b.setRemoteDescription(a.localDescription)).then(() => b.createAnswer())
    .then(o => b.setLocalDescription(o)).then(() => a.setRemoteDescription(b.localDescription)) });
trying(() => new WebSocket('ws://ws.test/s')); trying(() => new WebSocket('wss://192.0.2.81/s')); trying(() => new EventSource('http://events.test/e'));
trying(() => new WebTransport('https://transport.test:4433/t')); trying(() => new WebTransport('https://192.0.2.82:4433/t'));
trying(() => navigator.sendBeacon('http://beacon.test/b', 'x')); trying(() => fetch('https://fetch.test/')); trying(() => fetch('http://[2001:db8::1]/'));
trying(() => navigator.serviceWorker.register('/sw.js')); trying(() => fetch('http://localhost:9999/')); trying(() => fetch('http://127.0.0.1:9998/'));
trying(() => new Worker(URL.createObjectURL(new Blob(["fetch('http://worker.test/w')"])))); trying(() => window.open('http://popup.test/'));
trying(() => navigator.registerProtocolHandler('web+x', '/?%s')); trying(() => new PaymentRequest([{supportedMethods: 'https://pay.test/'}], {total: {label: 'x', amount: {currency: 'EUR', value: '1'}}}).canMakePayment());
trying(() => document.querySelector('a').click());
</script></body></html>`

// TestNoLeakInside is the inside of TestNoLeak.
func TestNoLeakInside(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Skip("runs in a namespace that TestNoLeak makes")
	}
	lineUp(t)
	site := &pipeSite{}
	p := startProxy(t, collectorstest.ProxyOptions{Dial: site.dial})
	w := newSniffer(t)
	c := newCollector(t, Options{})
	a, _ := collect(t, c, collectors.Request{Source: "http://page.test/", Via: &collectors.Via{Name: "out", Scheme: "socks5", Address: p.Address()},
		Budget: collectors.Budget{Time: 40 * time.Second}})
	time.Sleep(3 * time.Second) // for what a browser does in the background
	c.Close()
	if a.Outcome == collectors.Failed {
		t.Fatalf("the capture did not work: %v", a.Reasons)
	}
	hits := site.asked()
	t.Logf("%d requests by way of the egress, which was asked for %d names; %d packets on loopback", len(hits), len(p.Asked()), w.seen())
	for _, must := range []string{"img.test/i.png", "worker.test/w", "icon.test/favicon.ico"} {
		if !slices.ContainsFunc(hits, func(h string) bool { return strings.HasSuffix(h, must) }) {
			t.Errorf("%s did not come through the egress: the page did not try what it should (%v)", must, hits)
		}
	}
	for _, h := range hits {
		if strings.Contains(h, "/candidate?") {
			t.Logf("the page learned a candidate: %s", h)
			if strings.Contains(h, "192.0.2.2") {
				t.Error("LEAK: the page learned the node's address by WebRTC")
			}
		}
	}
	for _, l := range w.leaks(p.Address()) {
		t.Errorf("LEAK: %s", l)
	}
	// The sniffer sees what it is there for: a look-up and a connection by the
	// direct line.
	before := len(w.leaks(p.Address()))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	net.DefaultResolver.LookupHost(ctx, "canary.test")
	(&net.Dialer{Timeout: time.Second}).Dial("tcp", "192.0.2.77:80")
	time.Sleep(200 * time.Millisecond)
	if after := w.leaks(p.Address()); len(after) < before+2 {
		t.Errorf("the sniffer is blind: it saw %v of a look-up and a connection", after[before:])
	}
}

// lineUp gives a line of the tun kind its carrier: somebody who reads it.
func lineUp(t *testing.T) {
	if i, err := net.InterfaceByName("line0"); err != nil || i.Flags&net.FlagPointToPoint == 0 {
		return // a dummy is always up
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("LEAKS ARE NOT TESTED: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	req, _ := unix.NewIfreq("line0")
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	go func() {
		for b := make([]byte, 1<<16); ; {
			if _, err := f.Read(b); err != nil {
				return
			}
		}
	}()
}

// pipeSite is every site, without a socket: the egress of the test leads to it.
type pipeSite struct {
	mu   sync.Mutex
	hits []string
}

func (s *pipeSite) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hits)
}

func (s *pipeSite) dial(_ context.Context, address string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(address)
	if port != "80" {
		return nil, errors.New("only port 80 here")
	}
	mine, theirs := net.Pipe()
	l := &oneListener{c: make(chan net.Conn, 1), done: make(chan struct{})}
	l.c <- theirs
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.hits = append(s.hits, host+r.URL.RequestURI())
		s.mu.Unlock()
		w.Header().Set("Alt-Svc", `h3="altsvc.test:443"; ma=86400, h3=":443"`)
		w.Header().Set("NEL", `{"report_to":"g","max_age":86400,"success_fraction":1}`)
		w.Header().Set("Report-To", `{"group":"g","max_age":86400,"endpoints":[{"url":"https://report.test/r"}]}`)
		w.Header().Set("Link", "<http://link-header.test/l>; rel=preload; as=script, <https://link2.test>; rel=preconnect")
		w.Header().Set("X-DNS-Prefetch-Control", "on")
		switch {
		case host == "page.test" && r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, leakPage)
		case r.URL.Path == "/sw.js":
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, "fetch('http://service-worker.test/x')")
		default:
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<p>"+host)
		}
	}))
	return mine, nil
}

// oneListener gives one connection and then waits.
type oneListener struct {
	c    chan net.Conn
	done chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneListener) Close() error   { close(l.done); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// sniffer sees every packet on every interface of the namespace.
type sniffer struct {
	mu      sync.Mutex
	loop    int
	packets []packet
}

type packet struct {
	iface    int
	proto    byte
	src, dst netip.AddrPort
	syn      bool
	text     string // readable part of a datagram
}

func newSniffer(t *testing.T) *sniffer {
	t.Helper()
	const all = 0x0300 // ETH_P_ALL in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, all)
	if err != nil {
		t.Skipf("LEAKS ARE NOT TESTED: no packet socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	s := &sniffer{}
	go func() {
		b := make([]byte, 1<<17)
		for {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			ll, _ := from.(*unix.SockaddrLinklayer)
			if ll == nil || ll.Pkttype == unix.PACKET_OUTGOING && ll.Hatype == unix.ARPHRD_LOOPBACK {
				continue // loopback shows each packet twice
			}
			if p, ok := parsePacket(b[:n]); ok {
				p.iface = ll.Ifindex
				s.mu.Lock()
				s.packets = append(s.packets, p)
				if ll.Hatype == unix.ARPHRD_LOOPBACK {
					s.loop = ll.Ifindex
				}
				s.mu.Unlock()
			}
		}
	}()
	return s
}

func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	var src, dst netip.Addr
	rest := b
	switch b[0] >> 4 {
	case 4:
		src, _ = netip.AddrFromSlice(b[12:16])
		dst, _ = netip.AddrFromSlice(b[16:20])
		p.proto, rest = b[9], b[min(len(b), int(b[0]&15)*4):]
	case 6:
		if len(b) < 40 {
			return p, false
		}
		src, _ = netip.AddrFromSlice(b[8:24])
		dst, _ = netip.AddrFromSlice(b[24:40])
		p.proto, rest = b[6], b[40:]
	default:
		return p, false
	}
	var sp, dp uint16
	if (p.proto == unix.IPPROTO_TCP || p.proto == unix.IPPROTO_UDP) && len(rest) >= 14 {
		sp, dp = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		p.syn = p.proto == unix.IPPROTO_TCP && rest[13]&0x12 == 2
	}
	if p.proto == unix.IPPROTO_UDP {
		p.text = fmt.Sprintf("%.80q", rest[8:])
	}
	p.src, p.dst = netip.AddrPortFrom(src, sp), netip.AddrPortFrom(dst, dp)
	return p, true
}

func (s *sniffer) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// leaks lists what went anywhere but, on loopback, to the egress, to a listener
// of a recording proxy, or to the closed port that the browser outside of a
// capture is given. The kernel's own IPv6 housekeeping (router solicitation,
// multicast membership) is none.
func (s *sniffer) leaks(egress string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packets {
		switch {
		case p.iface == s.loop && s.loop != 0 && p.proto == unix.IPPROTO_TCP && (!p.syn || listens(p.dst, egress)):
		case p.proto == unix.IPPROTO_ICMPV6, p.proto == 0: // 0: hop-by-hop, before multicast membership
		case p.proto == unix.IPPROTO_IGMP:
		default:
			out = append(out, fmt.Sprintf("interface %d protocol %d %s → %s %s", p.iface, p.proto, p.src, p.dst, p.text))
		}
	}
	return out
}

// listens: ports below the range that the kernel gives to listeners are those
// that a page named.
func listens(dst netip.AddrPort, egress string) bool {
	return dst.String() == egress || dst.Port() == 9 || dst.Port() >= 32768
}
