package engines

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TorExit is the one private address that a TorNetwork's exit reaches. (It connects from
// 127.0.0.1, as anybody here: a site that listens at both knows by where it was reached
// what came through the network.)
const TorExit = "127.0.0.2"

// TorMapped is the name that a client asks for in the place of 127.0.0.1: so a site here
// has one address for who goes through the network and for who does not.
const TorMapped = "mapped.test"

// relays is how many there are beside the authority, which is one too. With four a client
// now and then found no circuit to an onion service, as its own guard was in the way.
const relays = 8

// TorNetwork is a Tor network of its own on 127.0.0.1, of the real program: one directory
// authority, eight relays, one of which is the exit, and an onion service. Nothing of it
// knows the public network. The exit reaches [TorExit] and no other private address, as a
// public exit reaches none.
type TorNetwork struct {
	Onion string // the service's name, without a port

	bin, dir, authority string
	servers             []*server
	names               torNames
}

// Tor starts a network, which takes some ten seconds until a client can use it. hosts are
// the names that the exit's resolver knows; onion is to where on this machine the ports of
// the onion service lead.
func Tor(t testing.TB, hosts map[string]string, onion map[int]string) *TorNetwork {
	t.Helper()
	n := &TorNetwork{bin: filepath.Join(folder(t, "tor/usr/bin/tor"), "tor/usr/bin"), dir: scratch(t, "tor")}
	hosts = maps.Clone(hosts)
	hosts[TorMapped] = TorExit
	n.names.serve(t, hosts)
	resolv := filepath.Join(n.dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver "+n.names.address+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.authorityRelay(t)
	n.relay(t, "relay0", "ExitRelay 1", "ExitPolicyRejectPrivate 0", "ExitPolicy accept "+TorExit+":*,reject private:*,accept *:*",
		"ServerDNSResolvConfFile "+resolv, "ServerDNSDetectHijacking 0", "ServerDNSAllowBrokenConfig 1", "ServerDNSSearchDomains 0", "ServerDNSTestAddresses")
	for i := 1; i < relays; i++ {
		n.relay(t, fmt.Sprintf("relay%d", i), "ExitRelay 0")
	}
	service, control := filepath.Join(n.dir, "service"), filepath.Join(n.dir, "service.control")
	begun := time.Now()
	n.await(t, "the relays to be voted for", func(context.Context) error { return n.complete(time.Since(begun) > patience) })
	lines := []string{"SocksPort 0", "ControlSocket " + control, "HiddenServiceDir " + service}
	for at, to := range onion {
		lines = append(lines, fmt.Sprintf("HiddenServicePort %d %s", at, to))
	}
	n.start(t, n.make(t, "onion", lines...))
	n.await(t, "the onion service's name", func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(service, "hostname"))
		n.Onion = strings.TrimSpace(string(b))
		return err
	})
	published := make(chan struct{})
	var once sync.Once
	if err := torEvents(t.Context(), control, "HS_DESC", func(f []string) { // 650 HS_DESC UPLOADED …
		if f[2] == "UPLOADED" {
			once.Do(func() { close(published) })
		}
	}); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the onion service to be known", func(ctx context.Context) error {
		select {
		case <-published:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return n
}

// complete looks whether what the authority last said is of all relays: who finds the
// network earlier keeps to the few that it was of then.
func (n *TorNetwork) complete(late bool) error {
	b, err := os.ReadFile(filepath.Join(n.dir, "authority", "cached-consensus"))
	want := relays + 1
	if late {
		want-- // one that nobody votes for may be missing, if it is not the exit
	}
	if known := strings.Count(string(b), "\nr "); err == nil && (known < want || !strings.Contains(string(b), "\nr relay0 ")) {
		err = fmt.Errorf("the network is of %d", known)
	}
	return err
}

// patience is for all relays; seen: one was not there after two minutes, the others were
// after twenty seconds.
const patience = 40 * time.Second

// Resolved are the names that the exit's resolver was asked for.
func (n *TorNetwork) Resolved() []string {
	n.names.mu.Lock()
	defer n.names.mu.Unlock()
	return slices.Clone(n.names.asked)
}

