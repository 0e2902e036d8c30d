package sealtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/authority"
	"holdfast/storage/file"
	"holdfast/wholefile"
)

// NodeOptions of a test node; the zero value is good.
type NodeOptions struct {
	Authorities []*Authority                        // default: alpha, beta, gamma
	Quorum      int                                 // default 2
	Wait        time.Duration                       // for the quorum; default 10 s
	Dir         string                              // of a node that was made before; default: a new one
	Store       func(preserve.Store) preserve.Store // wraps the node's store, to make writes fail
	Unpinned    bool                                // the Policy begins without authorities
	Offline     bool                                // no authority is asked
	HTTP        http.RoundTripper                   // carries the questions; default: the network
	Retry       time.Duration                       // first back-off of an authority that failed; default 20 ms
	MaxRetry    time.Duration                       // and its longest; default 100 ms
	Late        func(seal string)                   // is told of later tokens
}

// Node is everything that seals, in one directory, as a training node: store,
// keys, log, own authority, and a quorum of authorities that run in this
// process. It is closed by the test's cleanup.
type Node struct {
	Name        string
	Dir         string
	Case        holdfast.ID
	Files       *file.Store    // the store itself
	Store       preserve.Store // what the Sealer writes to
	Signer      preserve.Signer
	Tlog        *preserve.Tlog
	Trust       *preserve.Trust
	Quorum      *preserve.Quorum
	Sealer      *preserve.Sealer
	Judge       *preserve.Judge
	Authorities []*Authority

	o     NodeOptions
	t     testing.TB
	mu    sync.Mutex
	clock func(preserve.Drift)
}

