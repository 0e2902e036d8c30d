package preserve

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"

	"holdfast/rfc3161"
)

// A Query is one question to an authority, with what its answer is held
// against. It does not say how question and answer travel: [Client] carries
// them over HTTP, a person on a disk. It is read-only.
type Query struct {
	der     []byte
	imprint []byte
	nonce   *big.Int
	policy  string // asked for, "": any
}

// NewQuery asks for the SHA-256 of a raw signature, with a nonce of 128 random
// bits and certReq, and for the policy that is pinned in a, if one is.
func NewQuery(a Authority, signature []byte) (*Query, error) {
	nonce, err := drawNonce()
	if err != nil {
		return nil, err
	}
	imprint := sha256.Sum256(signature)
	der, err := rfc3161.NewRequest(imprint[:], nonce, a.PolicyPin)
	if err != nil {
		return nil, err
	}
	return &Query{der, imprint[:], nonce, a.PolicyPin}, nil
}

// ParseQuery reads a Query that was kept; errors wrap [rfc3161.ErrSyntax].
func ParseQuery(der []byte) (*Query, error) {
	imprint, nonce, policy, err := rfc3161.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	return &Query{der, imprint, nonce, policy}, nil
}

// DER returns the TimeStampReq.
func (q *Query) DER() []byte { return q.der }

// About reports whether q asks about a raw signature.
func (q *Query) About(signature []byte) bool {
	sum := sha256.Sum256(signature)
	return string(sum[:]) == string(q.imprint)
}

// Accept checks a TimeStampResp from a: reply status, nonce, imprint, the
// signature with its certificate (RFC 3161 section 2.3), the pins, and the
// chain to the authority's own roots at genTime. Offset and Took of the result
// are not set: only who carried the answer knows how long it was on its way.
//
// Errors wrap one of this package or of package rfc3161.
func (q *Query) Accept(a Authority, reply []byte) (*Timestamp, error) {
	token, err := rfc3161.ParseResponse(reply)
	if err != nil {
		return nil, err
	}
	ts := &Timestamp{Token: token}
	if err := ts.check(a, q.imprint, q.nonce); err != nil {
		return nil, err
	}
	return ts, nil
}

// check fills in the chain. The nonce comes first: a replayed token is named as
// such, although its imprint is another one as well.
func (ts *Timestamp) check(a Authority, imprint []byte, nonce *big.Int) error {
	tok := ts.Token
	if tok.Nonce == nil || tok.Nonce.Cmp(nonce) != 0 {
		return ErrNonce
	}
	if err := tok.Check(imprint); err != nil {
		return err
	}
	if a.PolicyPin != "" && tok.Policy != a.PolicyPin {
		return fmt.Errorf("%w: %.80s", ErrPolicy, tok.Policy)
	}
	chains, err := tok.Chains(a.Roots, nil)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(chains, func(c rfc3161.Chain) bool { return a.IssuerPin == "" || pin(c.Issuer) == a.IssuerPin })
	if i < 0 {
		return fmt.Errorf("%w: %q", ErrIssuer, chains[0].Issuer.Subject)
	}
	ts.Chain, ts.IssuerPin = chains[i], pin(chains[i].Issuer)
	return nil
}

// pin names a key, whatever certificate it is in.
func pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// drawNonce draws 128 bits, of which the first is set: fixed length, no sign.
func drawNonce() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}
