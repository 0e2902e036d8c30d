package export

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// trust writes the node entries, keys and certificates that a verifier needs to
// build chains. None of it makes itself trusted.
func (w *writer) trust(context.Context) error {
	keys := make(map[string][]byte)
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		raw, err := w.nodes[name].Encode()
		if err != nil {
			return fmt.Errorf("write entry of node %s: %w", name, err)
		}
		if err := w.zip.add(dirNodes+name+".json", raw); err != nil {
			return err
		}
		for _, k := range w.nodes[name].Keys {
			keys[holdfast.KeyID(k.SPKI)] = k.SPKI
		}
	}
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		if err := w.zip.add(dirNodes+id+".pem", pemBlock("PUBLIC KEY", keys[id])); err != nil {
			return err
		}
	}
	for _, c := range w.anchors {
		w.certs[hashing.Of(c.Raw)] = c
	}
	for _, d := range slices.SortedFunc(maps.Keys(w.certs), hashing.Digest.Compare) {
		if err := w.zip.add(dirCerts+d.Hex()+".pem", pemBlock("CERTIFICATE", w.certs[d].Raw)); err != nil {
			return err
		}
	}
	root, err := w.trustedRoot()
	if err != nil {
		return err
	}
	return w.zip.add(pathTrustedRoot, root)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// trustedRoot is Sigstore's trusted_root.json (version 0.1). One of its readers
// finds an authority by the certificate that signed the token, so each such
// certificate has an element of its own, leaf first; another counts elements
// without a uri as one, so each operator has its own uri.
type trustedRoot struct {
	CertificateAuthorities []struct{}  `json:"certificateAuthorities"`
	CTLogs                 []struct{}  `json:"ctlogs"`
	MediaType              string      `json:"mediaType"`
	Timestamps             []trustTSA  `json:"timestampAuthorities"`
	Logs                   []trustTLog `json:"tlogs"`
}

type trustTSA struct {
	Chain struct {
		Certificates []rawBytes `json:"certificates"`
	} `json:"certChain"`
	Subject struct {
		CommonName   string `json:"commonName"`
		Organization string `json:"organization"`
	} `json:"subject"`
	URI      string   `json:"uri"`
	ValidFor validFor `json:"validFor"`
}

type rawBytes struct {
	RawBytes []byte `json:"rawBytes"`
}

type validFor struct {
	Start string `json:"start"`
}

type trustTLog struct {
	BaseURL       string `json:"baseUrl"`
	HashAlgorithm string `json:"hashAlgorithm"`
	LogID         struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
	PublicKey struct {
		KeyDetails string   `json:"keyDetails"`
		RawBytes   []byte   `json:"rawBytes"`
		ValidFor   validFor `json:"validFor"`
	} `json:"publicKey"`
}

func (w *writer) trustedRoot() ([]byte, error) {
	t := trustedRoot{
		CertificateAuthorities: []struct{}{}, CTLogs: []struct{}{}, Timestamps: []trustTSA{}, Logs: []trustTLog{},
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
	}
	for _, leaf := range slices.SortedFunc(maps.Keys(w.tsas), hashing.Digest.Compare) {
		t.Timestamps = append(t.Timestamps, element(w.tsas[leaf]))
	}
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		l, err := logElement(w.nodes[name])
		if err != nil {
			return nil, err
		}
		t.Logs = append(t.Logs, l)
	}
	return canon.Marshal(&t)
}

func element(a tsa) (e trustTSA) {
	for _, c := range a.path {
		e.Chain.Certificates = append(e.Chain.Certificates, rawBytes{c.Raw})
	}
	e.Subject.CommonName, e.Subject.Organization = strings.ToValidUTF8(a.path[0].Subject.CommonName, "?"), a.operator
	e.URI = "https://" + hashing.Of([]byte(a.operator)).Hex()[:16] + ".operator.invalid/"
	e.ValidFor.Start = a.path[0].NotBefore.UTC().Format(time.RFC3339)
	return e
}

func logElement(n *holdfast.PolicyNode) (l trustTLog, err error) {
	origin, key, err := holdfast.VKeyEd25519(n.Log.Key)
	if err != nil {
		return l, err
	}
	l.BaseURL, l.HashAlgorithm = "https://"+origin, "SHA2_256"
	l.LogID.KeyID = holdfast.LogID(origin, key)
	l.PublicKey.KeyDetails = "PKIX_ED25519"
	if l.PublicKey.RawBytes, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return l, err
	}
	from := slices.MinFunc(n.Keys, func(a, b holdfast.PolicyKey) int { return a.From.Compare(b.From.Time) }).From
	l.PublicKey.ValidFor.Start = from.UTC().Format(time.RFC3339)
	return l, nil
}
