package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/filelock"
	"holdfast/kept"
	"holdfast/pipeline"
)

// A `collected` line names captures that were accepted; it comes after the
// acceptance, so that it never says more than is true. Captures of one call are
// named together: a line and an fsync for each would cost a large case more than
// they tell. A crash in between leaves captures without a line, which the next
// start names (nameRest).

// Bounds of a `collected` line that waits.
const (
	namesPerLine = 100
	namesAge     = 10 * time.Second
)

// fileCollecting is locked, shared, by who accepts captures and will name them.
const fileCollecting = "collecting.lock"

// naming gathers the captures of one Case that no line names yet.
type naming struct {
	n *node

	mu    sync.Mutex
	free  func() // the shared lock
	open  map[holdfast.ID][]string
	agent map[holdfast.ID]holdfast.Agent
	timer *time.Timer // writes what waits when it is namesAge old, whatever else is waited for
	age   time.Duration
}

// begin is called before the first acceptance: while the lock is held nobody
// else names what this process is about to name.
func (k *naming) begin(n *node) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n = n
	if k.free != nil {
		return nil
	}
	var err error
	if k.free, err = filelock.Share(k.n.path(fileCollecting)); err != nil {
		return err
	}
	return n.still()
}

// add takes an accepted capture. One outside its Case's scope gets a line of its
// own, which says so.
func (k *naming) add(ctx context.Context, t pipeline.Task, id holdfast.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(t.Outside.Rules) > 0 {
		k.line(ctx, t.Case, t.Agent, []string{string(id)}, t.Outside, false)
		return
	}
	if k.open == nil {
		k.open, k.agent = map[holdfast.ID][]string{}, map[holdfast.ID]holdfast.Agent{}
	}
	if len(k.open) == 0 {
		k.watch(ctx)
	}
	if a, ok := k.agent[t.Case]; ok && a != t.Agent {
		k.flushCase(ctx, t.Case)
	}
	k.open[t.Case], k.agent[t.Case] = append(k.open[t.Case], string(id)), t.Agent
	if len(k.open[t.Case]) >= namesPerLine {
		k.flush(ctx)
	}
}

// watch lets no capture be without its line for longer than namesAge: a round
// may pause for an hour before its next capture, or its end.
func (k *naming) watch(ctx context.Context) {
	if k.timer != nil {
		k.timer.Stop() // one that runs already finds what is open, which is only early
	}
	age := namesAge
	if k.age > 0 {
		age = k.age
	}
	k.timer = time.AfterFunc(age, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.flush(ctx)
	})
}

func (k *naming) flush(ctx context.Context) {
	for home := range k.open {
		k.flushCase(ctx, home)
	}
}

func (k *naming) flushCase(ctx context.Context, home holdfast.ID) {
	k.line(ctx, home, k.agent[home], k.open[home], pipeline.Outside{}, false)
	delete(k.open, home)
	delete(k.agent, home)
}

// end writes what waits, even if ctx has ended, and frees the lock.
func (k *naming) end(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flush(ctx)
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.free != nil {
		k.free()
		k.free = nil
	}
}

// line writes one; what fails is named at the next start.
func (k *naming) line(ctx context.Context, home holdfast.ID, who holdfast.Agent, ids []string, out pipeline.Outside, late bool) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := k.n.collected(ctx, "collected", home, who, ids, out, late); err != nil {
		k.n.log.WarnContext(ctx, "no custody line names the captures yet; the next start writes it", "captures", len(ids), "err", err)
	}
}

