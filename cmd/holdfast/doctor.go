package main

import (
	"context"
	"errors"
	"fmt"
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
	d.browser(ctx)
	n, err := d.c.open(ctx)
	if err != nil {
		d.check("node", "", err)
		return
	}
	defer n.Close()
	d.check("node", n.set.Name+" in "+n.dir, nil)
	d.check("keys", "seal key "+n.set.Key+" opens, mode 0600", d.modes(n))
	d.check("disk", "more than 5 % is free", n.store.Accept(ctx))
	d.check("queue", "sound", n.queue.Check(ctx))
	d.check("log", "as long as its mirror, and the same", d.log(ctx, n))
	as, _, err := n.asked()
	if err != nil {
		d.check("authorities", "", err)
	}
	for _, a := range as {
		d.authority(ctx, n, a)
	}
}

func (d *doctor) browser(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-doctor-")
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer os.RemoveAll(dir)
	w, err := web.New(web.Options{Browser: os.Getenv("HOLDFAST_BROWSER"), Dir: dir, Tabs: 1})
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer w.Close()
	name, err := w.Warm(ctx)
	d.check("browser", name, err)
}

func (d *doctor) modes(n *node) error {
	st, err := os.Stat(n.dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %v, so others can read it: chmod 700 %s", n.dir, st.Mode().Perm(), n.dir)
	}
	return nil
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
