package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/filelock"
	"holdfast/vault"
	"holdfast/wholefile"
)

const (
	// FileStates is what is known of the accounts' states. It may be lost: then
	// every account that has a session is thought to be well.
	FileStates = "telegram.json"
	// Files begin the names of the sessions of accounts that read.
	Files = "keys/telegram-"

	maxStates = 4 << 20 // bytes
)

// ValidName reports whether a name is 1 to 40 of a-z, 0-9 and -.
func ValidName(name string) bool {
	return len(name) >= 1 && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Error says why an account, or any, cannot be used now, and what to do.
type Error string

func (e Error) Error() string { return string(e) }

// Unusable makes an [Error].
func Unusable(format string, a ...any) error { return Error(fmt.Sprintf(format, a...)) }

// Session is what keys/telegram-NAME holds, through the vault.
type Session struct {
	Version int `json:"version"`
	// Service is whom it was made with: a session is shown to no other.
	Service string          `json:"service"`
	User    int64           `json:"user"`
	Session json.RawMessage `json:"session"`
}

// State is one row of telegram.json. A row without a session is a name
// that the service wants no login of before a time.
type State struct {
	Name  string         `json:"name"`
	State telegram.State `json:"state"`
	Since holdfast.Time  `json:"since"`
	Until *holdfast.Time `json:"until,omitempty"`
	Do    string         `json:"do,omitempty"`

	// Waits are the methods that it is to wait with: all else it may ask.
	Waits []Wait `json:"waits,omitempty"`
}

// Wait is a method of the service's, in the words of its schema, which an
// account is not to ask for before a time.
type Wait struct {
	Method string        `json:"method"`
	Until  holdfast.Time `json:"until"`
}

// now is the state at a time: who has waited is well again.
func (s State) now(t time.Time) State {
	s.Waits = slices.DeleteFunc(slices.Clone(s.Waits), func(w Wait) bool { return !t.Before(w.Until.Time) })
	if s.State == telegram.StateWaiting && s.Until != nil && !t.Before(s.Until.Time) {
		return State{Name: s.Name, State: telegram.StateOK, Since: *s.Until, Waits: s.Waits}
	}
	return s
}

// Shown is the state as people see it: an account that has to wait with something is
// waiting, until the last of it.
func (s State) Shown() State {
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

// Words says why an account is not to be used, and what to do.
func (s State) Words() string {
	if s.Until != nil {
		return fmt.Sprintf("account %s is waiting until %s: %s", s.Name, s.Until, s.Do)
	}
	return fmt.Sprintf("account %s is %s: %s", s.Name, s.State, s.Do)
}

// ErrInUse is wrapped by the error for an account that another process has.
const ErrInUse = Error("is in use by another process, and the service ends a session that is in use twice: wait for it, or log another account in")

// File is where the session of an account that reads lies, below the node's directory.
func File(name string) string { return Files + name }

// Book has the accounts of one node's directory. Safe for concurrent use, also by several
// processes.
type Book struct{ vault *vault.Vault }

// New is the book of the directory that the vault is of. Nothing is read yet.
func New(v *vault.Vault) *Book { return &Book{v} }

func (b *Book) path(name string) string { return filepath.Join(b.vault.Dir(), name) }

// Lock takes an account's lease; nil, nil: a process has it. A session that
// is in use twice is ended by the service.
func (b *Book) Lock(name string) (unlock func(), err error) {
	return filelock.Try(b.path("telegram-" + name + ".lock"))
}

// Names are the names of the accounts that read and have one, in order: a2 before
// a10.
func (b *Book) Names() (names []string, err error) { return b.NamesAt(Files) }

// NamesAt are those whose files begin otherwise: of accounts that do something else, or of
// other services.
func (b *Book) NamesAt(begin string) (names []string, err error) {
	files, err := fs.Glob(os.DirFS(b.vault.Dir()), begin+"*")
	for _, f := range files {
		if name := strings.TrimPrefix(filepath.Base(f), filepath.Base(begin)); ValidName(name) {
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

// States reads what is known, by name.
func (b *Book) States() (map[string]State, error) {
	var rows []State
	raw, err := wholefile.Read(b.path(FileStates), maxStates)
	if err == nil {
		err = wholefile.DecodeJSON(b.path(FileStates), raw, &rows)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; it may be removed, the sessions are elsewhere", err)
	}
	of := map[string]State{}
	for _, r := range rows {
		of[r.Name] = r.now(time.Now())
	}
	return of, nil
}

// Note writes down what is known of one account; a state without a name is
// that there is nothing to know.
func (b *Book) Note(ctx context.Context, name string, s State) error {
	return b.change(ctx, name, func(old State) State {
		if s.Name != "" {
			s.Waits = old.Waits
		}
		return s
	})
}

// NoteWait writes down with which method an account is to wait, and until when.
func (b *Book) NoteWait(ctx context.Context, name, method string, until time.Time) error {
	return b.change(ctx, name, func(s State) State {
		if s.Name == "" {
			s = State{Name: name, State: telegram.StateOK, Since: holdfast.At(time.Now())}
		}
		s.Waits = slices.DeleteFunc(slices.Clone(s.Waits), func(w Wait) bool { return w.Method == method })
		s.Waits = append(s.Waits, Wait{method, holdfast.At(until.Add(time.Millisecond))}) // times are cut to the millisecond
		slices.SortFunc(s.Waits, func(a, b Wait) int { return strings.Compare(a.Method, b.Method) })
		return s
	})
}

func (b *Book) change(ctx context.Context, name string, change func(State) State) error {
	unlock, err := filelock.Wait(ctx, b.path("telegram.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	of, err := b.States()
	if err != nil {
		return err
	}
	s := change(of[name])
	if reflect.DeepEqual(of[name], s) {
		return nil
	}
	delete(of, name)
	rows := make([]State, 0, len(of)+1)
	for _, r := range of {
		rows = append(rows, r)
	}
	if s.Name != "" {
		rows = append(rows, s)
	}
	slices.SortFunc(rows, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return wholefile.WriteJSON(b.path(FileStates), rows)
}

// Judged notes what an error tells of an account, and says it in words, with what
// to do. An error that tells nothing of it is returned as it is.
func (b *Book) Judged(ctx context.Context, name string, err error) error {
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
	s := State{Name: name, State: state, Since: holdfast.At(time.Now()), Do: do}
	if state == telegram.StateWaiting {
		until := holdfast.At(time.Now().Add(wait + time.Second)) // times are cut to the millisecond
		s.Until = &until
	}
	return errors.Join(fmt.Errorf("%s: %w", s.Words(), err), b.Note(context.WithoutCancel(ctx), name, s))
}

// Open opens what is kept of an account that reads, for the service that it is
// of.
func (b *Book) Open(name string, o telegram.Options) (*Session, error) {
	return b.OpenAt(File(name), name, o)
}

// OpenAt is [Book.Open] of a file of another name.
func (b *Book) OpenAt(file, name string, o telegram.Options) (*Session, error) {
	raw, err := b.vault.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Unusable("account %s has no session: `holdfast telegram login --name %s` makes one", name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open session of account %s: %w", name, err)
	}
	var k Session
	if err := json.Unmarshal(raw, &k); err != nil || k.Version != 1 { // never quoted
		return nil, Unusable("account %s: the session in %s is damaged: put a copy back, or remove it and log in again", name, b.path(file))
	}
	if k.Service != o.Servers.Service() {
		return nil, Unusable("account %s was logged in at %s, and telegram.servers leads to %s now: a session is shown to no other service; set it back, or log in under another --name", name, k.Service, o.Servers.Service())
	}
	return &k, nil
}

// Keep puts a login in its place, a file below the node's directory: whole, or not at all.
func (b *Book) Keep(file, service string, l *telegram.Login) error {
	raw, err := json.Marshal(Session{Version: 1, Service: service, User: l.User, Session: l.Session})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	return b.vault.Replace(file, raw)
}

// None is said where the node has none at all.
const None = "no account: `holdfast telegram login --phone NUMBER` logs one in; without one `holdfast capture telegram:@NAME` takes the public pages at https://t.me/s/NAME, which show nothing of edits and deletions"

// Free takes the account of that name, or the first that is well and in
// nobody's hands, before it those that are to wait with nothing.
func (b *Book) Free(o telegram.Options, only string) (*telegram.Account, func(), error) {
	names, err := b.Names()
	if err != nil {
		return nil, nil, err
	}
	states, err := b.States()
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(names, func(a, b string) int { return min(len(states[a].Waits), 1) - min(len(states[b].Waits), 1) })
	if only != "" {
		names = slices.DeleteFunc(names, func(name string) bool { return name != only })
	}
	why := Unusable(None) // an Error
	for _, name := range names {
		if s, ok := states[name]; ok && s.State != telegram.StateOK {
			why = Unusable("%s", s.Words())
			continue
		}
		unlock, err := b.Lock(name)
		if err != nil {
			return nil, nil, err
		}
		if unlock == nil {
			why = fmt.Errorf("account %s %w", name, ErrInUse)
			continue
		}
		k, err := b.Open(name, o)
		if err == nil {
			return &telegram.Account{Name: name, Session: k.Session}, unlock, nil
		}
		unlock()
		if why = err; !errors.As(err, new(Error)) {
			return nil, nil, err // no other would open either
		}
	}
	return nil, nil, why
}
