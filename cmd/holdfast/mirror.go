package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/audit"
	"holdfast/canon"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/storage"
	"holdfast/wholefile"
)

type mirrorOptions struct {
	to, forget string
	watch      time.Duration
	check      bool
}

func (c *cli) mirrorCmd() *cobra.Command {
	var o mirrorOptions
	cmd := command("mirror (--to STORE-URL [--watch D] [--check] | --forget STORE-URL)", "Keep a second copy of the node, without its keys", "holdfast mirror --to /media/safe/holdfast", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if (o.to == "") == (o.forget == "") || o.watch < 0 {
				return usageError("give --to STORE-URL or --forget STORE-URL, one of them: a directory, or s3://BUCKET/PREFIX?endpoint=URL")
			}
			at, err := mirrorURL(o.to + o.forget)
			if err != nil {
				return usageError("%w", err)
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if o.forget != "" {
				return c.forgetMirror(cmd.Context(), n, at)
			}
			o.to = at
			return c.mirror(cmd.Context(), n, o)
		})
	cmd.Long = `Copies what is not there yet, and compares digests while it copies. Other
commands may work meanwhile; what they add is copied by the next run. The copy
is a node's state at one moment whenever it is cut short, and only a whole run
makes it a newer one. Keys are not copied: "holdfast key export" writes them.

In a bucket (s3://BUCKET/PREFIX?endpoint=URL, with object lock) nothing of a mirror is
ever replaced, and each run makes its locks longer where that is due; what was erased by
order leaves it once they have lapsed. The bucket's keys come from
HOLDFAST_MIRROR_S3_KEYS_FILE, else from where those of --store do.

The node remembers its mirrors, and before it seals it looks whether one in
reach knows a later state: then the node is an old copy and does not go on.

exit status: 0 done  1 could not, or something was damaged  2 usage`
	cmd.Flags().StringVar(&o.to, "to", "", "the mirror: an empty directory, or an empty place in a bucket (s3://BUCKET/PREFIX?endpoint=URL), or one that `holdfast mirror` made of this node")
	cmd.Flags().StringVar(&o.forget, "forget", "", "do not look at this mirror any more; nothing in it is changed")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "do it again after this while, until stopped")
	cmd.Flags().BoolVar(&o.check, "check", false, "also read what is there already, on both sides, and compare digests")
	return cmd
}

// mirror runs once, or again and again. With --watch a disk that is pulled is
// said and waited for; a mirror that is not this node's, or newer, is not.
func (c *cli) mirror(ctx context.Context, n *node, o mirrorOptions) error {
	for {
		err := c.mirrorNow(ctx, n, o.to, o.check)
		if n = nil; o.watch == 0 || errors.Is(err, mirror.ErrNewer) || errors.Is(err, mirror.ErrNone) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			c.complain(err)
		}
		select {
		case <-ctx.Done():
			return nil // it was asked to stop
		case <-time.After(o.watch):
		}
	}
}

// mirrorNow runs once, for n or, with nil, for the node as it is now: its name
// and its keys may be others than when the last run began.
func (c *cli) mirrorNow(ctx context.Context, n *node, at string, check bool) (err error) {
	if n == nil {
		if n, err = c.open(ctx); err != nil {
			return err
		}
		defer n.Close()
	}
	return c.mirrorOnce(ctx, n, at, check)
}

// mirroring is one run.
type mirroring struct {
	c     *cli
	n     *node
	at    string     // absolute path, or URL of a bucket
	dir   mirror.Dir // where it is a directory
	store string     // the id of its store, where it is a bucket
	shelf mirror.Shelf
	to    mirrorStore
	mark  *mirror.Mark
	bad   []string  // the first problems
	all   int       // problems in all
	later time.Time // when the last of what is to be erased can be; zero: nothing waits

	unsigned error // why what lies in DIR/node is not signed; nil: it is
}

// badShown bounds the problems that an error names.
const badShown = 3

