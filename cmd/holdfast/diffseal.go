package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"holdfast"
	"holdfast/canon"
)

// Role and name of a comparison of two captures of pages (docs/bundle.md, section 3).
const (
	roleComparison = "comparison"
	nameComparison = "comparison.jsonl"
)

// sealDiff keeps the lines as a Capture, and waits for its Seal.
func (c *cli) sealDiff(ctx context.Context, n *node, sides [2]diffSide, lines []map[string]any, wait time.Duration) error {
	if _, err := n.sealSigner(ctx); err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	id, made, err := n.keepDiff(ctx, sides, lines)
	if err != nil {
		return err
	}
	left, err := n.sealDerived(ctx, []holdfast.ID{id}, wait)
	if err != nil {
		return err
	}
	c.say(map[string]any{"event": "kept", "id": id, "made": made}, "kept      %s", id)
	if len(left) > 0 {
		return &exitError{exitUnsealed, fmt.Errorf("the comparison is not sealed yet: %s; `holdfast seal` goes on", n.whyOpen(left[0], "out of time"))}
	}
	return nil
}

// keepDiff accepts the lines as a Capture in the home Case of the second one, if it is not
// there. They hold no time of their making, so what says the same is the same Capture.
func (n *node) keepDiff(ctx context.Context, sides [2]diffSide, lines []map[string]any) (id holdfast.ID, made bool, err error) {
	var b bytes.Buffer
	for _, l := range lines {
		line, err := canon.Marshal(l)
		if err != nil {
			return "", false, fmt.Errorf("keep the comparison: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	d, err := n.deriver()
	if err != nil {
		return "", false, err
	}
	x := derived{source: sides[1].cp.Source, home: sides[1].cp.Case, why: fmt.Sprintf("what differs between the captures %s and %s", sides[0].cp.ID, sides[1].cp.ID),
		objects: []derivedObject{{name: nameComparison, role: roleComparison, media: "application/jsonl", action: "comparison of the two captures that its last line names", b: b.Bytes()}}}
	err = d.add(ctx, x)
	if eerr := d.end(ctx); err == nil {
		err = eerr
	}
	if err != nil {
		return "", false, fmt.Errorf("keep the comparison: %w", err)
	}
	return d.ids[0], d.made > 0, nil
}
