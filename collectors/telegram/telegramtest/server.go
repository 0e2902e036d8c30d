package telegramtest

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"crypto/x509"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
	"github.com/gotd/td/tgtest/cluster"
	"github.com/gotd/td/transport"
)

// MainDC is the data centre that accounts and channels live in; FileDC has the
// files that are said to be elsewhere.
const (
	MainDC = 2
	FileDC = 4
)

// Options say how a Server behaves. The zero value is well-behaved.
type Options struct {
	// Fault, optional, is asked before each request of that method, by its name in
	// the schema, e.g. "messages.getHistory". What it returns is the answer
	// (a *tgerr.Error) or, if it is ErrHangUp, the end of the connection.
	Fault func(method string) error
	// FaultAt is Fault with the data centre that was asked; a connection begins with
	// help.getConfig.
	FaultAt func(dc int, method string) error
	// LosePush, optional, says of each push whether it is lost.
	LosePush func() bool
	// GZIP packs each answer, as the service does with large ones.
	GZIP bool
	// Home is the data centre that the account lives in; 0 is MainDC. At another,
	// logging in is sent there (PHONE_MIGRATE).
	Home int
	// PictureLife is how long a picture to scan is good for, in s; 0 is 30.
	PictureLife int
}

// ErrHangUp, returned by Options.Fault, closes the connection without an answer.
var ErrHangUp = errors.New("hang up")

// Server is a running Telegram.
type Server struct {
	World *World
	// Code is what an account must give to log in. Phone and Other are the only
	// numbers known, of two users.
	Phone, Other, Code string

	o       Options
	cluster *cluster.Cluster
	main    *tgtest.Server
	stop    context.CancelFunc
	done    chan error

	mu       sync.Mutex
	sessions map[int64]tgtest.Session // that asked for something, to push to
	in       map[[8]byte]bool         // auth keys that are logged in
	half     map[[8]byte]bool         // that are, but for the second password
	users    map[[8]byte]int64        // whose they are; none: the first user's
	second   *second                  // nil: no second password
	pictures map[string]*shown        // by token
	asked    map[string]int
	accounts accounts
}

// Start runs the servers on loopback until Close.
func Start(w *World, o Options) (*Server, error) {
	if o.PictureLife == 0 {
		o.PictureLife = 30
	}
	if o.Home == 0 {
		o.Home = MainDC
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{World: w, Phone: "9996621234", Other: "9996627777", Code: "22222", o: o, stop: stop, done: make(chan error, 1),
		cluster: cluster.NewCluster(cluster.Options{Protocol: transport.Intermediate}), sessions: map[int64]tgtest.Session{}, in: map[[8]byte]bool{},
		half: map[[8]byte]bool{}, users: map[[8]byte]int64{}, pictures: map[string]*shown{}, asked: map[string]int{}}
	for _, id := range []int{MainDC, FileDC} {
		server, d := s.cluster.DC(id, "dc"+strconv.Itoa(id))
		if id == MainDC {
			s.main = server
		}
		s.handle(d)
	}
	w.mu.Lock()
	w.changed = s.push
	w.mu.Unlock()
	go func() { s.done <- s.cluster.Up(ctx) }()
	select {
	case <-s.cluster.Ready():
		return s, nil
	case err := <-s.done:
		stop()
		return nil, fmt.Errorf("start telegram: %w", err)
	}
}

// Close ends the servers.
func (s *Server) Close() {
	s.World.mu.Lock()
	s.World.changed = nil
	s.World.mu.Unlock()
	s.stop()
	<-s.done
}

// Keys are the servers' public keys; DCs where they listen.
func (s *Server) Keys() []exchange.PublicKey { return s.cluster.Keys() }

// DCs says where the servers listen.
func (s *Server) DCs() dcs.List { return s.cluster.List() }

// PEM is the public keys in PKCS #1.
func (s *Server) PEM() (keys []string) {
	for _, k := range s.Keys() {
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(k.RSA)})))
	}
	return keys
}

// Asked returns how often a method was asked for.
func (s *Server) Asked(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[method]
}

// Disconnect ends every connection.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.sessions {
		s.main.ForceDisconnect(k)
		delete(s.sessions, id)
	}
}

// LogOut makes every key unknown (AUTH_KEY_UNREGISTERED).
func (s *Server) LogOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.in)
}

