package holdfast

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/hashing"
	"holdfast/rfc3161"
)

// MaxTokens is the most timestamps that a Seal may have.
const MaxTokens = 64

// MaxSigstoreTokens is the most of them in seal.sigstore.json: other readers stop there.
const MaxSigstoreTokens = 32

// SealParts are a Seal's parts by their names below seals/<Seal ID>/; plan.json
// is ignored, seal.sigstore.json is checked if it is there.
type SealParts map[string][]byte

// Material helps to build chains and to check signatures. It is never trusted:
// only the Policy decides what counts.
type Material struct {
	Certs []*x509.Certificate
	Nodes []PolicyNode
}

// SealResult is what the parts of one Seal prove under a Policy.
type SealResult struct {
	Statement *Statement // nil if it could not be read
	SPKI      []byte     // the key that verified the signature
	T         time.Time  // zero: no quorum
	NotBefore time.Time  // zero: no counted token in notbefore.tst
	Logged    bool       // an inclusion proof holds
	Known     bool       // node, key and log are in the Policy
	Newer     bool       // a part has a larger format version: never Sealed, and no verdict if nothing is contradicted
	Trees     []Tree     // every log state that the parts hold
	Operators []string   // that count, sorted
	Findings  []Finding
}

// Contradicted reports whether any Finding is.
func (r *SealResult) Contradicted() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Outcome == Contradicted })
}

// Sealed reports whether everything that `sealed` needs is there.
func (r *SealResult) Sealed() bool { return !r.Contradicted() && !r.Newer && r.Logged && !r.T.IsZero() }

// sealCheck is one run of CheckSeal.
type sealCheck struct {
	*SealResult
	id    string
	parts SealParts
	p     *Policy
	m     Material
	env   *Envelope
	roots []*x509.Certificate // self-signed ones whose key the Policy names
}

// CheckSeal judges one Seal from its parts, its Policy and nothing else; it is
// the same code for the node that made the Seal and for a court. It goes on
// after a contradiction, so that a reader sees all of them.
func CheckSeal(id string, parts SealParts, p *Policy, m Material) *SealResult {
	c := &sealCheck{SealResult: &SealResult{}, id: id, parts: parts, p: p, m: m}
	c.roots = policyRoots(p, m.Certs)
	if !c.names() || !c.statement() {
		return c.SealResult
	}
	if c.signature() {
		c.log()
		c.timestamps()
		c.notBefore()
		c.keyPeriod()
		c.sigstore()
	}
	return c.SealResult
}

func (c *sealCheck) find(finding string, o Outcome, format string, a ...any) {
	c.Findings = append(c.Findings, Finding{finding, o, Proven, "seal " + c.id, fmt.Sprintf(format, a...)})
}

// names refuses parts that docs/bundle.md section 7 does not name.
func (c *sealCheck) names() bool {
	tokens := 0
	for _, name := range slices.Sorted(maps.Keys(c.parts)) {
		s := strings.Split(name, "/")
		ok := name == "plan.json" || name == "statement.dsse.json" || name == "notbefore.tst" || name == "seal.sigstore.json"
		switch {
		case len(s) == 3 && s[0] == "checkpoint":
			ok = validNode(s[1]) && c.parts["inclusion/"+s[1]+"/"+s[2]+".json"] != nil
		case len(s) == 3 && s[0] == "inclusion":
			ok = validNode(s[1]) && c.parts["checkpoint/"+s[1]+"/"+strings.TrimSuffix(s[2], ".json")] != nil && strings.HasSuffix(s[2], ".json")
		case len(s) == 3 && s[0] == "timestamps":
			tokens++
			ok = ValidAuthorityName(s[1]) && s[2] == hashing.Of(c.parts[name]).Hex()+".tst" && tokens <= MaxTokens
		}
		if !ok {
			c.find("seal-parts", Contradicted, "part %.160q is superfluous, misnamed or lacks its counterpart", name)
			return false
		}
	}
	return true
}

func (c *sealCheck) statement() bool {
	raw, ok := c.parts["statement.dsse.json"]
	if !ok {
		c.find("seal-parts", Contradicted, "statement.dsse.json is missing")
		return false
	}
	env, err := ParseEnvelope(raw, PayloadStatement, MaxDocument)
	if err == nil {
		c.env = env
		c.Statement, err = ParseStatement(env.Payload)
	}
	if err == nil && c.Statement.Predicate.Seal != c.id {
		err = malformed("the statement is of seal %s", c.Statement.Predicate.Seal)
	}
	if errors.Is(err, ErrNewer) {
		if c.Statement, c.Newer = nil, true; !c.anySigned() {
			c.find("statement-signature", Contradicted, "a newer version that no key here signed")
		}
		return false
	}
	if err != nil {
		c.Statement = nil
		c.find("statement-form", Contradicted, "%v", err)
		return false
	}
	c.find("statement-form", OK, "%d manifests", len(c.Statement.Subject))
	pred := c.Statement.Predicate.Checkpoint
	c.Trees = append(c.Trees, pred)
	return true
}