func (m *mirroring) problem(name string, err error) {
	m.n.log.Error("mirror", "problem", name, "err", err)
	if m.all++; len(m.bad) < badShown {
		m.bad = append(m.bad, name+": "+err.Error())
	}
}

func (c *cli) mirrorOnce(ctx context.Context, n *node, at string, check bool) error {
	begun := time.Now()
	m := &mirroring{c: c, n: n, at: at}
	leave, err := m.enter(ctx)
	if err != nil {
		return m.explain(err)
	}
	defer leave()
	bar := c.progress("mirror")
	defer bar.done()
	k := &mirror.Copier{From: n.store, To: m.to, Check: check, Problem: m.problem, Told: func(_, done int64) { bar.bytes(done, -1) }}
	k.Ordered = n.auditor(func(audit.Problem) {}).Ordered
	k.Locked = func(e *storage.LockedError) { m.later = later(m.later, e.Until) }
	if err := m.run(ctx, k); err != nil {
		return m.explain(err)
	}
	if err := m.keep(ctx); err != nil {
		return m.explain(err)
	}
	bar.done()
	took := time.Since(begun)
	files, bytes := k.Copied()
	c.say(map[string]any{"event": "mirrored", "to": at, "objects": files, "bytes": bytes, "seconds": took.Seconds(), "erased": k.Erased(), "problems": m.all, "signed": m.unsigned == nil, "later": stamp(m.later)},
		"mirrored  %s  %d files, %d bytes in %.1f s", messages.Visible(at), files, bytes, took.Seconds())
	if !m.later.IsZero() {
		fmt.Fprintf(c.errs, "holdfast: the mirror keeps, by its locks, what was erased by order until %s at the latest: run it again then\n", stamp(m.later))
	}
	if m.unsigned != nil {
		fmt.Fprintf(c.errs, "holdfast: the mirror's settings are not signed, so a restore cannot check whom it would trust: %s\n", messages.Visible(m.unsigned.Error()))
	}
	if m.all > 0 {
		return fmt.Errorf("mirror to %s: %d things are not as they should be: %s", at, m.all, strings.Join(m.bad, "; "))
	}
	return nil
}

// run writes the mark of the state that it is about to copy, then the state,
// then the mark as whole. The chains go before the Seals: a Seal holds no line
// that the mirror's chains lack.
func (m *mirroring) run(ctx context.Context, k *mirror.Copier) error {
	if err := k.Look(ctx); err != nil {
		return err
	}
	if err := m.state(ctx, k); err != nil {
		return err
	}
	if err := m.mark.Write(ctx, m.shelf); err != nil {
		return err
	}
	if err := m.nodeFiles(ctx); err != nil {
		return err
	}
	if err := k.Run(ctx); err != nil {
		return err
	}
	whole := holdfast.At(time.Now())
	m.mark.Whole = &whole
	return m.mark.Write(ctx, m.shelf)
}

// state fills the mark. The log's state is the one that look ended at, and the
// queue is asked after that.
func (m *mirroring) state(ctx context.Context, k *mirror.Copier) error {
	set := m.n.set
	m.mark.Node, m.mark.VKey, m.mark.Former, m.mark.Begun, m.mark.Whole, m.mark.Log = set.Name, set.VKey, set.Former, holdfast.At(time.Now()), nil, nil
	m.mark.Encrypted = m.n.vault.Encrypts()
	if size := k.LogSize(set.Name); size > 0 {
		_, t, err := (&preserve.Mirror{Store: m.n.store, Origin: set.Name, VKey: set.VKey}).Checkpoint(ctx, size)
		if err != nil {
			return err
		}
		m.mark.Log = &t
	}
	id, err := m.n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	q := mirror.Queue{Name: id.Queue}
	for p := range id.Partitions {
		is := mirror.Part{Seal: k.NewestSeal(id.Queue, p)}
		if is.Planned, err = m.n.queue.Position(ctx, pipeline.StagePreserve, p); err != nil {
			return err
		}
		if is.End, err = m.n.queue.End(ctx, pipeline.StagePreserve, p); err != nil {
			return err
		}
		if is.Raw, err = m.n.rawIn(ctx, p); err != nil {
			return err
		}
		if p > 0 {
			q.Further = append(q.Further, is)
			continue
		}
		q.End, q.Planned, q.Seal, q.Raw = is.End, is.Planned, is.Seal, is.Raw
	}
	m.mark.Queue = q
	return nil
}

