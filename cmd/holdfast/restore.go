package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/restore"
	"holdfast/cmd/internal/verifycmd"
	"holdfast/messages"
)

func (c *cli) restoreCmd() *cobra.Command {
	var o restore.Options
	cmd := command("restore --from STORE-URL --data NEW [--node FINGERPRINT] [--keys FILE] [--all-copies-old]", "Make a node again from its mirror",
		"holdfast restore --from /media/safe/holdfast --data /srv/holdfast --keys keys.age", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if o.From == "" {
				return usageError("give --from STORE-URL, the mirror: a directory, or s3://BUCKET/PREFIX?endpoint=URL")
			}
			if o.Keys != "" && o.Encrypt {
				return usageError("--keys and --encrypt-keys: give one of them; keys that come back are as they were, and `holdfast key encrypt` encrypts them")
			}
			var err error
			for i := range o.With {
				if o.With[i], err = mirrors.URL(o.With[i]); err != nil {
					return usageError("--with: %w", err)
				}
			}
			if o.Node, err = verifycmd.Fingerprint(o.Node); err != nil {
				return usageError("--node: %v", err)
			}
			return c.restore(cmd.Context(), o)
		})
	cmd.Long = `Copies a mirror into the directory --data, which must be new, compares digests
while it copies, and makes the catalog again.

With --keys FILE (of "holdfast key export"; its passphrase as there) the same
node goes on: same name, same log. That is right only if this mirror is the
newest state of the node that there is. If a newer one existed anywhere, such
as the node's own disk that is lost, say --all-copies-old: then a new log begins,
under a new name, which names the last state that is known of the old one.
Without --keys the old keys are taken for lost: the node gets new keys, a new
log and a new name. What was sealed stays proven under the old name, which stays
in the Policy with its keys. The new keys are encrypted where the lost ones were
when the mirror was taken, or with --encrypt-keys; the passphrase comes from where
"holdfast init --encrypt-keys" takes it.

With --node FINGERPRINT (of "holdfast init", the letter or "holdfast policy show")
whom the new node asks and trusts, its settings, Tasks and custody are taken only
as the old node has signed them, and a mirror whose store has more than was signed
is refused. Without it they are taken as they lie there, and that is said.

With --queue, --store and --catalog (or their variables) these are no part of the new
directory. Where --store is the bucket that the node worked on, the node comes back
beside the others: nothing is copied, and its log and custody are taken from there, as
far as they went. Else it must be an empty place, which the mirror is copied into, or
with --join ID one that another node was restored into. Without these flags all lies in
the new directory.

Unless the node comes back to its own queue, that is a new one. Captures that only the old queue held, and what
was done after the mirror was taken, are not in a mirror. Those that the old
custody names are named in the new one as lost; how many more there are is not
always known, so the number that is said is "at least".

A restore that was stopped is finished by the same command.

exit status: 0 done  1 could not, or something in the mirror was damaged  2 usage`
	cmd.Flags().StringVar(&o.From, "from", "", "the mirror, a directory or s3://BUCKET/PREFIX?endpoint=URL; it is only read")
	cmd.Flags().StringVar(&o.Keys, "keys", "", "file of `holdfast key export`; without it the keys are lost")
	cmd.Flags().BoolVar(&o.Encrypt, "encrypt-keys", false, "the keys are lost: encrypt the new ones, also if the lost ones were not")
	cmd.Flags().StringVar(&o.Node, "node", "", "fingerprint of the mirrored node: check what it has signed of the mirror")
	cmd.Flags().StringArrayVar(&o.With, "with", nil, "a mirror of another node that shared the store, whose store is copied too, before anything is made of it; several times for several")
	cmd.Flags().StringVar(&o.Join, "join", "", "the id of the store that --store names, where another node of the office was restored into it")
	cmd.Flags().BoolVar(&o.Old, "all-copies-old", false, "newer states of the node existed: begin a new log")
	return cmd
}

// restore makes the directory from the mirror, opens the node in it, has it say what was
// lost, and finishes what the old one left. Every step can be done again.
func (c *cli) restore(ctx context.Context, o restore.Options) error {
	begun := time.Now()
	r := restore.New(c.restoreHost(), o)
	defer r.Close()
	n, problems, err := c.restored(ctx, r)
	if err != nil {
		return fmt.Errorf("restore from %s to %s: %w", o.From, c.data, err)
	}
	defer n.Close()
	return c.sayRestored(ctx, n, r.Done(ctx), problems, time.Since(begun))
}

func (c *cli) restoreHost() restore.Host {
	return restore.Host{Dir: c.data, Asked: c.asked, Vault: c.vault(), Pass: c.passphrases(), Secrets: secretFiles(), Log: c.log(), Look: c.lookSeen,
		Progress: func() (func(int64), func()) {
			bar := c.progress("restore")
			return func(done int64) { bar.bytes(done, -1) }, bar.done
		}}
}

