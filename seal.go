package holdfast

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"holdfast/canon"
	"holdfast/hashing"
)

// Media types of signed payloads, and the predicate's type.
const (
	PayloadStatement = "application/vnd.in-toto+json"
	PayloadExport    = "application/vnd.holdfast.export+json"
	PredicateType    = "urn:holdfast:seal:v1"
	statementType    = "https://in-toto.io/Statement/v1"
)

// Plan fixes a batch before anything of it is written (bundle.md, section 6).
// Whoever finds a plan carries it out, so a batch that was begun twice is
// still one Seal.
type Plan struct {
	Captures  []Planned `json:"captures"`
	First     int64     `json:"first"`
	Kind      string    `json:"kind"`
	Last      int64     `json:"last"`
	Packs     []Pack    `json:"packs"`
	Partition int       `json:"partition"`
	Planned   Time      `json:"planned"`
	Queue     string    `json:"queue"`
	Seal      string    `json:"seal"`
	Skipped   []Skipped `json:"skipped"`
	Training  bool      `json:"training"`
	Version   int       `json:"version"`
}

// Planned is one Manifest of a batch.
type Planned struct {
	ID       ID             `json:"id"`
	Manifest hashing.Digest `json:"manifest"`
	Position int64          `json:"position"`
}

// Pack names the ZIP of one home Case's Manifests and small Objects.
type Pack struct {
	Case   ID             `json:"case"`
	Digest hashing.Digest `json:"digest"`
	Name   string         `json:"name"`
}

// Skipped is a queue position that is deliberately in no Seal of this plan.
type Skipped struct {
	ID       ID     `json:"id"`
	Position int64  `json:"position"`
	Reason   string `json:"reason"`
}

// Encode returns the canonical bytes; errors wrap [ErrForm].
func (p *Plan) Encode() ([]byte, error) {
	c := *p
	c.Version, c.Kind = Version, "plan"
	fill(&c.Captures)
	fill(&c.Packs)
	fill(&c.Skipped)
	if err := c.check(); err != nil {
		return nil, err
	}
	return canon.Append(nil, &c)
}

// ParsePlan reads a plan; errors wrap [ErrForm] or [ErrNewer].
func ParsePlan(b []byte) (*Plan, error) {
	return parse[Plan](b, MaxDocument)
}

func (p *Plan) check() error {
	if p.Version != Version {
		return wrongVersion("plan", p.Version)
	}
	if p.Kind != "plan" || p.Seal != SealID(p.Queue, p.Partition, p.First) || !ValidSealID(p.Seal) {
		return malformed("plan: version, kind or seal id")
	}
	if len(p.Captures) > MaxSubjects || p.Last < p.First || p.First < 0 || p.Last-p.First+1 != int64(len(p.Captures)+len(p.Skipped)) {
		return malformed("plan %s: %d captures and %d skipped do not fill positions %d to %d", p.Seal, len(p.Captures), len(p.Skipped), p.First, p.Last)
	}
	seen := make(map[int64]bool, len(p.Captures)+len(p.Skipped))
	take := func(id ID, pos int64) bool {
		ok := isHex(string(id), 32) && !seen[pos] && pos >= p.First && pos <= p.Last
		seen[pos] = true
		return ok
	}
	for i, c := range p.Captures {
		if !take(c.ID, c.Position) || i > 0 && p.Captures[i-1].Position >= c.Position {
			return malformed("plan %s: position %d", p.Seal, c.Position)
		}
	}
	for _, s := range p.Skipped {
		if !take(s.ID, s.Position) || s.Reason != "duplicate" && s.Reason != "poison" {
			return malformed("plan %s: skipped position %d", p.Seal, s.Position)
		}
	}
	for _, k := range p.Packs {
		if k.Name != PackName(k.Case, p.Seal) || !isHex(string(k.Case), 32) {
			return malformed("plan %s: pack %.120q", p.Seal, k.Name)
		}
	}
	return nil
}

// PackName is the store's name of a pack.
func PackName(home ID, seal string) string {
	return "cases/" + string(home) + "/packs/" + seal + ".zip"
}

