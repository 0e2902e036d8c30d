package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodeclock"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/seams"
	"holdfast/collectors/telegram/accounts"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/keyring"
	"holdfast/metrics"
	"holdfast/mirror"
	officedb "holdfast/office"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/vault"
)

// node is an open data directory. Several processes may have it open; only the
// one with preserve.lock seals (see sealing).
type node struct {
	dir      string
	set      *nodedir.Settings
	facts    pipeline.Facts
	log      *slog.Logger
	store    nodeStore
	queue    nodeQueue // engine, or what counts its calls
	engine   nodeQueue
	cat      nodeCatalog
	outbox   *custody
	vault    *vault.Vault
	keys     *keyring.Ring
	accounts *accounts.Book
	former   *atomic.Pointer[[]mirror.FormerLog] // what it was before, as far as this process knows
	trust    *preserve.Trust
	index    *pipeline.Index
	told     atomic.Int64 // how often this process has told the catalog something
	lists    listCache

	loss      *queueLoss       // of a queue that this process has replaced
	meter     *metrics.Metrics // of --metrics; nil: nothing is counted
	metricsAt string

	stills   stills // how far stages were when this process looked
	bookLock sync.Mutex
	booked   *officedb.Book // once it was asked for

	watchCache watchCache // of the office's list

	stopping <-chan struct{} // closed: nothing is begun any more; nil: what is stopped ends at once

	offline bool // this process asks no authority over the network
	clock   nodeclock.Watch
}

// open opens the node with its catalog.
func (c *cli) open(ctx context.Context) (*node, error) {
	n, err := c.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if err := nodedir.AfterRebuild(ctx, n.dir); err != nil {
		n.Close()
		return nil, err
	}
	if n.cat, err = n.engines().OpenCatalog(ctx); err != nil {
		n.Close()
		return nil, err
	}
	n.index = n.newIndex()
	if err := n.begin(ctx); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.finishOpen(ctx); err != nil {
		n.Close()
		return nil, err
	}
	if err := n.finishKeysIfFree(ctx); err != nil {
		n.Close()
		return nil, err
	}
	if err := seams.Place(ctx, n.cat, n.store, n.log); err != nil { // so does this
		n.log.WarnContext(ctx, "seals without captures were not looked for", "err", err)
	}
	if err := n.nameRest(ctx); err != nil { // the next start tries again
		n.log.WarnContext(ctx, "captures without a custody line were not looked for", "err", err)
	}
	return n, nil
}

func (n *node) newIndex() *pipeline.Index {
	return &pipeline.Index{Queue: n.queue, Indexer: &seams.Indexer{Catalog: n.cat, Store: n.store, Log: n.log, Told: &n.told}, Prune: pruner{n}, Window: pipeline.WindowOwn, Log: n.log}
}

// openStore opens everything but the catalog, which rebuild makes again.
func (c *cli) openStore(ctx context.Context) (*node, error) {
	if err := c.notHalfRestored(); err != nil {
		return nil, err
	}
	set, err := nodedir.Read(c.data)
	if err == nil {
		err = set.URLs().Same(c.asked)
	}
	if err != nil {
		return nil, err
	}
	n := &node{dir: c.data, set: set, log: c.log()}
	if c.metrics != "" {
		n.metricsAt, n.meter = c.metrics, metrics.New(metrics.Options{Version: version, Node: set.Name, Role: c.role, Data: c.data})
	}
	if err := n.openParts(ctx, c.vault()); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) openParts(ctx context.Context, v *vault.Vault) (err error) {
	sw, err := software()
	if err == nil {
		n.facts, err = n.set.Facts(n.dir, sw)
	}
	if err != nil {
		return err
	}
	n.facts.Clock = n.knownClock()
	if n.store, err = n.engines().OpenStore(ctx); err != nil {
		return err
	}
	if err := n.openQueue(ctx); err != nil {
		return err
	}
	outbox, err := pipeline.OpenOutbox(n.path("outbox"), n.facts, n.queue, n.log)
	if err != nil {
		return err
	}
	n.outbox = &custody{outbox, n}
	if err := n.openKeys(ctx, v); err != nil {
		return err
	}
	n.trust, err = n.openTrust()
	return err
}

