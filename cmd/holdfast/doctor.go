package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/web"
	"holdfast/filelock"
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

type doctor struct {
	c      *cli
	faults int
}

// check prints one line; an error is a fault, and its text says what to do.
func (d *doctor) check(what string, detail string, err error) {
	if err != nil {
		d.faults++
		d.line("FAULT", what, err.Error())
		return
	}
	d.line("ok", what, detail)
}

// note prints what is worth knowing and no fault.
func (d *doctor) note(what, detail string) { d.line("note", what, detail) }

func (d *doctor) line(level, what, detail string) {
	word := map[string]string{"FAULT": "fault"}[level]
	if word == "" {
		word = level
	}
	d.c.say(map[string]any{"check": what, "ok": word != "fault", "level": word, "detail": detail}, "%-6s %-12s %s", level, what, detail)
}

func (d *doctor) look(ctx context.Context) {
	n, err := d.c.open(ctx)
	if err != nil {
		d.browser(ctx, web.Options{Browser: os.Getenv("HOLDFAST_BROWSER")})
		if !errors.Is(err, nodedir.ErrNoNode) {
			d.check("permissions", "nobody else can read the secrets", permissions(d.c.data))
		}
		d.check("node", "", err)
		return
	}
	defer n.Close()
	d.browser(ctx, web.Options{Browser: n.browser(), Recipes: recipesOf(n.dir), Ytdlp: n.ytdlp()})
	d.check("node", n.set.Name+" in "+n.dir, nil)
	d.check("permissions", "nobody else can read the secrets", permissions(n.dir))
	d.check("keys", "they open, sign, and are the policy's", d.keys(n))
	d.place(n)
	d.disk(ctx, n)
	d.locks(ctx, n)
	d.queue(ctx, n)
	d.partitions(ctx, n)
	d.unsealed(ctx, n)
	d.lostCaptures(n)
	d.catalog(ctx, n)
	d.custody(ctx, n)
	d.check("log", "as long as its mirror, and the same", d.log(ctx, n))
	d.mirrors(ctx, n)
	d.telegram(n)
	d.watches(ctx, n)
	d.alerts(ctx, n)
	d.authorities(ctx, n)
}

// roomForPages is what two pages of the largest size take while they are captured, half of
// it spools.
const (
	roomForPages = tabs * 3 * web.DefaultBytes
	leastRoom    = 200 << 20
)

func (d *doctor) browser(ctx context.Context, o web.Options) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-doctor-")
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer os.RemoveAll(dir)
	o.Dir, o.Tabs = dir, 1
	w, err := web.New(o)
	if err != nil {
		d.check("browser", "", err)
		return
	}
	defer w.Close()
	name, notes, err := w.Check(ctx)
	d.check("browser", name, err)
	for _, n := range notes {
		d.note("browser", n)
	}
	if films, err := w.CheckYtdlp(ctx); films != "" || err != nil {
		d.check("films", films, err)
	}
	for _, at := range []string{os.TempDir(), d.c.data} {
		d.room(at)
	}
}

// room says where the browser has little of it: what a page sends lies in the data
// directory until it is kept.
func (d *doctor) room(dir string) {
	_, free, total, err := fileSystem(dir)
	switch {
	case err != nil || total == 0: // not known, or not there
	case free < leastRoom:
		d.check("browser", "", fmt.Errorf("%s has %d MB free: no page can be captured; free some", dir, free>>20))
	case free < roomForPages:
		d.note("browser", fmt.Sprintf("%s has %d MB free: %d pages of the largest size take up to %d MB while they are captured", dir, free>>20, tabs, uint64(roomForPages)>>20))
	}
}

// log opens the log if nobody seals now; whoever does has checked it.
func (d *doctor) log(ctx context.Context, n *node) error {
	unlock, err := filelock.Try(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		return err
	}
	s := &sealing{unlock: unlock}
	defer s.Close()
	return s.openLog(ctx, n)
}
