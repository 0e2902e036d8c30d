package export

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
)

// WritePolicyDir writes a Policy as text and PEM files, the form that verify.sh
// reads (docs/bundle.md, section 10): policy.txt, keys/<key ID>.pem and
// roots/<64 hex of the root's SPKI>.pem. Roots are looked for in certs; one
// that the Policy names and certs lack is an error, because verify.sh could not
// count its tokens.
//
// dir must not exist or be empty, else [ErrExists]. It appears whole: files are
// written to a hidden folder beside it, which a crash may leave behind, and then
// renamed.
func WritePolicyDir(dir string, p *holdfast.Policy, certs []*x509.Certificate) error {
	files, err := policyFiles(p, certs)
	if err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	old, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write policy: %w", err)
	}
	if len(old) > 0 {
		return fmt.Errorf("write policy to %s: %w: choose an empty folder", dir, ErrExists)
	}
	dir = filepath.Clean(dir)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*.part") // never a folder of somebody's
	if err == nil {
		err = os.Chmod(tmp, 0o755)
	}
	if err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	defer os.RemoveAll(tmp)
	for name, data := range files {
		path := filepath.Join(tmp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write policy: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("write policy: %w", err)
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write policy: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	return nil
}

func policyFiles(p *holdfast.Policy, certs []*x509.Certificate) (map[string][]byte, error) {
	if _, err := p.Encode(); err != nil { // a Policy that no verifier takes
		return nil, err
	}
	files := make(map[string][]byte)
	text := []byte("holdfast-policy 1\n# What verify.sh --trust reads. Times are milliseconds since 1970, UTC; - is no limit.\n")
	if p.Training {
		text = append(text, "# TRAINING: a rehearsal, not evidence.\n"...)
	}
	text = fmt.Appendf(text, "quorum %d\n", p.Quorum)
	operators := make(map[string]string)
	for _, a := range p.Authorities {
		id := operators[a.Operator]
		if id == "" {
			id = "o" + strconv.Itoa(len(operators)+1)
			operators[a.Operator] = id
			text = fmt.Appendf(text, "operator %s %s\n", id, messages.Visible(a.Operator))
		}
		issuer, policy := "-", "-"
		if a.Issuer != nil {
			issuer = a.Issuer.Hex()
		}
		if a.Policy != "" {
			policy = a.Policy
		}
		text = fmt.Appendf(text, "authority %s %s %s %s %s %s\n", id, a.Root.Hex(), issuer, policy, millis(&a.From), millis(a.Until))
		if err := addRoot(files, a, certs); err != nil {
			return nil, err
		}
	}
	text, err := appendNodes(text, files, p.Nodes)
	files["policy.txt"] = text
	return files, err
}

func addRoot(files map[string][]byte, a holdfast.Authority, certs []*x509.Certificate) error {
	var found bytes.Buffer
	for _, c := range anchors(&holdfast.Policy{Authorities: []holdfast.Authority{a}}, certs) {
		if block := pemBlock("CERTIFICATE", c.Raw); !bytes.Contains(found.Bytes(), block) {
			found.Write(block)
		}
	}
	if found.Len() == 0 {
		return fmt.Errorf("the root certificate %s of %q is not at hand: %w", a.Root, a.Operator, ErrOptions)
	}
	files["roots/"+a.Root.Hex()+".pem"] = found.Bytes()
	return nil
}

func appendNodes(text []byte, files map[string][]byte, nodes []holdfast.PolicyNode) ([]byte, error) {
	for _, n := range nodes {
		_, raw, err := holdfast.VKeyEd25519(n.Log.Key)
		if err != nil {
			return nil, err
		}
		spki, err := x509.MarshalPKIXPublicKey(raw)
		if err != nil {
			return nil, err
		}
		log := hashing.Of(spki).Hex()
		files["keys/"+log+".pem"] = pemBlock("PUBLIC KEY", spki)
		text = fmt.Appendf(text, "node %s %s\n", n.Name, log)
		for _, k := range n.Keys {
			id := holdfast.KeyID(k.SPKI)
			files["keys/"+id+".pem"] = pemBlock("PUBLIC KEY", k.SPKI)
			text = fmt.Appendf(text, "key %s %s %s %s\n", n.Name, id, millis(&k.From), millis(k.Until))
		}
		if c := n.Log.Checkpoint; c != nil {
			text = fmt.Appendf(text, "checkpoint %s %d %s\n", n.Name, c.Size, c.Root.Hex())
		}
	}
	return text, nil
}

func millis(t *holdfast.Time) string {
	if t == nil {
		return "-"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