// push wakes the sessions: a channel has moved. Its content is asked for.
func (s *Server) push(c *Channel) {
	if c.quiet() || s.o.LosePush != nil && s.o.LosePush() {
		return
	}
	s.mu.Lock()
	var to []tgtest.Session
	for _, k := range s.sessions {
		if s.in[k.AuthKey.ID] {
			to = append(to, k)
		}
	}
	s.mu.Unlock()
	if len(to) == 0 {
		return
	}
	u := pushOf(c)
	for _, k := range to {
		s.main.Send(context.Background(), k, tgtest.MessageFromServer, u) //nolint:errcheck // a session that is gone misses it: pushes may be lost
	}
}

// pushOf tells the last thing that happened in a channel by itself.
func pushOf(c *Channel) raw {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	one := encoded(&tg.UpdateChannelTooLong{ChannelID: c.ID})
	if n := len(c.updates); n > 0 && c.updates[n-1].pts == c.pts && c.update(c.updates[n-1]) != nil {
		one = c.update(c.updates[n-1])
	}
	var b bin.Buffer
	b.PutID(tg.UpdatesTypeID)
	putAll(&b, []raw{one})
	putAll(&b, nil) // users
	putAll(&b, []raw{encoded(c.chat())})
	b.PutInt(int(c.w.Now().Unix()))
	b.PutInt(0) // seq
	return raw(b.Buf)
}

// method is what a request is answered with.
type method struct {
	name    string
	decode  func(*bin.Buffer) (any, error)
	answer  func(s *Server, req *tgtest.Request, in any) (bin.Encoder, error)
	welcome bool // also before logging in
}

// on makes a method of a request type.
func on[T any, P interface {
	*T
	bin.Object
	TypeID() uint32
}](name string, welcome bool, f func(s *Server, req *tgtest.Request, in P) (bin.Encoder, error)) (uint32, method) {
	return P(new(T)).TypeID(), method{name: name, welcome: welcome,
		decode: func(b *bin.Buffer) (any, error) { in := P(new(T)); return in, in.Decode(b) },
		answer: func(s *Server, req *tgtest.Request, in any) (bin.Encoder, error) { return f(s, req, in.(P)) },
	}
}

func (s *Server) handle(d *tgtest.Dispatcher) {
	for id, m := range methods() {
		d.HandleFunc(id, func(server *tgtest.Server, req *tgtest.Request) error { return s.serve(server, req, m) })
	}
}

func (s *Server) serve(server *tgtest.Server, req *tgtest.Request, m method) error {
	in, err := m.decode(req.Buf)
	if err != nil {
		return server.SendErr(req, tgerr.New(400, "INPUT_REQUEST_INVALID"))
	}
	s.mu.Lock()
	s.asked[m.name]++
	if server == s.main {
		s.sessions[req.Session.ID] = req.Session
	}
	known := s.in[req.Session.AuthKey.ID]
	s.mu.Unlock()
	if s.o.Fault != nil {
		err = s.o.Fault(m.name)
	}
	if err == nil && s.o.FaultAt != nil {
		err = s.o.FaultAt(req.DC, m.name)
	}
	if errors.Is(err, ErrHangUp) {
		server.ForceDisconnect(req.Session)
		return nil
	}
	if err == nil && !known && !m.welcome {
		err = tgerr.New(401, "AUTH_KEY_UNREGISTERED")
	}
	if err == nil {
		err = s.refuses(req, m, in)
	}
	var out bin.Encoder
	if err == nil {
		out, err = m.answer(s, req, in)
	}
	var said *tgerr.Error
	switch {
	case errors.As(err, &said):
		return server.SendErr(req, said)
	case err != nil:
		return server.SendErr(req, tgerr.New(500, "INTERNAL"))
	case s.o.GZIP:
		return server.SendGZIP(req, out)
	}
	return server.SendResult(req, out)
}

// File is a file of servers, as a node is told about a service that is not
// Telegram's own.
func (s *Server) File() []byte {
	type server struct {
		ID   int    `json:"id"`
		Addr string `json:"addr"`
	}
	f := struct {
		DC         int      `json:"dc"`
		Servers    []server `json:"servers"`
		PublicKeys []string `json:"public_keys"`
	}{DC: MainDC, PublicKeys: s.PEM()}
	for _, o := range s.DCs().Options {
		f.Servers = append(f.Servers, server{o.ID, net.JoinHostPort(o.IPAddress, strconv.Itoa(o.Port))})
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("telegramtest: %v", err)) // a test's own object
	}
	return b
}
