package preserve

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"holdfast"
)

// NewLogKey draws the Ed25519 key of a node's log. label (`[a-z0-9-]{1,40}`)
// and the key's hash make the node's name. skey is a C2SP note signer string,
// secret; vkey is its public half.
func NewLogKey(label string) (name, skey, vkey string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", "", fmt.Errorf("create log key: %w", err)
	}
	if name, err = holdfast.NodeName(label, pub); err != nil {
		return "", "", "", fmt.Errorf("create log key: %w", err)
	}
	if vkey, err = note.NewEd25519VerifierKey(name, pub); err != nil {
		return "", "", "", fmt.Errorf("create log key: %w", err)
	}
	id := binary.BigEndian.Uint32(holdfast.LogID(name, pub))
	skey = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, id, base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...)))
	return name, skey, vkey, nil
}

// LogKeyText is what the file of a log key holds, and ParseLogKey reads it;
// [OpenTlog] checks it.
func LogKeyText(skey string) []byte { return []byte(skey + "\n") }

// ParseLogKey returns the note signer string in the text of a log key's file.
func ParseLogKey(text []byte) (skey string) { return strings.TrimSuffix(string(text), "\n") }

// LogVKey computes the public half of a note signer string of [NewLogKey].
func LogVKey(skey string) (vkey string, err error) {
	p := strings.SplitN(skey, "+", 5) // base64 has a + of its own
	raw, err := base64.StdEncoding.DecodeString(p[len(p)-1])
	if len(p) < 5 || err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != 1 {
		return "", errors.New("not an Ed25519 note signer")
	}
	pub := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if vkey, err = note.NewEd25519VerifierKey(p[2], pub); err != nil {
		return "", err
	}
	_, _, err = holdfast.VKeyEd25519(vkey)
	return vkey, err
}