func (m *mirroring) mine(ctx context.Context) error {
	if m.mark.Unfiled != m.n.set.Unfiled {
		return fmt.Errorf("%w: it is of node %s: name another directory", mirror.ErrNone, m.mark.Node)
	}
	err := m.mark.Against(ctx, m.n.set.Mirrored(), m.n.store)
	if err == nil { // under a former name too: it must not lose what only it has
		err = m.mark.Holds(ctx, m.n.store)
	}
	if err == nil {
		_, err = m.chains(ctx, false)
	}
	if errors.Is(err, mirror.ErrNewer) || errors.Is(err, preserve.ErrFork) {
		return fmt.Errorf("%w. Nothing was changed in it. %s", err, whatNow(m.at, err))
	}
	return err
}

func (m *mirroring) known() (*knownMirror, error) {
	list, err := m.n.mirrors()
	if i := slices.IndexFunc(list, func(k knownMirror) bool { return k.Path == m.at }); i >= 0 {
		return &list[i], err
	}
	return nil, err
}

// remember writes the Event and then the row. There is one Event for each
// mirror and none for each run: an Event is sealed, so a run that made one would
// leave every copy one Seal behind. A crash between the two gives a second
// Event, which says the same.
func (m *mirroring) remember(ctx context.Context) error {
	x, err := canon.Marshal(struct {
		Mirror string `json:"mirror"`
	}{m.mark.ID})
	if err != nil {
		return err
	}
	if _, err := m.n.outbox.Append(ctx, pipeline.Entry{Case: m.n.set.Unfiled, Action: "mirrored", Agent: m.n.set.Agent, X: x,
		Why: "a second copy of the store is kept from now on"}); err != nil {
		return err
	}
	return m.n.changeMirrors(ctx, func(list []knownMirror) []knownMirror {
		return append(list, knownMirror{ID: m.mark.ID, Path: m.at, Store: m.store, Added: holdfast.At(time.Now())})
	})
}

func (n *node) changeMirrors(ctx context.Context, change func([]knownMirror) []knownMirror) error {
	unlock, err := filelock.Wait(ctx, n.path("mirrors.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, err := n.mirrors()
	if err != nil {
		return err
	}
	return wholefile.WriteJSON(n.path(fileMirrors), change(list))
}

func (c *cli) forgetMirror(ctx context.Context, n *node, dir string) error {
	found := false
	err := n.changeMirrors(ctx, func(list []knownMirror) []knownMirror {
		return slices.DeleteFunc(list, func(k knownMirror) bool {
			found = found || k.Path == dir
			return k.Path == dir
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("forget mirror %s: it is none of this node's; `holdfast doctor` lists them", dir)
	}
	if err == nil {
		c.say(map[string]any{"event": "forgotten", "mirror": dir}, "forgotten  %s", messages.Visible(dir))
	}
	return err
}

// explain says what a person can do about the disk.
func (m *mirroring) explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, mirror.ErrNewer), errors.Is(err, mirror.ErrNone):
	case errors.Is(err, storage.ErrFull):
		hint = ": what was copied stands; free space there, or use a larger disk, and run it again"
	case errors.Is(err, fs.ErrPermission):
		hint = ": it must be writable for this account"
	case m.dir == "":
	case isGone(m.dir):
		hint = ": the directory is gone: put its disk back and run it again"
	}
	return fmt.Errorf("mirror to %s: %w%s", m.at, err, hint)
}

func isGone(dir mirror.Dir) bool {
	_, err := os.Stat(dir.Path(mirror.FileMark))
	return err != nil
}
