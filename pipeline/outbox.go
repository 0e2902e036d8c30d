package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast"
)

// ErrChain: a Custody chain on the disk does not hold together.
var ErrChain = errors.New("custody chain is broken")

// Outbox is the Custody of a node: one chain per Case, in one file each,
//
//	<dir>/<chain>.jsonl       a line and LF, n times
//	<dir>/<chain>.published   up to which line it was published, with the queue and
//	                          position of that line, and the file's size and head
//	                          there: saves work, may accuse, proves nothing
//	<dir>/lock                taken while a chain is begun
//
// A line is written and fsynced under an exclusive flock of its file, and then
// published as an Event. So it survives whatever happens to the queue, and no
// two processes can give one number twice.
//
// What a crash leaves behind:
//
//   - before or during the write: a last line without LF. It was acknowledged to
//     nobody, so who next holds the lock cuts it off.
//   - between write and fsync: perhaps the line. It is then a line of the chain
//     that nobody was told of; it was done, or nearly, and Recover publishes it.
//   - between fsync and Publish: the line. Recover publishes it.
//   - after Publish: at worst an old mark. Recover publishes it again, with the
//     same ID, and the queue keeps the first.
//
// Of each chain the first line is verified when the Outbox is opened. All others
// are before the first line of this handle is written to that chain, or its head
// is told, and each time that its lines are given out. So damage is met before
// anything is built on it, and a chain that a command has no use for costs it
// nothing.
//
// Every method may be called concurrently, from several processes too.
type Outbox struct {
	dir   string
	facts Facts
	queue EventQueue
	log   *slog.Logger
	sync  func(*os.File) error // fsync, but for tests

	mu     sync.Mutex
	name   string // of the queue; "" until it was asked
	all    []*chain
	chains map[holdfast.ID]*chain // those of this node's name, by Case
}

// EventQueue is the queue as an Outbox needs it.
type EventQueue interface {
	Publisher
	Identifier
}

// Entry is what a line says; the Outbox adds number, time, node and nonce.
type Entry struct {
	Case    holdfast.ID
	Action  string // such as "opened"; see docs/bundle.md section 5
	Agent   holdfast.Agent
	Objects []string
	Why     string
	X       json.RawMessage // Optional: a canonical object.
}

// OpenOutbox opens the chains in dir, and makes dir if need be. Of each chain that
// is there the first line is verified, and all of them where the file does not end
// with a whole one; errors wrap [ErrChain]. log is Optional.
func OpenOutbox(dir string, facts Facts, queue EventQueue, log *slog.Logger) (*Outbox, error) {
	return openOutbox(dir, facts, queue, log, (*os.File).Sync)
}

func openOutbox(dir string, facts Facts, queue EventQueue, log *slog.Logger, sync func(*os.File) error) (*Outbox, error) {
	o := &Outbox{dir: dir, facts: facts, queue: queue, log: orDiscard(log), sync: sync, chains: map[holdfast.ID]*chain{}}
	err := os.MkdirAll(dir, 0o700)
	if err == nil { // also where it is there: a crash may have come between
		err = syncDir(filepath.Dir(dir), sync)
	}
	if err == nil {
		err = o.sweep()
	}
	if err == nil {
		err = o.scan()
	}
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	return o, nil
}

// marks are the files of setMark before they have their name.
const marks = ".mark-*"