// restored returns the node, open, and how many things in the store could not be read when
// its catalog was made.
func (c *cli) restored(ctx context.Context, r *restore.Restore) (n *node, problems int, err error) {
	if err := r.Read(ctx); err != nil {
		return nil, 0, err
	}
	unlock, err := r.Claim(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	for _, line := range r.Warnings() {
		fmt.Fprintf(c.errs, "holdfast: %s\n", line)
	}
	if err := r.Files(ctx); err != nil {
		return nil, 0, err
	}
	if n, problems, err = c.openRestored(ctx, r); err != nil {
		return nil, 0, err
	}
	if err := c.finishRestored(ctx, n, r); err != nil {
		n.Close()
		return nil, 0, err
	}
	return n, problems, nil
}

// openRestored opens the restored node, its catalog made again.
func (c *cli) openRestored(ctx context.Context, r *restore.Restore) (n *node, problems int, err error) {
	c.restoring = true
	defer func() { c.restoring = false }()
	if n, err = c.openStore(ctx); err != nil {
		return nil, 0, err
	}
	if r.Done(ctx).Rebuild {
		f, err := n.rebuild(ctx)
		if err != nil {
			n.Close()
			return nil, 0, err
		}
		problems = int(f.Problems)
	}
	n.Close()
	n, err = c.open(ctx)
	return n, problems, err
}

// finishRestored writes down what was done, and finishes what the old node left signed
// or planned. A crash before the end is made good by the same command.
func (c *cli) finishRestored(ctx context.Context, n *node, r *restore.Restore) error {
	if err := n.tellRestored(ctx, r); err != nil {
		return err
	}
	if err := n.tellLosses(ctx); err != nil {
		return err
	}
	if r.Done(ctx).SameQueue {
		// Its queue goes on: whoever has a partition of it finishes what was planned.
	} else if err := n.carry(ctx, r.Problem); err != nil {
		n.log.WarnContext(ctx, "what the old node left unfinished is not finished yet: whoever seals next goes on with it", "err", err)
	}
	if err := c.takeErased(ctx, n); err != nil {
		c.complain(fmt.Errorf("some of what was erased by order lies in the mirror yet, and so here: %w", err))
	}
	return r.Finish()
}

// notHalfRestored keeps every other command out of a directory that a restore
// has not finished.
func (c *cli) notHalfRestored() error {
	if c.restoring {
		return nil
	}
	return restore.Unfinished(c.data)
}

func (c *cli) sayRestored(ctx context.Context, n *node, d restore.Done, problems int, took time.Duration) error {
	fp, err := n.fingerprint()
	if err != nil {
		return err
	}
	rules, err := n.alerts(ctx)
	if err != nil {
		return err
	}
	waited := ""
	if len(rules) > 0 {
		waited = fmt.Sprintf("\nalerts    %d rules; what waited to be told is in no mirror and is not told, and the files of secrets that they name must be here: `holdfast alert list`", len(rules))
	}
	if d.AlertsLeft {
		waited = "\nalerts    not taken, since nobody has checked the mirror (--node): add them again"
	}
	state, why := "continued", ""
	if d.NewLog {
		state = "begun"
	}
	if d.Why != "" {
		why = ": " + d.Why
	}
	problems += d.Problems
	c.say(map[string]any{"event": "restored", "node": n.set.Name, "from": d.From, "taken": d.Taken, "data": c.data, "log": state, "reason": d.Why,
		"fingerprint": fp, "objects": d.Files, "bytes": d.Bytes, "seconds": took.Seconds(), "tasks": d.Tasks, "alerts": len(rules), "checked": d.Checked, "lost": d.Lost, "open": d.Open, "same_queue": d.SameQueue, "problems": problems},
		"restored  node %s in %s, of %s as it was at %s\nlog       %s%s\nfiles     %d, %d bytes in %.1f s\ntasks     %d\nlost      %s\nerased    what was ordered erased after that time is here again, and the order is not known: carry it out again%s\nfingerprint %s",
		n.set.Name, messages.Visible(c.data), d.From, d.Taken, state, why, d.Files, d.Bytes, took.Seconds(), d.Tasks, lostText(d), waited, fp)
	if problems > 0 {
		return fmt.Errorf("restored, but %d things in the mirror are damaged or missing; they are on stderr", problems)
	}
	return nil
}

// lostText says what is lost, as far as it can be known.
func lostText(d restore.Done) string {
	if d.SameQueue {
		return "nothing that was accepted: the queue is the one that the node had; custody lines that it had not published yet, and what lay in its directory and is in no mirror"
	}
	text := fmt.Sprintf("at least %d captures that the old node had accepted and that are in no Seal of the mirror, and all that came after it", d.Lost)
	if d.SharedQueue {
		text += fmt.Sprintf("; the queue that it shared had %d messages, captures and Events of all its nodes, that are in no Seal of the mirror", d.Open)
	}
	return text
}
