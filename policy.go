package holdfast

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"holdfast/canon"
	"holdfast/hashing"
)

// MaxPolicy is the largest Policy file in bytes.
const MaxPolicy = 1 << 20

// MaxKeys is the most seal keys that a node may have had.
const MaxKeys = 64

// maxMaterial bounds the certificates, and the node entries, of a Bundle.
const maxMaterial = 1024

// Policy is everything that a verifier trusts (bundle.md, section 10). Nothing
// in a Bundle can add to it.
type Policy struct {
	Authorities []Authority  `json:"authorities"`
	Kind        string       `json:"kind"`
	Nodes       []PolicyNode `json:"nodes"`
	Quorum      int          `json:"quorum"`
	Training    bool         `json:"training"`
	Version     int          `json:"version"`
}

// PolicyNode is a node's entry: its keys over time, and its log.
type PolicyNode struct {
	Keys []PolicyKey `json:"keys"`
	Log  PolicyLog   `json:"log"`
	Name string      `json:"name"`
}

// PolicyKey is a seal key and when it was good: From <= T < Until.
type PolicyKey struct {
	From  Time   `json:"from"`
	SPKI  []byte `json:"spki"`
	Until *Time  `json:"until"`
}

// PolicyLog names the log's key and, if pinned, a state it once had.
type PolicyLog struct {
	Checkpoint *PinnedTree `json:"checkpoint,omitempty"`
	Key        string      `json:"key"`
	Origin     string      `json:"origin"`
}

// PinnedTree is a log state that a verifier got by another way.
type PinnedTree struct {
	Root hashing.Digest `json:"root"`
	Size int64          `json:"size"`
}

// Authority is one root of one operator, narrowed to an issuing CA or a policy
// where these are known: a node's own Policy pins them from the first token.
type Authority struct {
	From     Time            `json:"from"`
	Issuer   *hashing.Digest `json:"issuer,omitempty"`
	Operator string          `json:"operator"`
	Policy   string          `json:"policy,omitempty"`
	Root     hashing.Digest  `json:"root"`
	Until    *Time           `json:"until"`
}

func (*Policy) nullable()     {}
func (*PolicyNode) nullable() {}

// Encode returns the canonical bytes; errors wrap [ErrForm].
func (p *Policy) Encode() ([]byte, error) {
	c := *p
	c.Version, c.Kind = Version, "policy"
	fill(&c.Authorities)
	fill(&c.Nodes)
	if err := c.check(); err != nil {
		return nil, err
	}
	return canon.Marshal(&c)
}

// ParsePolicy reads a Policy; errors wrap [ErrForm] or [ErrNewer].
func ParsePolicy(b []byte) (*Policy, error) {
	return parse[Policy](b, MaxPolicy)
}

func (p *Policy) check() error {
	if p.Version != Version {
		return wrongVersion("policy", p.Version)
	}
	if p.Kind != "policy" || p.Authorities == nil || p.Nodes == nil || p.Quorum < 1 || p.Quorum > 64 {
		return malformed("policy: version, kind, lists or quorum %d", p.Quorum)
	}
	owner := make(map[hashing.Digest]string)
	for _, a := range p.Authorities {
		if a.Operator == "" || a.Root.IsZero() {
			return malformed("policy: authority of %.80q lacks operator or root", a.Operator)
		}
		// Two operators under one root would let one company be two witnesses.
		if o, ok := owner[a.Root]; ok && o != a.Operator {
			return malformed("policy: root %s belongs to %.80q and %.80q", a.Root, o, a.Operator)
		}
		owner[a.Root] = a.Operator
	}
	seen := make(map[string]bool)
	for i := range p.Nodes {
		if err := p.Nodes[i].check(); err != nil {
			return err
		}
		if seen[p.Nodes[i].Name] {
			return malformed("policy: node %s twice", p.Nodes[i].Name)
		}
		seen[p.Nodes[i].Name] = true
	}
	return nil
}

// ParsePolicyNode reads a node entry alone, as in data/trust/nodes/.
func ParsePolicyNode(b []byte) (*PolicyNode, error) {
	return parse[PolicyNode](b, MaxPolicy)
}

// Encode returns the canonical bytes, whose SHA-256 is the fingerprint.
func (n *PolicyNode) Encode() ([]byte, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	return canon.Marshal(n)
}

func (n *PolicyNode) check() error {
	name, _, err := VKeyEd25519(n.Log.Key)
	if err != nil {
		return err
	}
	if !validNode(n.Name) || name != n.Name || n.Log.Origin != n.Name || len(n.Keys) == 0 {
		return malformed("policy: node %.80q: name, origin and log key do not agree, or no seal key", n.Name)
	}
	if len(n.Keys) > MaxKeys {
		return malformed("policy: node %s has %d keys, at most %d", n.Name, len(n.Keys), MaxKeys)
	}
	seen := make(map[string]bool, len(n.Keys))
	for _, k := range n.Keys {
		if _, err := sealKey(k.SPKI); err != nil {
			return err
		}
		if seen[KeyID(k.SPKI)] { // with two periods, the order would decide
			return malformed("policy: node %s has key %s twice", n.Name, KeyID(k.SPKI))
		}
		seen[KeyID(k.SPKI)] = true
	}
	return nil
}

