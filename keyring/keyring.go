package keyring

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/vault"
)

// Margin is how far the period of a seal key reaches beyond its use: tokens that come
// late, or an export that was under way when the key was changed, must not spoil the
// last Seals.
const Margin = 24 * time.Hour

// ClockMargin is the one at the beginning: clocks are found a week off, and a Seal's T,
// which is the authorities' time, must not lie before its key.
const ClockMargin = 31 * 24 * time.Hour

// Key is one seal key of the node over time, as node.json keeps it. The secret half lies
// in File or behind URI.
type Key struct {
	File string        `json:"file,omitempty"` // below the node's directory
	URI  string        `json:"uri,omitempty"`  // of a KMS
	SPKI []byte        `json:"spki"`
	Made holdfast.Time `json:"made"`
	// Retired is since when nothing new is signed with it.
	Retired *holdfast.Time `json:"retired,omitempty"`
	// Until is set once its last Seal is sealed, or at once if the key was
	// compromised: what is sealed at or after it is contradicted.
	Until *holdfast.Time `json:"until,omitempty"`
	// Compromised: Until is since when somebody else may have had the key.
	Compromised bool `json:"compromised,omitempty"`
}

// ID is the key's id, as of [holdfast.KeyID].
func (k Key) ID() string { return holdfast.KeyID(k.SPKI) }

// From is since when what it signs counts: [ClockMargin] before it was made.
func (k Key) From() holdfast.Time { return holdfast.At(k.Made.Add(-ClockMargin)) }

// State says in one word what the key is good for: active, retiring (its last Seal is not
// sealed yet), retired or compromised.
func (k Key) State() string {
	switch {
	case k.Compromised:
		return "compromised"
	case k.Until != nil:
		return "retired"
	case k.Retired != nil:
		return "retiring"
	}
	return "active"
}

// Place is where the secret half lies: the URI, or the file below the node's directory.
func (k Key) Place() string {
	if k.URI != "" {
		return k.URI
	}
	return k.File
}

// Policy returns the keys as a Policy names them.
func Policy(ks []Key) (out []holdfast.PolicyKey) {
	for _, k := range ks {
		out = append(out, holdfast.PolicyKey{SPKI: k.SPKI, From: k.From(), Until: k.Until})
	}
	return out
}

// List is what node.json says of the node's seal keys.
type List struct {
	// Keys, oldest first; the last one signs.
	Keys []Key
	// First is the one key of a node whose settings are of before there was a list:
	// File or URI, and Made. Its public half is not known until it is opened.
	First Key
	// Lost are the keys of before a restore that had none of them, where they lie in
	// the settings: who changes one changes it there. The same key may stand under
	// several names that the node had.
	Lost []*holdfast.PolicyKey
	// Left is what a change has still to do; nil: nothing.
	Left *Left
}

// Ring holds the node's seal keys. A private key is opened when something is to be
// signed and not before, so that who only looks needs no passphrase. Safe for concurrent
// use.
type Ring struct {
	vault *vault.Vault

	mu   sync.Mutex
	list []Key
	open map[string]preserve.Signer // by key id
}

// Open makes the ring of a list. It opens no key but [List.First], which must be to be
// known: what that fails with wraps what [vault.Vault.Read] says.
func Open(ctx context.Context, v *vault.Vault, l List) (*Ring, error) {
	r := &Ring{vault: v, open: map[string]preserve.Signer{}}
	return r, r.Take(ctx, l)
}

// Take takes up what another process has changed. After an error the ring is what it was.
func (r *Ring) Take(ctx context.Context, l List) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	list, err := r.listed(ctx, l)
	if err == nil {
		r.list = list
	}
	return err
}

func (r *Ring) listed(ctx context.Context, l List) ([]Key, error) {
	if len(l.Keys) > 0 {
		return l.Keys, nil
	}
	k := l.First
	signer, err := r.load(ctx, k)
	if err != nil {
		return nil, err
	}
	k.SPKI = signer.SPKI()
	r.open[k.ID()] = signer
	return []Key{k}, nil
}

func (r *Ring) load(ctx context.Context, k Key) (preserve.Signer, error) {
	if k.URI != "" {
		return preserve.OpenKMS(ctx, k.URI)
	}
	text, err := r.vault.Read(k.File)
	if err != nil {
		return nil, fmt.Errorf("open seal key: %w", err)
	}
	return preserve.ParseKey(k.File, text)
}

// All returns the keys, oldest first: at least one.
func (r *Ring) All() []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// Newest is the key that signs.
func (r *Ring) Newest() Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[len(r.list)-1]
}

// Signer opens the key that signs; once, and it stays open. A file that holds another
// key than the list says is refused: what it signed would be contradicted.
func (r *Ring) Signer(ctx context.Context) (preserve.Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.list[len(r.list)-1]
	if s := r.open[k.ID()]; s != nil {
		return s, nil
	}
	s, err := r.load(ctx, k)
	if err != nil {
		return nil, err
	}
	if got := holdfast.KeyID(s.SPKI()); got != k.ID() {
		return nil, fmt.Errorf("open seal key: %s holds key %s, and this node signs with %s: put the right one back", k.Place(), got, k.ID())
	}
	r.open[k.ID()] = s
	return s, nil
}
