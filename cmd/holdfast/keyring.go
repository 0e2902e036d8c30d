package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/vault"
)

// keyMargin is how far the period of a seal key reaches beyond its use, at
// either end: a clock that was ahead when the key was made must not spoil the
// first Seals, and tokens that come late, or an export that was under way when
// the key was changed, not the last ones.
const keyMargin = 24 * time.Hour

// clockMargin is the one at the beginning: clocks are found a week off, and a
// Seal's T, which is the authorities' time, must not lie before its key.
const clockMargin = 31 * 24 * time.Hour

// sealKey is one seal key of the node over time, as node.json keeps it. The
// secret half lies in File or behind URI.
type sealKey struct {
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

func (k sealKey) id() string { return holdfast.KeyID(k.SPKI) }

func (k sealKey) from() holdfast.Time { return holdfast.At(k.Made.Add(-clockMargin)) }

// state says in one word what the key is good for.
func (k sealKey) state() string {
	switch {
	case k.Compromised:
		return "compromised"
	case k.Until != nil:
		return "retired"
	case k.Retired != nil:
		return "retiring" // its last Seal is not sealed yet
	}
	return "active"
}

// policyKeys are the keys as a Policy names them.
func policyKeys(ks []sealKey) (out []holdfast.PolicyKey) {
	for _, k := range ks {
		out = append(out, holdfast.PolicyKey{SPKI: k.SPKI, From: k.from(), Until: k.Until})
	}
	return out
}

// keyring holds the node's seal keys. A private key is opened when something is
// to be signed and not before, so that who only looks needs no passphrase. Safe
// for concurrent use.
type keyring struct {
	vault *vault.Vault

	mu     sync.Mutex
	list   []sealKey
	former []mirror.FormerLog         // with the keys of then, if they were lost since
	open   map[string]preserve.Signer // by key id
}

// openKeys reads the list of keys. Settings of before there was a list name one
// key, which must be opened to be known.
func (n *node) openKeys(ctx context.Context, v *vault.Vault) error {
	n.keys = &keyring{vault: v, open: map[string]preserve.Signer{}}
	list, err := n.keys.listed(ctx, n.set)
	n.keys.list, n.keys.former = list, n.set.Former
	return err
}

func (r *keyring) listed(ctx context.Context, s *settings) ([]sealKey, error) {
	if len(s.Keys) > 0 {
		return s.Keys, nil
	}
	k := sealKey{URI: s.Key, Made: s.Created}
	if s.Key == "" {
		k.File = fileSealKey
	}
	signer, err := r.load(ctx, k)
	if err != nil {
		return nil, err
	}
	k.SPKI = signer.SPKI()
	r.open[k.id()] = signer
	return []sealKey{k}, nil
}

func (r *keyring) load(ctx context.Context, k sealKey) (preserve.Signer, error) {
	if k.URI != "" {
		return preserve.OpenKMS(ctx, k.URI)
	}
	text, err := r.vault.Read(k.File)
	if err != nil {
		return nil, fmt.Errorf("open seal key: %w", err)
	}
	return preserve.ParseKey(k.File, text)
}

// all returns the keys, oldest first.
func (r *keyring) all() []sealKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// formerLogs returns what the node was before, oldest first.
func (r *keyring) formerLogs() []mirror.FormerLog {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.former
}

// newest is the key that signs.
func (r *keyring) newest() sealKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[len(r.list)-1]
}

// signer opens the key that signs.
func (r *keyring) signer(ctx context.Context) (preserve.Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.list[len(r.list)-1]
	if s := r.open[k.id()]; s != nil {
		return s, nil
	}
	s, err := r.load(ctx, k)
	if err != nil {
		return nil, err
	}
	if got := holdfast.KeyID(s.SPKI()); got != k.id() {
		return nil, fmt.Errorf("open seal key: %s holds key %s, and this node signs with %s: put the right one back", k.place(), got, k.id())
	}
	r.open[k.id()] = s
	return s, nil
}

func (k sealKey) place() string {
	if k.URI != "" {
		return k.URI
	}
	return k.File
}

// reloadKeys takes up what another process has changed since this one read
// node.json.
func (n *node) reloadKeys(ctx context.Context) error {
	s, err := readSettings(n.dir)
	if err != nil {
		return err
	}
	n.keys.mu.Lock()
	defer n.keys.mu.Unlock()
	list, err := n.keys.listed(ctx, s)
	if err == nil {
		n.keys.list, n.keys.former = list, s.Former
	}
	return err
}

// sealSigner is the key that signs now, opened. What must not change while it is
// used holds preserve.lock.
func (n *node) sealSigner(ctx context.Context) (preserve.Signer, error) {
	if err := n.reloadKeys(ctx); err != nil {
		return nil, err
	}
	return n.keys.signer(ctx)
}

// changeSettings changes node.json under a lock, from what it holds now.
func (n *node) changeSettings(ctx context.Context, change func(*settings) error) error {
	unlock, err := lockFile(ctx, n.path("init.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readSettings(n.dir)
	if err != nil {
		return err
	}
	if err := change(s); err != nil {
		return err
	}
	if err := writeJSON(n.path(fileSettings), s); err != nil {
		return err
	}
	return n.reloadKeys(ctx)
}

// makeKey makes a seal key: in the KMS that uri names, or a new file. name is
// "" for a name made from the key's id, so that no leftover of a crash is ever
// taken for it.
func makeKey(ctx context.Context, v *vault.Vault, name, uri string, training bool) (sealKey, error) {
	k := sealKey{URI: uri, File: name, Made: holdfast.At(time.Now())}
	if uri != "" {
		s, err := preserve.OpenKMS(ctx, uri)
		if err == nil {
			k.File, k.SPKI = "", s.SPKI()
		}
		return k, err
	}
	text, err := preserve.NewKey(training)
	if err != nil {
		return k, err
	}
	s, err := preserve.ParseKey("new key", text)
	if err != nil {
		return k, err
	}
	k.SPKI = s.SPKI()
	if name == "" {
		k.File = "keys/seal-" + k.id()[:16] + ".pem"
	}
	err = v.Create(k.File, text)
	if errors.Is(err, fs.ErrExist) && name != "" { // an init that was interrupted
		if text, err = leftKey(v, name); err == nil {
			s, err = preserve.ParseKey(name, text)
		}
		if err == nil && preserve.IsTraining(text) != training {
			err = leftOver(name, map[bool]string{true: "it is a key of a real node", false: "it is a key of a rehearsal (--training)"}[training])
		}
		if err == nil {
			k.SPKI = s.SPKI()
		}
	}
	if err != nil {
		return k, fmt.Errorf("make seal key: %w", err)
	}
	return k, nil
}
