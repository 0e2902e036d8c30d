package main

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
	"golang.org/x/term"

	"holdfast/wholefile"
)

const (
	// fileIdentity holds the age identity that opens the keys, itself encrypted
	// with the passphrase: so scrypt, which is slow and large on purpose, runs
	// once per process and not once per key.
	fileIdentity = "keys/identity.age"
	// vaultWork is log2 of scrypt's N at rest: 128 MiB and 0.4 s, OWASP's least.
	vaultWork = 17
	ageHead   = "age-encryption.org/v1\n"
)

// vault opens and makes the files of a node that hold private keys, encrypted
// at rest or not. Nothing is asked of anybody before a key is needed. Safe for
// concurrent use.
type vault struct {
	dir string
	ask func() ([]byte, error) // the passphrase; nil, nil: there is none

	mu sync.Mutex
	id *age.X25519Identity
}

// vault returns the one of the node's directory, which remembers that it was
// opened: one scrypt per process.
func (c *cli) vault() *vault {
	if c.keys == nil || c.keys.dir != c.data {
		c.keys = &vault{dir: c.data, ask: func() ([]byte, error) { return c.passphrase("passphrase of the keys: ") }}
	}
	return c.keys
}

// passphrase asks the environment, then the person at the terminal.
func (c *cli) passphrase(prompt string) ([]byte, error) {
	p, err := passphrase()
	if p != nil || err != nil {
		return p, err
	}
	in, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || !c.onTerminal() {
		return nil, nil
	}
	fmt.Fprint(c.errs, prompt)
	defer fmt.Fprintln(c.errs)
	if p, err = term.ReadPassword(int(in.Fd())); err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return p, nil
}

// chosenPassphrase is for something new: at a terminal it is asked for twice.
func (c *cli) chosenPassphrase() ([]byte, error) {
	set, err := passphrase()
	if err != nil {
		return nil, err
	}
	p, err := c.passphrase("new passphrase: ")
	if err != nil {
		return nil, err
	}
	if set == nil && len(p) > 0 {
		again, err := c.passphrase("once more: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(p, again) {
			return nil, errors.New("the two passphrases differ: nothing was done")
		}
	}
	return p, newPassphrase(p)
}

// encrypts reports whether new keys are encrypted.
func (v *vault) encrypts() bool {
	_, err := os.Lstat(filepath.Join(v.dir, filepath.FromSlash(fileIdentity)))
	return !errors.Is(err, fs.ErrNotExist)
}