// NewNode makes a node, or opens the one in o.Dir again, as after a crash.
func NewNode(t testing.TB, o NodeOptions) *Node {
	t.Helper()
	n, err := OpenNode(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// OpenNode is NewNode for tests that expect an error.
func OpenNode(t testing.TB, o NodeOptions) (*Node, error) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Authorities == nil {
		for _, operator := range []string{"alpha", "beta", "gamma"} {
			o.Authorities = append(o.Authorities, NewAuthority(t, operator))
		}
	}
	if o.Quorum == 0 {
		o.Quorum = 2
	}
	n := &Node{Dir: o.Dir, Case: holdfast.ID("0123456789abcdef0123456789abcdef"), Authorities: o.Authorities, o: o, t: t}
	if err := n.open(t.Context()); err != nil {
		n.Close()
		return nil, err
	}
	t.Cleanup(n.Close)
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	if n.Files, err = file.Open(filepath.Join(n.Dir, "store"), file.Options{MinFree: -1}); err != nil {
		return err
	}
	n.Store = n.Files
	if n.o.Store != nil {
		n.Store = n.o.Store(n.Files)
	}
	skey, err := n.keys()
	if err != nil {
		return err
	}
	n.Tlog, err = preserve.OpenTlog(ctx, preserve.TlogOptions{
		Dir: filepath.Join(n.Dir, "log"), Key: skey, Store: n.Store,
		Birth: holdfast.Birth{Keys: []holdfast.SPKI{{SPKI: n.Signer.SPKI()}}, Training: true},
	})
	if err != nil {
		return err
	}
	n.Name = n.Tlog.Origin()
	return n.wire()
}

// keys opens the node's keys, or draws them.
func (n *Node) keys() (skey string, err error) {
	seal, log := filepath.Join(n.Dir, "TRAINING-seal.pem"), filepath.Join(n.Dir, "log.key")
	if _, err := os.Stat(log); err != nil {
		_, skey, _, err := preserve.NewLogKey("sealtest")
		if err != nil {
			return "", err
		}
		text, err := preserve.NewKey(true)
		if err != nil {
			return "", err
		}
		if err := errors.Join(wholefile.Create(seal, text), wholefile.Create(log, preserve.LogKeyText(skey))); err != nil {
			return "", err
		}
	}
	text, err := wholefile.ReadSecret(seal)
	if err != nil {
		return "", err
	}
	if n.Signer, err = preserve.ParseKey(seal, text); err != nil {
		return "", err
	}
	text, err = wholefile.ReadSecret(log)
	return preserve.ParseLogKey(text), err
}

func (n *Node) wire() error {
	own, err := authority.Open(filepath.Join(n.Dir, "own"), authority.Options{Operator: "sealtest", Training: true})
	if err != nil {
		return err
	}
	certs := []*x509.Certificate{own.Root()}
	var asked []preserve.Authority
	for _, a := range n.Authorities {
		certs = append(certs, a.Roots...)
		asked = append(asked, a.Config())
	}
	n.Trust = preserve.NewTrust(n.policy(), certs, nil)
	n.Quorum, err = preserve.NewQuorum(preserve.QuorumOptions{
		Authorities: asked,
		Own:         &preserve.Authority{Name: preserve.OwnName, Operator: "sealtest", Roots: []*x509.Certificate{own.Root()}, Issue: own.Issue},
		Client:      &preserve.Client{HTTP: &http.Client{Transport: n.o.HTTP}, Timeout: n.o.Wait},
		Trust:       n.Trust, Store: n.Store, Wait: n.o.Wait, Offline: n.o.Offline, Newest: filepath.Join(n.Dir, "newest.tst"),
		Retry: cmp.Or(n.o.Retry, 20*time.Millisecond), MaxRetry: cmp.Or(n.o.MaxRetry, 100*time.Millisecond), Clock: n.tellClock, Late: n.o.Late,
	})
	if err != nil {
		return err
	}
	n.Judge = &preserve.Judge{Store: n.Store, Trust: n.Trust}
	n.Sealer = n.SealerOf(n.Tlog)
	return nil
}

// WatchClock has f told of what the tokens show of this machine's clock.
func (n *Node) WatchClock(f func(preserve.Drift)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock = f
}

func (n *Node) tellClock(d preserve.Drift) {
	n.mu.Lock()
	f := n.clock
	n.mu.Unlock()
	if f != nil {
		f(d)
	}
}

// SealerOf returns a sealer of this node that writes to another log.
func (n *Node) SealerOf(log preserve.Appender) *preserve.Sealer {
	return preserve.NewSealer(preserve.Options{
		Node: n.Name, Training: true, Config: hashing.Of([]byte("config")),
		Software: holdfast.Software{Digest: hashing.Of([]byte("sealtest")), Name: "sealtest", Version: "1"},
		Signer:   n.Signer, Tlog: log, Store: n.Store, Quorum: n.Quorum,
	})
}

func (n *Node) policy() *holdfast.Policy {
	p := &holdfast.Policy{
		Authorities: []holdfast.Authority{}, Kind: "policy", Quorum: n.o.Quorum, Training: true, Version: holdfast.Version,
		Nodes: []holdfast.PolicyNode{n.Entry()},
	}
	if n.o.Unpinned {
		return p
	}
	for _, a := range n.Authorities {
		issuer := hashing.Of(a.Issuer().RawSubjectPublicKeyInfo)
		p.Authorities = append(p.Authorities, holdfast.Authority{
			From: holdfast.At(time.Now().AddDate(-1, 0, 0)), Issuer: &issuer, Operator: a.Operator, Policy: Policy,
			Root: hashing.Of(a.Roots[0].RawSubjectPublicKeyInfo),
		})
	}
	return p
}

// Entry is the node's own entry in a Policy.
func (n *Node) Entry() holdfast.PolicyNode {
	return holdfast.PolicyNode{
		Keys: []holdfast.PolicyKey{{From: holdfast.At(time.Now().AddDate(-1, 0, 0)), SPKI: n.Signer.SPKI()}},
		Log:  holdfast.PolicyLog{Key: n.Tlog.VKey(), Origin: n.Name},
		Name: n.Name,
	}
}

// Close stops the node, as its end of life or before it is opened again.
func (n *Node) Close() {
	if n.Quorum != nil {
		n.Quorum.Close()
	}
	if n.Tlog != nil {
		if err := n.Tlog.Close(); err != nil {
			n.t.Errorf("sealtest: %v", err)
		}
	}
	if n.Files != nil {
		if err := n.Files.Close(); err != nil {
			n.t.Errorf("sealtest: %v", err)
		}
	}
	n.Quorum, n.Tlog, n.Files = nil, nil, nil
}

// Again closes the node and opens its directory anew, with the store as it is.
func (n *Node) Again() *Node {
	n.t.Helper()
	n.Close()
	o := n.o
	o.Store = nil
	return NewNode(n.t, o)
}

// Queue is a queue ID for tests.
const Queue = "00000000000000aa"

// Batch makes a batch of captures with one small Object of size bytes each.
func (n *Node) Batch(first int64, captures, size int) preserve.Batch {
	b := preserve.Batch{Queue: Queue, First: first, Last: first + int64(captures) - 1, Items: make([]preserve.Item, captures)}
	for i := range b.Items {
		b.Items[i] = n.Item(first+int64(i), size)
	}
	return b
}

// Item makes one capture; it is another one with every call.
func (n *Node) Item(position int64, size int) preserve.Item {
	body := make([]byte, max(size, 8))
	rand.Read(body)
	binary.BigEndian.PutUint64(body, uint64(position))
	o := holdfast.Object{Digest: hashing.Of(body), Name: "source.bin", Role: "source", Size: int64(len(body)), Type: "application/octet-stream"}
	now := holdfast.At(time.Now())
	m := &holdfast.Manifest{
		Agent: holdfast.Agent{Pseudonym: "sealtest", Role: "investigator"}, Case: n.Case,
		Collection: holdfast.Collection{
			Clock: holdfast.Clock{Source: "node"}, Config: hashing.Of([]byte("config")), Egress: "unknown", Identity: "none", Node: n.Name,
			Software: holdfast.Software{Digest: hashing.Of([]byte("sealtest")), Name: "sealtest", Version: "1"},
		},
		Completeness: holdfast.Completeness{Asked: 1, Outcome: "complete"},
		Custody:      holdfast.Head{Chain: n.Case, Head: hashing.Of(nil), Length: 1},
		Ended:        now, Started: now, ID: holdfast.NewID(), Kind: holdfast.KindCapture, Nonce: holdfast.NewNonce(),
		Objects: []holdfast.Object{o}, Source: holdfast.Source(fmt.Sprintf("https://example.org/%d", position)), Training: true,
	}
	raw, err := m.Encode()
	if err != nil {
		n.t.Fatal(err)
	}
	return preserve.Item{Position: position, ID: m.ID, Case: n.Case, Manifest: raw, Small: []preserve.Small{{Digest: o.Digest, Bytes: body}}}
}

// MustSeal seals a batch and fails the test unless it ends sealed.
func (n *Node) MustSeal(b preserve.Batch) preserve.Outcome {
	n.t.Helper()
	o, err := n.Sealer.Seal(n.t.Context(), b)
	if err != nil {
		n.t.Fatal(err)
	}
	if o.State != preserve.StateSealed {
		n.t.Fatalf("seal %s is %s: %s", o.Seal, o.State, o.Reason)
	}
	return o
}

// HasPart reports whether a part of a Seal is stored.
func (n *Node) HasPart(seal, part string) bool {
	n.t.Helper()
	f, err := n.Files.OpenName(n.t.Context(), "seals/"+seal+"/"+part)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		n.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		n.t.Fatal(err)
	}
	return true
}
