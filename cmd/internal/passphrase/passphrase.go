// Package passphrase asks for the passphrase of a node's keys: the file that
// HOLDFAST_PASSPHRASE_FILE names, HOLDFAST_PASSPHRASE, or the person at the terminal.
// There is no flag for one: the command line is for all to see. Nothing is kept.
package passphrase

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"holdfast/vault"
	"holdfast/wholefile"
)

// maxLength bounds a file with one, in bytes.
const maxLength = 4 << 10

// errNone is returned where a passphrase is needed and none was given.
var errNone = fmt.Errorf("%w: put it into a file that only you can read and set HOLDFAST_PASSPHRASE_FILE to its name, or set HOLDFAST_PASSPHRASE", vault.ErrNoPassphrase)

// FromEnvironment returns what HOLDFAST_PASSPHRASE_FILE or else HOLDFAST_PASSPHRASE
// gives, without the line's end; nil, nil if neither is set. A file that others can read
// is refused, and so is one that is empty or longer than 4 KiB.
func FromEnvironment() ([]byte, error) {
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
	if len(b) == 0 || len(b) > maxLength {
		return nil, fmt.Errorf("read HOLDFAST_PASSPHRASE_FILE: %s holds %d bytes; give 1 to %d", name, len(b), maxLength)
	}
	return b, nil
}

// Asker asks the environment first, then the person.
type Asker struct {
	Terminal *os.File  // where the person types, unseen; nil: there is nobody
	Say      io.Writer // takes the prompt
}

// Needed returns a passphrase that is there. None is an error that wraps
// [vault.ErrNoPassphrase] and says how to give one.
func (a Asker) Needed(prompt string) ([]byte, error) {
	p, err := FromEnvironment()
	if p != nil || err != nil {
		return p, err
	}
	if a.Terminal == nil {
		return nil, errNone
	}
	fmt.Fprint(a.Say, prompt)
	defer fmt.Fprintln(a.Say)
	if p, err = term.ReadPassword(int(a.Terminal.Fd())); err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	if len(p) == 0 {
		return nil, errNone
	}
	return p, nil
}

// Chosen returns one for something new, as [vault.CheckNew] wants it: at a terminal it is
// asked for twice.
func (a Asker) Chosen() ([]byte, error) {
	set, err := FromEnvironment()
	if err != nil {
		return nil, err
	}
	p, err := a.Needed("new passphrase: ")
	if err != nil {
		return nil, err
	}
	if set == nil {
		again, err := a.Needed("once more: ")
		if err != nil && !errors.Is(err, vault.ErrNoPassphrase) {
			return nil, err
		}
		if !bytes.Equal(p, again) {
			return nil, errors.New("the two passphrases differ: nothing was done")
		}
	}
	return p, vault.CheckNew(p)
}
