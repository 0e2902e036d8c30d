package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
)

// canaryFiles begin the names of the sessions that may write. They lie apart from
// those that read, so nothing that looks for an account to read with finds one, and
// the canary finds no other.
const canaryFiles = "keys/canary-"

func canaryFile(name string) string { return canaryFiles + name }

// canaries are the names of the accounts that may write.
func (n *node) canaries() ([]string, error) { return n.accounts.NamesAt(canaryFiles) }

// allSessions are the names of all accounts: no two have one name.
func (n *node) allSessions() ([]string, error) {
	names, err := n.accounts.Names()
	more, cerr := n.canaries()
	return append(names, more...), errors.Join(err, cerr)
}

func (n *node) isCanary(name string) bool {
	_, err := os.Lstat(n.path(canaryFile(name)))
	return err == nil
}

// fileOf is where an account's session lies, whichever kind it is.
func (n *node) fileOf(name string) string {
	if n.isCanary(name) {
		return canaryFile(name)
	}
	return accounts.File(name)
}

// fileForLogin is where a session will lie; a name that the other kind has is taken.
func (n *node) fileForLogin(name string, canary bool) (string, error) {
	file, other := accounts.File(name), canaryFile(name)
	if canary {
		file, other = other, file
	}
	if _, err := os.Lstat(n.path(other)); err == nil {
		return "", accounts.Unusable("there is an account %s already, and %s: give this one another --name", name, map[bool]string{true: "it reads", false: "it is the canary's"}[canary])
	}
	return file, nil
}

// notUsedOtherwise refuses a login by a user that an account of the other kind is of:
// what reads would be seen to write. A session that cannot be opened, or is of another
// service, is nobody's here.
func (n *node) notUsedOtherwise(user int64, canary bool, o telegram.Options) error {
	begin := canaryFiles
	if canary {
		begin = accounts.Files
	}
	names, err := n.accounts.NamesAt(begin)
	if err != nil {
		return err
	}
	for _, name := range names {
		k, err := n.accounts.OpenAt(begin+name, name, o)
		if err != nil && !errors.As(err, new(accounts.Error)) {
			return err
		}
		if err == nil && k.User == user {
			return accounts.Unusable("that is the account that %s is logged in with, and what reads must not write: nothing was kept; the canary needs an account of its own at the service. End the session that was made in the account's own list of devices", name)
		}
	}
	return nil
}

// canaryAccount takes the canary's account and its lease. An account that reads is
// never taken.
func (n *node) canaryAccount(name string, o telegram.Options) (*telegram.Account, func(), error) {
	names, err := n.canaries()
	if err != nil {
		return nil, nil, err
	}
	const how = "`holdfast telegram login --canary --phone NUMBER` logs one in, which must be another account at the service than those that read"
	switch {
	case name != "" && !accounts.ValidName(name):
		return nil, nil, usageError("--account %.60q: use 1 to 40 of a-z, 0-9 and -", name)
	case name != "" && !slices.Contains(names, name):
		if all, err := n.accounts.Names(); err == nil && slices.Contains(all, name) {
			return nil, nil, usageError("account %s follows and captures, and what reads must not write: the canary has an account of its own; %s", name, how)
		}
		return nil, nil, usageError("there is no account %s of the canary's; %s", name, how)
	case name == "" && len(names) == 0:
		return nil, nil, usageError("the canary has no account; %s", how)
	case name == "" && len(names) > 1:
		return nil, nil, usageError("the canary has %d accounts: say which with --account, of %s", len(names), strings.Join(names, ", "))
	case name == "":
		name = names[0]
	}
	states, err := n.accounts.States()
	if err != nil {
		return nil, nil, err
	}
	if s, ok := states[name]; ok && s.State != telegram.StateOK {
		return nil, nil, accounts.Unusable("%s", s.Words())
	}
	unlock, err := n.accounts.Lock(name)
	if err != nil {
		return nil, nil, err
	}
	if unlock == nil {
		return nil, nil, accounts.Unusable("account %s is in use by another process, and the service ends a session that is in use twice: wait for it", name)
	}
	k, err := n.accounts.OpenAt(canaryFile(name), name, o)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return &telegram.Account{Name: name, Session: k.Session}, unlock, nil
}