// authorityRelay makes the authority's keys and starts it; the others are told of it.
func (n *TorNetwork) authorityRelay(t testing.TB) {
	t.Helper()
	const name = "authority"
	or, dir, keys := port(t), port(t), filepath.Join(n.dir, name, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	n.run(t, "tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "12", "-i", filepath.Join(keys, "authority_identity_key"),
		"-s", filepath.Join(keys, "authority_signing_key"), "-c", filepath.Join(keys, "authority_certificate"))
	cert, err := os.ReadFile(filepath.Join(keys, "authority_certificate"))
	if err != nil {
		t.Fatal(err)
	}
	_, v3, _ := strings.Cut(string(cert), "\nfingerprint ")
	v3, _, _ = strings.Cut(v3, "\n")
	lines := []string{"AssumeReachable 1", "ContactInfo nobody@test.test", fmt.Sprintf("ORPort 127.0.0.1:%d", or), "SocksPort 0"}
	n.authority = "x orport=1 v3ident=" + v3 + " 127.0.0.1:1 0000000000000000000000000000000000000000" // until its own fingerprint is known
	s := n.make(t, name, lines...)
	said := n.run(t, "tor", append(s.args[1:], "--list-fingerprint", "--quiet")...)
	_, fingerprint, _ := strings.Cut(strings.TrimSpace(said), " ")
	n.authority = fmt.Sprintf("%s orport=%d v3ident=%s 127.0.0.1:%d %s", name, or, v3, dir, strings.ReplaceAll(fingerprint, " ", ""))
	n.start(t, n.make(t, name, append(lines, fmt.Sprintf("DirPort 127.0.0.1:%d", dir), "AuthoritativeDirectory 1", "V3AuthoritativeDirectory 1", "ExitPolicy reject *:*",
		"TestingV3AuthInitialVotingInterval 5", "TestingV3AuthInitialVoteDelay 2", "TestingV3AuthInitialDistDelay 2", "V3AuthVotingInterval 10", "V3AuthVoteDelay 2",
		"V3AuthDistDelay 2", "V3AuthNIntervalsValid 3", "TestingDirAuthVoteExit *", "TestingDirAuthVoteHSDir *", "TestingDirAuthVoteGuard *", "TestingMinExitFlagThreshold 0")...))
}

func (n *TorNetwork) relay(t testing.TB, name string, lines ...string) {
	t.Helper()
	n.start(t, n.make(t, name, append(lines, "AssumeReachable 1", "ContactInfo nobody@test.test", fmt.Sprintf("ORPort 127.0.0.1:%d", port(t)), "SocksPort 0")...))
}

// make writes the configuration of one Tor.
func (n *TorNetwork) make(t testing.TB, name string, lines ...string) *server {
	t.Helper()
	dir := filepath.Join(n.dir, name)
	all := append([]string{"TestingTorNetwork 1", "DirAuthority " + n.authority, "DataDirectory " + dir, "Nickname " + name, "Address 127.0.0.1", "ShutdownWaitLength 0",
		"ConfluxEnabled 0", "VanguardsLiteEnabled 0", "EnforceDistinctSubnets 0", "Log notice stdout"}, lines...)
	rc := filepath.Join(n.dir, name+".rc")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(rc, []byte(strings.Join(all, "\n")+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return &server{name: "tor-" + name, dir: n.dir, stop: syscall.SIGKILL, args: []string{filepath.Join(n.bin, "tor"), "-f", rc, "--defaults-torrc", os.DevNull, "--ignore-missing-torrc"}}
}

func (n *TorNetwork) start(t testing.TB, s *server) {
	t.Helper()
	n.servers = append(n.servers, s)
	s.must(t, func(context.Context) error { return nil })
}

func (n *TorNetwork) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(n.bin, name), args...)
	cmd.Stdin = strings.NewReader("no secret\n")
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if x := (*exec.ExitError)(nil); errors.As(err, &x) {
			said = string(x.Stderr)
		}
		t.Fatalf("run %s: %v %s%s", name, err, out, said)
	}
	return string(out)
}

