// Package vault keeps a directory's private keys at rest, in clear or encrypted,
// and writes and reads the one file that takes all of them elsewhere. Its formats
// are age's: `age -d` opens what it writes.
//
// # At rest
//
// Where the file [Identity] is there, keys are encrypted. It holds an age identity
// (X25519) and is itself encrypted with a passphrase: one scrypt stanza, work factor
// 17 (128 MiB, 0.4 s). Every other file of the vault is encrypted to the recipient
// of that identity. So scrypt, which is slow and large on purpose, runs once per
// process and not once per key, and a file that is encrypted says so by its header;
// those of both kinds may lie side by side, as a call that was stopped leaves them.
//
// # The key file
//
// [Vault.Export] writes a tar in one age file, encrypted with a passphrase alone
// (work factor 18: 256 MiB and a second, on a disk that may be lost). Files that are
// encrypted at rest go in as they lie, so they need their own passphrase as well.
//
// The vault asks nobody for anything before a key is needed, and knows neither
// terminal nor environment: whoever makes it says how a passphrase is asked for.
package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"

	"holdfast/wholefile"
)

// Identity is the file that opens the others, below the vault's directory.
const Identity = "keys/identity.age"

const (
	restWork = 17 // log2 of scrypt's N at rest, OWASP's least
	maxWork  = 20 // more is refused: a hostile file must not take all memory
	header   = "age-encryption.org/v1\n"
)

// MinPassphrase is how many bytes a passphrase has at least that something new is
// encrypted with.
const MinPassphrase = 8

var (
	// ErrNoPassphrase is wrapped where a passphrase is needed and none was given.
	ErrNoPassphrase = errors.New("a passphrase is needed")
	// ErrPassphrase is wrapped where a passphrase does not open what it should.
	ErrPassphrase = errors.New("the passphrase is wrong")
)

// CheckNew refuses a passphrase that nothing new should be encrypted with.
func CheckNew(pass []byte) error {
	if len(pass) == 0 {
		return ErrNoPassphrase
	}
	if len(pass) < MinPassphrase {
		return fmt.Errorf("the passphrase has %d bytes: choose one of %d or more, better six random words", len(pass), MinPassphrase)
	}
	return nil
}

// A Vault opens and makes the files of a directory that hold private keys. Their
// names are paths below it, with slashes. Safe for concurrent use, and beside
// Vaults of other processes.
type Vault struct {
	dir string

	mu   sync.Mutex
	ask  func() ([]byte, error)
	id   *age.X25519Identity
	from []byte // the file that id was in
}

// New returns the Vault of a directory. ask gives the passphrase of its keys; what
// it returns instead, such as an error that wraps [ErrNoPassphrase], is wrapped by
// the calls that needed it.
func New(dir string, ask func() ([]byte, error)) *Vault { return &Vault{dir: dir, ask: ask} }

// Dir is the directory.
func (v *Vault) Dir() string { return v.dir }

func (v *Vault) path(name string) string { return filepath.Join(v.dir, filepath.FromSlash(name)) }

// Encrypts reports whether new keys are encrypted.
func (v *Vault) Encrypts() bool {
	_, err := os.Lstat(v.path(Identity))
	return !errors.Is(err, fs.ErrNotExist)
}

// Begin makes the identity, so that new keys are encrypted, or opens the one that
// is there: what a call that was stopped has left has the same passphrase, or an
// error says so.
func (v *Vault) Begin(pass []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ask, v.id, v.from = func() ([]byte, error) { return pass, nil }, nil, nil
	if v.Encrypts() {
		_, err := v.open()
		return err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	r, err := age.NewScryptRecipient(string(pass))
	if err != nil {
		return err
	}
	r.SetWorkFactor(restWork)
	b, err := encryptTo(r, []byte(id.String()+"\n"))
	if err != nil {
		return err
	}
	if err := wholefile.Create(v.path(Identity), b); err != nil {
		return fmt.Errorf("encrypt keys: %w", err)
	}
	v.id, v.from = id, b
	return nil
}

func encryptTo(r age.Recipient, text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close()) // the last of it comes with Close
	return out.Bytes(), err
}

// identity is the one that lies there now: another process may have decrypted all
// and encrypted it anew, and nobody could open what is encrypted to the old one.
func (v *Vault) identity() (*age.X25519Identity, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open()
}

// open is called with mu held. The passphrase is asked for once for each identity.
func (v *Vault) open() (*age.X25519Identity, error) {
	b, err := wholefile.ReadSecret(v.path(Identity))
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	if v.id != nil && bytes.Equal(b, v.from) {
		return v.id, nil
	}
	pass, err := v.ask()
	if err == nil && len(pass) == 0 {
		err = ErrNoPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("the keys are encrypted: %w", err)
	}
	var text []byte
	r, err := decrypt(bytes.NewReader(b), pass)
	if err == nil {
		text, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, fmt.Errorf("open the keys in %s: %w", filepath.Dir(v.path(Identity)), err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Identity, err)
	}
	v.id, v.from = id, b
	return id, nil
}

// decrypt opens an age file that a passphrase protects.
func decrypt(r io.Reader, pass []byte) (io.Reader, error) {
	id, err := age.NewScryptIdentity(string(pass))
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(maxWork)
	out, err := age.Decrypt(r, id)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("not a file encrypted with a passphrase: %w", err)
	}
	return out, nil
}