// sweep removes marks that a crash left. If one is of a process that lives, that
// process says that its mark was not written, and publishes some lines twice.
func (o *Outbox) sweep() error {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ok, _ := filepath.Match(marks, e.Name()); !ok {
			continue
		}
		if err := os.Remove(filepath.Join(o.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// scan finds the chains that this handle does not know yet. o.mu is held, or
// nobody else has o. A file without a whole line, left by a crash, is no chain.
func (o *Outbox) scan() error {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok {
			continue
		}
		name := filepath.Join(o.dir, e.Name())
		id, err := holdfast.ParseID(stem)
		if err != nil {
			return fmt.Errorf("%w: %s is not a chain; move it away", ErrChain, name)
		}
		if slices.ContainsFunc(o.all, func(c *chain) bool { return c.id == id }) {
			continue
		}
		c := &chain{id: id, path: name, sync: o.sync}
		if err := c.locked(unix.LOCK_SH, func(f *os.File) error { return c.peek(f) }); err != nil {
			return err
		}
		if c.length == 0 {
			continue
		}
		if err := o.know(c); err != nil {
			return err
		}
	}
	return nil
}

// know adds a chain. One that the node wrote under a former name is published
// and shown, and not continued.
func (o *Outbox) know(c *chain) error {
	if c.node == o.facts.Node {
		if other := o.chains[c.home]; other != nil {
			return fmt.Errorf("%w: case %s has the chains %s and %s", ErrChain, c.home, other.id, c.id)
		}
		o.chains[c.home] = c
	}
	o.all = append(o.all, c)
	return nil
}

// find returns the chain of a Case, or nil.
func (o *Outbox) find(home holdfast.ID) (*chain, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.chains[home]; c != nil {
		return c, nil
	}
	if err := o.scan(); err != nil { // another process may have begun it
		return nil, err
	}
	return o.chains[home], nil
}

// Append writes a line, makes it durable, and publishes it. The first line of a
// Case begins its chain. An error of the publishing is returned with the head:
// the line stands, and Recover or the next Append publishes it.
func (o *Outbox) Append(ctx context.Context, e Entry) (holdfast.Head, error) {
	if err := ctx.Err(); err != nil {
		return holdfast.Head{}, fmt.Errorf("append custody line: %w", context.Cause(ctx))
	}
	c, err := o.find(e.Case)
	var line []byte
	var at point
	switch {
	case err != nil:
	case c == nil:
		c, line, at, err = o.begin(e)
	default:
		line, at, err = o.add(c, e)
	}
	if err != nil {
		return holdfast.Head{}, fmt.Errorf("append custody line: %w", err)
	}
	return at.Head, o.publishOne(ctx, c, line, at)
}

// add appends to a chain and returns the line and the point behind it.
func (o *Outbox) add(c *chain, e Entry) (line []byte, at point, err error) {
	err = c.locked(unix.LOCK_EX, func(f *os.File) error {
		if err := c.catchUp(f, nil); err != nil {
			return err
		}
		l := holdfast.Line{Action: e.Action, Agent: e.Agent, At: holdfast.At(time.Now()), Case: e.Case, Chain: c.id, N: c.length + 1,
			Node: o.facts.Node, Nonce: holdfast.NewNonce(), Objects: e.Objects, Training: o.facts.Training, Why: e.Why, X: e.X}
		if line, err = l.Encode(); err == nil {
			err = c.append(f, line)
		}
		at = point{c.headNow(), c.size}
		return err
	})
	return line, at, err
}

// begin makes a chain with its first line. The lock is held from the look until
// the line is there, so a Case gets one chain however many processes begin it.
func (o *Outbox) begin(e Entry) (*chain, []byte, point, error) {
	lock, err := os.OpenFile(filepath.Join(o.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, point{}, err
	}
	defer lock.Close() // closing gives the lock back
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return nil, nil, point{}, err
	}
	c, err := o.find(e.Case)
	if err != nil {
		return nil, nil, point{}, err
	}
	fresh := c == nil
	if fresh {
		id := holdfast.NewID()
		c = &chain{id: id, home: e.Case, node: o.facts.Node, sync: o.sync, path: filepath.Join(o.dir, string(id)+".jsonl")}
	}
	line, at, err := o.add(c, e)
	if err == nil && fresh {
		o.mu.Lock()
		if !slices.ContainsFunc(o.all, func(k *chain) bool { return k.id == c.id }) { // a scan may have met it
			err = o.know(c)
		}
		o.mu.Unlock()
	}
	return c, line, at, err
}
