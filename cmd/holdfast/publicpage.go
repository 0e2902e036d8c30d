package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/pipeline"
	"holdfast/tme"
)

// roleMissing is the role of what says that a post's public page had none.
const roleMissing = "missing-post"

// publicSite is where Telegram's public pages are. What came from elsewhere is a
// page as any, whatever it says of itself.
type publicSite struct {
	base  string   // https://host; "": another service stands in, which has no pages
	hosts []string // all that count, with a port that is not 443
}

// publicSite is t.me, or what holdfast.yaml says stands in for it.
func (n *node) publicSite() (publicSite, error) {
	conf, err := n.config()
	switch {
	case err != nil:
		return publicSite{}, err
	case conf.Telegram.Web == "" && conf.Telegram.Servers != "":
		return publicSite{"", tme.Hosts()}, nil // a name there is another channel than here
	case conf.Telegram.Web == "":
		return publicSite{tme.Base, tme.Hosts()}, nil
	}
	u, err := url.Parse(conf.Telegram.Web)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return publicSite{}, errors.New("telegram: web is not https://HOST[:PORT]")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Host, ":443"))
	return publicSite{"https://" + host, append(tme.Hosts(), host)}, nil
}

// page reads what came from an address. ok is false for what is no page of a
// channel's; an error is about one that should be. A panic of the reader is one: a
// page must not take the capture down with it, now and each time it is tried again.
func (s publicSite) page(address string, verified bool, source func() (io.ReadCloser, error)) (p *tme.Page, ok bool, err error) {
	at, ok := tme.ParseAddress(address, s.hosts)
	if !ok || !verified {
		return nil, false, nil
	}
	r, err := source()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	defer r.Close()
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("panic: %v: %w", r, tme.ErrPage)
		}
	}()
	b, err := io.ReadAll(io.LimitReader(r, tme.MaxPage+1))
	if err != nil {
		return nil, true, err
	}
	p, err = tme.Read(b, at)
	return p, true, err
}

// posts derives what a public page of Telegram's says of posts: from the bytes as
// they were received, if they came over a connection whose certificate verified.
// The received time is when the Capture began: the answer came after it, and what
// is said to be gone meanwhile is gone.
func (w *webNormaliser) posts(c *pipeline.Captured, open func(string) (io.ReadCloser, error), room int) (*pipeline.Derived, error) {
	m := &c.Manifest
	if m.Web == nil || m.Completeness.Outcome == string(collectors.Failed) {
		return nil, nil
	}
	site, err := w.site()
	if err != nil {
		return nil, err
	}
	final := string(m.Web.Final)
	p, ok, err := site.page(final, verified(m.Collection.Server), func() (io.ReadCloser, error) { return open("source.html") })
	if err != nil || !ok {
		return nil, err
	}
	l := tme.Lines{Address: final, Received: m.Started.String(), Training: m.Training, Most: room}
	o := pipeline.DerivedObject{Name: "posts.jsonl", Role: catalog.RolePosts, Type: "application/jsonl"}
	if p.Missing {
		o = pipeline.DerivedObject{Name: "missing.json", Role: roleMissing, Type: "application/json"}
		o.Bytes, err = l.Missing(p)
	} else {
		o.Bytes, err = l.Encode(p)
	}
	if err != nil || o.Bytes == nil {
		return nil, err
	}
	return &pipeline.Derived{Objects: []pipeline.DerivedObject{o},
		Transformations: []holdfast.Transformation{{Output: o.Name, Inputs: []string{"source.html"}, Action: "read a public page of Telegram", Tool: "holdfast " + version}}}, nil
}

func verified(s *holdfast.Server) bool { return s != nil && s.TLS != nil && s.TLS.Verdict == "ok" }

// pageOf reads the page that a Collector has just received.
func (n *node) pageOf(ctx context.Context, a *collectors.Acquired) (p *tme.Page, ok bool, err error) {
	site, err := n.publicSite()
	if err != nil || a.Outcome == collectors.Failed {
		return nil, false, err
	}
	t := a.Collection.Peer.TLS
	return site.page(a.Address.Final, t != nil && t.Verified, func() (io.ReadCloser, error) {
		for _, o := range a.Objects {
			switch {
			case o.Name != "source.html":
			case o.Kept:
				r, _, err := n.store.Open(ctx, o.Digest)
				return r, err
			default:
				return io.NopCloser(bytes.NewReader(o.Inline)), nil
			}
		}
		return nil, fmt.Errorf("source.html: %w", fs.ErrNotExist)
	})
}
