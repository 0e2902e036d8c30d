package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/filelock"
)

const (
	// fileAccounts is what is known of the accounts' states. It may be lost: then
	// every account that has a session is thought to be well.
	fileAccounts = "telegram.json"
	accountFiles = "keys/telegram-"
)

var accountName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// accountError says why an account, or any, cannot be used now, and what to do.
type accountError string

func (e accountError) Error() string { return string(e) }

func unusable(format string, a ...any) error { return accountError(fmt.Sprintf(format, a...)) }

// keptSession is what keys/telegram-NAME holds, through the vault.
type keptSession struct {
	Version int `json:"version"`
	// Service is whom it was made with: a session is shown to no other.
	Service string          `json:"service"`
	User    int64           `json:"user"`
	Session json.RawMessage `json:"session"`
}

// accountState is one row of DIR/telegram.json. A row without a session is a name
// that the service wants no login of before a time.
type accountState struct {
	Name  string         `json:"name"`
	State telegram.State `json:"state"`
	Since holdfast.Time  `json:"since"`
	Until *holdfast.Time `json:"until,omitempty"`
	Do    string         `json:"do,omitempty"`

	// Waits are the methods that it is to wait with: all else it may ask.
	Waits []methodWait `json:"waits,omitempty"`
}

// methodWait is a method of the service's, in the words of its schema, which an
// account is not to ask for before a time.
type methodWait struct {
	Method string        `json:"method"`
	Until  holdfast.Time `json:"until"`
}

// now is the state at a time: who has waited is well again.
func (s accountState) now(t time.Time) accountState {
	s.Waits = slices.DeleteFunc(slices.Clone(s.Waits), func(w methodWait) bool { return !t.Before(w.Until.Time) })
	if s.State == telegram.StateWaiting && s.Until != nil && !t.Before(s.Until.Time) {
		return accountState{Name: s.Name, State: telegram.StateOK, Since: *s.Until, Waits: s.Waits}
	}
	return s
}

// shown is the state as people see it: an account that has to wait with something is
// waiting, until the last of it.
func (s accountState) shown() accountState {
	if s.State != telegram.StateOK || len(s.Waits) == 0 {
		return s
	}
	var all []string
	for i, w := range s.Waits {
		all = append(all, fmt.Sprintf("%s until %s", w.Method, w.Until))
		if s.Until == nil || w.Until.After(s.Until.Time) {
			s.Until = &s.Waits[i].Until
		}
	}
	s.State, s.Do = telegram.StateWaiting, "the service wants to wait with "+strings.Join(all, ", ")+"; all else is asked"
	return s
}

// words says why an account is not to be used, and what to do.
func (s accountState) words() string {
	if s.Until != nil {
		return fmt.Sprintf("account %s is waiting until %s: %s", s.Name, s.Until, s.Do)
	}
	return fmt.Sprintf("account %s is %s: %s", s.Name, s.State, s.Do)
}

// errInUse is wrapped by the error for an account that another process has.
const errInUse = accountError("is in use by another process, and the service ends a session that is in use twice: wait for it, or log another account in")

func sessionFile(name string) string { return accountFiles + name }

// lockAccount takes an account's lease; nil, nil: a process has it. A session that
// is in use twice is ended by the service.
func (n *node) lockAccount(name string) (unlock func(), err error) {
	return filelock.Try(n.path("telegram-" + name + ".lock"))
}

// sessions are the names of the accounts that read and have one, in order: a2 before
// a10.
func (n *node) sessions() (names []string, err error) { return n.sessionsAt(accountFiles) }

func (n *node) sessionsAt(begin string) (names []string, err error) {
	files, err := fs.Glob(os.DirFS(n.dir), begin+"*")
	for _, f := range files {
		if name := strings.TrimPrefix(filepath.Base(f), filepath.Base(begin)); accountName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, err
}

// states reads what is known, by name.
func (n *node) states() (map[string]accountState, error) {
	var rows []accountState
	if err := readJSON(n.path(fileAccounts), &rows); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; it may be removed, the sessions are elsewhere", err)
	}
	of := map[string]accountState{}
	for _, r := range rows {
		of[r.Name] = r.now(time.Now())
	}
	return of, nil
}

// noteState writes down what is known of one account; a state without a name is
// that there is nothing to know.
func (n *node) noteState(ctx context.Context, name string, s accountState) error {
	return n.changeState(ctx, name, func(old accountState) accountState {
		if s.Name != "" {
			s.Waits = old.Waits
		}
		return s
	})
}