// Statement is the in-toto Statement that a Seal signs.
type Statement struct {
	Type          string    `json:"_type"`
	Predicate     Predicate `json:"predicate"`
	PredicateType string    `json:"predicateType"`
	Subject       []Subject `json:"subject"`
}

// Predicate says which node sealed what, after which time and log state.
type Predicate struct {
	Checkpoint Tree           `json:"checkpoint"`
	Config     hashing.Digest `json:"config"`
	Count      int            `json:"count"`
	Kind       string         `json:"kind"`
	Node       string         `json:"node"`
	NotBefore  *NotBefore     `json:"notBefore"`
	Seal       string         `json:"seal"`
	Software   Software       `json:"software"`
	Training   bool           `json:"training"`
	Version    int            `json:"version"`
}

// Tree is a state of a log.
type Tree struct {
	Origin string         `json:"origin"`
	Root   hashing.Digest `json:"root"`
	Size   int64          `json:"size"`
}

// NotBefore names a token that existed when the statement was signed.
type NotBefore struct {
	Digest hashing.Digest `json:"digest"`
	Time   Time           `json:"time"`
}

// Subject is one Manifest's Digest. Its name is its place in the list, so a
// shown subject says nothing of its neighbours.
type Subject struct {
	Digest struct {
		SHA256 string `json:"sha256"`
	} `json:"digest"`
	Name string `json:"name"`
}

func (*Statement) nullable() {}

// NewStatement sorts the digests and builds the Statement. It refuses 0, more
// than [MaxSubjects], and repeated digests.
func NewStatement(p Predicate, manifests []hashing.Digest) (*Statement, error) {
	ds := slices.SortedFunc(slices.Values(manifests), hashing.Digest.Compare)
	p.Version, p.Kind, p.Count = Version, "seal", len(ds)
	s := &Statement{Type: statementType, Predicate: p, PredicateType: PredicateType, Subject: make([]Subject, len(ds))}
	for i, d := range ds {
		s.Subject[i].Name, s.Subject[i].Digest.SHA256 = strconv.Itoa(i), d.Hex()
	}
	return s, s.check()
}

// Encode returns the canonical bytes.
func (s *Statement) Encode() ([]byte, error) { return canon.Append(nil, s) }

// ParseStatement reads a Statement; errors wrap [ErrForm] or [ErrNewer].
func ParseStatement(b []byte) (*Statement, error) {
	return parse[Statement](b, MaxDocument)
}

func (s *Statement) check() error {
	p := s.Predicate
	switch {
	case p.Version > Version:
		return ErrNewer
	case s.Type != statementType || s.PredicateType != PredicateType || p.Version != Version || p.Kind != "seal":
		return malformed("statement type, predicate type, version or kind")
	case len(s.Subject) < 1 || len(s.Subject) > MaxSubjects || p.Count != len(s.Subject):
		return malformed("statement has %d subjects and says %d", len(s.Subject), p.Count)
	case !validNode(p.Node) || !validNode(p.Checkpoint.Origin) || p.Checkpoint.Size < 1 || !ValidSealID(p.Seal):
		return malformed("statement node, checkpoint or seal id")
	}
	for i, sub := range s.Subject {
		if sub.Name != strconv.Itoa(i) || !isHex(sub.Digest.SHA256, 64) || i > 0 && s.Subject[i-1].Digest.SHA256 >= sub.Digest.SHA256 {
			return malformed("statement subject %d: name, digest or order", i)
		}
	}
	return nil
}

// Has reports whether d is a subject.
func (s *Statement) Has(d hashing.Digest) bool {
	_, ok := slices.BinarySearchFunc(s.Subject, d.Hex(), func(a Subject, h string) int {
		return strings.Compare(a.Digest.SHA256, h)
	})
	return ok
}

// Envelope is a DSSE envelope with exactly one signature.
type Envelope struct {
	Payload     []byte              `json:"payload"`
	PayloadType string              `json:"payloadType"`
	Signatures  []EnvelopeSignature `json:"signatures"`
}

// EnvelopeSignature is ECDSA P-256 with SHA-256 over the PAE, ASN.1 DER. DSSE's
// optional keyid is left out: two Sigstore readers refuse any text in it.
type EnvelopeSignature struct {
	Sig []byte `json:"sig"`
}

