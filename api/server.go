package api

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"holdfast"
)

//go:embed openapi.yaml
var openAPI []byte

// Tokens knows the tokens of the node. Errors are those of [TokenList.Open].
type Tokens interface {
	Token(ctx context.Context, text string, now time.Time) (Token, error)
}

// Cases finds a Case by name or ID; an error wraps [holdfast/catalog.ErrNotFound] or
// is anything else. It makes none.
type Cases interface {
	Case(ctx context.Context, name string) (holdfast.ID, error)
}

// Call is one call, as Custody is told of it before it is answered.
type Call struct {
	Who     Token
	What    string        // "POST /v1/captures"
	Cases   []holdfast.ID // that it is about; none where it was refused before that was known
	Objects []string      // IDs that it is about
	Refused string        // the code of the problem that it is answered with; "" if it is carried out
}

// Custody writes the line of a call, durable on return.
type Custody interface {
	Called(ctx context.Context, c Call) error
}

// Options fill a Server; all of it is needed but Log.
type Options struct {
	Tokens   Tokens
	Cases    Cases
	Custody  Custody
	Asks     Asks
	Captures Captures
	Objects  Objects
	Watches  WatchBook
	Bundles  Bundles
	Log      *slog.Logger
	Now      func() time.Time
	Stop     <-chan struct{} // long answers end when it is closed
}

// Server answers the calls. It is safe for concurrent use.
type Server struct {
	Options
	mux     *http.ServeMux
	methods []string      // that any address takes
	strange *rate.Limiter // lines of the log about calls without a good token
	bundles chan struct{} // exports that are written at once
	stall   time.Duration // that a body or an answer may stand still
	paths   []string      // "GET /v1/…"

	mu    sync.Mutex
	usage map[string]*usage // by token; only of those that are good
}

// usage is what one token does now.
type usage struct {
	rate *rate.Limiter
	busy int
}

// Bounds for each token, and of exports at once for all.
const (
	perSecond = 10
	burst     = 100
	atOnce    = 20
	exports   = 2
	stall     = 30 * time.Second // of a body, and of an answer that does not move
	maxConns  = 512
)

// New returns the handler of a node's door.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{Options: o, mux: http.NewServeMux(), methods: []string{http.MethodGet, http.MethodPost}, strange: rate.NewLimiter(1, 10), bundles: make(chan struct{}, exports), stall: stall, usage: map[string]*usage{}}
	for pattern, r := range map[string]route{
		"POST /v1/captures":                    {ScopeCapture, (*call).postCaptures},
		"GET /v1/asks":                         {ScopeCapture, (*call).getAsks},
		"GET /v1/asks/{id}":                    {ScopeCapture, (*call).getAsk},
		"GET /v1/captures":                     {ScopeRead, (*call).getCaptures},
		"GET /v1/captures/{id}":                {ScopeRead, (*call).getCapture},
		"GET /v1/captures/{id}/manifest":       {ScopeRead, (*call).getManifest},
		"GET /v1/captures/{id}/objects/{name}": {ScopeExport, (*call).getObject},
		"POST /v1/watches":                     {ScopeWatch, (*call).postWatches},
		"GET /v1/watches":                      {ScopeWatch, (*call).getWatches},
		"POST /v1/watches/changes":             {ScopeWatch, (*call).postWatchChange},
		"GET /v1/bundle":                       {ScopeExport, (*call).getBundle},
	} {
		s.mux.Handle(pattern, s.guarded(pattern, r))
		s.paths = append(s.paths, pattern)
	}
	s.paths = append(s.paths, "GET /v1/openapi.yaml")
	s.mux.HandleFunc("GET /v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI) // the caller has gone
	})
	return s
}

// ServeHTTP implements http.Handler. What is no route as it is written is none: no
// redirect, no second reading of a path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := s.plain(r); err != nil {
		asProblem(err).write(w)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) plain(r *http.Request) error {
	if r.URL.RawPath != "" || path.Clean(r.URL.Path) != r.URL.Path {
		return noRoute()
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	for k, vs := range q {
		named := slices.Contains([]string{"token", "access_token", "authorization", "auth", "api_key", "apikey"}, strings.ToLower(k))
		if named || slices.ContainsFunc(vs, func(v string) bool { return strings.Contains(v, tokenPrefix) }) {
			return problem(http.StatusBadRequest, codeQuery, "a token does not go into an address, where logs keep it: send it as `Authorization: Bearer TOKEN`, and have this one revoked (`holdfast token revoke`)")
		}
	}
	if err != nil {
		return problem(http.StatusBadRequest, codeBad, "the part of the address behind ? cannot be read: write it as name=value&name=value, with %%XX for other letters")
	}
	if _, pattern := s.mux.Handler(r); pattern == "" || r.Method == http.MethodHead {
		return s.noSuch(r)
	}
	return nil
}

func noRoute() *Problem {
	return problem(http.StatusNotFound, codeMissing, "there is nothing under this address: GET /v1/openapi.yaml says what there is")
}

// noSuch tells an address that is not there from a method that it has not.
func (s *Server) noSuch(r *http.Request) error {
	p := problem(http.StatusMethodNotAllowed, codeMethod, "this address does not take %.20s: GET /v1/openapi.yaml says what it takes", r.Method)
	for _, m := range s.methods {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := s.mux.Handler(other); pattern != "" {
			p.allow = append(p.allow, m)
		}
	}
	if len(p.allow) == 0 {
		return noRoute()
	}
	return p
}

// routes are the calls that are answered, sorted.
func (s *Server) routes() []string { return slices.Sorted(slices.Values(s.paths)) }

// route is what a pattern does, and the scope that it asks for.
type route struct {
	scope string
	do    func(*call) error
}

// call is one call under way.
type call struct {
	*Server
	w    http.ResponseWriter
	r    *http.Request
	who  Token
	what string
	told bool // Custody has its line
}

// guarded lets through who has a good token, in bounds, with the scope. What Custody
// cannot be told of is not done.
func (s *Server) guarded(pattern string, rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		c := &call{Server: s, w: w, r: r, what: pattern}
		status := http.StatusOK
		if err := c.run(rt); err != nil {
			p := asProblem(err)
			if status = p.Status; status == http.StatusInternalServerError {
				s.Log.ErrorContext(r.Context(), "call failed", "call", pattern, "token", c.who.ID, "err", err)
			}
			p.write(w)
		}
		s.Log.InfoContext(r.Context(), "call", "call", pattern, "token", c.who.ID, "status", status, "took", time.Since(begun).Round(time.Millisecond))
	})
}

