package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"holdfast"
)

// maxAnswer bounds what is read of an answer that is no Bundle.
const maxAnswer = 64 << 20

// patience is for how long a call is made again that did not come through.
const patience = 15 * time.Second

// Client asks a node. It may be used concurrently. An error of its methods is a
// [*Problem] where the node said no, and a [*LineError] where it could not be asked.
type Client struct {
	base     string
	token    string
	http     *http.Client
	patience time.Duration
}

// LineError says that the node could not be reached, or did not answer as one.
type LineError struct {
	Server string
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("cannot ask %s: %s; look whether this machine has a network, and whether the address is right", e.Server, plain(e.Err))
}

func (e *LineError) Unwrap() error { return e.Err }

// plain is an error without the address of the call, which is told already.
func plain(err error) string {
	u, dns, op := (*url.Error)(nil), (*net.DNSError)(nil), (*net.OpError)(nil)
	unknown, name, broken := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	record := tls.RecordHeaderError{}
	switch {
	case errors.As(err, &dns):
		return "the name " + dns.Name + " is not known"
	case errors.As(err, &unknown):
		return "nobody whom this machine trusts vouches for its certificate (--server-ca FILE names who does)"
	case errors.As(err, &name), errors.As(err, &broken):
		return "its certificate is not good: " + err.Error()[strings.LastIndex(err.Error(), "x509: ")+len("x509: "):]
	case errors.As(err, &record):
		return "it does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &u):
		return u.Err.Error()
	}
	return err.Error()
}

// NewClient checks the address: https, or http to this machine alone, since a token
// does not go in clear over a network. roots may be nil: those of the system.
func NewClient(server, token string, roots *x509.CertPool) (*Client, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("--server %.200q: give an address such as https://node.example.org:8017", server)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("--server: an address of host, port and path alone; the token goes into a file (--token-file) or HOLDFAST_TOKEN")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("--server %.200s: the token would go in clear over the network: give the https address", server)
	}
	if _, _, ok := split(token); !ok {
		return nil, errors.New("the token is none of `holdfast token add`: it begins with " + tokenPrefix + " and has 81 letters")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	t.ResponseHeaderTimeout = 0 // a Bundle is written before its first byte comes
	return &Client{base: strings.TrimRight(u.String(), "/"), token: token, patience: patience,
		http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Server is its address.
func (c *Client) Server() string { return c.base }

// Ask asks for captures. Made again with the same key, also after an error, it is the
// same ask.
func (c *Client) Ask(ctx context.Context, key string, a Ask) (asked Asked, err error) {
	_, _, err = c.call(ctx, http.MethodPost, "/v1/captures", a, map[string]string{"Idempotency-Key": key}, 0, &asked)
	return asked, err
}

// Asked says what has become of an ask. With a tag of an earlier answer it waits up
// to wait for a change; fresh is false where there was none.
func (c *Client) Asked(ctx context.Context, id holdfast.ID, tag string, wait time.Duration) (a Asked, next string, fresh bool, err error) {
	head := map[string]string{}
	path := "/v1/asks/" + string(id)
	if tag != "" {
		head["If-None-Match"] = tag
		path += "?wait=" + strconv.Itoa(int(wait/time.Second))
	}
	status, next, err := c.call(ctx, http.MethodGet, path, nil, head, wait, &a)
	if status == http.StatusNotModified {
		next = tag
	}
	return a, next, status == http.StatusOK, err
}

// Open are the asks of this token that are not done.
func (c *Client) Open(ctx context.Context) ([]Asked, error) {
	var all struct {
		Asks []Asked `json:"asks"`
	}
	_, _, err := c.call(ctx, http.MethodGet, "/v1/asks", nil, nil, 0, &all)
	return all.Asks, err
}

// List returns one page of captures; names of the query are those of the API.
func (c *Client) List(ctx context.Context, q url.Values) (p Page, err error) {
	_, _, err = c.call(ctx, http.MethodGet, "/v1/captures?"+q.Encode(), nil, nil, 0, &p)
	return p, err
}

// Capture says what is known of one.
func (c *Client) Capture(ctx context.Context, id holdfast.ID) (k Capture, err error) {
	_, _, err = c.call(ctx, http.MethodGet, "/v1/captures/"+string(id), nil, nil, 0, &k)
	return k, err
}

// Manifest returns the exact bytes of one.
func (c *Client) Manifest(ctx context.Context, id holdfast.ID, why string) (raw json.RawMessage, err error) {
	path := "/v1/captures/" + string(id) + "/manifest"
	if why != "" {
		path += "?" + url.Values{"why": {why}}.Encode()
	}
	_, _, err = c.call(ctx, http.MethodGet, path, nil, nil, 0, &raw)
	return raw, err
}

// AddWatches adds all or none. Made again it changes nothing more.
func (c *Client) AddWatches(ctx context.Context, a WatchAsk) (done WatchesAdded, err error) {
	_, _, err = c.call(ctx, http.MethodPost, "/v1/watches", a, nil, 0, &done)
	return done, err
}

// ChangeWatches changes all or none. Made again it changes nothing more, but that what was
// removed is not there any more.
func (c *Client) ChangeWatches(ctx context.Context, a WatchChange) (done WatchesChanged, err error) {
	_, _, err = c.call(ctx, http.MethodPost, "/v1/watches/changes", a, nil, 0, &done)
	return done, err
}

// Watches are those of the token's Cases.
func (c *Client) Watches(ctx context.Context) (all Watches, err error) {
	_, _, err = c.call(ctx, http.MethodGet, "/v1/watches", nil, nil, 0, &all)
	return all, err
}

// Bundle writes a Bundle to w, and says what is in it once all of it came and has the
// Digest that the node stated. It is not made again by itself: each is an export of
// its own in Custody.
func (c *Client) Bundle(ctx context.Context, a BundleAsk, caseName string, w io.Writer) (sum Summary, err error) {
	q := url.Values{}
	if caseName != "" {
		q.Set("case", caseName)
	}
	for _, id := range a.Captures {
		q.Add("capture", string(id))
	}
	for k, v := range map[string]string{"why": a.Why, "lang": a.Lang} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if a.Restricted {
		q.Set("restricted", "yes")
	}
	r, err := c.again(ctx, func() (*http.Response, error) { return c.send(ctx, http.MethodGet, "/v1/bundle?"+q.Encode(), nil, nil) })
	if err != nil {
		return sum, err
	}
	defer r.Body.Close()
	if err := c.problem(r); err != nil {
		return sum, err
	}
	if err := json.Unmarshal([]byte(r.Header.Get("Holdfast-Export")), &sum); err != nil {
		return sum, &LineError{c.base, errors.New("it answers, but not as a node of holdfast does")}
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r.Body, sum.Bytes))
	if err != nil || n != sum.Bytes {
		return sum, fmt.Errorf("the line broke after %d of %d bytes of the bundle: ask for it again", n, sum.Bytes)
	}
	if want := "sha-256=:" + base64.StdEncoding.EncodeToString(h.Sum(nil)) + ":"; r.Header.Get("Repr-Digest") != want {
		return sum, errors.New("the bundle came with other bytes than the node sent: ask for it again, and look at what is between")
	}
	return sum, nil
}

// call makes a call, again after a pause where it did not come through.
func (c *Client) call(ctx context.Context, method, path string, in any, head map[string]string, wait time.Duration, out any) (status int, tag string, err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return 0, "", err
		}
	}
	r, err := c.again(ctx, func() (*http.Response, error) {
		ctx, stop := context.WithTimeout(ctx, wait+stall)
		r, err := c.send(ctx, method, path, body, head)
		if err != nil {
			stop()
			return nil, err
		}
		defer stop()
		defer r.Body.Close()
		b, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
		r.Body = io.NopCloser(bytes.NewReader(b))
		return r, err
	})
	if err != nil {
		return 0, "", err
	}
	if r.StatusCode == http.StatusNotModified {
		return r.StatusCode, "", nil
	}
	if err := c.problem(r); err != nil {
		return r.StatusCode, "", err
	}
	if err := json.NewDecoder(r.Body).Decode(out); err != nil {
		return r.StatusCode, "", &LineError{c.base, errors.New("it answers, but not as a node of holdfast does")}
	}
	return r.StatusCode, r.Header.Get("ETag"), nil
}

