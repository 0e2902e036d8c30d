// Package public lists well-known public RFC 3161 authorities of different
// operators, with their roots. It is data: a node asks them until it has
// authorities of its own, and the verifier's built-in Policy is made of them.
//
// Every root comes from Debian's ca-certificates or from the public source that
// authorities.json names beside it. Whether an operator still ends its tokens
// in that root shows with the first token: a node refuses any other.
package public

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
)

//go:embed authorities.json roots/*.pem
var files embed.FS

// Authority is one service and the roots that its tokens may end in.
type Authority struct {
	Name     string // short, names the parts of a Seal
	Operator string // the legal entity
	URL      string
	Roots    []*x509.Certificate
}

// List returns the authorities. It checks each root against the SPKI SHA-256
// that authorities.json states; an error means that this program was built from
// damaged files.
func List() ([]Authority, error) {
	raw, err := files.ReadFile("authorities.json")
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	var rows []struct {
		Name, Operator, URL string
		Roots               []struct {
			SPKI string `json:"spki_sha256"`
		}
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	list := make([]Authority, len(rows))
	for i, r := range rows {
		list[i] = Authority{Name: r.Name, Operator: r.Operator, URL: r.URL}
		if list[i].Roots, err = roots(r.Name); err != nil {
			return nil, err
		}
		if len(list[i].Roots) != len(r.Roots) {
			return nil, fmt.Errorf("roots of %s: %d in the PEM file, %d stated", r.Name, len(list[i].Roots), len(r.Roots))
		}
		for j, c := range list[i].Roots {
			if d := sha256.Sum256(c.RawSubjectPublicKeyInfo); hex.EncodeToString(d[:]) != r.Roots[j].SPKI {
				return nil, fmt.Errorf("root %d of %s is not the one stated", j, r.Name)
			}
		}
	}
	return list, nil
}

func roots(name string) (cs []*x509.Certificate, err error) {
	raw, err := files.ReadFile("roots/" + name + ".pem")
	if err != nil {
		return nil, fmt.Errorf("read roots of %s: %w", name, err)
	}
	for raw = bytes.TrimSpace(raw); len(raw) > 0; raw = bytes.TrimSpace(raw) {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			return nil, fmt.Errorf("read roots of %s: not PEM", name)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read roots of %s: %w", name, err)
		}
		cs = append(cs, c)
	}
	return cs, nil
}
