// Package authorities is the time-stamping authorities that a node asks: the list of them,
// their credentials, and how the pins of two Policies are joined. The protocol and the
// public defaults are of package preserve.
//
// # On the disk
//
// authorities.json has a row for each authority that was ever asked, with its roots; one
// that is asked no more says since when, because what it stamped still counts. Empty, the
// public defaults are asked. keys/auth-NAME holds the credentials of one and to whom they
// may be sent: the list may have been edited, or come from a mirror, and chooses neither
// to whom a secret goes nor which file is deleted.
//
// A change is made under authorities.lock and is one write; a crash before it leaves at
// most credentials that nothing names, which the next of that name replaces.
package authorities

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast"
	"holdfast/filelock"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// FileName is the list's, in the node's directory.
const FileName = "authorities.json"

const maxFile = 4 << 20 // bytes

// Book has the list of one node. Safe for concurrent use, also by several processes.
type Book struct {
	Dir string       // the node's
	Log *slog.Logger // is told of credentials that cannot be used
}

func (b *Book) path(name string) string { return filepath.Join(b.Dir, name) }

// LostError: init writes the list, empty, so a list that is not there was lost. An office
// that asks only its own would begin to ask strangers.
type LostError struct{}

func (LostError) Error() string {
	return FileName + " is lost, so nobody is asked: copy it back from a mirror (DIR/node/" + FileName +
		"); if this node never had authorities of its own and the public defaults are wanted, write `[]` into it"
}

// Entries returns the configured authorities, those that are asked no more too; known is
// false while the public defaults are in use. A list that is not there is a [LostError].
func (b *Book) Entries() (list []Entry, known bool, err error) {
	raw, err := wholefile.Read(b.path(FileName), maxFile)
	if err == nil {
		err = wholefile.DecodeJSON(b.path(FileName), raw, &list)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && list == nil {
		return nil, false, LostError{}
	}
	return list, len(list) > 0, err
}

// Shown is [Book.Entries] with the defaults while they are in use.
func (b *Book) Shown() (list []Entry, defaults bool, err error) {
	list, known, err := b.Entries()
	if err != nil || known {
		return list, false, err
	}
	as, err := preserve.Defaults()
	for _, a := range as {
		var roots []byte
		for _, r := range a.Roots {
			roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Raw})...)
		}
		list = append(list, Entry{Name: a.Name, Operator: a.Operator, URL: a.URL, Public: a.Public, Roots: string(roots)})
	}
	return list, true, err
}

// Asked returns the authorities that are asked now, with the pins of p and their
// credentials; public says whether a stranger's is among them.
func (b *Book) Asked(p *holdfast.Policy) (as []preserve.Authority, public bool, err error) {
	list, _, err := b.Shown()
	if err != nil {
		return nil, false, err
	}
	for _, e := range list {
		if e.Removed != nil {
			continue
		}
		roots, err := e.certificates()
		if err != nil {
			return nil, false, err
		}
		public = public || e.Public
		as = append(as, preserve.Pinned(p, preserve.Authority{Name: e.Name, Operator: e.Operator, URL: e.URL, Roots: roots, Public: e.Public, Authorization: b.Credentials(e)}))
	}
	return as, public, nil
}

// Roots collects the roots of every authority that was ever asked. With the
// list lost less is shown as sealed, and the node opens.
func (b *Book) Roots() (cs []*x509.Certificate, err error) {
	list, known, err := b.Entries()
	if err != nil && !errors.Is(err, LostError{}) {
		return nil, err
	}
	defaults, err := preserve.Defaults()
	for _, a := range defaults {
		cs = append(cs, a.Roots...)
	}
	if !known || err != nil {
		return cs, err
	}
	for _, e := range list {
		roots, err := e.certificates()
		if err != nil {
			return nil, err
		}
		cs = append(cs, roots...)
	}
	return cs, nil
}

// Add writes an entry, whose credentials it copies beside the keys. It must not be asked
// already under that name.
func (b *Book) Add(ctx context.Context, e Entry) error {
	return b.change(ctx, func(list []Entry) ([]Entry, error) {
		if slices.ContainsFunc(list, func(o Entry) bool { return o.Name == e.Name && o.Removed == nil }) {
			return nil, fmt.Errorf("add authority: %s is asked already; choose another name, or `holdfast authority remove %s` first", e.Name, e.Name)
		}
		if err := b.keep(&e); err != nil {
			return nil, err
		}
		return append(list, e), nil
	})
}

// Remove has an authority asked no more from now on and returns its entry. end is called
// before, under the lock, with the list as it will be, and ends it in the Policy: a crash
// between the two leaves an authority whose tokens do not count, never one that is gone
// and still counts. To remove it again ends the matter.
func (b *Book) Remove(ctx context.Context, name string, end func(list []Entry, gone Entry) error) (gone Entry, err error) {
	now := holdfast.At(time.Now())
	err = b.change(ctx, func(list []Entry) ([]Entry, error) {
		i := slices.IndexFunc(list, func(e Entry) bool { return e.Name == name && e.Removed == nil })
		if i < 0 {
			return nil, fmt.Errorf("remove authority: %.60q is not asked; `authority list` shows those that are", name)
		}
		list[i].Removed = &now
		gone = list[i]
		return list, end(list, gone)
	})
	if err == nil && gone.keepsAuth() { // what a crash here leaves is replaced by the next of this name
		if err := os.Remove(b.path(gone.Auth)); err != nil {
			b.Log.WarnContext(ctx, "credentials not removed", "err", err)
		}
	}
	return gone, err
}

// change edits authorities.json under a lock.
func (b *Book) change(ctx context.Context, edit func([]Entry) ([]Entry, error)) error {
	unlock, err := filelock.Wait(ctx, b.path("authorities.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, _, err := b.Entries()
	if err != nil {
		return err
	}
	if list, err = edit(list); err != nil {
		return err
	}
	return wholefile.WriteJSON(b.path(FileName), list)
}