// nodes returns the entries that may vouch for a name: the Policy's, and then,
// unknown, the Bundle's.
func (c *sealCheck) nodes(name string) (ns []*PolicyNode) {
	if n := c.p.node(name); n != nil {
		ns = append(ns, n)
	}
	for i := range c.m.Nodes {
		if c.m.Nodes[i].Name == name {
			ns = append(ns, &c.m.Nodes[i])
		}
	}
	return ns
}

// anySigned says whether a key of the node that it names signed a Statement that
// cannot be read: whoever only changed the file cannot have it pass for a newer one.
func (c *sealCheck) anySigned() bool {
	var s Statement
	json.Unmarshal(c.env.Payload, &s) // only as far as it is still of this form
	return c.signer(s.Predicate.Node) != nil
}

// signer returns the key of that node which made the signature, or nil.
func (c *sealCheck) signer(node string) []byte {
	digest := c.env.digest()
	for _, n := range c.nodes(node) {
		for _, k := range n.Keys {
			if c.env.verify(digest, k.SPKI) == nil {
				return k.SPKI
			}
		}
	}
	return nil
}

func (c *sealCheck) signature() bool {
	name := c.Statement.Predicate.Node
	if c.SPKI = c.signer(name); c.SPKI == nil {
		c.find("statement-signature", Contradicted, "no key of node %s made the signature", name)
		return false
	}
	id, known := KeyID(c.SPKI), c.p.node(name)
	c.Known = known != nil && known.key(id) != nil
	c.find("statement-signature", OK, "key %s of node %s", id, name)
	switch {
	case known != nil && !c.Known: // the Policy may be older than the key
		c.find("key-unknown", Note, "key %s of node %s is not in the policy, which has other keys of this node: ask the office whether it has a new one", id, name)
	case !c.Known:
		c.find("key-unknown", Note, "key %s of node %s is not in the policy: who sealed this is not checked", id, name)
	}
	return true
}

func (c *sealCheck) log() {
	leaf := c.env.Leaf(c.SPKI)
	known := false
	for _, part := range slices.Sorted(maps.Keys(c.parts)) {
		s := strings.Split(part, "/")
		if s[0] != "inclusion" {
			continue
		}
		tree, inPolicy, err := c.checkpoint(s[1], strings.TrimSuffix(s[2], ".json"))
		if err != nil {
			c.find("checkpoint-signature", Contradicted, "%v", err)
			continue
		}
		c.find("checkpoint-signature", OK, "log %s of size %d", tree.Origin, tree.Size)
		c.Trees = append(c.Trees, tree)
		p, err := ParseInclusion(c.parts[part])
		if errors.Is(err, ErrNewer) {
			c.Newer = true
			continue
		}
		if err == nil && (p.Size != tree.Size || tree.Origin == c.Statement.Predicate.Checkpoint.Origin && p.Index < c.Statement.Predicate.Checkpoint.Size) {
			err = malformed("entry %d of %d, but the statement was signed when the log had %d", p.Index, p.Size, c.Statement.Predicate.Checkpoint.Size)
		} else if err == nil {
			err = p.Check(tree.Root, leaf)
		}
		if err != nil {
			c.find("inclusion", Contradicted, "%v", err)
			continue
		}
		c.Logged, known = true, known || inPolicy
		c.find("inclusion", OK, "entry %d of log %s", p.Index, tree.Origin)
	}
	if !c.Logged && !c.Contradicted() {
		c.find("inclusion", Absent, "the seal is in no log")
	}
	if c.Logged && c.Known && !known {
		c.Known = false
		c.find("key-unknown", Note, "the seal is only in logs that are not in the policy")
	}
}

// checkpoint verifies one checkpoint part with the Policy's log key or, if the
// Policy does not know the log, with the Bundle's.
func (c *sealCheck) checkpoint(origin, size string) (t Tree, known bool, err error) {
	text := c.parts["checkpoint/"+origin+"/"+size]
	err = malformed("log %s has no key here", origin)
	for _, n := range c.nodes(origin) {
		if t, err = OpenCheckpoint(text, n.Log.Key); err == nil {
			if fmt.Sprint(t.Size) != size {
				err = malformed("checkpoint %s/%s is of size %d", origin, size, t.Size)
			}
			return t, n == c.p.node(origin), err
		}
	}
	return t, false, err
}

