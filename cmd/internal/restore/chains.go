package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/wholefile"
)

// chainsGrown makes the node's Custody chains as long as others have seen them. A line
// is published before anything names it, so what the mirror lacks is an Event in the
// store or in the queue; to write another line under its number would contradict it.
// Where one is nowhere the chains are not continued: the node gets a new name.
func (r *Restore) chainsGrown(ctx context.Context) error {
	r.short = ""
	if !r.back && !r.merged() {
		return nil // all that the store has came from this node's own mirror, whose chains are as long
	}
	set := *r.set
	seen, err := r.Look(ctx, &set, r.mine.Rebuild)
	if err != nil {
		return err
	}
	defer seen.Close()
	for cs, err := range seen.Cases(ctx) {
		if err != nil {
			return err
		}
		for _, c := range cs.Chains {
			if c.Node != r.mark.Node && !r.set.Mirrored().IsFormer(c.Node) {
				continue
			}
			if err := r.grow(ctx, seen, cs.ID, c); err != nil {
				return fmt.Errorf("custody chain %s: %w", c.ID, err)
			}
		}
	}
	return nil
}

// grow takes what others have seen of a chain and the mirror has not.
func (r *Restore) grow(ctx context.Context, seen Seen, home holdfast.ID, c catalog.Chain) error {
	name := r.path("outbox/" + string(c.ID) + ".jsonl")
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	had := len(b)
	for n := int64(bytes.Count(b, []byte{'\n'})) + 1; n <= c.Length; n++ {
		line, err := seen.Line(ctx, holdfast.EventID(c.ID, n))
		if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			r.short = fmt.Sprintf("line %d of its custody is named by what is sealed, and is lost", n)
			r.Log.WarnContext(ctx, "a custody line is lost", "chain", c.ID, "line", n, "known to exist", c.Length)
			break
		}
		if err != nil {
			return err
		}
		l, err := holdfast.ParseLine(line)
		if err == nil && (l.Chain != c.ID || l.N != n || l.Case != home) {
			err = errors.New("its Event holds another line")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if r.keys != nil && (strings.HasPrefix(l.Action, "key-rotated") || l.Action == "key-compromised" || l.Action == "log-begun") {
			return fmt.Errorf("line %d says %q, and the mirror is older than that: its settings name other keys than the node had. Restore from a newer mirror, or without --keys", n, l.Action)
		}
		b = append(append(b, line...), '\n')
	}
	if len(b) == had {
		return nil
	}
	return wholefile.Update(name, b)
}
