package preserve

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"holdfast/rfc3161"
)

// StampTimeout is how long one authority may take to answer.
const StampTimeout = 10 * time.Second

// What an authority's answer can be refused for, besides the errors of package
// rfc3161, which say what is wrong with a reply or token as such.
var (
	ErrReply  = errors.New("no time-stamp reply")
	ErrNonce  = errors.New("token answers another request")
	ErrPolicy = errors.New("token has another policy than the one pinned")
	ErrIssuer = errors.New("token comes from another issuing CA than the one pinned")
	// ErrOpenLine: credentials are configured and the URL is not https.
	ErrOpenLine = errors.New("credentials are sent over https or to this machine only")
)

// An Authority is one RFC 3161 service as it is configured here. Whether it
// counts is for the verifier's Policy to say, never for this.
type Authority struct {
	Name     string // short, unique in a configuration; names the parts of a Seal
	Operator string // the legal entity that runs it
	URL      string
	Roots    []*x509.Certificate // a token must lead to one of these, and to no other
	// IssuerPin is the SHA-256, lowercase hex, of the SubjectPublicKeyInfo of the
	// CA that certified the signer. Optional: then any CA under Roots will do.
	IssuerPin string
	// PolicyPin is the dotted OID that tokens must state; it is also asked for.
	// Optional.
	PolicyPin string
	// Authorization is the value of that HTTP header, or "". It is sent over TLS
	// or to this machine only, and is never shown.
	Authorization Secret
	// Public authorities are strangers' servers, asked at a polite pace.
	Public bool
	// Issue answers in process, instead of the URL: the node's own authority.
	// Optional.
	Issue func(ctx context.Context, request []byte) []byte
}

// A Timestamp is a token that passed every check of [Client.Stamp].
type Timestamp struct {
	Token     *rfc3161.Token // Token.Raw is the bare token, DER as received
	Chain     rfc3161.Chain
	IssuerPin string // of Chain.Issuer, in the form of Authority.IssuerPin
	// Offset is how far the authority's clock is ahead of this node's: genTime
	// less the middle of the time between question and answer. It is exact to
	// the token's accuracy plus half of Took, and never a reason to refuse.
	Offset time.Duration
	Took   time.Duration // between question and answer
}

// A Client asks authorities. It is safe for concurrent use.
type Client struct {
	// HTTP carries the questions; a zero http.Client will do.
	HTTP *http.Client
	// Timeout bounds each question with its whole answer. Optional, default
	// [StampTimeout].
	Timeout time.Duration
	// Now is this node's clock. Optional, default time.Now.
	Now func() time.Time
}

// Stamp has a signature time-stamped by one authority: the imprint is the
// SHA-256 of the raw signature, the nonce 128 random bits. The answer is
// checked before it is returned: HTTP status, size, reply status, nonce,
// imprint, the signature with its certificate (RFC 3161 section 2.3), the pins,
// and the chain to the authority's own roots at genTime.
//
// Errors wrap one of this file's or of package rfc3161, or the context's
// (context.DeadlineExceeded: it did not answer in time).
func (c *Client) Stamp(ctx context.Context, a Authority, signature []byte) (*Timestamp, error) {
	ts, err := c.stamp(ctx, a, signature)
	if err != nil {
		return nil, fmt.Errorf("timestamp from %s: %w", a.Name, err)
	}
	return ts, nil
}

func (c *Client) stamp(ctx context.Context, a Authority, signature []byte) (*Timestamp, error) {
	q, err := NewQuery(a, signature)
	if err != nil {
		return nil, err
	}
	asked, begin := c.now(), time.Now() // the second one is monotonic: took survives a step of the clock
	reply, err := c.ask(ctx, a, q.der)
	if err != nil {
		return nil, err
	}
	took := time.Since(begin)
	ts, err := q.Accept(a, reply)
	if err != nil {
		return nil, err
	}
	ts.Took, ts.Offset = took, ts.Token.GenTime.Sub(asked.Add(took/2))
	return ts, nil
}

// ask returns the body of an answer that may be a reply.
func (c *Client) ask(ctx context.Context, a Authority, request []byte) ([]byte, error) {
	if a.Issue != nil {
		return a.Issue(ctx, request), nil
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = StampTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/timestamp-query")
	carrier := c.HTTP
	if a.Authorization != "" {
		if carrier, err = c.confidential(post.URL); err != nil {
			return nil, err
		}
		post.Header.Set("Authorization", string(a.Authorization))
	}
	resp, err := carrier.Do(post)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := acceptable(resp); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, rfc3161.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if len(body) > rfc3161.MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrReply, rfc3161.MaxSize)
	}
	return body, nil
}

// confidential returns a client that takes credentials to this one place: over
// TLS or to this machine, and to nowhere else that an answer redirects to.
func (c *Client) confidential(u *url.URL) (*http.Client, error) {
	if !Confidential(u) {
		return nil, ErrOpenLine
	}
	stays := *c.HTTP
	stays.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &stays, nil
}

// Confidential reports whether credentials may be sent to a URL: https, or
// loopback by its address.
func Confidential(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// acceptable refuses answers that say themselves that they are something else.
// Authorities are not all exact about the content type, and the bytes decide.
func acceptable(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: HTTP status %d: it wants credentials, or other ones (`authority add --auth FILE`)", ErrReply, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: HTTP status %d", ErrReply, resp.StatusCode)
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return nil // absent or unreadable
	}
	switch kind {
	case "application/timestamp-reply", "application/timestamp-response", "application/octet-stream":
		return nil
	}
	return fmt.Errorf("%w: content type %.80q", ErrReply, kind)
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}
