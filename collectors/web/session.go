package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/web/secrets"
	"holdfast/warc"
)

// logIn gives the page's context the cookies of the session, and what it keeps of local
// storage. Nothing is visited before. Where all cookies have expired the session has ended;
// one without any has not.
func (t *tab) logIn(ctx context.Context, s *collectors.Session) error {
	if s == nil {
		return nil
	}
	if len(s.Cookies) > 0 {
		if err := t.giveCookies(ctx, s); err != nil {
			return err
		}
	}
	return t.furnish(ctx, s)
}

func (t *tab) giveCookies(ctx context.Context, s *collectors.Session) error {
	list := make([]*proto.NetworkCookieParam, 0, len(s.Cookies))
	for _, c := range s.Cookies {
		if c.Expires.IsZero() || c.Expires.After(time.Now()) {
			list = append(list, cookieParam(c))
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("use session %s: %w: all of its cookies have expired; import it anew", s.Name, collectors.ErrSession)
	}
	if err := (proto.StorageSetCookies{Cookies: list, BrowserContextID: t.context}).Call(t.top(ctx)); err != nil {
		if !errors.Is(err, errDead) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", collectors.ErrSession, err)
		}
		return fmt.Errorf("use session %s: the browser does not take its cookies: %w", s.Name, err)
	}
	// It passes over one that it will not have, and says nothing.
	got, err := proto.StorageGetCookies{BrowserContextID: t.context}.Call(t.top(ctx))
	if err != nil {
		return fmt.Errorf("use session %s: %w", s.Name, err)
	}
	if len(got.Cookies) < len(list) {
		return fmt.Errorf("use session %s: %w: the browser took %d of %d cookies; import it anew", s.Name, collectors.ErrSession, len(got.Cookies), len(list))
	}
	return nil
}

// cookieParam says it in the browser's words: a cookie of one host is set by an address,
// one of a domain by its name.
func cookieParam(c collectors.Cookie) *proto.NetworkCookieParam {
	p := &proto.NetworkCookieParam{Name: c.Name, Value: c.Value, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: proto.NetworkCookieSameSite(c.SameSite)}
	if c.HostOnly {
		p.URL = "http://" + c.Domain + c.Path
		if c.Secure {
			p.URL = "https://" + c.Domain + c.Path
		}
	} else {
		p.Domain = "." + c.Domain
	}
	if !c.Expires.IsZero() {
		p.Expires = proto.TimeSinceEpoch(c.Expires.Unix())
	}
	return p
}

// leastPart is how long a part of a value is at least that is looked for by itself.
const leastPart = 16

// secrets are what gives access in this capture: the session's cookies and local storage,
// and what servers set, the page sent and stored since. Those of the session come first;
// left says how many of the others are too many to be looked for.
func (x *capture) secrets() (set *secrets.Set, left int, err error) {
	var values []string
	add := func(v string) {
		v = strings.Trim(strings.TrimSpace(v), `"`)
		values = append(values, v)
		for _, part := range strings.FieldsFunc(v, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_+/=.", r)
		}) {
			if len(part) >= leastPart {
				values = append(values, part)
			}
		}
	}
	for _, c := range x.req.Session.Cookies {
		add(c.Value)
	}
	values = append(values, storageSecrets(x.req.Session.Origins)...)
	own := len(values)
	values = append(values, x.stored...)
	for _, e := range append(x.rec.exchanges[:len(x.rec.exchanges):len(x.rec.exchanges)], x.rec.failures...) {
		for _, f := range e.fields {
			if strings.EqualFold(f.Name, "Set-Cookie") {
				_, v, _ := strings.Cut(f.Value, "=")
				v, _, _ = strings.Cut(v, ";")
				add(v)
			}
		}
		head, err := e.request.readHead()
		if err != nil {
			return nil, 0, err
		}
		for _, f := range head.Fields {
			if !strings.EqualFold(f.Name, "Cookie") {
				values = append(values, secrets.OfField(f.Name, f.Value)...)
				continue
			}
			for pair := range strings.SplitSeq(f.Value, ";") {
				_, v, _ := strings.Cut(pair, "=")
				add(v)
			}
		}
	}
	slices.Sort(values[own:])
	set, left = secrets.New(slices.Compact(values)...)
	return set, left, nil
}

// readHead reads the message head back; one that is none has no fields.
func (s *spool) readHead() (warc.Head, error) {
	in, err := s.open()
	if err != nil {
		return warc.Head{}, err
	}
	defer in.Close()
	h, _ := warc.ReadHead(bufio.NewReader(in), maxHead)
	return h, nil
}
