package authorities

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
)

// Entry is one row of authorities.json.
type Entry struct {
	Name     string         `json:"name"`
	Operator string         `json:"operator"`
	URL      string         `json:"url"`
	Public   bool           `json:"public"`
	Roots    string         `json:"roots"`          // PEM
	Auth     string         `json:"auth,omitempty"` // file of its credentials, below the data directory
	Added    holdfast.Time  `json:"added"`
	Removed  *holdfast.Time `json:"removed,omitempty"` // asked no more since

	// AuthFrom is the file that a person has given, before [Book.Add] copies it.
	AuthFrom string `json:"-"`
}

// Check refuses what can be no authority, in words for the person who adds it, and reads
// its roots from a file into the entry, which is added now.
func (e *Entry) Check(roots string) error {
	u, err := url.Parse(e.URL)
	switch {
	case err == nil && u.User != nil:
		return errors.New("url: it has a name or password in it, which would be recorded: put them into a file for --auth")
	case err == nil && e.AuthFrom != "" && !preserve.Confidential(u):
		return fmt.Errorf("--auth: %w: give an https URL", preserve.ErrOpenLine)
	case !holdfast.ValidAuthorityName(e.Name) || e.Name == "own":
		return fmt.Errorf("name %.60q: use 1 to 40 of a-z, 0-9 and -, and not `own`", e.Name)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url %.200q is not http(s)://host/…", e.URL)
	case e.Operator == "":
		return errors.New("--operator is missing: the legal entity that runs it; a quorum counts operators")
	case roots == "":
		return errors.New("--roots is missing: the PEM file that the authority publishes (`authority serve` writes DIR/roots.pem)")
	}
	if e.AuthFrom != "" {
		if _, err := ReadCredentials(e.AuthFrom); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(roots)
	if err != nil {
		return fmt.Errorf("read roots: %w", err)
	}
	if _, err := ParseCertificates(text); err != nil {
		return fmt.Errorf("read roots %s: %w", roots, err)
	}
	e.Roots, e.Added = string(text), holdfast.At(time.Now())
	return nil
}

func (e Entry) certificates() ([]*x509.Certificate, error) {
	cs, err := ParseCertificates([]byte(e.Roots))
	if err != nil {
		return nil, fmt.Errorf("read roots of authority %s: %w", e.Name, err)
	}
	return cs, nil
}

// RootKeys are the digests by which a Policy knows an authority's roots.
func (e Entry) RootKeys() (map[hashing.Digest]bool, error) {
	cs, err := e.certificates()
	if err != nil {
		return nil, err
	}
	keys := map[hashing.Digest]bool{}
	for _, c := range cs {
		keys[hashing.Of(c.RawSubjectPublicKeyInfo)] = true
	}
	return keys, nil
}

// ParseCertificates reads PEM certificates, one at least, and nothing else.
func ParseCertificates(text []byte) (cs []*x509.Certificate, err error) {
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || b.Type != "CERTIFICATE" {
			return nil, errors.New("not a PEM file of certificates")
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	if len(cs) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return cs, nil
}