// noteWait writes down with which method an account is to wait, and until when.
func (n *node) noteWait(ctx context.Context, name, method string, until time.Time) error {
	return n.changeState(ctx, name, func(s accountState) accountState {
		if s.Name == "" {
			s = accountState{Name: name, State: telegram.StateOK, Since: holdfast.At(time.Now())}
		}
		s.Waits = slices.DeleteFunc(slices.Clone(s.Waits), func(w methodWait) bool { return w.Method == method })
		s.Waits = append(s.Waits, methodWait{method, holdfast.At(until.Add(time.Millisecond))}) // times are cut to the millisecond
		slices.SortFunc(s.Waits, func(a, b methodWait) int { return strings.Compare(a.Method, b.Method) })
		return s
	})
}

func (n *node) changeState(ctx context.Context, name string, change func(accountState) accountState) error {
	unlock, err := filelock.Wait(ctx, n.path("telegram.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	of, err := n.states()
	if err != nil {
		return err
	}
	s := change(of[name])
	if reflect.DeepEqual(of[name], s) {
		return nil
	}
	delete(of, name)
	rows := make([]accountState, 0, len(of)+1)
	for _, r := range of {
		rows = append(rows, r)
	}
	if s.Name != "" {
		rows = append(rows, s)
	}
	slices.SortFunc(rows, func(a, b accountState) int { return strings.Compare(a.Name, b.Name) })
	return writeJSON(n.path(fileAccounts), rows)
}

// judged notes what an error tells of an account, and says it in words, with what
// to do. An error that tells nothing of it is returned as it is.
func (n *node) judged(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	state, wait, do := telegram.Judge(err)
	if state == "" {
		if do != "" {
			return fmt.Errorf("%s: %w", do, err)
		}
		return err
	}
	s := accountState{Name: name, State: state, Since: holdfast.At(time.Now()), Do: do}
	if state == telegram.StateWaiting {
		until := holdfast.At(time.Now().Add(wait + time.Second)) // times are cut to the millisecond
		s.Until = &until
	}
	return errors.Join(fmt.Errorf("%s: %w", s.words(), err), n.noteState(context.WithoutCancel(ctx), name, s))
}

// openSession opens what is kept of an account that reads, for the service that it is
// of.
func (n *node) openSession(name string, o telegram.Options) (*keptSession, error) {
	return n.openSessionAt(sessionFile(name), name, o)
}

func (n *node) openSessionAt(file, name string, o telegram.Options) (*keptSession, error) {
	b, err := n.vault.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unusable("account %s has no session: `holdfast telegram login --name %s` makes one", name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open session of account %s: %w", name, err)
	}
	var k keptSession
	if err := json.Unmarshal(b, &k); err != nil || k.Version != 1 { // never quoted
		return nil, unusable("account %s: the session in %s is damaged: put a copy back, or remove it and log in again", name, n.path(file))
	}
	if k.Service != o.Servers.Service() {
		return nil, unusable("account %s was logged in at %s, and telegram.servers leads to %s now: a session is shown to no other service; set it back, or log in under another --name", name, k.Service, o.Servers.Service())
	}
	return &k, nil
}

// keepSession puts a login in its place: whole, or not at all.
func (n *node) keepSession(file, service string, l *telegram.Login) error {
	b, err := json.Marshal(keptSession{Version: 1, Service: service, User: l.User, Session: l.Session})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	return n.vault.Replace(file, b)
}

// noAccount is said where the node has none at all.
const noAccount = "no account: `holdfast telegram login --phone NUMBER` logs one in; without one `holdfast capture telegram:@NAME` takes the public pages at https://t.me/s/NAME, which show nothing of edits and deletions"

// freeAccount takes the account of that name, or the first that is well and in
// nobody's hands, before it those that are to wait with nothing.
func (n *node) freeAccount(o telegram.Options, only string) (*telegram.Account, func(), error) {
	names, err := n.sessions()
	if err != nil {
		return nil, nil, err
	}
	states, err := n.states()
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(names, func(a, b string) int { return min(len(states[a].Waits), 1) - min(len(states[b].Waits), 1) })
	if only != "" {
		names = slices.DeleteFunc(names, func(name string) bool { return name != only })
	}
	why := unusable(noAccount) // an accountError
	for _, name := range names {
		if s, ok := states[name]; ok && s.State != telegram.StateOK {
			why = unusable("%s", s.words())
			continue
		}
		unlock, err := n.lockAccount(name)
		if err != nil {
			return nil, nil, err
		}
		if unlock == nil {
			why = fmt.Errorf("account %s %w", name, errInUse)
			continue
		}
		k, err := n.openSession(name, o)
		if err == nil {
			return &telegram.Account{Name: name, Session: k.Session}, unlock, nil
		}
		unlock()
		if why = err; !errors.As(err, new(accountError)) {
			return nil, nil, err // no other would open either
		}
	}
	return nil, nil, why
}
