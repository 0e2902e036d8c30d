package rfc3161

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Identifier octets of the DER types that a token is made of.
const (
	tagBool     = 0x01
	tagInt      = 0x02
	tagBits     = 0x03
	tagOctets   = 0x04
	tagNull     = 0x05
	tagOID      = 0x06
	tagUTF8     = 0x0c
	tagTime     = 0x18
	tagSequence = 0x30
	tagSet      = 0x31
	tagContext0 = 0xa0 // constructed, context-specific
	tagContext1 = 0xa1
	tagContext4 = 0xa4
)

// maxInteger bounds serial numbers and nonces, in bytes. RFC 3161 section
// 2.4.2 asks for serials of up to 160 bits.
const maxInteger = 64

// A reader walks the elements of one DER value. Its first error sticks and
// every later read then gives nothing, so callers check once, with end.
//
// encoding/asn1 is not used for structures because it ignores what follows the
// last known field of a SEQUENCE; here every byte must be accounted for.
type reader struct {
	b   []byte
	err error
}

// peek returns the identifier octet of the next element, 0 at the end.
func (r *reader) peek() byte {
	if r.err != nil || len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

// element takes the next element and returns it with and without its header.
// Lengths must be minimal and definite; tag numbers above 30 do not occur.
func (r *reader) element(tag byte) (full, content []byte) {
	if r.peek() != tag || len(r.b) < 2 || tag == 0 || tag&0x1f == 0x1f {
		r.failf("tag %#02x expected, %#02x found", tag, r.peek())
		return nil, nil
	}
	head, n := 2, int(r.b[1])
	if n >= 0x80 {
		head, n = r.longLength(n & 0x7f)
	}
	if r.err != nil || n > len(r.b)-head {
		r.failf("length beyond the end")
		return nil, nil
	}
	full = r.b[: head+n : head+n]
	r.b = r.b[head+n:]
	return full, full[head:]
}

// longLength reads a length of size bytes; tokens are far below 2^24 bytes.
func (r *reader) longLength(size int) (head, n int) {
	if size < 1 || size > 3 || len(r.b) < 2+size {
		r.failf("length not in DER")
		return 0, 0
	}
	for _, c := range r.b[2 : 2+size] {
		n = n<<8 | int(c)
	}
	if n < 0x80 || r.b[2] == 0 {
		r.failf("length not minimal")
	}
	return 2 + size, n
}

// inside returns a reader over the content of the next element.
func (r *reader) inside(tag byte) *reader {
	_, content := r.element(tag)
	return &reader{b: content, err: r.err}
}

// oid takes an OBJECT IDENTIFIER in dotted form; arcs may be of any size.
func (r *reader) oid() string {
	_, content := r.element(tagOID)
	var id x509.OID
	if r.err != nil || id.UnmarshalBinary(content) != nil {
		r.failf("object identifier not in DER")
		return ""
	}
	return id.String()
}

// integer takes an INTEGER with the given identifier octet.
func (r *reader) integer(tag byte) *big.Int {
	full, content := r.element(tag)
	if r.err != nil || len(content) > maxInteger {
		r.failf("integer too long")
		return new(big.Int)
	}
	var v *big.Int
	if _, err := asn1.Unmarshal(append([]byte{tagInt}, full[1:]...), &v); err != nil {
		r.failf("integer not in DER")
		return new(big.Int)
	}
	return v
}

// small takes an INTEGER between 0 and 2^31-1.
func (r *reader) small(tag byte) int64 {
	v := r.integer(tag)
	if v.Sign() < 0 || v.BitLen() > 31 {
		r.failf("integer out of range")
		return 0
	}
	return v.Int64()
}

// algorithm takes an AlgorithmIdentifier: its OID and the DER of its
// parameters (nil when absent).
func (r *reader) algorithm() algorithm {
	in := r.inside(tagSequence)
	a := algorithm{oid: in.oid()}
	if in.err == nil && len(in.b) > 0 {
		a.params, _ = in.element(in.peek())
	}
	r.adopt(in)
	return a
}

// adopt ends the inner reader and keeps its error.
func (r *reader) adopt(in *reader) {
	if err := in.end(); err != nil && r.err == nil {
		r.err = err
	}
}

// end returns the first error; bytes left over are one.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.failf("%d bytes too many", len(r.b))
	}
	return r.err
}

func (r *reader) failf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
	}
}

// tlv writes one element of DER.
func tlv(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag, byte(n)}
	switch {
	case n > 0xffff:
		out = []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	case n > 0xff:
		out = []byte{tag, 0x82, byte(n >> 8), byte(n)}
	case n > 0x7f:
		out = []byte{tag, 0x81, byte(n)}
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// oidDER writes a dotted object identifier.
func oidDER(dotted string) ([]byte, error) {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		return nil, errors.New("not an object identifier")
	}
	content, err := id.MarshalBinary()
	return tlv(tagOID, content), err
}
