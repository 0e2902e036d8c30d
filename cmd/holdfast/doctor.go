package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast/collectors/web"
	"holdfast/preserve"
)

func (c *cli) doctorCmd() *cobra.Command {
	cmd := command("doctor", "Look for what would fail, and say what to do", "holdfast doctor", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		d := &doctor{c: c}
		d.look(cmd.Context())
		if d.faults > 0 {
			return &exitError{exitCould, fmt.Errorf("%d faults", d.faults)}
		}
		return nil
	})
	cmd.Long = "Checks the node's directory, its keys, the browser, the disk, the log against its mirror, and asks each authority for a real token.\n\nexit status: 0 all well  1 a fault  2 usage"
	return cmd
}

type doctor struct {
	c      *cli
	faults int
}

// check prints one line; an error is a fault, and its text says what to do.
func (d *doctor) check(what string, detail string, err error) {
	state := "ok"
	if err != nil {
		d.faults++
		state, detail = "FAULT", err.Error()
	}
	d.c.say(map[string]any{"check": what, "ok": err == nil, "detail": detail}, "%-6s %-12s %s", state, what, detail)
}

func (d *doctor) look(ctx context.Context) {
	n, err := d.c.open(ctx)
	if err != nil {
		d.browser(ctx, os.Getenv("HOLDFAST_BROWSER"))
		d.check("node", "", err)
		return
	}
	d.browser(ctx, n.browser())
	defer n.Close()
	d.check("node", n.set.Name+" in "+n.dir, nil)
	d.check("keys", "they open, and nobody else can read them", d.modes(ctx, n))
	d.check("disk", "more than 5 % is free", n.store.Accept(ctx))
	d.check("queue", "sound", n.queue.Check(ctx))
	d.check("log", "as long as its mirror, and the same", d.log(ctx, n))
	d.mirrors(ctx, n)
	as, _, err := n.asked()
	operators := map[string]bool{}
	for _, a := range as {
		operators[a.Operator] = true
		d.authority(ctx, n, a)
	}
	if need := n.trust.Policy().Quorum; len(operators) < need {
		err = fmt.Errorf("%d operators are asked and %d must agree, so nothing will be sealed: `holdfast authority add` another one", len(operators), need)
	}
	d.check("quorum", fmt.Sprintf("%d of %d operators must agree on the time", n.trust.Policy().Quorum, len(operators)), err)
}

func (d *doctor) browser(ctx context.Context, path string) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-doctor-")
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer os.RemoveAll(dir)
	w, err := web.New(web.Options{Browser: path, Dir: dir, Tabs: 1})
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer w.Close()
	name, err := w.Warm(ctx)
	d.check("browser", name, err)
}

// modes looks at the node's directory and at what is secret in it.
func (d *doctor) modes(ctx context.Context, n *node) error {
	var bad []error
	if _, err := n.keys.vault.read(n.set.LogKey); err != nil {
		bad = append(bad, err)
	}
	if _, err := n.sealSigner(ctx); err != nil {
		bad = append(bad, err)
	}
	secret, err := n.secretFiles()
	if err != nil {
		return err
	}
	for _, name := range append(secret, ".", "keys", "own", "queue.db", "outbox") {
		if name == "own/roots.pem" {
			continue // a certificate, for all
		}
		st, err := os.Stat(n.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a key in a KMS, or nothing was sealed yet; a missing key has failed before
		}
		if err != nil {
			return err
		}
		if perm := st.Mode().Perm(); perm&0o077 != 0 {
			bad = append(bad, fmt.Errorf("%s has mode %v, so others can read it: chmod go= %s", n.path(name), perm, n.path(name)))
		}
	}
	return errors.Join(bad...)
}

// log opens the log if nobody seals now; whoever does has checked it.
func (d *doctor) log(ctx context.Context, n *node) error {
	unlock, err := tryLock(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		return err
	}
	s := &sealing{unlock: unlock}
	defer s.Close()
	return s.openLog(ctx, n)
}

// authority asks for a real token and compares the clocks.
func (d *doctor) authority(ctx context.Context, n *node, a preserve.Authority) {
	ts, err := n.stamp(ctx, a)
	if err != nil {
		d.check("authority", "", fmt.Errorf("%s: %w", a.Name, err))
		return
	}
	detail := fmt.Sprintf("%s of %s answers in %v; its clock is %v from ours", a.Name, a.Operator, ts.Took.Round(time.Millisecond), ts.Offset.Round(time.Millisecond))
	if ts.Offset.Abs() > 5*time.Second {
		err = errors.New(detail + ": set this machine's clock (timedatectl set-ntp true), or ask the operator")
	}
	d.check("authority", detail, err)
}