// UnmarshalJSON keeps empty signatures out: one signature, never null.
func (s *EnvelopeSignature) UnmarshalJSON(b []byte) error {
	var v struct {
		Sig []byte `json:"sig"`
	}
	if err := json.Unmarshal(b, &v); err != nil || len(v.Sig) == 0 {
		return malformed("envelope signature is empty")
	}
	s.Sig = v.Sig
	return nil
}

// PAE is DSSE's pre-authentication encoding, the bytes that are signed: type
// and length are inside, so no payload can pass for one of another type.
func PAE(payloadType string, payload []byte) []byte {
	return append(paeHead(payloadType, len(payload)), payload...)
}

func paeHead(payloadType string, size int) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, size)
}

// digest is the SHA-256 of the PAE, which is not built for it: the payload of
// an export may be large.
func (e *Envelope) digest() []byte {
	h := sha256.New()
	h.Write(paeHead(e.PayloadType, len(e.Payload)))
	h.Write(e.Payload)
	return h.Sum(nil)
}

// Encode returns the canonical bytes.
func (e *Envelope) Encode() ([]byte, error) { return canon.Append(nil, e) }

// ParseEnvelope reads an envelope of at most limit bytes and of one payload
// type; errors wrap [ErrForm].
func ParseEnvelope(b []byte, payloadType string, limit int) (*Envelope, error) {
	e := new(Envelope)
	if err := decode(b, e, limit); err != nil {
		return nil, malformed("envelope: %v", err) // it has no version, so it is never newer
	}
	if e.PayloadType != payloadType || len(e.Signatures) != 1 {
		return nil, malformed("envelope: payload type %.80q, %d signatures", e.PayloadType, len(e.Signatures))
	}
	return e, nil
}

// Verify checks the one signature with a key given as SubjectPublicKeyInfo.
func (e *Envelope) Verify(spki []byte) error { return e.verify(e.digest(), spki) }

// verify is Verify with the digest at hand: a large payload is hashed once,
// however many keys are tried.
func (e *Envelope) verify(digest, spki []byte) error {
	pub, err := sealKey(spki)
	if err != nil {
		return err
	}
	sig := e.Signatures[0].Sig
	if low, err := LowS(sig); err != nil || !bytes.Equal(low, sig) || !ecdsa.VerifyASN1(pub, digest, sig) {
		return malformed("signature is not by key %s", KeyID(spki))
	}
	return nil
}

// LowS gives a P-256 signature its one spelling. Of (r, s) and (r, n-s), which
// both verify, documents hold the one with the smaller s, in DER: else whoever
// has the file could write another one that says the same.
func LowS(sig []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(sig, &v); err != nil || len(rest) > 0 {
		return nil, malformed("signature is not one DER sequence of two integers")
	}
	n := elliptic.P256().Params().N
	if v.S.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		v.S.Sub(n, v.S)
	}
	return asn1.Marshal(v)
}

// KeyID is the lowercase hex SHA-256 of the SubjectPublicKeyInfo.
func KeyID(spki []byte) string { return hashing.Of(spki).Hex() }

func sealKey(spki []byte) (*ecdsa.PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, malformed("seal key: %w", err)
	}
	pub, ok := k.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, malformed("seal key is not ECDSA P-256")
	}
	return pub, nil
}

// Leaf is the log entry of a Seal: the Rekor v2 hashedrekord body, which binds
// the signed bytes, the signature and the key (bundle.md, section 8).
func (e *Envelope) Leaf(spki []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},`+
		`"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}`,
		b64(e.digest()), b64(e.Signatures[0].Sig), b64(spki))
}

// LogID is the Sigstore log ID of an Ed25519 checkpoint key: the whole hash of
// which a signed note's key ID is the first four bytes.
func LogID(origin string, logKey []byte) []byte {
	h := sha256.Sum256(slices.Concat([]byte(origin), []byte{'\n', 1}, logKey))
	return h[:]
}

// LogKeyHash is the part of a node's name that binds it to its log key.
func LogKeyHash(logKey []byte) string {
	h := sha256.Sum256(logKey)
	return hex.EncodeToString(h[:8])
}