func (c *Client) send(ctx context.Context, method, path string, body []byte, head map[string]string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range head {
		r.Header.Set(k, v)
	}
	return c.http.Do(r)
}

// again tries until an answer comes that is one, for as long as the patience lasts.
// What the node says to ask later counts as none.
func (c *Client) again(ctx context.Context, try func() (*http.Response, error)) (*http.Response, error) {
	r, err := backoff.Retry(ctx, func() (*http.Response, error) {
		r, err := try()
		if err != nil {
			if u := (*tls.CertificateVerificationError)(nil); errors.As(err, &u) || errors.As(err, new(tls.RecordHeaderError)) {
				return nil, backoff.Permanent(err)
			}
			return nil, err
		}
		switch r.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
			defer r.Body.Close()
			err := c.problem(r)
			if n, aerr := strconv.Atoi(r.Header.Get("Retry-After")); aerr == nil && n > 0 && n <= 60 {
				return nil, errors.Join(err, backoff.RetryAfter(n))
			}
			return nil, err
		}
		return r, nil
	}, backoff.WithMaxElapsedTime(c.patience))
	p := (*Problem)(nil)
	if permanent := (*backoff.PermanentError)(nil); errors.As(err, &permanent) {
		err = permanent.Err
	}
	if err != nil && errors.As(err, &p) {
		return nil, p
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &LineError{c.base, err}
	}
	return r, nil
}

// problem is what an answer that is no success says.
func (c *Client) problem(r *http.Response) error {
	if r.StatusCode >= 200 && r.StatusCode < 300 {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10)) // what came counts
	p := &Problem{}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(b, p) == nil && p.Detail != "" {
		p.Status = r.StatusCode
		return p
	}
	return &LineError{c.base, fmt.Errorf("it answers %s, and not as a node of holdfast does: is the address right?", r.Status)}
}
