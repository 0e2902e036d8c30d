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

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/rfc3161"
)

// maxReplies bounds how many files of one directory are taken.
const maxReplies = 100_000

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
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
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
		if !seen[cp.Seal] {
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
	switch old, err := os.ReadFile(path); {
	case err == nil && bytes.Equal(old, b):
		return nil
	case err == nil:
		return fmt.Errorf("write %s: it exists and says something else: choose an empty directory", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return writeFile(path, b)
}

func sums(all []preserve.Unanswered) string {
	var b strings.Builder
	for _, u := range all {
		fmt.Fprintf(&b, "%s  %s.tsq\n", hashing.Of(u.DER).Hex(), u.Name())
	}
	return b.String()
}

// carrierNote tells whoever carries the files what they are and how to send
// them, with nothing but programs that most machines have.
func carrierNote(all []preserve.Unanswered) string {
	byName := map[string]preserve.Authority{}
	for _, u := range all {
		byName[u.Authority.Name] = u.Authority
	}
	var b strings.Builder
	b.WriteString(`Time-stamp queries (RFC 3161) of a holdfast node
================================================

Each file <seal>.<authority>.tsq asks one time-stamping authority to confirm
that something was there at the time of its answer. A query holds one SHA-256
and a random number. It says nothing of what was captured, where or by whom.

Check first that the files came over whole:

    sha256sum -c SHA256SUMS

Send each file to its authority and keep the answer beside it, with .tsr in
place of .tsq. With curl, in this directory:
`)
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a := byName[name]
		how, hint := "", ""
		if a.Authorization != "" {
			how, hint = " -K YOUR-CREDENTIALS", "  (with your credentials, which are not in these files: -K names a curl configuration)"
		}
		pause := ""
		if a.Public {
			pause = "      sleep 1  # a public service\n"
		}
		fmt.Fprintf(&b, `
%s, %s%s

    for f in *.%s.tsq; do
      curl --fail --max-time 30 -H 'Content-Type: application/timestamp-query'%s \
        --data-binary "@$f" -o "${f%%.tsq}.tsr" '%s'
%s    done
`, messages.Visible(name), messages.Visible(a.Operator), hint, name, how, shellQuoted(a.URL), pause)
	}
	b.WriteString(`
To see what an answer says:

    openssl ts -reply -in FILE.tsr -text

Bring the whole directory back to the node. There:

    holdfast seal --replies DIR

Answers may come one by one, in any order, and twice. A wrong one is refused by
name and spoils nothing. The time that counts is that of the answer, so send
them soon.
`)
	return b.String()
}

// shellQuoted makes a URL safe between single quotes.
func shellQuoted(url string) string { return strings.ReplaceAll(messages.Visible(url), "'", "%27") }

// takeReplies takes every *.tsr of dir. What is wrong is named and refused, and
// the rest is taken.
func (c *cli) takeReplies(ctx context.Context, n *node, dir string) error {
	names, err := replyNames(dir)
	if err != nil {
		return err
	}
	if err := n.refresh(ctx); err != nil {
		return err
	}
	open, err := n.unsealed(ctx)
	if err != nil {
		return err
	}
	q, stop, err := n.queries()
	if err != nil {
		return err
	}
	defer stop()
	refused := 0
	touched := map[string]bool{}
	for _, name := range names {
		r, err := takeReply(ctx, q, dir, name)
		if err != nil && ctx.Err() != nil {
			return err
		}
		c.sayReply(name, r, err)
		if err != nil {
			refused++
			continue
		}
		touched[r.Seal] = true
	}
	if err := n.settle(ctx, q, touched); err != nil {
		return err
	}
	return c.repliesVerdict(ctx, n, open, refused)
}

// replyNames lists *.tsr.
func replyNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read replies: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tsr") {
			names = append(names, e.Name())
		}
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("read replies: no *.tsr in %s: each reply is named like its query, with .tsr in place of .tsq", dir)
	case len(names) > maxReplies:
		return nil, fmt.Errorf("read replies: %d files in %s, at most %d are read at once: bring them in parts", len(names), dir, maxReplies)
	}
	return names, nil
}

// takeReply opens regular files only, of at most 64 KiB: the disk comes from
// outside.
func takeReply(ctx context.Context, q *preserve.Queries, dir, name string) (preserve.Reply, error) {
	path := filepath.Join(dir, name)
	st, err := os.Lstat(path)
	if err != nil {
		return preserve.Reply{}, err
	}
	if !st.Mode().IsRegular() || st.Size() > rfc3161.MaxSize {
		return preserve.Reply{}, fmt.Errorf("not a file of at most %d bytes", rfc3161.MaxSize)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return preserve.Reply{}, err
	}
	return q.Take(ctx, strings.TrimSuffix(name, ".tsr"), b)
}

func (c *cli) sayReply(file string, r preserve.Reply, err error) {
	shown := messages.Visible(file)
	switch {
	case err != nil:
		c.say(map[string]any{"event": "reply", "file": file, "state": "refused", "reason": err.Error()}, "REFUSED   %s: %s", shown, messages.Visible(err.Error()))
	case r.Stamp == nil:
		c.say(map[string]any{"event": "reply", "file": file, "state": "had", "seal": r.Seal, "authority": r.Authority.Name}, "had       %s", shown)
	default:
		at := holdfast.At(r.Stamp.Token.GenTime)
		c.say(map[string]any{"event": "reply", "file": file, "state": "taken", "seal": r.Seal, "authority": r.Authority.Name, "time": at},
			"taken     %s  %s says %s", shown, messages.Visible(r.Authority.Operator), at)
	}
}

// settle tells the catalog what the replies have sealed.
func (n *node) settle(ctx context.Context, q *preserve.Queries, seals map[string]bool) error {
	for seal := range seals {
		if _, err := q.Settle(ctx, seal); err != nil {
			return err
		}
	}
	return n.refresh(ctx)
}

func (c *cli) repliesVerdict(ctx context.Context, n *node, open []holdfast.ID, refused int) error {
	left := n.stillOpen(ctx, open, len(open), func(id holdfast.ID) { c.saySealed(n, id) })
	if refused > 0 {
		return &exitError{exitCould, fmt.Errorf("%d replies were refused; the others were taken, and %d of %d are still not sealed", refused, len(left), len(open))}
	}
	if len(left) > 0 {
		return &exitError{exitUnsealed, fmt.Errorf("%d of %d are still not sealed: %s", len(left), len(open), n.whyOpen(left[0], "not signed yet: `holdfast seal --requests DIR`"))}
	}
	return nil
}