// key returns the entry of a seal key, or nil.
func (n *PolicyNode) key(id string) *PolicyKey {
	for i := range n.Keys {
		if KeyID(n.Keys[i].SPKI) == id {
			return &n.Keys[i]
		}
	}
	return nil
}

// ended names a node of whose keys this one is and under which it had ended at t;
// "" is none. Nodes may share a key (a log that follows another, a key in a KMS),
// and whoever took it from one can sign for all.
func (p *Policy) ended(spki []byte, t time.Time) string {
	for i := range p.Nodes {
		if k := p.Nodes[i].key(KeyID(spki)); k != nil && k.Until != nil && !t.Before(k.Until.Time) {
			return p.Nodes[i].Name
		}
	}
	return ""
}

func (p *Policy) node(name string) *PolicyNode {
	for i := range p.Nodes {
		if p.Nodes[i].Name == name {
			return &p.Nodes[i]
		}
	}
	return nil
}

func within(t time.Time, from Time, until *Time) bool {
	return !t.Before(from.Time) && (until == nil || t.Before(until.Time))
}

// spkiDigest names a certificate's key.
func spkiDigest(c *x509.Certificate) hashing.Digest { return hashing.Of(c.RawSubjectPublicKeyInfo) }

// trust reads certificates and node entries. They are material; only an entry
// whose fingerprint the person gave joins the Policy.
func (v *verifier) trust(fingerprint string) {
	const nodes, certs = "data/trust/nodes/", "data/trust/certs/"
	var pems []*entry
	for _, e := range v.under("data/trust/") {
		switch {
		case strings.HasPrefix(e.name, nodes) && strings.HasSuffix(e.name, ".json"):
			v.nodeEntry(e, fingerprint)
		case strings.HasPrefix(e.name, nodes):
			pems = append(pems, e)
		case strings.HasPrefix(e.name, certs):
			v.certFile(e, certs)
		case e.name != "data/trust/trusted_root.json":
			v.find("trust-form", Contradicted, Stated, e.name, "no file of this name belongs here")
		}
	}
	keys := map[string]bool{}
	for _, n := range v.m.Nodes {
		for _, k := range n.Keys {
			keys[KeyID(k.SPKI)] = true
		}
	}
	for _, e := range pems {
		if der := v.pemFile(e, nodes, "PUBLIC KEY"); der != nil && !keys[KeyID(der)] {
			v.find("trust-form", Contradicted, Stated, e.name, "a key of no node entry here")
		}
	}
}

func (v *verifier) certFile(e *entry, dir string) {
	der := v.pemFile(e, dir, "CERTIFICATE")
	if der == nil {
		return
	}
	c, err := x509.ParseCertificate(der)
	if err == nil && len(v.m.Certs) >= maxMaterial {
		err = malformed("more than %d certificates", maxMaterial)
	}
	if err != nil {
		v.find("trust-form", Contradicted, Stated, e.name, "%v", err)
		return
	}
	v.m.Certs = append(v.m.Certs, c)
}

func (v *verifier) nodeEntry(e *entry, fingerprint string) {
	raw, err := e.read(MaxPolicy)
	n := new(PolicyNode)
	if err == nil {
		n, err = ParsePolicyNode(raw)
	}
	if err == nil && e.name != "data/trust/nodes/"+n.Name+".json" {
		err = malformed("entry of node %s", n.Name)
	}
	if err == nil && len(v.m.Nodes) >= maxMaterial {
		err = malformed("more than %d node entries", maxMaterial)
	}
	if err != nil {
		if !v.isNewer(err) {
			v.find("trust-form", Contradicted, Stated, e.name, "%v", err)
		}
		return
	}
	v.m.Nodes = append(v.m.Nodes, *n)
	if e.digest.Hex() == strings.TrimPrefix(fingerprint, "sha256:") && v.p.node(n.Name) == nil {
		v.p.Nodes = append(v.p.Nodes, *n)
	}
}

// pemFile returns the DER of a file that must be one PEM block, spelled in the
// one way, and be named by the SHA-256 of its content: others are told to use it.
func (v *verifier) pemFile(e *entry, dir, kind string) []byte {
	raw, err := e.read(64 << 10)
	block, _ := pem.Decode(raw)
	if err != nil || block == nil || block.Type != kind || e.name != dir+hashing.Of(block.Bytes).Hex()+".pem" || !bytes.Equal(pem.EncodeToMemory(block), raw) {
		v.find("trust-form", Contradicted, Stated, e.name, "not one PEM %s named by its SHA-256", strings.ToLower(kind))
		return nil
	}
	return block.Bytes
}
