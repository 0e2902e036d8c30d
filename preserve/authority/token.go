package authority

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// The structures of RFC 3161 and RFC 5652 that a token consists of, as far as
// this authority writes them. encoding/asn1 writes DER, sorted SETs included.
type (
	tstInfo struct {
		Version  int
		Policy   asn1.ObjectIdentifier
		Imprint  asn1.RawValue
		Serial   *big.Int
		GenTime  time.Time `asn1:"generalized"`
		Accuracy struct{ Seconds int }
		Nonce    *big.Int `asn1:"optional"`
		TSA      asn1.RawValue
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	signerInfo struct {
		Version   int
		SID       issuerAndSerial
		Digest    pkix.AlgorithmIdentifier
		Attrs     []attribute `asn1:"set,tag:0"`
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	content struct {
		Type asn1.ObjectIdentifier
		TST  []byte `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      content
		Certificates []asn1.RawValue `asn1:"set,tag:0,optional,omitempty"`
		Signers      []signerInfo    `asn1:"set"`
	}
	contentInfo struct {
		Type asn1.ObjectIdentifier
		Data signedData `asn1:"explicit,tag:0"`
	}
	response struct {
		Info  struct{ Status int }
		Token contentInfo
	}
	generalNames []asn1.RawValue
	essCertIDv2  struct { // RFC 5816; SHA-256 is the default and not written
		Hash         []byte
		IssuerSerial struct {
			Issuer generalNames
			Serial *big.Int
		}
	}
	signingCertificateV2 struct{ Certs []essCertIDv2 }
)

// fixed is what is the same in every token of a unit.
type fixed struct {
	sha256, ecdsa                           pkix.AlgorithmIdentifier
	signedData, tst, typeAttr, digest, cert asn1.ObjectIdentifier
	certAttr                                attribute
	typeValue, tsa                          asn1.RawValue
	sid                                     issuerAndSerial
}

func newFixed(unit *x509.Certificate) (f fixed, err error) {
	f = fixed{
		sha256:     pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}},
		ecdsa:      pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		signedData: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2},
		tst:        asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4},
		typeAttr:   asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3},
		digest:     asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4},
		cert:       asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47},
		sid:        issuerAndSerial{asn1.RawValue{FullBytes: unit.RawIssuer}, unit.SerialNumber},
	}
	name, err := asn1.Marshal(directoryName(unit.RawSubject))
	if err != nil {
		return f, fmt.Errorf("encode name: %w", err)
	}
	f.tsa = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: name}
	if f.typeValue.FullBytes, err = asn1.Marshal(f.tst); err != nil {
		return f, fmt.Errorf("encode content type: %w", err)
	}
	hash := sha256.Sum256(unit.Raw)
	id := essCertIDv2{Hash: hash[:]}
	id.IssuerSerial.Issuer, id.IssuerSerial.Serial = generalNames{directoryName(unit.RawIssuer)}, unit.SerialNumber
	der, err := asn1.Marshal(signingCertificateV2{[]essCertIDv2{id}})
	if err != nil {
		return f, fmt.Errorf("encode signing certificate: %w", err)
	}
	f.certAttr = attribute{f.cert, []asn1.RawValue{{FullBytes: der}}}
	return f, nil
}

// directoryName is GeneralName's choice 4.
func directoryName(name []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}
}

// sign makes a granted reply.
func (a *Authority) sign(req request, now time.Time) ([]byte, error) {
	tst, err := a.encodeTST(req, now)
	if err != nil {
		return nil, err
	}
	f, digest := &a.fixed, sha256.Sum256(tst)
	octets, err := asn1.Marshal(digest[:])
	if err != nil {
		return nil, fmt.Errorf("encode digest: %w", err)
	}
	attrs := []attribute{
		{f.typeAttr, []asn1.RawValue{f.typeValue}}, {f.digest, []asn1.RawValue{{FullBytes: octets}}}, f.certAttr,
	}
	signature, err := a.signAttributes(attrs)
	if err != nil {
		return nil, err
	}
	data := signedData{
		Version: 3, Digests: []pkix.AlgorithmIdentifier{f.sha256}, Content: content{f.tst, tst},
		Signers: []signerInfo{{Version: 1, SID: f.sid, Digest: f.sha256, Attrs: attrs, Algorithm: f.ecdsa, Signature: signature}},
	}
	if req.certReq {
		data.Certificates = []asn1.RawValue{{FullBytes: a.unit.Raw}}
	}
	der, err := asn1.Marshal(response{Token: contentInfo{f.signedData, data}})
	if err != nil {
		return nil, fmt.Errorf("encode token: %w", err)
	}
	return der, nil
}

func (a *Authority) encodeTST(req request, now time.Time) ([]byte, error) {
	serial, err := randomSerial()
	if err != nil {
		return nil, err
	}
	t := tstInfo{
		Version: 1, Policy: a.policy, Imprint: asn1.RawValue{FullBytes: req.imprint}, Serial: serial,
		GenTime: now, Nonce: req.nonce, TSA: a.fixed.tsa,
	}
	t.Accuracy.Seconds = 1
	der, err := asn1.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode TSTInfo: %w", err)
	}
	return der, nil
}

// signAttributes signs the attributes as a SET OF in DER (RFC 5652 section 5.4).
func (a *Authority) signAttributes(attrs []attribute) ([]byte, error) {
	der, err := asn1.MarshalWithParams(attrs, "set")
	if err != nil {
		return nil, fmt.Errorf("encode attributes: %w", err)
	}
	digest := sha256.Sum256(der)
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign token: %w", err)
	}
	return signature, nil
}