func (n *TorNetwork) await(t testing.TB, what string, ask func(context.Context) error) {
	t.Helper()
	if err := n.servers[len(n.servers)-1].await(ask); err != nil {
		t.Fatalf("wait for %s: %v", what, err)
	}
}

// TorClient is what an investigator has on his machine: a Tor with a port for SOCKS5.
type TorClient struct {
	SOCKS string // host:port

	control string // a socket
	s       *server
}

// Client makes a client of that name (letters, digits, at most 13) and does not start it: until Start
// nothing listens at SOCKS.
func (n *TorNetwork) Client(t testing.TB, name string) *TorClient {
	t.Helper()
	c := &TorClient{SOCKS: fmt.Sprintf("127.0.0.1:%d", port(t)), control: filepath.Join(n.dir, name+".control")}
	c.s = n.make(t, "client"+name, "SocksPort "+c.SOCKS, "ControlSocket "+c.control, "MapAddress 127.0.0.1 "+TorMapped, "ClientDNSRejectInternalAddresses 0", "ClientRejectInternalAddresses 0", "SocksTimeout 20")
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("%s says at the end: %s", c.s.name, c.s.said())
		}
	})
	return c
}

// Start begins the client and does not wait until it has found its network.
func (c *TorClient) Start() error { return c.s.start() }

// Ready waits until the client can use its network, at most two minutes.
func (c *TorClient) Ready() error {
	return c.s.await(func(context.Context) error {
		if b, err := os.ReadFile(c.s.log()); err != nil || !strings.Contains(string(b), "Bootstrapped 100%") {
			return errors.Join(errors.New("it has not found its network"), err)
		}
		return nil
	})
}

// Kill ends the client at once.
func (c *TorClient) Kill() { c.s.end(syscall.SIGKILL) }

// Stop has every Tor of the network but clients stand still: a client that is started then
// finds none.
func (n *TorNetwork) Stop() {
	for _, s := range n.servers {
		s.pause()
	}
}

// Resume ends Stop.
func (n *TorNetwork) Resume() {
	for _, s := range n.servers {
		s.signal(syscall.SIGCONT)
	}
}

// Streams listens to what the client does until the context ends, and calls got with each
// step of each stream through the network: NEW, SUCCEEDED, FAILED … , the number of its
// circuit, 0 for none, and to where.
func (c *TorClient) Streams(ctx context.Context, got func(step, circuit, target string)) error {
	return torEvents(ctx, c.control, "STREAM", func(f []string) { // 650 STREAM 12 SUCCEEDED 7 127.0.0.1:80 …
		if len(f) > 5 {
			got(f[3], f[4], f[5])
		}
	})
}

// torEvents calls got with the words of each event of a kind, one by one.
func torEvents(ctx context.Context, socket, kind string, got func([]string)) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("ask Tor: %w", err)
	}
	if _, err := conn.Write([]byte("AUTHENTICATE\r\nSETEVENTS " + kind + "\r\n")); err != nil {
		return fmt.Errorf("ask Tor: %w", err)
	}
	in := bufio.NewScanner(conn)
	for range 2 {
		if !in.Scan() || in.Text() != "250 OK" {
			return fmt.Errorf("ask Tor: it says %q, %w", in.Text(), in.Err())
		}
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		for in.Scan() {
			if f := strings.Fields(in.Text()); len(f) > 3 {
				got(f)
			}
		}
	}()
	return nil
}

// torNames is the resolver that the exit asks, over UDP.
type torNames struct {
	address string
	mu      sync.Mutex
	asked   []string
}

func (r *torNames) serve(t testing.TB, hosts map[string]string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r.address = conn.LocalAddr().String()
	go func() {
		b := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := r.answer(b[:size], hosts); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
}

// answer knows A alone; a resolver's game of letters (0x20) is played along.
func (r *torNames) answer(question []byte, hosts map[string]string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	r.mu.Lock()
	r.asked = append(r.asked, name)
	r.mu.Unlock()
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	ip, known := hosts[name]
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
			Body: &dnsmessage.AResource{A: [4]byte(net.ParseIP(ip).To4())}}}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}
