package main

import (
	"context"
	"sync/atomic"
	"time"

	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/telegram/accounts"
	"holdfast/filelock"
	"holdfast/keyring"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/vault"
)

// openKeys reads the list of keys, and takes up what else the vault keeps.
func (n *node) openKeys(ctx context.Context, v *vault.Vault) (err error) {
	n.vault, n.accounts = v, accounts.New(v)
	n.former = new(atomic.Pointer[[]mirror.FormerLog])
	n.former.Store(&n.set.Former)
	n.keys, err = keyring.Open(ctx, v, n.set.KeyList())
	return err
}

// formerLogs returns what the node was before, oldest first, with the keys of then, if
// they were lost since.
func (n *node) formerLogs() []mirror.FormerLog { return *n.former.Load() }

// reloadKeys takes up what another process has changed since this one read
// node.json.
func (n *node) reloadKeys(ctx context.Context) error {
	s, err := nodedir.Read(n.dir)
	if err != nil {
		return err
	}
	if err := n.keys.Take(ctx, s.KeyList()); err != nil {
		return err
	}
	n.former.Store(&s.Former)
	return nil
}

// sealSigner is the key that signs now, opened. What must not change while it is
// used holds preserve.lock.
func (n *node) sealSigner(ctx context.Context) (preserve.Signer, error) {
	if err := n.reloadKeys(ctx); err != nil {
		return nil, err
	}
	return n.keys.Signer(ctx)
}

// changeSettings changes node.json under its lock, and takes up the keys of then.
func (n *node) changeSettings(ctx context.Context, edit func(*nodedir.Settings) error) error {
	if err := nodedir.Change(ctx, n.dir, edit); err != nil {
		return err
	}
	return n.reloadKeys(ctx)
}

// keeper changes the node's keys; the caller holds preserve.lock.
func (n *node) keeper() *keyring.Keeper {
	return &keyring.Keeper{Ring: n.keys, Book: keyBook{n}, Record: keyRecord{n}, Files: keyFiles()}
}

// keyBook has the list of keys in node.json.
type keyBook struct{ n *node }

func (b keyBook) Read() (keyring.List, error) {
	s, err := nodedir.Read(b.n.dir)
	if err != nil {
		return keyring.List{}, err
	}
	return s.KeyList(), nil
}

func (b keyBook) Change(ctx context.Context, edit func(*keyring.List) error) error {
	return b.n.changeSettings(ctx, func(s *nodedir.Settings) error {
		l := s.KeyList()
		if err := edit(&l); err != nil {
			return err
		}
		s.Keys, s.KeysOpen = l.Keys, l.Left
		return nil
	})
}

// keyRecord is the node's custody and its Seals.
type keyRecord struct{ n *node }

func (r keyRecord) Tell(ctx context.Context, ch *keyring.Change) error {
	objects, x, err := ch.Line()
	if err != nil {
		return err
	}
	return r.n.tellOnce(ctx, pipeline.Entry{Case: r.n.set.Unfiled, Action: ch.Action, Agent: r.n.set.Agent, Objects: objects, X: x})
}

func (r keyRecord) Rejudge(ctx context.Context) error { return r.n.rejudge(ctx) }

func (r keyRecord) SignedBy(ctx context.Context, spki []byte) (preserve.SignedBy, error) {
	return (&preserve.Judge{Store: r.n.store, Trust: r.n.trust}).SignedBy(ctx, spki)
}

// finishKeysIfFree goes on with a change of keys that a crash, or a Seal without
// its quorum, has left open, if nobody seals now: who does, does this too. Until
// a compromise has reached the catalog nothing is shown: it would say "sealed"
// of what is contradicted.
func (n *node) finishKeysIfFree(ctx context.Context) error {
	for s := n.set; n.keeper().Pending(s.KeyList()); {
		unlock, err := filelock.Try(n.path("preserve.lock"))
		if err != nil {
			return err
		}
		if unlock != nil {
			defer unlock()
			return n.finishKeys(ctx)
		}
		if s.KeysOpen == nil || !s.KeysOpen.Rejudge {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
		if s, err = nodedir.Read(n.dir); err != nil {
			return err
		}
	}
	return nil
}

// finishKeys does what a change of keys has left to do, under the Policy of now, and has
// the keys that ended meanwhile in it. The caller holds preserve.lock.
func (n *node) finishKeys(ctx context.Context) error {
	k := n.keeper()
	s, err := nodedir.Read(n.dir)
	if err != nil || !k.Pending(s.KeyList()) {
		return err
	}
	if err := n.reloadTrust(); err != nil {
		return err
	}
	if err := k.Finish(ctx); err != nil {
		return err
	}
	return n.reloadTrust()
}

// watchKeys finishes a change of keys while this process seals: the old key's
// last Seal may become sealed meanwhile.
func (n *node) watchKeys(ctx context.Context) error {
	for wait := 2 * time.Second; ; wait = min(2*wait, 5*time.Minute) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		if err := n.finishKeys(ctx); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "change of keys not finished", "err", err)
		}
	}
}

// rejudge makes the catalog again, under the Policy of now. What was published
// and not indexed is taken in first, so that no older word comes after.
func (n *node) rejudge(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	f, err := n.rebuild(ctx)
	if err == nil && f.Problems > 0 {
		n.log.WarnContext(ctx, "things in the store could not be read; `holdfast rebuild` names them", "problems", f.Problems)
	}
	return err
}
