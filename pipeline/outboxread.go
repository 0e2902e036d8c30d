package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast"
)

// Head implements Heads. A Case without a chain is an error that wraps
// fs.ErrNotExist.
func (o *Outbox) Head(_ context.Context, home holdfast.ID) (holdfast.Head, error) {
	c, err := o.find(home)
	if err == nil && c == nil {
		err = fmt.Errorf("case %s was never opened on this node: %w", home, fs.ErrNotExist)
	}
	var h holdfast.Head
	if err == nil {
		err = c.locked(unix.LOCK_SH, func(f *os.File) error {
			err := c.catchUp(f, nil)
			h = c.headNow()
			return err
		})
	}
	if err != nil {
		return holdfast.Head{}, fmt.Errorf("read custody head: %w", err)
	}
	return h, nil
}

// Continues reports whether the chain of a Case has more than one line. What is
// in them is not verified.
func (o *Outbox) Continues(home holdfast.ID) (bool, error) {
	c, err := o.find(home)
	if err != nil || c == nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.length > 1 || c.least() > c.size, nil
}

// Lines calls yield for every line of a Case, chain after chain, with its exact
// bytes, and with the head behind it.
func (o *Outbox) Lines(home holdfast.ID, yield func(line []byte, h holdfast.Head) error) error {
	if _, err := o.find(home); err != nil {
		return err
	}
	for _, c := range o.list() {
		if c.home != home {
			continue
		}
		if err := c.again(yield); err != nil {
			return fmt.Errorf("read custody lines: %w", err)
		}
	}
	return nil
}

// Check verifies lines that were read from a chain's file, from the first to the
// end of one: what is about to be copied.
func (o *Outbox) Check(id holdfast.ID, lines []byte) error {
	c := &chain{id: id, path: filepath.Join(o.dir, string(id)+".jsonl")}
	c.was = c.mark()
	rest, err := c.lines(lines, nil)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %s: line %d has no end", ErrChain, c.path, c.length+1)
	}
	return err
}

// Homes returns the Cases that have a chain here.
func (o *Outbox) Homes() (homes []holdfast.ID) {
	for _, c := range o.list() {
		homes = append(homes, c.home)
	}
	slices.Sort(homes)
	return slices.Compact(homes)
}

func (o *Outbox) list() []*chain {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}
