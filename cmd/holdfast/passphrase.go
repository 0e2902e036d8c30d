package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"holdfast/vault"
	"holdfast/wholefile"
)

// maxPassphrase bounds a file with one, in bytes.
const maxPassphrase = 4 << 10

// errNoPassphrase is wrapped where a passphrase is needed and none was given.
var errNoPassphrase = fmt.Errorf("%w: put it into a file that only you can read and set HOLDFAST_PASSPHRASE_FILE to its name, or set HOLDFAST_PASSPHRASE", vault.ErrNoPassphrase)

// What of a node's directory nobody else may have: keys, the own authority, and
// credentials. All of it goes into the file of `key export`.
func secretFiles() []string { return []string{"keys/*", "own/*", fileEgresses, fileConfig} }

// keyFiles are those that are encrypted at rest. The identity is under the
// passphrase itself; credentials for authorities sign nothing, and are sent away
// whenever an authority is asked.
func keyFiles() []string {
	return []string{"keys/seal*", "keys/log*", accountFiles + "*", canaryFiles + "*", sessionFiles + "*", "own/ca.*", "own/unit-*"}
}

// vault returns the one of the node's directory, which remembers that it was
// opened: one scrypt per process.
func (c *cli) vault() *vault.Vault {
	if c.keys == nil || c.keys.Dir() != c.data {
		c.keys = vault.New(c.data, func() ([]byte, error) { return c.neededPassphrase("passphrase of the keys: ") })
	}
	return c.keys
}

// passphrase returns what HOLDFAST_PASSPHRASE_FILE or else HOLDFAST_PASSPHRASE
// gives, without the line's end; nil, nil if neither is set. A file that others
// can read is refused. There is no flag: the command line is for all to see.
func passphrase() ([]byte, error) {
	name := os.Getenv("HOLDFAST_PASSPHRASE_FILE")
	if name == "" {
		if p := os.Getenv("HOLDFAST_PASSPHRASE"); p != "" {
			return []byte(p), nil
		}
		return nil, nil
	}
	b, err := wholefile.ReadSecret(name)
	if err != nil {
		return nil, fmt.Errorf("read HOLDFAST_PASSPHRASE_FILE: %w", err)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 || len(b) > maxPassphrase {
		return nil, fmt.Errorf("read HOLDFAST_PASSPHRASE_FILE: %s holds %d bytes; give 1 to %d", name, len(b), maxPassphrase)
	}
	return b, nil
}

// neededPassphrase asks the environment, then the person at the terminal. None is
// an error that wraps errNoPassphrase.
func (c *cli) neededPassphrase(prompt string) ([]byte, error) {
	p, err := passphrase()
	if p != nil || err != nil {
		return p, err
	}
	in, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || !c.onTerminal() {
		return nil, errNoPassphrase
	}
	fmt.Fprint(c.errs, prompt)
	defer fmt.Fprintln(c.errs)
	if p, err = term.ReadPassword(int(in.Fd())); err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	if len(p) == 0 {
		return nil, errNoPassphrase
	}
	return p, nil
}

// chosenPassphrase is for something new: at a terminal it is asked for twice.
func (c *cli) chosenPassphrase() ([]byte, error) {
	set, err := passphrase()
	if err != nil {
		return nil, err
	}
	p, err := c.neededPassphrase("new passphrase: ")
	if err != nil {
		return nil, err
	}
	if set == nil {
		again, err := c.neededPassphrase("once more: ")
		if err != nil && !errors.Is(err, errNoPassphrase) {
			return nil, err
		}
		if !bytes.Equal(p, again) {
			return nil, errors.New("the two passphrases differ: nothing was done")
		}
	}
	return p, vault.CheckNew(p)
}

// leftKey reads a key that a call which was killed has made, if it lies as this one
// would have left it.
func leftKey(v *vault.Vault, name string) ([]byte, error) {
	encrypted, err := v.Encrypted(name)
	if err != nil {
		return nil, err
	}
	if v.Encrypts() && !encrypted {
		return nil, leftOver(name, "it lies in clear, and encrypted keys are wanted")
	}
	return v.Read(name)
}
