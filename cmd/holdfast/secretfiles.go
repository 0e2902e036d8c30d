package main

import (
	"os"

	"golang.org/x/term"

	"holdfast/cmd/internal/passphrase"
	"holdfast/collectors/telegram/accounts"
	"holdfast/vault"
)

// What of a node's directory nobody else may have: keys, the own authority, and
// credentials. All of it goes into the file of `key export`.
func secretFiles() []string { return []string{"keys/*", "own/*", fileEgresses, fileConfig} }

// keyFiles are those that are encrypted at rest. The identity is under the
// passphrase itself; credentials for authorities sign nothing, and are sent away
// whenever an authority is asked.
func keyFiles() []string {
	return []string{"keys/seal*", "keys/log*", accounts.Files + "*", canaryFiles + "*", sessionFiles + "*", "own/ca.*", "own/unit-*"}
}

// vault returns the one of the node's directory, which remembers that it was
// opened: one scrypt per process.
func (c *cli) vault() *vault.Vault {
	if c.keys == nil || c.keys.Dir() != c.data {
		c.keys = vault.New(c.data, func() ([]byte, error) { return c.passphrases().Needed("passphrase of the keys: ") })
	}
	return c.keys
}

// passphrases asks the environment, then the person at the terminal, if there is one.
func (c *cli) passphrases() passphrase.Asker {
	a := passphrase.Asker{Say: c.errs}
	if in, ok := c.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) && c.onTerminal() {
		a.Terminal = in
	}
	return a
}