// timestamps checks every token, even above the quorum, and finds T.
func (c *sealCheck) timestamps() {
	imprint := sha256.Sum256(c.env.Signatures[0].Sig)
	earliest, owner := make(map[string]time.Time), make(map[hashing.Digest]string)
	for _, part := range slices.Sorted(maps.Keys(c.parts)) {
		if !strings.HasPrefix(part, "timestamps/") {
			continue
		}
		t, err := rfc3161.Parse(c.parts[part])
		if err != nil {
			c.find("timestamp-form", Contradicted, "%s: %v", part, err)
			continue
		}
		if err := t.Check(imprint[:], c.m.Certs...); err != nil {
			c.find(tokenFinding(err), Contradicted, "%s: %v", part, err)
			continue
		}
		if op := c.count(t, part, owner); op != "" {
			at := t.Latest()
			if old, ok := earliest[op]; !ok || at.Before(old) {
				earliest[op] = at
			}
		}
	}
	c.Operators = slices.Sorted(maps.Keys(earliest))
	of := fmt.Sprintf("%d of %d operators", len(earliest), c.p.Quorum)
	if len(earliest) > 0 {
		of += ": " + strings.Join(c.Operators, ", ")
	}
	if len(earliest) < c.p.Quorum {
		c.find("quorum", Absent, "%s", of)
		return
	}
	times := slices.SortedFunc(maps.Values(earliest), time.Time.Compare)
	c.T = roundUp(times[c.p.Quorum-1])
	c.find("quorum", OK, "not later than %s by %s", At(c.T), of)
}

// roundUp gives "not later than" the precision of documents: a bound that is cut
// off would promise up to a millisecond more than the tokens do.
func roundUp(t time.Time) time.Time { return t.Add(time.Millisecond - 1).Truncate(time.Millisecond) }

func tokenFinding(err error) string {
	if errors.Is(err, rfc3161.ErrImprint) {
		return "timestamp-imprint"
	}
	return "timestamp-signature"
}

// count says for which operator a sound token counts, or "" after a note. owner
// has the keys that count already: one that signs, or issues, for two roots (a
// cross-certificate) is one witness all the same.
func (c *sealCheck) count(t *rfc3161.Token, part string, owner map[hashing.Digest]string) string {
	roots := append(policyRoots(c.p, t.Certificates), c.roots...)
	finding, why := "authority-unknown", "no root of the policy"
	if strings.HasPrefix(part, "timestamps/own/") {
		finding, why = "own-token", "the node's own, never counted"
	}
	if len(roots) > 0 {
		chains, err := t.Chains(roots, c.m.Certs)
		if errors.Is(err, rfc3161.ErrExpired) {
			finding, why = "timestamp-expired", err.Error()
		}
		for _, ch := range chains {
			op, period := c.operator(ch, t)
			if op != "" && !witness(owner, ch, op) {
				finding, why = "authority-unknown", "its key, or its issuer's, counts for another operator already"
				continue
			}
			if op != "" {
				c.find("timestamp-signature", OK, "%s says %s (%s)", op, At(t.GenTime), part)
				return op
			}
			if period {
				finding, why = "authority-period", "genTime "+At(t.GenTime).String()+" is outside its time in the policy"
			}
		}
	}
	c.find(finding, Note, "%s: not counted: %s", part, why)
	return ""
}

// witness takes the chain's keys for op, or says no if one of them is another's.
func witness(owner map[hashing.Digest]string, ch rfc3161.Chain, op string) bool {
	keys := []hashing.Digest{spkiDigest(ch.Leaf), spkiDigest(ch.Issuer)}
	for _, k := range keys {
		if o := owner[k]; o != "" && o != op {
			return false
		}
	}
	for _, k := range keys {
		owner[k] = op
	}
	return true
}

// operator matches a chain with the Policy; period says that only time failed.
func (c *sealCheck) operator(ch rfc3161.Chain, t *rfc3161.Token) (name string, period bool) {
	for _, a := range c.p.Authorities {
		if spkiDigest(ch.Root) != a.Root || a.Issuer != nil && spkiDigest(ch.Issuer) != *a.Issuer || a.Policy != "" && t.Policy != a.Policy {
			continue
		}
		if within(t.GenTime, a.From, a.Until) {
			return a.Operator, false
		}
		period = true
	}
	return "", period
}

// policyRoots picks certificates whose key the Policy names as a root. They
// must be self-signed, or anybody could write a certificate around that key
// with other dates.
func policyRoots(p *Policy, certs []*x509.Certificate) (roots []*x509.Certificate) {
	for _, cert := range certs {
		d := spkiDigest(cert)
		if slices.ContainsFunc(p.Authorities, func(a Authority) bool { return a.Root == d }) && rfc3161.SelfSigned(cert) {
			roots = append(roots, cert)
		}
	}
	return roots
}

