package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"holdfast/alert/rules"
	"holdfast/api"
	officedb "holdfast/office"
	"holdfast/wholefile"
)

// Tokens of one node lie in its tokens.json; those of nodes that share a queue are
// documents of the office, so each is good at every door, and one that is revoked is from
// the next call on, wherever that comes. Both have the SHA-256 of the secret alone.

const (
	tokenPrefix = "token/"
	maxTokenDoc = 64 << 10
	officeRetry = 5 * time.Second
)

// tokens are all that were given out, the oldest first.
func (n *node) tokens(ctx context.Context) (l api.TokenList, err error) {
	if !n.sharedQueue() {
		return api.ReadTokens(n.path(fileTokens))
	}
	b, err := n.book(ctx)
	if err != nil {
		return nil, err
	}
	all, err := b.List(ctx, tokenPrefix, "", api.MaxTokens+1)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		t, err := readToken(d.Name, d.Body)
		if err != nil {
			return nil, err
		}
		l = append(l, t)
	}
	slices.SortStableFunc(l, func(a, b api.Token) int { return a.Added.Compare(b.Added.Time) })
	return l, nil
}

func readToken(name string, body []byte) (t api.Token, err error) {
	if err = wholefile.DecodeJSON(name, body, &t); err == nil && tokenPrefix+t.ID != name {
		err = fmt.Errorf("read %s: it is of another token: somebody has changed it", name)
	}
	return t, err
}

// openToken finds the token of that text and says whether it is good now; see
// [api.TokenList.Open]. It is read anew each time.
func (n *node) openToken(ctx context.Context, text string, now time.Time) (api.Token, error) {
	if !n.sharedQueue() {
		l, err := api.ReadTokens(n.path(fileTokens))
		if err != nil {
			return api.Token{}, err
		}
		return l.Open(text, now)
	}
	id, ok := api.TokenID(text)
	if !ok {
		return api.Token{}, api.ErrToken
	}
	b, err := n.book(ctx)
	if err != nil {
		return api.Token{}, err
	}
	body, err := b.Read(ctx, tokenPrefix+id)
	if errors.Is(err, fs.ErrNotExist) {
		return api.TokenList(nil).Open(text, now)
	}
	if err != nil {
		return api.Token{}, err
	}
	t, err := readToken(tokenPrefix+id, body)
	if err != nil {
		return api.Token{}, err
	}
	return api.TokenList{t}.Open(text, now)
}

// keepTokens writes what an edit has made of the tokens of the office: a token is its own
// document, so two edits at once take nothing of each other's back.
func (n *node) keepTokens(ctx context.Context, was, is api.TokenList) error {
	b, err := n.book(ctx)
	if err != nil {
		return err
	}
	for _, t := range is {
		body, err := json.Marshal(t)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(was, func(o api.Token) bool { return o.ID == t.ID })
		switch {
		case i < 0:
			err = b.Create(ctx, tokenPrefix+t.ID, body)
		case (was[i].Revoked == nil) != (t.Revoked == nil):
			err = b.Replace(ctx, tokenPrefix+t.ID, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// intoOffice takes what this node has of its own, from before its queue was shared, over
// into the office: tokens, asks, rules of alerts and watches. It may be done again after a crash.
func (n *node) intoOffice(ctx context.Context, b *officedb.Book) error {
	return errors.Join(n.tokensIntoOffice(ctx, b), n.alertsIntoOffice(ctx, b), n.asksIntoOffice(ctx, b), n.watchesIntoOffice(ctx, b))
}

func (n *node) tokensIntoOffice(ctx context.Context, b *officedb.Book) error {
	l, err := api.ReadTokens(n.path(fileTokens))
	if err != nil || l == nil {
		return err
	}
	for _, t := range l {
		body, err := json.Marshal(t)
		if err == nil {
			err = b.Create(ctx, tokenPrefix+t.ID, body)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return n.setAside(fileTokens)
}

func (n *node) alertsIntoOffice(ctx context.Context, b *officedb.Book) error {
	all, err := rules.Read(n.path(fileAlerts))
	if err != nil || all == nil {
		return err
	}
	for _, r := range all {
		body, err := json.Marshal(r)
		if err == nil {
			err = b.Create(ctx, officedb.RulePrefix+r.Name, body)
		}
		if errors.Is(err, fs.ErrExist) {
			n.log.WarnContext(ctx, "the office has an alert of that name: this node's was left in alerts.json.moved", "alert", r.Name)
			continue
		}
		if err != nil {
			return err
		}
	}
	return n.setAside(fileAlerts)
}

func (n *node) asksIntoOffice(ctx context.Context, b *officedb.Book) error {
	files, rows := askFiles(n.path(dirAsks)), askRows{b}
	tokens, err := listFolder(n.path(dirAsks))
	if err != nil || tokens == nil {
		return err
	}
	for _, token := range tokens {
		err := files.List(ctx, token, func(k *ask) error {
			if err := rows.Keep(ctx, token, k); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			added, err := files.Added(ctx, token, k.ID)
			if err == nil && added {
				err = rows.Mark(ctx, token, k.ID)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return n.setAside(dirAsks)
}

// movedEnd ends the name of what was taken over, and is not read any more.
const movedEnd = ".moved"

func (n *node) setAside(name string) error {
	err := os.Rename(n.path(name), n.path(name+movedEnd))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // else another process was first
		return fmt.Errorf("set aside what the office has now: %w", err)
	}
	return nil
}

// listFolder returns the names of the folders in one; nil where there is none.
func listFolder(dir string) (names []string, err error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names = []string{}
	for _, e := range all {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