// outsideX is what the `x` of a `collected` line, and of a Manifest, says of the
// scope; members in canonical order.
type outsideX struct {
	Late    bool     `json:"late,omitempty"` // written at a later start
	Outside []string `json:"outside,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

func (n *node) collected(ctx context.Context, action string, home holdfast.ID, who holdfast.Agent, ids []string, out pipeline.Outside, late bool) error {
	e := pipeline.Entry{Case: home, Action: action, Agent: who, Objects: ids, Why: out.Reason}
	if late || len(out.Rules) > 0 {
		x, err := canon.Marshal(outsideX{late, out.Rules, out.Reason})
		if err != nil {
			return err
		}
		e.X = x
	}
	_, err := n.outbox.Append(ctx, e)
	return err
}

// readOutside reads what a Manifest's `x` says of the scope.
func readOutside(x json.RawMessage) pipeline.Outside {
	var o outsideX
	if json.Unmarshal(x, &o) != nil {
		return pipeline.Outside{}
	}
	return pipeline.Outside{Rules: o.Outside, Reason: o.Reason}
}

// readsAtMost is for how many captures nameRest looks into the Manifest.
const readsAtMost = 1000

// rest is a line that nameRest is to write.
type rest struct {
	home   holdfast.ID
	action string
	agent  holdfast.Agent
}

// nameRest names the captures that a crash has left between their acceptance and
// their line. While anybody collects it does nothing: those captures are not
// forgotten. A crash in here leaves some named; the next start goes on.
func (n *node) nameRest(ctx context.Context) error {
	unlock, err := filelock.Try(n.path(fileCollecting))
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if n.sharedQueue() { // a line may be on its way to the catalog: then a later start looks
		behind := (errBehind{})
		if err := n.caughtUp(ctx, time.Second); errors.As(err, &behind) {
			return nil
		} else if err != nil {
			return err
		}
	} else if err := n.refresh(ctx); err != nil {
		return err
	}
	few, err := n.unnamed(ctx)
	if err != nil || len(few) == 0 {
		return err
	}
	single := map[holdfast.ID]pipeline.Outside{}
	if len(few) <= readsAtMost {
		single = n.outsideOf(ctx, few)
	}
	if err := n.nameAll(ctx, single); err != nil {
		return err
	}
	return n.refresh(ctx)
}

// unnamed returns some captures that no line names, one more than are looked into.
func (n *node) unnamed(ctx context.Context) (few []catalog.Capture, err error) {
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Unnamed: true, Limit: readsAtMost + 1}) {
		if err != nil {
			return nil, err
		}
		if !n.isMine(cp) {
			continue
		}
		few = append(few, cp)
	}
	return few, nil
}

// nameAll writes the lines. A Case whose chain is not there is left: `init
// --new-log` is about to begin it.
func (n *node) nameAll(ctx context.Context, single map[holdfast.ID]pipeline.Outside) error {
	groups, begun := map[rest][]string{}, map[holdfast.ID]bool{}
	write := func(k rest, ids []string, out pipeline.Outside) error {
		return n.collected(ctx, k.action, k.home, k.agent, ids, out, true)
	}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Unnamed: true}) {
		if err != nil {
			return err
		}
		if !n.isMine(cp) { // another node's to name: it may be about to
			continue
		}
		if _, known := begun[cp.Case]; !known {
			_, err := n.outbox.Head(ctx, cp.Case)
			begun[cp.Case] = !errors.Is(err, fs.ErrNotExist)
		}
		k := rest{cp.Case, "collected", cp.Agent}
		if cp.Source.IsReceived() {
			k.action = "received"
		}
		out, flagged := single[cp.ID]
		switch {
		case !begun[cp.Case]:
		case flagged:
			err = write(k, []string{string(cp.ID)}, out)
		default:
			groups[k] = append(groups[k], string(cp.ID))
			if len(groups[k]) == perLine {
				err = write(k, groups[k], out)
				delete(groups, k)
			}
		}
		if err != nil {
			return err
		}
	}
	for k, ids := range groups {
		slices.Reverse(ids) // oldest first
		if err := write(k, ids, pipeline.Outside{}); err != nil {
			return err
		}
	}
	return nil
}

// outsideOf reads from the Manifests which captures are outside their scope. One
// that cannot be read is named without it: its Manifest says what it says.
func (n *node) outsideOf(ctx context.Context, all []catalog.Capture) map[holdfast.ID]pipeline.Outside {
	out, at := map[holdfast.ID]pipeline.Outside{}, kept.Places{}
	for _, cp := range all {
		at.Add(cp)
	}
	read := n.keptAt(at)
	for _, cp := range all {
		raw, _, err := read.Manifest(ctx, cp.ID)
		var m *holdfast.Manifest
		if err == nil {
			m, err = holdfast.ParseManifest(raw)
		}
		if err != nil {
			n.log.WarnContext(ctx, "manifest not read", "capture", cp.ID, "err", err)
			continue
		}
		if o := readOutside(m.X); len(o.Rules) > 0 {
			out[cp.ID] = o
		}
	}
	return out
}
