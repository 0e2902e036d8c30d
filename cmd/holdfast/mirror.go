package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/audit"
	"holdfast/cmd/internal/mirrors"
	"holdfast/messages"
	"holdfast/mirror"
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
			at, err := mirrors.URL(o.to + o.forget)
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

func (c *cli) mirrorOnce(ctx context.Context, n *node, at string, check bool) error {
	begun := time.Now()
	bar := c.progress("mirror")
	defer bar.done()
	done, err := n.mirrored().Run(ctx, mirrors.Options{To: at, Check: check, Told: func(_, done int64) { bar.bytes(done, -1) },
		Ordered: n.auditor(func(audit.Problem) {}).Ordered})
	if err != nil {
		return err
	}
	bar.done()
	took := time.Since(begun)
	c.say(map[string]any{"event": "mirrored", "to": at, "objects": done.Files, "bytes": done.Bytes, "seconds": took.Seconds(), "erased": done.Erased, "problems": done.Problems, "signed": done.Unsigned == nil, "later": stamp(done.Later)},
		"mirrored  %s  %d files, %d bytes in %.1f s", messages.Visible(at), done.Files, done.Bytes, took.Seconds())
	if !done.Later.IsZero() {
		fmt.Fprintf(c.errs, "holdfast: the mirror keeps, by its locks, what was erased by order until %s at the latest: run it again then\n", stamp(done.Later))
	}
	if done.Unsigned != nil {
		fmt.Fprintf(c.errs, "holdfast: the mirror's settings are not signed, so a restore cannot check whom it would trust: %s\n", messages.Visible(done.Unsigned.Error()))
	}
	if done.Problems > 0 {
		return fmt.Errorf("mirror to %s: %d things are not as they should be: %s", at, done.Problems, strings.Join(done.First, "; "))
	}
	return nil
}

func (c *cli) forgetMirror(ctx context.Context, n *node, at string) error {
	err := mirrors.Forget(ctx, n.dir, at)
	if err == nil {
		c.say(map[string]any{"event": "forgotten", "mirror": at}, "forgotten  %s", messages.Visible(at))
	}
	return err
}
