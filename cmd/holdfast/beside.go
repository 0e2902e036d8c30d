package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// A page that is captured through two ways out at once is two Captures, each whole and of
// its own browser context, and a third, derived from both, that says what differs: the
// words, the structure, the pictures, and what the connections showed. So a site that shows
// one country something else is seen to. A crash between leaves the two, and `diff --seal`
// makes the third, the same, at any time.

// besideTasks is the list with a second Task, through the other way out, behind each that
// is a page's: two at work are then a pair.
func (n *node) besideTasks(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) ([]pipeline.Task, error) {
	first, err := n.makeTasks(ctx, home, sources, o)
	if err != nil || o.beside == "" {
		return first, err
	}
	other := o
	other.via = o.beside
	second, err := n.makeTasks(ctx, home, sources, other)
	if err != nil {
		return nil, err
	}
	tasks := make([]pipeline.Task, 0, 2*len(first))
	for i := range first {
		tasks = append(tasks, first[i], second[i])
	}
	return tasks, nil
}

// besideAlone refuses two ways that are one, and what has no second way.
func besideAlone(sources []holdfast.Source, o captureOptions) error {
	switch {
	case o.beside == "":
		return nil
	case slices.ContainsFunc(sources, isTelegram):
		return usageError("--beside is about web pages: a channel's account has a way out of its own")
	case o.via == "" || o.via == o.beside:
		return usageError("--beside %s: name the first way out with --via, another one (direct is one too)", o.beside)
	}
	return nil
}

// compareBeside keeps what differs between the two Captures of each page, and gives those
// that it has made, for whoever waits for their Seals. It is no reason to fail: the two are
// sealed, and `diff --seal` compares them at any time.
func (c *cli) compareBeside(ctx context.Context, n *node, tasks []wish, got []captured, o captureOptions) (made []captured) {
	if o.beside == "" || ctx.Err() != nil {
		return nil
	}
	if err := n.refresh(ctx); err != nil {
		n.log.WarnContext(ctx, "not compared", "err", err)
		return nil
	}
	for pair := range slices.Chunk(tasks, 2) {
		a, b := lastAttempt(got, pair[0].id), lastAttempt(got, pair[1].id)
		if a == nil || b == nil {
			continue // the last line says that it waits
		}
		g, err := c.keepBeside(ctx, n, [2]holdfast.ID{a.id, b.id}, o)
		if err != nil {
			n.log.WarnContext(ctx, "not compared; `holdfast diff --seal` tries again", "first", a.id, "second", b.id, "err", err)
			continue
		}
		made = append(made, g)
	}
	return made
}

// lastAttempt is the last attempt of a Task.
func lastAttempt(got []captured, task holdfast.ID) (last *captured) {
	for i := range got {
		if got[i].task == task && (last == nil || got[i].attempt >= last.attempt) {
			last = &got[i]
		}
	}
	return last
}

func (c *cli) keepBeside(ctx context.Context, n *node, ids [2]holdfast.ID, o captureOptions) (g captured, err error) {
	from, sides := n.kept(), [2]diffSide{}
	for i, id := range ids {
		if sides[i], err = n.diffSide(ctx, from, id, "captured beside one another"); err != nil {
			return g, err
		}
	}
	r, err := compareSides(sides)
	if err != nil {
		return g, err
	}
	lines := diffLines(sides, r, diffPictures(sides))
	kept, made, err := n.keepDiff(ctx, sides, lines)
	if err != nil {
		return g, err
	}
	c.say(map[string]any{"event": "compared", "id": kept, "made": made, "same": r.Same, "first": ids[0], "second": ids[1], "via": o.via, "beside": o.beside, "added": r.Added, "removed": r.Removed},
		"compared  %s  %s and %s: %s", kept, o.via, o.beside, verdictOf(r))
	return captured{id: kept, source: sides[1].cp.Source, outcome: collectors.Complete, done: true}, nil
}

// diffNetwork says what the connections, and where they led, showed otherwise: one line
// for each thing, with nothing of an egress but its name.
func diffNetwork(sides [2]diffSide) (out []map[string]any) {
	a, b := networkFacts(sides[0].m), networkFacts(sides[1].m)
	for _, part := range []string{"outcome", "egress", "address", "redirects", "peer", "resolved", "protocol", "tls", "certificate", "verdict"} {
		if a[part] != b[part] {
			out = append(out, map[string]any{"event": "network", "part": part, "before": a[part], "after": b[part]})
		}
	}
	return out
}

func networkFacts(m *holdfast.Manifest) map[string]string {
	f := map[string]string{"egress": m.Collection.Egress, "outcome": m.Completeness.Outcome}
	if w := m.Web; w != nil {
		f["address"], f["redirects"] = string(w.Final), fmt.Sprint(len(w.Redirects))
	}
	s := m.Collection.Server
	if s == nil {
		return f
	}
	f["peer"], f["protocol"] = s.Peer, s.Protocol
	f["resolved"] = strings.Join(slices.Sorted(slices.Values(s.Addresses)), " ")
	if s.TLS != nil {
		f["tls"], f["certificate"], f["verdict"] = s.TLS.Version+" "+s.TLS.Cipher, strings.Join(s.TLS.Chain, " "), s.TLS.Verdict
	}
	return f
}

// awaitBeside waits for what was compared, as for what was captured.
func (c *cli) awaitBeside(ctx context.Context, n *node, tasks []wish, got []captured, o captureOptions, done chan error) ([]captured, []holdfast.ID) {
	made := c.compareBeside(ctx, n, tasks, got, o)
	if len(made) == 0 {
		return got, nil
	}
	left := c.await(ctx, n, made, max(o.wait, time.Second), done)
	return append(got, made...), left
}
