package verifycmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"holdfast"
	"holdfast/hashing"
)

// errFingerprint says that what was typed is no fingerprint.
var errFingerprint = errors.New("not a fingerprint of 64 hex digits")

// Fingerprint reads a fingerprint as people write it: in groups, in capitals,
// with or without `sha256:` in front. It returns 64 lower-case hex digits, or "" for "".
func Fingerprint(s string) (string, error) {
	f := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
	f = strings.TrimPrefix(f, "sha256:")
	if f != "" && (len(f) != 64 || strings.Trim(f, "0123456789abcdef") != "") {
		return "", errFingerprint
	}
	return f, nil
}

// trust is whom a check trusts, and by whose word: all of it was given by the
// person who checks, nothing comes from the Bundle or from a file beside it.
type trust struct {
	policy     *holdfast.Policy
	file       string         // "" is the built-in Policy
	fileDigest hashing.Digest // of the Policy's canonical bytes, as `policy show` prints it
	node       string         // fingerprint given, 64 hex digits or ""
	given      []holdfast.Authority
}

// trusted puts together what the options say.
func trusted(o Options) (*trust, error) {
	t := &trust{file: o.Policy}
	var err error
	if t.node, err = Fingerprint(o.Node); err != nil {
		return nil, fmt.Errorf("--node %.80q is %w: `holdfast policy show` of the other office prints it", o.Node, err)
	}
	if t.policy, err = readPolicy(o.Policy); err != nil {
		return nil, err
	}
	b, err := t.policy.Encode()
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	t.fileDigest = hashing.Of(b)
	for _, a := range o.Authorities {
		given, err := authority(a)
		if err != nil {
			return nil, err
		}
		t.given = append(t.given, given)
	}
	t.policy.Authorities = append(t.policy.Authorities, t.given...)
	if _, err := t.policy.Encode(); err != nil { // two operators under one root, and the like
		return nil, fmt.Errorf("add the authorities given to the policy: %w", err)
	}
	return t, nil
}

func readPolicy(path string) (*holdfast.Policy, error) {
	if path == "" {
		return Builtin()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, holdfast.MaxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	p, err := holdfast.ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w; `holdfast policy export FILE` writes one", path, err)
	}
	return p, nil
}

// authority reads OPERATOR=ROOT, ROOT being the SHA-256 of the root's public key.
func authority(s string) (holdfast.Authority, error) {
	i := strings.LastIndexByte(s, '=')
	if i < 1 {
		return holdfast.Authority{}, fmt.Errorf("--authority %.80q is not OPERATOR=ROOT: `holdfast policy show` of the other office prints both", s)
	}
	root, err := Fingerprint(s[i+1:])
	if err == nil && root == "" {
		err = errFingerprint
	}
	if err != nil {
		return holdfast.Authority{}, fmt.Errorf("--authority %.80q: the root is %w", s, err)
	}
	d, err := hashing.ParseHex(root)
	if err != nil {
		return holdfast.Authority{}, fmt.Errorf("--authority %.80q: %w", s, err)
	}
	return holdfast.Authority{Operator: strings.TrimSpace(s[:i]), Root: d, From: holdfast.At(time.Unix(0, 0))}, nil
}

// unmatched reports whether a fingerprint was given that named the maker of no
// Seal here.
func (t *trust) unmatched(r *holdfast.Report) bool {
	sealed := false
	for _, e := range r.Exhibits {
		if e.Known {
			return false
		}
		sealed = sealed || e.Seal != ""
	}
	return t.node != "" && sealed
}

// groups writes a fingerprint as a letter shows it.
func groups(hex string) string {
	var b strings.Builder
	for i := 0; i < len(hex); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToUpper(hex[i:min(i+4, len(hex))]))
	}
	return b.String()
}
