package authority

import (
	"bytes"
	"encoding/asn1"
	"math/big"
)

// PKIFailureInfo bits of RFC 3161 section 2.4.2 that are used here.
const (
	badAlg              = 0
	badRequest          = 2
	badDataFormat       = 5
	timeNotAvailable    = 14
	unacceptedPolicy    = 15
	unacceptedExtension = 16
	systemFailure       = 25
)

// maxNonce bounds a nonce, in bytes.
const maxNonce = 64

// A request is a TimeStampReq that was found to be in order. The imprint is
// echoed as it came, parameters of its algorithm included.
type request struct {
	imprint []byte // DER of the MessageImprint
	policy  []byte // DER of the OID, nil: any
	nonce   *big.Int
	certReq bool
}

// A rejection is a reply without a token.
type rejection struct {
	bit  int
	text string
}

func malformed(text string) *rejection { return &rejection{badDataFormat, text} }

// parseRequest reads RFC 3161 section 2.4.1, in DER and with nothing after it.
func parseRequest(der []byte) (req request, refusal *rejection) {
	if len(der) > MaxRequest {
		return req, malformed("request too long")
	}
	var fields []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &fields); err != nil || len(rest) > 0 || len(fields) < 2 {
		return req, malformed("not a TimeStampReq in DER")
	}
	var version int
	if _, err := asn1.Unmarshal(fields[0].FullBytes, &version); err != nil {
		return req, malformed("version")
	}
	if version != 1 {
		return req, &rejection{badRequest, "only version 1 is known"}
	}
	if refusal = checkImprint(fields[1].FullBytes); refusal != nil {
		return req, refusal
	}
	req.imprint = fields[1].FullBytes
	return req.options(fields[2:])
}

// options reads the fields that may be absent; each kind comes at most once and
// in this order.
func (req request) options(fields []asn1.RawValue) (request, *rejection) {
	take := func(class, tag int) []byte {
		if len(fields) == 0 || fields[0].Class != class || fields[0].Tag != tag {
			return nil
		}
		full := fields[0].FullBytes
		fields = fields[1:]
		return full
	}
	req.policy = take(asn1.ClassUniversal, asn1.TagOID)
	if b := take(asn1.ClassUniversal, asn1.TagInteger); b != nil {
		if _, err := asn1.Unmarshal(b, &req.nonce); err != nil || len(b) > maxNonce {
			return req, malformed("nonce")
		}
	}
	if b := take(asn1.ClassUniversal, asn1.TagBoolean); b != nil {
		if _, err := asn1.Unmarshal(b, &req.certReq); err != nil {
			return req, malformed("certReq")
		}
	}
	if take(asn1.ClassContextSpecific, 0) != nil {
		return req, &rejection{unacceptedExtension, "no extension is known"}
	}
	if len(fields) > 0 {
		return req, malformed("unknown field")
	}
	return req, nil
}

func (req request) wants(policy asn1.ObjectIdentifier) bool {
	der, err := asn1.Marshal(policy)
	return err == nil && bytes.Equal(der, req.policy)
}

// checkImprint lets SHA-256, SHA-384 and SHA-512 pass.
func checkImprint(der []byte) *rejection {
	var parts []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &parts); err != nil || len(parts) != 2 {
		return malformed("message imprint")
	}
	var alg []asn1.RawValue
	if _, err := asn1.Unmarshal(parts[0].FullBytes, &alg); err != nil || len(alg) < 1 || len(alg) > 2 {
		return malformed("hash algorithm")
	}
	if len(alg) == 2 && !bytes.Equal(alg[1].FullBytes, asn1.NullBytes) {
		return malformed("parameters of the hash algorithm")
	}
	var id asn1.ObjectIdentifier
	var hash []byte
	if _, err := asn1.Unmarshal(alg[0].FullBytes, &id); err != nil {
		return &rejection{badAlg, "imprints must be SHA-256, SHA-384 or SHA-512"}
	}
	if _, err := asn1.Unmarshal(parts[1].FullBytes, &hash); err != nil {
		return malformed("hash")
	}
	size := map[string]int{"2.16.840.1.101.3.4.2.1": 32, "2.16.840.1.101.3.4.2.2": 48, "2.16.840.1.101.3.4.2.3": 64}[id.String()]
	if size == 0 {
		return &rejection{badAlg, "imprints must be SHA-256, SHA-384 or SHA-512"}
	}
	if len(hash) != size {
		return malformed("the hash has not the length of its algorithm")
	}
	return nil
}

type pkiStatusInfo struct {
	Status int
	Text   []asn1.RawValue
	Fail   asn1.BitString
}

// response encodes the rejection (status 2), its reason and its failure bit. A
// BIT STRING with named bits ends, in DER, at its last one.
func (r *rejection) response() []byte {
	bits := asn1.BitString{Bytes: make([]byte, r.bit/8+1), BitLength: r.bit + 1}
	bits.Bytes[r.bit/8] = 0x80 >> (r.bit % 8)
	text := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(r.text)}
	der, err := asn1.Marshal(struct{ Info pkiStatusInfo }{pkiStatusInfo{2, []asn1.RawValue{text}, bits}})
	if err != nil {
		// Unreachable: every field is of a kind that encodes. An empty body is
		// a reply that no client takes for a token.
		return nil
	}
	return der
}