// notBefore checks the token that the statement names as older than itself.
func (c *sealCheck) notBefore() {
	nb, raw := c.Statement.Predicate.NotBefore, c.parts["notbefore.tst"]
	if nb == nil && raw == nil {
		return
	}
	t, err := rfc3161.Parse(raw)
	if err == nil && (nb == nil || hashing.Of(raw) != nb.Digest || At(t.GenTime).String() != nb.Time.String()) {
		err = malformed("notbefore.tst is not the token that the statement names")
	} else if err == nil {
		err = t.Check(t.Imprint, c.m.Certs...) // of another Seal's signature, which is not here
	}
	if err != nil {
		c.find("not-before-token", Contradicted, "%v", err)
		return
	}
	if !c.T.IsZero() && c.T.Before(nb.Time.Add(-time.Minute)) {
		c.find("not-before", Contradicted, "sealed not later than %s, yet signed after %s", At(c.T), nb.Time)
		return
	}
	if c.count(t, "notbefore.tst", map[hashing.Digest]string{}) != "" {
		c.NotBefore = nb.Time.Time
		c.find("not-before", OK, "signed after %s", nb.Time)
	}
}

// keyPeriod holds the seal key against its time in the Policy, at T.
func (c *sealCheck) keyPeriod() {
	n := c.p.node(c.Statement.Predicate.Node)
	if n == nil || c.T.IsZero() {
		return
	}
	if k := n.key(KeyID(c.SPKI)); k != nil {
		if !within(c.T, k.From, k.Until) {
			c.find("key-period", Contradicted, "key %s was not valid at %s", KeyID(c.SPKI), At(c.T))
			return
		}
		c.find("key-period", OK, "key %s was valid at %s", KeyID(c.SPKI), At(c.T))
		if other := c.p.ended(c.SPKI, c.T); other != "" {
			c.Known = false
			c.find("key-period", Note, "key %s had ended as one of node %s: who seals with it since is not checked", KeyID(c.SPKI), other)
		}
	}
}

// sigstore assembles seal.sigstore.json again from the parts and from the
// tokens that it lists; the bytes must be equal and the tokens be parts.
func (c *sealCheck) sigstore() {
	raw, ok := c.parts["seal.sigstore.json"]
	if !ok {
		return
	}
	var s SigstoreSeal
	err := decode(raw, &s, MaxDocument)
	if err == nil && len(s.Material.Entries) != 1 {
		err = malformed("seal.sigstore.json has %d log entries", len(s.Material.Entries))
	}
	if err == nil {
		err = c.reassemble(&s, raw)
	}
	if err != nil {
		c.find("seal-parts", Contradicted, "seal.sigstore.json: %v", err)
		return
	}
	c.find("seal-parts", OK, "seal.sigstore.json says the same as the parts")
}

func (c *sealCheck) reassemble(s *SigstoreSeal, raw []byte) error {
	tokens := make(map[hashing.Digest]bool)
	for part, b := range c.parts {
		if strings.HasPrefix(part, "timestamps/") {
			tokens[hashing.Of(b)] = true
		}
	}
	if n := len(s.Material.Timestamps.RFC3161); n > MaxSigstoreTokens {
		return malformed("%d timestamps, at most %d are read by others", n, MaxSigstoreTokens)
	}
	var responses [][]byte
	var last hashing.Digest
	for _, ts := range s.Material.Timestamps.RFC3161 {
		token, err := rfc3161.UnwrapResponse(ts.Response)
		d := hashing.Of(token)
		if err != nil || !tokens[d] || last.Compare(d) >= 0 {
			return malformed("a timestamp in it is no part, or out of order")
		}
		last, responses = d, append(responses, ts.Response)
	}
	e := s.Material.Entries[0]
	origin, _, _ := strings.Cut(e.Proof.Checkpoint.Envelope, "\n")
	key := origin + "/" + e.Proof.TreeSize
	cp, inc := c.parts["checkpoint/"+key], c.parts["inclusion/"+key+".json"]
	if cp == nil || inc == nil {
		return malformed("its checkpoint is no part")
	}
	tree, _, err := c.checkpoint(origin, e.Proof.TreeSize)
	if err != nil {
		return err
	}
	proof, err := ParseInclusion(inc)
	if err != nil {
		return err
	}
	var logKey []byte
	for _, n := range c.nodes(origin) {
		if _, k, err := VKeyEd25519(n.Log.Key); err == nil {
			logKey = k
		}
	}
	again, err := Sigstore(c.env, c.SPKI, cp, tree, logKey, proof, responses)
	if err == nil && !bytes.Equal(again, raw) {
		err = malformed("differs from what the parts give")
	}
	return err
}