// begin opens the Case for what is filed nowhere, once under each name of the
// node, and publishes what a crash left in the outbox. Who finds that Case with
// one line alone finishes what a process that was killed behind it had begun:
// everybody passes here before writing another.
func (n *node) begin(ctx context.Context) error {
	if err := n.noteOlder(ctx); err != nil {
		return err
	}
	begun, err := n.outbox.Continues(n.set.Unfiled)
	if err == nil && begun {
		return n.outbox.Recover(ctx, n.planned)
	}
	if err != nil {
		return err
	}
	unlock, err := filelock.Wait(ctx, n.path("cases.lock")) // two processes may be the first at once
	if err != nil {
		return err
	}
	defer unlock()
	// Before a chain is begun: where one was lost, none may take its place.
	if err := n.outbox.Recover(ctx, n.planned); err != nil {
		return err
	}
	h, err := n.outbox.Head(ctx, n.set.Unfiled)
	if errors.Is(err, fs.ErrNotExist) {
		err = n.openCase(ctx, n.set.Unfiled, n.unfiledName(), catalog.Record{})
	}
	if err == nil && h.Length <= 1 {
		err = n.event(ctx, "key-made", []string{n.keys.Newest().ID()})
	}
	return err
}

// Close frees what is open; a node needs no Close to be safe.
func (n *node) Close() {
	if n.booked != nil {
		n.booked.Close()
	}
	if n.cat != nil {
		n.cat.Close()
	}
	if n.queue != nil {
		n.queue.Close()
	}
	if n.store != nil {
		n.store.Close()
	}
}

// software names this program by the bytes that are running.
func software() (holdfast.Software, error) {
	sw := holdfast.Software{Name: "holdfast", Version: version}
	path, err := os.Executable()
	if err != nil {
		return sw, fmt.Errorf("find this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return sw, fmt.Errorf("read this program: %w", err)
	}
	defer f.Close()
	sw.Digest, _, err = hashing.Copy(io.Discard, f)
	return sw, err
}

// entry is the node's own entry in a Policy, with all its keys.
func (n *node) entry() holdfast.PolicyNode {
	return holdfast.PolicyNode{Name: n.set.Name, Log: holdfast.PolicyLog{Key: n.set.VKey, Origin: n.set.Name},
		Keys: keyring.Policy(n.keys.All())}
}

func (n *node) fingerprint() (string, error) {
	e := n.entry()
	b, err := e.Encode()
	return hashing.Of(b).Hex(), err
}

// event writes a custody line of the node's own affairs, into `unfiled`.
func (n *node) event(ctx context.Context, action string, objects []string) error {
	_, err := n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: action, Agent: n.set.Agent, Objects: objects})
	return err
}

// openCase begins a Case's chain; what is recorded of it is in the line.
func (n *node) openCase(ctx context.Context, id holdfast.ID, name string, r catalog.Record) error {
	x, err := r.Encode(name)
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: "opened", Agent: n.set.Agent, X: x})
	return err
}

// unfiled is the name of the Case for what is filed nowhere.
const unfiled = "unfiled"

// unfiledName is what it is called: each node has one, and nodes that share a catalog
// see those of the others.
func (n *node) unfiledName() string {
	if n.sharedCatalog() {
		return unfiled + "-" + n.set.Name
	}
	return unfiled
}

// caseNamed finds a Case, or makes it. The lock keeps two processes from making
// two Cases of one name; the index is drained first, so a Case that another
// process has just made is seen.
func (n *node) caseNamed(ctx context.Context, name string) (holdfast.ID, error) {
	if name == "" {
		return n.set.Unfiled, nil
	}
	unlock, err := n.officeLock(ctx, "cases.lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := n.refresh(ctx); err != nil {
		return "", err
	}
	if name == unfiled { // each node has one
		return n.set.Unfiled, nil
	}
	cs, err := n.cat.Case(ctx, name)
	if err == nil {
		return cs.ID, nil
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return "", err
	}
	if err := checkCaseName(name); err != nil { // a mistyped id makes no Case that has no scope
		return "", err
	}
	id := holdfast.NewID()
	if err := n.openCase(ctx, id, name, catalog.Record{}); err != nil {
		return "", err
	}
	return id, n.refresh(ctx)
}

// refresh brings the catalog up to what the queue has.
func (n *node) refresh(ctx context.Context) error {
	if n.sharedQueue() {
		return n.caughtUp(ctx, catchUpTime)
	}
	if err := n.normaliseNow(ctx); err != nil {
		return fmt.Errorf("normalise: %w", err)
	}
	_, err := n.index.Drain(ctx)
	return err
}
