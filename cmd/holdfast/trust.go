package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"holdfast"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/preserve"
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
	p := &holdfast.Policy{Kind: "policy", Version: holdfast.Version, Training: n.set.Training, Quorum: n.set.quorum(),
		Nodes: n.entries(), Authorities: []holdfast.Authority{}}
	others, err := n.colleagues()
	if err != nil {
		return nil, nil, err
	}
	p.Nodes = append(p.Nodes, others...)
	b, err := os.ReadFile(n.path(filePolicy))
	if err == nil {
		var was *holdfast.Policy
		if was, err = holdfast.ParsePolicy(b); err == nil {
			p.Authorities = was.Authorities
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", n.path(filePolicy), err)
	}
	certs, err := n.allRoots()
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
	b, err := os.ReadFile(n.path(filePolicy))
	if err == nil {
		was, err := holdfast.ParsePolicy(b)
		if err != nil {
			return fmt.Errorf("read %s: %w", n.path(filePolicy), err)
		}
		joined.Authorities = joinAuthorities(was.Authorities, p.Authorities)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", n.path(filePolicy), err)
	}
	if b, err = joined.Encode(); err != nil {
		return err
	}
	return writeFile(n.path(filePolicy), b)
}

// joinAuthorities adds to saved what ours has more: entries, and ends. Two
// processes may pin one authority at the same moment; the first stands.
func joinAuthorities(saved, ours []holdfast.Authority) []holdfast.Authority {
	joined := slices.Clone(saved)
	for _, a := range ours {
		i := slices.IndexFunc(joined, func(b holdfast.Authority) bool {
			same := a.Operator == b.Operator && a.Root == b.Root && a.Policy == b.Policy && (a.Issuer == nil) == (b.Issuer == nil) && (a.Issuer == nil || *a.Issuer == *b.Issuer)
			return same && (a.From.Equal(b.From.Time) || a.Until == nil && b.Until == nil)
		})
		switch {
		case i < 0:
			joined = append(joined, a)
		case joined[i].Until == nil:
			joined[i].Until = a.Until
		}
	}
	return joined
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

// noAuthorities: init writes the list, empty, so a list that is not there was
// lost. An office that asks only its own would begin to ask strangers.
type noAuthorities struct{}

func (noAuthorities) Error() string {
	return fileAuthorities + " is lost, so nobody is asked: copy it back from a mirror (DIR/node/" + fileAuthorities +
		"); if this node never had authorities of its own and the public defaults are wanted, write `[]` into it"
}

// authorityEntries returns the configured authorities; known is false while the
// public defaults are in use.
func (n *node) authorityEntries() (list []authorityEntry, known bool, err error) {
	err = readJSON(n.path(fileAuthorities), &list)
	if errors.Is(err, fs.ErrNotExist) || err == nil && list == nil {
		return nil, false, noAuthorities{}
	}
	return list, len(list) > 0, err
}

// authoritiesShown adds the defaults while they are in use.
func (n *node) authoritiesShown() (list []authorityEntry, defaults bool, err error) {
	list, known, err := n.authorityEntries()
	if err != nil || known {
		return list, false, err
	}
	as, err := preserve.Defaults()
	for _, a := range as {
		var roots []byte
		for _, r := range a.Roots {
			roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Raw})...)
		}
		list = append(list, authorityEntry{Name: a.Name, Operator: a.Operator, URL: a.URL, Public: a.Public, Roots: string(roots)})
	}
	return list, true, err
}

// asked returns the authorities that are asked now, with the Policy's pins.
func (n *node) asked() (as []preserve.Authority, public bool, err error) {
	list, _, err := n.authoritiesShown()
	if err != nil {
		return nil, false, err
	}
	for _, e := range list {
		if e.Removed != nil {
			continue
		}
		roots, err := parseCertificates([]byte(e.Roots))
		if err != nil {
			return nil, false, fmt.Errorf("read roots of authority %s: %w", e.Name, err)
		}
		public = public || e.Public
		as = append(as, preserve.Pinned(n.trust.Policy(), preserve.Authority{Name: e.Name, Operator: e.Operator, URL: e.URL, Roots: roots, Public: e.Public, Authorization: n.credentials(e)}))
	}
	return as, public, nil
}

// allRoots collects the roots of every authority that was ever asked. With the
// list lost less is shown as sealed, and the node opens.
func (n *node) allRoots() (cs []*x509.Certificate, err error) {
	list, known, err := n.authorityEntries()
	if err != nil && !errors.Is(err, noAuthorities{}) {
		return nil, err
	}
	defaults, err := preserve.Defaults()
	for _, a := range defaults {
		cs = append(cs, a.Roots...)
	}
	if !known || err != nil {
		return cs, err
	}
	for _, e := range list {
		roots, err := parseCertificates([]byte(e.Roots))
		if err != nil {
			return nil, fmt.Errorf("read roots of authority %s: %w", e.Name, err)
		}
		cs = append(cs, roots...)
	}
	return cs, nil
}

// endAuthority sets `until` on the Policy's entries of gone's roots, if no other
// authority of its operator in list uses them.
func (n *node) endAuthority(ctx context.Context, list []authorityEntry, gone authorityEntry) error {
	ends, err := rootKeys(gone)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Removed != nil || e.Operator != gone.Operator {
			continue
		}
		kept, err := rootKeys(e)
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

// rootKeys are the digests by which a Policy knows an authority's roots.
func rootKeys(e authorityEntry) (map[hashing.Digest]bool, error) {
	cs, err := parseCertificates([]byte(e.Roots))
	if err != nil {
		return nil, fmt.Errorf("read roots of authority %s: %w", e.Name, err)
	}
	keys := map[hashing.Digest]bool{}
	for _, c := range cs {
		keys[hashing.Of(c.RawSubjectPublicKeyInfo)] = true
	}
	return keys, nil
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
		certs, err := n.allRoots()
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
