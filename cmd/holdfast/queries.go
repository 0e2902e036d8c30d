package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/rfc3161"
	"holdfast/wholefile"
)

// queries are the questions that travel as files. No authority is asked by this
// process. The caller ends them with stop.
func (n *node) queries() (q *preserve.Queries, stop func(), err error) {
	if err := n.reloadTrust(); err != nil {
		return nil, nil, err
	}
	as, _, err := n.asked()
	if err != nil {
		return nil, nil, err
	}
	quorum, err := preserve.NewQuorum(preserve.QuorumOptions{Authorities: as, Trust: n.trust, Store: n.store, Offline: true, Newest: n.path("newest.tst"), Log: n.log})
	if err != nil {
		return nil, nil, err
	}
	recon := &preserve.Reconciler{Store: n.store, Quorum: quorum, Log: n.log, Publish: n.announce}
	return &preserve.Queries{Dir: n.path("queries"), Recon: recon}, quorum.Close, nil
}

// writeRequests signs and logs what waits, asks nobody, and writes the queries
// of every Seal that lacks its quorum into dir.
func (c *cli) writeRequests(ctx context.Context, n *node, dir string, wait time.Duration) error {
	n.offline = true
	pending, err := n.signAll(ctx, wait)
	if err != nil {
		return err
	}
	q, stop, err := n.queries()
	if err != nil {
		return err
	}
	defer stop()
	seals, err := n.signedSeals(ctx)
	if err != nil {
		return err
	}
	if len(seals) == 0 && !pending {
		if err := n.voided(ctx); err != nil {
			return err
		}
		c.say(map[string]any{"event": "all-sealed"}, "all is sealed: there is nothing to ask")
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	all, err := c.writeQueries(ctx, q, seals, dir)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"README.txt": carrierNote(all), "SHA256SUMS": sums(all)} {
		if err := wholefile.Replace(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	c.say(map[string]any{"event": "queries", "dir": dir, "count": len(all), "seals": len(seals)},
		"%d queries about %d seals are in %s; README.txt there says how to send them. Then: holdfast seal --replies DIR", len(all), len(seals), dir)
	if pending {
		return &exitError{exitUnsealed, errors.New("something is not signed yet: run it again, with a longer --wait")}
	}
	return nil
}

// signAll runs the stages until nothing is pending; it returns whether
// something still is when the time is over.
func (n *node) signAll(ctx context.Context, wait time.Duration) (pending bool, err error) {
	if err := n.refresh(ctx); err != nil {
		return false, err
	}
	if pending, err = n.pending(ctx); err != nil || !pending {
		return pending, err
	}
	wctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- n.work(wctx) }()
	for pending && err == nil {
		select {
		case err = <-done:
			done <- err
			pending = false
		case <-time.After(20 * time.Millisecond):
			pending, err = n.pending(wctx)
		}
	}
	stop()
	if werr := <-done; err == nil || errors.Is(err, context.DeadlineExceeded) {
		err = werr
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // --wait is over, which is no failure of the stages
	}
	if err != nil || ctx.Err() != nil {
		return false, errors.Join(err, ctx.Err())
	}
	return n.pending(ctx)
}

func (n *node) pending(ctx context.Context) (bool, error) {
	for _, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StatePending, Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// signedSeals lists the Seals that lack their quorum, in order.
func (n *node) signedSeals(ctx context.Context) (seals []string, err error) {
	seen := map[string]bool{}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StateSigned}) {
		if err != nil {
			return nil, err
		}
		if !seen[cp.Seal] && !void(cp) { // no token helps a Seal that is contradicted for good
			seen[cp.Seal] = true
			seals = append(seals, cp.Seal)
		}
	}
	slices.Sort(seals)
	return seals, nil
}

func (c *cli) writeQueries(ctx context.Context, q *preserve.Queries, seals []string, dir string) (all []preserve.Unanswered, err error) {
	for _, seal := range seals {
		us, err := q.Of(ctx, seal)
		if err != nil {
			return nil, err
		}
		for _, u := range us {
			file := u.Name() + ".tsq"
			if err := createSame(filepath.Join(dir, file), u.DER); err != nil {
				return nil, err
			}
			c.say(map[string]any{"event": "query", "seal": u.Seal, "authority": u.Authority.Name, "operator": u.Authority.Operator, "url": u.Authority.URL, "file": file},
				"query     %s  for %s", file, messages.Visible(u.Authority.Operator))
		}
		all = append(all, us...)
	}
	return all, nil
}

// createSame writes a file whole, or finds it there as it must be.
func createSame(path string, b []byte) error {
	switch old, err := readRegular(path, rfc3161.MaxSize); {
	case err == nil && bytes.Equal(old, b):
		return nil
	case err == nil:
		return fmt.Errorf("write %s: it exists and says something else: choose an empty directory", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write %s: %w", path, err)
	}
	return wholefile.Replace(path, b, 0o600)
}

func sums(all []preserve.Unanswered) string {
	var b strings.Builder
	for _, u := range all {
		fmt.Fprintf(&b, "%s  %s.tsq\n", hashing.Of(u.DER).Hex(), u.Name())
	}
	return b.String()
}