func (c *call) run(rt route) error {
	ctl := http.NewResponseController(c.w)
	_ = ctl.SetReadDeadline(time.Now().Add(c.stall)) // a recorder of a test has none
	_ = ctl.SetWriteDeadline(time.Now().Add(c.stall + stall))
	if err := c.open(); err != nil {
		return err
	}
	free, err := c.enter()
	if err != nil {
		return err
	}
	defer free()
	if c.r.ContentLength > MaxBody {
		err = problem(http.StatusRequestEntityTooLarge, codeLarge, "the body has more than %d bytes: split what is asked for", MaxBody)
	} else if !c.who.May(rt.scope) {
		p := problem(http.StatusForbidden, codeScope, "the token %s has not the scope `%s`: ask whoever gave it for one that has (`holdfast token add --scope %s`)", c.who.Name, rt.scope, rt.scope)
		p.scope, err = rt.scope, p
	} else {
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, MaxBody)
		err = rt.do(c)
	}
	if err != nil && !c.told {
		if terr := c.Custody.Called(context.WithoutCancel(c.r.Context()), Call{Who: c.who, What: c.what, Refused: strings.TrimPrefix(asProblem(err).Type, "urn:holdfast:")}); terr != nil {
			return errors.Join(errors.New("write that a call was refused"), terr)
		}
	}
	return err
}

// open finds the token.
func (c *call) open() error {
	auth := c.r.Header.Values("Authorization")
	text, ok := "", false
	if len(auth) == 1 {
		var scheme string
		scheme, text, _ = strings.Cut(auth[0], " ")
		ok = strings.EqualFold(scheme, "Bearer")
	}
	t, err := Token{}, ErrToken
	if ok {
		t, err = c.Tokens.Token(c.r.Context(), text, c.Now())
	}
	if err == nil {
		c.who = t
		return nil
	}
	known := errors.Is(err, ErrExpired) || errors.Is(err, ErrRevoked)
	if !known && !errors.Is(err, ErrToken) {
		return err
	}
	if c.strange.Allow() {
		c.Log.WarnContext(c.r.Context(), "call without a good token", "call", c.what, "token", t.ID, "from", c.r.RemoteAddr, "why", err)
	}
	if known {
		return problem(http.StatusUnauthorized, codeEnded, "%v: ask whoever gave it for another (`holdfast token add`)", err)
	}
	return problem(http.StatusUnauthorized, codeToken, "no token that this node knows came with the call: send it as `Authorization: Bearer TOKEN`; `holdfast token add` on the node makes one")
}

// enter counts the call against the bounds of its token.
func (c *call) enter() (free func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.usage[c.who.ID]
	if u == nil {
		u = &usage{rate: rate.NewLimiter(perSecond, burst)}
		c.usage[c.who.ID] = u
	}
	if u.busy >= atOnce || !u.rate.Allow() {
		p := problem(http.StatusTooManyRequests, codeOften, "too many calls with this token: at most %d at once and %d a second; go on after a pause", atOnce, perSecond)
		p.retry = time.Second
		return nil, p
	}
	u.busy++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		u.busy--
	}, nil
}

// tell writes the line of Custody, before what is asked for is done.
func (c *call) tell(cases []holdfast.ID, objects ...string) error {
	if err := c.Custody.Called(c.r.Context(), Call{Who: c.who, What: c.what, Cases: cases, Objects: objects}); err != nil {
		return fmt.Errorf("write that the node was called: %w", err)
	}
	c.told = true
	return nil
}

// Serve answers on l until ctx ends, then lets what is under way end for ten seconds.
// certificate is nil for loopback alone.
func Serve(ctx context.Context, l net.Listener, h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log *slog.Logger) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return base }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo)}
	l = netutil.LimitListener(l, maxConns)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		grace, end := context.WithTimeout(base, 10*time.Second)
		defer end()
		if s.Shutdown(grace) != nil {
			cut()
			_ = s.Close() // what did not end in time is asked for again
		}
	})
	var err error
	if certificate != nil {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate}
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if !stop() {
		<-done
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
