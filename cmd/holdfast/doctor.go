package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/cmd/internal/doctor"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/web"
	"holdfast/filelock"
	"holdfast/kept"
	"holdfast/preserve"
	"holdfast/storage"
)

func (c *cli) doctorCmd() *cobra.Command {
	cmd := command("doctor", "Look for what would fail, and say what to do", "holdfast doctor", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		d := c.report()
		c.look(cmd.Context(), d)
		if d.Faults > 0 {
			return &exitError{exitCould, fmt.Errorf("%d faults", d.Faults)}
		}
		return nil
	})
	cmd.Long = `Checks the node's directory and who can read it, its keys, the browser, the disk,
the queue and its partitions, what is not sealed, some rows of the catalog
against the store, every line of custody, the log against its mirrors,
and the clock; and asks each authority for a real token. Every line that is no "ok"
says what to do. With no line at all it ends within half a minute, and a minute
more for each million lines of custody.

With --json each line is {"check","ok","level","detail"}; level is ok, note or
fault. A note is worth knowing and no fault.

exit status: 0 all well  1 a fault  2 usage`
	return cmd
}

// report prints what doctor finds, line by line.
func (c *cli) report() *doctor.Report {
	return &doctor.Report{Say: func(level, what, detail string) {
		word := strings.ToLower(level)
		c.say(map[string]any{"check": what, "ok": word != "fault", "level": word, "detail": detail}, "%-6s %-12s %s", level, what, detail)
	}}
}

func (c *cli) look(ctx context.Context, d *doctor.Report) {
	n, err := c.open(ctx)
	if err != nil {
		d.Browser(ctx, web.Options{Browser: os.Getenv("HOLDFAST_BROWSER")}, c.data, nodedir.DefaultPages)
		if !errors.Is(err, nodedir.ErrNoNode) {
			d.Check("permissions", secretsShut, doctor.Permissions(c.data))
		}
		d.Check("node", "", err)
		return
	}
	defer n.Close()
	d.Browser(ctx, web.Options{Browser: n.browser(), Recipes: recipesOf(n.dir), Ytdlp: n.ytdlp()}, n.dir, n.set.AtOnce())
	d.Check("node", n.set.Name+" in "+n.dir, nil)
	d.Check("permissions", secretsShut, doctor.Permissions(n.dir))
	d.Check("keys", "they open, sign, and are the policy's", doctor.Keys(n.openLogKey, n.sealSigner, n.entry().Keys))
	d.Place(n.dir)
	d.Disk(ctx, n.dir, n.store)
	n.doctorLocks(ctx, d)
	q, _ := n.engine.(doctor.Sound)
	d.Queue(ctx, q, doctor.Tasks{All: n.waiting, Endless: isWatched, Damaged: errDamaged})
	n.doctorPartitions(ctx, d)
	if err := n.refresh(ctx); err != nil {
		d.Check("unsealed", "", err)
	} else {
		d.Unsealed(ctx, n.cat, void)
	}
	n.doctorLost(d)
	d.Catalog(ctx, n.cat, stored{n.store, n.kept()})
	n.doctorCustody(ctx, d)
	d.Check("log", "as long as its mirror, and the same", n.logHolds(ctx))
	d.Mirrors(ctx, n.mirrored())
	n.doctorTelegram(d)
	n.doctorWatches(ctx, d)
	n.doctorAlerts(ctx, d)
	n.doctorAuthorities(ctx, d)
}

const secretsShut = "nobody else can read the secrets"

// stored is what the store says of captures.
type stored struct {
	storage.Reader
	kept *kept.Reader
}

func (s stored) Manifest(ctx context.Context, id holdfast.ID) ([]byte, string, error) {
	return s.kept.Manifest(ctx, id)
}

func (n *node) openLogKey() error {
	_, err := n.vault.Read(n.set.LogKey)
	return err
}

// logHolds opens the log if nobody seals now; whoever does has checked it.
func (n *node) logHolds(ctx context.Context) error {
	unlock, err := filelock.Try(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		return err
	}
	s := &sealing{unlock: unlock}
	defer s.Close()
	return s.openLog(ctx, n)
}

// doctorTelegram says how the accounts are; an office that asks no Telegram has none.
func (n *node) doctorTelegram(d *doctor.Report) {
	names, err := n.allSessions()
	if len(names) == 0 && err == nil {
		return
	}
	states, serr := n.accounts.States()
	_, oerr := n.telegramOptions()
	if err = errors.Join(err, serr, oerr); err != nil {
		d.Check("telegram", "", err)
		return
	}
	d.Telegram(names, states)
}

func (n *node) doctorAuthorities(ctx context.Context, d *doctor.Report) {
	as, _, err := n.asked()
	if err == nil {
		err = n.reloadTrust()
	}
	if err != nil {
		d.Check("authority", "", err)
		return
	}
	d.Authorities(ctx, doctor.Office{Dir: n.dir, Asked: as, Quorum: n.trust.Policy().Quorum, Stamp: n.tryOnce, Clock: func(drift preserve.Drift) {
		n.clock.Said(drift.Offset) // doctor says it itself
		n.noteClock(drift)
	}})
}

// tryOnce asks an authority for one token, and remembers who issued it.
func (n *node) tryOnce(ctx context.Context, a preserve.Authority) (*preserve.Timestamp, error) {
	ts, err := newClient().Stamp(ctx, a, []byte(holdfast.NewNonce()))
	if err == nil {
		err = n.trust.Pin(ctx, a, ts)
	}
	return ts, err
}

// short keeps the first line of an error.
func short(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
