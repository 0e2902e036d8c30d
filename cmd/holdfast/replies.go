package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast"
	"holdfast/messages"
	"holdfast/preserve"
	"holdfast/rfc3161"
)

// maxReplies bounds how many files of one directory are taken.
const maxReplies = 100_000

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
	var clocks []preserve.Sighting
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
		if r.Stamp != nil {
			if s, ok := preserve.SightedFile(r.Authority.Operator, r.Stamp, r.Asked, time.Now()); ok {
				clocks = append(clocks, s)
			}
		}
	}
	if d, ok := preserve.MeasureFiles(clocks, time.Now()); ok {
		n.noteClock(d)
	}
	c.sayClock(n)
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

// takeReply reads regular files only, of at most 64 KiB: the disk comes from
// outside.
func takeReply(ctx context.Context, q *preserve.Queries, dir, name string) (preserve.Reply, error) {
	b, err := readRegular(filepath.Join(dir, name), rfc3161.MaxSize)
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
	return n.voided(ctx)
}

// readRegular reads a plain file of at most limit bytes, on a disk that others
// have had in their hands: it follows no link, waits for no pipe, and what it
// looks at is what it reads.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b []byte
	if st.Mode().IsRegular() {
		b, err = io.ReadAll(io.LimitReader(f, limit+1)) // one more: it is too long, or grows
	}
	if err == nil && (!st.Mode().IsRegular() || int64(len(b)) > limit) {
		err = fmt.Errorf("not a file of at most %d bytes", limit)
	}
	return b, err
}
