package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/hashing"
	"holdfast/pipeline"
	queuedb "holdfast/pipeline/sqlite"
	"holdfast/preserve"
	"holdfast/storage/file"
)

// node is an open data directory. Several processes may have it open; only the
// one with preserve.lock seals (see sealing).
type node struct {
	dir    string
	set    *settings
	facts  pipeline.Facts
	log    *slog.Logger
	store  *file.Store
	queue  *queuedb.Queue
	cat    *catalogdb.Catalog
	outbox *pipeline.Outbox
	signer preserve.Signer
	trust  *preserve.Trust
	index  *pipeline.Index
}

// open opens the node with its catalog.
func (c *cli) open(ctx context.Context) (*node, error) {
	n, err := c.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if n.cat, err = catalogdb.Open(ctx, n.path("catalog.db"), catalogdb.Options{}); err != nil {
		n.Close()
		return nil, err
	}
	n.index = &pipeline.Index{Queue: n.queue, Indexer: &indexer{n.cat, n.store, n.log}, Prune: n.queue, Log: n.log}
	if err := n.begin(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// openStore opens everything but the catalog, which rebuild makes again.
func (c *cli) openStore(ctx context.Context) (*node, error) {
	set, err := readSettings(c.data)
	if err != nil {
		return nil, err
	}
	n := &node{dir: c.data, set: set, log: c.log()}
	if err := n.openParts(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) openParts(ctx context.Context) (err error) {
	if n.facts, err = n.set.facts(n.dir); err != nil {
		return err
	}
	if n.store, err = file.Open(n.path("store"), file.Options{Log: n.log}); err != nil {
		return err
	}
	if n.queue, err = queuedb.Open(ctx, n.path("queue.db"), queuedb.Options{}); err != nil {
		return err
	}
	if n.outbox, err = pipeline.OpenOutbox(n.path("outbox"), n.facts, n.queue, n.log); err != nil {
		return err
	}
	if n.set.Key == "" {
		n.signer, err = preserve.OpenKey(n.path(fileSealKey))
	} else {
		n.signer, err = preserve.OpenKMS(ctx, n.set.Key)
	}
	if err != nil {
		return err
	}
	n.trust, err = n.openTrust()
	return err
}

// begin opens the Case for what is filed nowhere, once in a node's life, and
// publishes what a crash left in the outbox.
func (n *node) begin(ctx context.Context) error {
	if _, err := n.outbox.Head(ctx, n.set.Unfiled); errors.Is(err, fs.ErrNotExist) {
		if err := n.openCase(ctx, n.set.Unfiled, "unfiled"); err != nil {
			return err
		}
		return n.event(ctx, "key-made", []string{holdfast.KeyID(n.signer.SPKI())})
	}
	return n.outbox.Recover(ctx, false)
}

// Close frees what is open; a node needs no Close to be safe.
func (n *node) Close() {
	if n.cat != nil {
		n.cat.Close()
	}
	if n.queue != nil {
		n.queue.Close()
	}
	if n.store != nil {
		n.store.Close()
	}
}

// facts are what every Manifest says of the node: the program by its own
// digest, the configuration by that of node.json.
func (s *settings) facts(dir string) (pipeline.Facts, error) {
	conf, err := os.ReadFile(filepath.Join(dir, fileSettings))
	if err != nil {
		return pipeline.Facts{}, fmt.Errorf("read settings: %w", err)
	}
	sw, err := software()
	return pipeline.Facts{Node: s.Name, Training: s.Training, Software: sw, Config: hashing.Of(conf), Clock: holdfast.Clock{Source: "node"}}, err
}

// software names this program by the bytes that are running.
func software() (holdfast.Software, error) {
	sw := holdfast.Software{Name: "holdfast", Version: version}
	path, err := os.Executable()
	if err != nil {
		return sw, fmt.Errorf("find this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return sw, fmt.Errorf("read this program: %w", err)
	}
	defer f.Close()
	sw.Digest, _, err = hashing.Copy(io.Discard, f)
	return sw, err
}

// entry is the node's own entry in a Policy. Its key counts from a day before
// it was made: a clock that was ahead then must not spoil the first Seals.
func (n *node) entry() holdfast.PolicyNode {
	from := holdfast.At(n.set.Created.Add(-24 * time.Hour))
	return holdfast.PolicyNode{Name: n.set.Name, Log: holdfast.PolicyLog{Key: n.set.VKey, Origin: n.set.Name},
		Keys: []holdfast.PolicyKey{{SPKI: n.signer.SPKI(), From: from}}}
}

func (n *node) fingerprint() (string, error) {
	e := n.entry()
	b, err := e.Encode()
	return hashing.Of(b).Hex(), err
}

// openTrust reads policy.json, which the first token makes.
func (n *node) openTrust() (*preserve.Trust, error) {
	p := &holdfast.Policy{Kind: "policy", Version: holdfast.Version, Training: n.set.Training, Quorum: max(n.set.Quorum, 1),
		Nodes: []holdfast.PolicyNode{n.entry()}, Authorities: []holdfast.Authority{}}
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
		return nil, fmt.Errorf("read %s: %w", n.path(filePolicy), err)
	}
	certs, err := n.allRoots()
	if err != nil {
		return nil, err
	}
	return preserve.NewTrust(p, certs, n.savePolicy), nil
}

func (n *node) savePolicy(_ context.Context, p *holdfast.Policy) error {
	b, err := p.Encode()
	if err != nil {
		return err
	}
	return writeFile(n.path(filePolicy), b)
}

func (n *node) policy() (*holdfast.Policy, error) {
	p := n.trust.Policy()
	_, err := p.Encode()
	return p, err
}

func (n *node) certificates() []*x509.Certificate { return n.trust.Material().Certs }

// authorityEntries returns the configured authorities; known is false while the
// public defaults are in use.
func (n *node) authorityEntries() (list []authorityEntry, known bool, err error) {
	err = readJSON(n.path(fileAuthorities), &list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
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
		as = append(as, preserve.Pinned(n.trust.Policy(), preserve.Authority{Name: e.Name, Operator: e.Operator, URL: e.URL, Roots: roots, Public: e.Public}))
	}
	return as, public, nil
}

// allRoots collects the roots of every authority that was ever asked.
func (n *node) allRoots() (cs []*x509.Certificate, err error) {
	list, known, err := n.authorityEntries()
	if err != nil {
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

// endAuthority sets `until` on the Policy's entries of an operator's roots, if
// no other authority of the operator uses them.
func (n *node) endAuthority(ctx context.Context, gone authorityEntry, at holdfast.Time) error {
	list, _, err := n.authorityEntries()
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Removed == nil && e.Operator == gone.Operator {
			return nil
		}
	}
	p := *n.trust.Policy()
	p.Authorities = append([]holdfast.Authority{}, p.Authorities...)
	for i := range p.Authorities {
		if p.Authorities[i].Operator == gone.Operator && p.Authorities[i].Until == nil {
			p.Authorities[i].Until = &at
		}
	}
	if err := n.savePolicy(ctx, &p); err != nil {
		return err
	}
	n.trust.Set(&p, n.certificates())
	return nil
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
	certs, err := n.allRoots()
	if err != nil {
		return nil, err
	}
	n.trust.Set(n.trust.Policy(), certs)
	ts, err := newClient().Stamp(ctx, a, []byte(holdfast.NewNonce()))
	if err != nil {
		return nil, err
	}
	return ts, n.trust.Pin(ctx, a, ts)
}

// event writes a custody line of the node's own affairs, into `unfiled`.
func (n *node) event(ctx context.Context, action string, objects []string) error {
	_, err := n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: action, Agent: n.set.Agent, Objects: objects})
	return err
}

func (n *node) openCase(ctx context.Context, id holdfast.ID, name string) error {
	x, err := canon.Marshal(struct {
		Name string `json:"name"`
	}{name})
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: "opened", Agent: n.set.Agent, X: x})
	return err
}

// caseNamed finds a Case, or makes it. The lock keeps two processes from making
// two Cases of one name; the index is drained first, so a Case that another
// process has just made is seen.
func (n *node) caseNamed(ctx context.Context, name string) (holdfast.ID, error) {
	if name == "" {
		return n.set.Unfiled, nil
	}
	if len(name) > 200 {
		return "", usageError("--case: a name has at most 200 bytes")
	}
	unlock, err := lockFile(ctx, n.path("cases.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := n.refresh(ctx); err != nil {
		return "", err
	}
	cs, err := n.cat.Case(ctx, name)
	if err == nil {
		return cs.ID, nil
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return "", err
	}
	id := holdfast.NewID()
	if err := n.openCase(ctx, id, name); err != nil {
		return "", err
	}
	return id, n.refresh(ctx)
}

// refresh brings the catalog up to what the queue has.
func (n *node) refresh(ctx context.Context) error {
	if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers(), Log: n.log}).Drain(ctx); err != nil {
		return fmt.Errorf("normalise: %w", err)
	}
	_, err := n.index.Drain(ctx)
	return err
}