// begin makes the identity, or opens the one that is there: what `key encrypt`
// left when it was stopped has the same passphrase, or an error says so.
func (v *vault) begin(pass []byte) error {
	if v.encrypts() {
		v.ask = func() ([]byte, error) { return pass, nil }
		_, err := v.identity()
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
	r.SetWorkFactor(vaultWork)
	b, err := encryptTo(r, []byte(id.String()+"\n"))
	if err != nil {
		return err
	}
	if err := wholefile.Create(filepath.Join(v.dir, filepath.FromSlash(fileIdentity)), b); err != nil {
		return fmt.Errorf("encrypt keys: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.id = id
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

// identity opens the identity, once.
func (v *vault) identity() (*age.X25519Identity, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.id != nil {
		return v.id, nil
	}
	b, err := wholefile.ReadSecret(filepath.Join(v.dir, filepath.FromSlash(fileIdentity)))
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	pass, err := v.ask()
	if err != nil {
		return nil, err
	}
	if len(pass) == 0 {
		return nil, fmt.Errorf("the keys are encrypted: %w", errNoPassphrase)
	}
	r, err := decryptWith(bytes.NewReader(b), pass)
	if err == nil {
		b, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, fmt.Errorf("open the keys in %s: %w", filepath.Join(v.dir, "keys"), err)
	}
	if v.id, err = age.ParseX25519Identity(strings.TrimSpace(string(b))); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileIdentity, err)
	}
	return v.id, nil
}

// Open returns the text of a file, decrypted if it is encrypted.
func (v *vault) Open(file []byte) ([]byte, error) {
	if !bytes.HasPrefix(file, []byte(ageHead)) {
		return file, nil
	}
	id, err := v.identity()
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(file), id)
	if err != nil {
		return nil, fmt.Errorf("decrypt a key: %w: is it of this node?", err)
	}
	return io.ReadAll(r)
}

// Seal returns what a new file shall hold.
func (v *vault) Seal(text []byte) ([]byte, error) {
	if !v.encrypts() {
		return text, nil
	}
	id, err := v.identity()
	if err != nil {
		return nil, err
	}
	return encryptTo(id.Recipient(), text)
}

// read returns the text of a file of the node that only its owner may read.
func (v *vault) read(name string) ([]byte, error) {
	b, err := wholefile.ReadSecret(filepath.Join(v.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	return v.Open(b)
}

// left reads a key that a call which was killed has made, if it lies as this one
// would have left it.
func (v *vault) left(name string) ([]byte, error) {
	b, err := wholefile.ReadSecret(filepath.Join(v.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	if v.encrypts() && !bytes.HasPrefix(b, []byte(ageHead)) {
		return nil, leftOver(name, "it lies in clear, and encrypted keys are wanted")
	}
	return v.Open(b)
}

// create makes a file that is not there yet; fs.ErrExist otherwise.
func (v *vault) create(name string, text []byte) error {
	b, err := v.Seal(text)
	if err != nil {
		return err
	}
	return wholefile.Create(filepath.Join(v.dir, filepath.FromSlash(name)), b)
}

// replace makes a file, in the place of what is there.
func (v *vault) replace(name string, text []byte) error {
	b, err := v.Seal(text)
	if err != nil {
		return err
	}
	return wholefile.Replace(filepath.Join(v.dir, filepath.FromSlash(name)), b, 0o600)
}

// keyFiles lists the files that the vault keeps. The identity is under the
// passphrase itself; credentials for authorities sign nothing, and are sent away
// whenever an authority is asked.
func (n *node) keyFiles() ([]string, error) {
	all, err := n.secretFiles()
	var keys []string
	for _, name := range all {
		for _, begin := range []string{"keys/seal", "keys/log", accountFiles, canaryFiles, "own/ca.", "own/unit-"} {
			if strings.HasPrefix(name, begin) {
				keys = append(keys, name)
			}
		}
	}
	return keys, err
}

// encryptKeys encrypts what lies in clear, and decryptKeys the reverse, file
// by file. A stop in between leaves both kinds side by side, which every command
// can read, and the next call goes on.
func (n *node) encryptKeys() (changed int, err error) {
	return n.rewriteKeys(false, n.keys.vault.Seal)
}

func (n *node) decryptKeys() (changed int, err error) {
	changed, err = n.rewriteKeys(true, n.keys.vault.Open)
	if err != nil {
		return changed, err
	}
	if err := os.Remove(n.path(fileIdentity)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	return changed, nil
}

// sweepKeys removes what a crash has left of a key that was being written: it
// may be a second name of a key in clear. Who is writing one at this moment
// fails, and can do it again.
func (n *node) sweepKeys() error {
	var errs []error
	for _, dir := range []string{"keys", "own"} {
		names, err := filepath.Glob(globEscape(n.path(dir)) + "/.new-*")
		errs = append(errs, err)
		for _, name := range names {
			if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove unfinished keys: %w", err)
	}
	return nil
}

func (n *node) rewriteKeys(encrypted bool, rewrite func([]byte) ([]byte, error)) (changed int, err error) {
	if err := n.sweepKeys(); err != nil {
		return 0, err
	}
	names, err := n.keyFiles()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		b, err := wholefile.ReadSecret(n.path(name))
		if err != nil {
			return changed, err
		}
		if bytes.HasPrefix(b, []byte(ageHead)) != encrypted {
			continue
		}
		if b, err = rewrite(b); err != nil {
			return changed, err
		}
		if err := writeFile(n.path(name), b); err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}
