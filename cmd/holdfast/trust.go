package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"holdfast"
	"holdfast/authorities"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// openTrust reads policy.json, which the first token makes.
func (n *node) openTrust() (*preserve.Trust, error) {
	p, certs, err := n.readTrust()
	if err != nil {
		return nil, err
	}
	return preserve.NewTrust(p, certs, n.savePolicy), nil
}

func (n *node) readTrust() (*holdfast.Policy, []*x509.Certificate, error) {
	p := &holdfast.Policy{Kind: "policy", Version: holdfast.Version, Training: n.set.Training, Quorum: n.set.Operators(),
		Nodes: n.entries(), Authorities: []holdfast.Authority{}}
	others, err := n.colleagues()
	if err != nil {
		return nil, nil, err
	}
	p.Nodes = append(p.Nodes, others...)
	b, err := os.ReadFile(n.path(nodedir.FilePolicy))
	if err == nil {
		var was *holdfast.Policy
		if was, err = holdfast.ParsePolicy(b); err == nil {
			p.Authorities = was.Authorities
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", n.path(nodedir.FilePolicy), err)
	}
	certs, err := n.authorities().Roots()
	return p, certs, err
}

// savePolicy joins p with what other processes have saved since this one read
// the file: no pin and no end is lost. What is saved counts from the next open.
func (n *node) savePolicy(ctx context.Context, p *holdfast.Policy) error {
	unlock, err := filelock.Wait(ctx, n.path("policy.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	joined := *p
	b, err := os.ReadFile(n.path(nodedir.FilePolicy))
	if err == nil {
		was, err := holdfast.ParsePolicy(b)
		if err != nil {
			return fmt.Errorf("read %s: %w", n.path(nodedir.FilePolicy), err)
		}
		joined.Authorities = authorities.Join(was.Authorities, p.Authorities)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", n.path(nodedir.FilePolicy), err)
	}
	if b, err = joined.Encode(); err != nil {
		return err
	}
	return wholefile.Replace(n.path(nodedir.FilePolicy), b, 0o600)
}

// reloadTrust takes up what other processes have pinned or ended since this one
// read policy.json.
func (n *node) reloadTrust() error {
	if err := n.reloadKeys(context.Background()); err != nil {
		return err
	}
	return n.trust.Change(n.readTrust)
}

func (n *node) policy() (*holdfast.Policy, error) {
	if err := n.reloadTrust(); err != nil {
		return nil, err
	}
	p := n.trust.Policy()
	_, err := p.Encode()
	return p, err
}

func (n *node) certificates() []*x509.Certificate { return n.trust.Material().Certs }

// authorities are those that the node asks, and asked.
func (n *node) authorities() *authorities.Book {
	return &authorities.Book{Dir: n.dir, Log: n.log}
}

// asked returns the authorities that are asked now, with the Policy's pins.
func (n *node) asked() (as []preserve.Authority, public bool, err error) {
	return n.authorities().Asked(n.trust.Policy())
}

// endAuthority sets `until` on the Policy's entries of gone's roots, if no other
// authority of its operator in list uses them.
func (n *node) endAuthority(ctx context.Context, list []authorities.Entry, gone authorities.Entry) error {
	ends, err := gone.RootKeys()
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Removed != nil || e.Operator != gone.Operator {
			continue
		}
		kept, err := e.RootKeys()
		if err != nil {
			return err
		}
		maps.DeleteFunc(ends, func(k hashing.Digest, _ bool) bool { return kept[k] })
	}
	if err := n.reloadTrust(); err != nil {
		return err
	}
	return n.trust.Change(func() (*holdfast.Policy, []*x509.Certificate, error) {
		p := *n.trust.Policy()
		p.Authorities = slices.Clone(p.Authorities)
		for i, a := range p.Authorities {
			if a.Operator == gone.Operator && ends[a.Root] && a.Until == nil {
				p.Authorities[i].Until = gone.Removed
			}
		}
		return &p, n.certificates(), n.savePolicy(ctx, &p)
	})
}

// tryAuthority asks for one token, so that a wrong URL or root shows at once and
// the issuing CA is pinned.
func (n *node) tryAuthority(ctx context.Context, name string) error {
	as, _, err := n.asked()
	if err != nil {
		return err
	}
	for _, a := range as {
		if a.Name == name {
			_, err := n.stamp(ctx, a)
			return err
		}
	}
	return fmt.Errorf("authority %s is not asked", name)
}

func (n *node) stamp(ctx context.Context, a preserve.Authority) (*preserve.Timestamp, error) {
	err := n.trust.Change(func() (*holdfast.Policy, []*x509.Certificate, error) {
		certs, err := n.authorities().Roots()
		return n.trust.Policy(), certs, err
	})
	if err != nil {
		return nil, err
	}
	ts, err := newClient().Stamp(ctx, a, []byte(holdfast.NewNonce()))
	if err != nil {
		return nil, err
	}
	return ts, n.trust.Pin(ctx, a, ts)
}
