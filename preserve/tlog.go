package preserve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"holdfast"
	"holdfast/storage"
)

// ErrLogBehind: the log's directory lacks what its mirror in the store has: a
// lost disk, an old snapshot. It is never continued, because it would sign a
// second history. Draw a new log key and begin a new log, whose Birth names
// [LastTree] of this one.
var ErrLogBehind = errors.New("log is behind its mirror in the store")

// Tessera's pace. A batch waits a moment for company; the checkpoint interval
// is the least that Tessera permits and what a Seal waits for at most when
// another one has just been published. An idle log publishes at once.
const (
	logBatch      = 64
	logBatchAge   = 2 * time.Millisecond
	logCheckpoint = 100 * time.Millisecond
	logPoll       = 2 * time.Millisecond
	logWait       = 30 * time.Second
)

// TlogOptions say where a log lies and who keeps it.
type TlogOptions struct {
	Dir   string         // Tessera's own directory of this log; its parent exists
	Key   string         // note signer string of [NewLogKey]
	Birth holdfast.Birth // entry 0 if the log is made; Node and Created are filled in
	Store Store          // for the mirror
	Log   *slog.Logger   // Optional.
}

// Tlog is a node's transparency log: C2SP tiles that Tessera keeps in a
// directory, mirrored to the store. One process opens it at a time (whoever
// holds preserve.lock); its methods may be called concurrently.
type Tlog struct {
	o      TlogOptions
	m      *Mirror
	add    tessera.AddFn
	read   tessera.LogReader
	stop   func(context.Context) error
	cancel context.CancelFunc

	calls  sync.RWMutex // held for reading by Append, for writing by Close
	closed bool

	mu     sync.Mutex // orders mirroring
	newest Entry      // newest mirrored state; its Index and Inclusion are unused
}

// Entry is where the log put something, and the state that proves it.
type Entry struct {
	Index      int64
	Tree       holdfast.Tree
	Checkpoint []byte // the text that Tree was read from, mirrored
	Inclusion  *holdfast.Inclusion
}

// OpenTlog opens the log, or makes it with its Birth as entry 0 if neither
// directory nor mirror has ever held one. [ErrLogBehind] and [ErrFork] are for
// good. A crash while a log is made leaves an empty directory, or a Birth that
// is not mirrored; both are picked up by the next OpenTlog.
func OpenTlog(ctx context.Context, o TlogOptions) (*Tlog, error) {
	signer, err := note.NewSigner(o.Key)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	vkey, err := LogVKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", signer.Name(), err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Tlog{o: o, m: &Mirror{o.Store, signer.Name(), vkey}}
	if err := l.open(ctx, signer); err != nil {
		return nil, fmt.Errorf("open log %s: %w", signer.Name(), err)
	}
	return l, nil
}

func (l *Tlog) open(ctx context.Context, signer note.Signer) error {
	text, mirrored, err := l.m.Newest(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Before Tessera touches the directory: it would make an empty log there.
	if err := l.notBehind(mirrored.Size); err != nil {
		return err
	}
	l.newest = Entry{Tree: mirrored, Checkpoint: text}
	if err := l.start(signer); err != nil {
		return err
	}
	if err = l.birth(ctx); err == nil {
		err = l.catchUp(ctx, mirrored)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// notBehind compares the directory's own checkpoint with the mirror's size.
func (l *Tlog) notBehind(mirrored int64) error {
	text, err := os.ReadFile(filepath.Join(l.o.Dir, layout.CheckpointPath))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var size int64
	if err == nil {
		size, _ = checkpointSize(text)
	}
	if size < mirrored {
		return fmt.Errorf("%w: %s has %d entries, the mirror %d: `holdfast init --new-log` begins another log that names this one's last checkpoint", ErrLogBehind, l.o.Dir, size, mirrored)
	}
	return nil
}

func (l *Tlog) start(signer note.Signer) error {
	ctx, cancel := context.WithCancel(context.Background()) // Tessera's goroutines end with Close
	driver, err := posix.New(ctx, posix.Config{Path: l.o.Dir})
	if err == nil {
		var a *tessera.Appender
		a, l.stop, l.read, err = tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
			WithCheckpointSigner(signer).
			WithBatching(logBatch, logBatchAge).
			WithCheckpointInterval(logCheckpoint).
			WithCheckpointRepublishInterval(0))
		if err == nil {
			l.add, l.cancel = a.Add, cancel
			return nil
		}
	}
	cancel()
	return err
}

// birth makes entry 0 of an empty log. A Birth that was integrated and not
// published when the process died is there already.
func (l *Tlog) birth(ctx context.Context) error {
	n, err := l.read.IntegratedSize(ctx)
	if err != nil || n > 0 {
		return err
	}
	b := l.o.Birth
	b.Node, b.Created = l.m.Origin, holdfast.At(time.Now())
	text, err := b.Encode()
	if err != nil {
		return fmt.Errorf("make birth: %w", err)
	}
	l.o.Log.InfoContext(ctx, "log begins", "origin", l.m.Origin)
	_, err = l.add(ctx, tessera.NewEntry(text))()
	return err
}

// catchUp mirrors what the directory has more than the mirror, and proves that
// it is the same log.
func (l *Tlog) catchUp(ctx context.Context, mirrored holdfast.Tree) error {
	text, tree, err := l.published(ctx, 0)
	if err != nil {
		return err
	}
	if mirrored.Size > 0 {
		if _, err := consistency(ctx, l.read.ReadTile, mirrored, tree); err != nil {
			return err
		}
	}
	_, err = l.mirror(ctx, tree, text)
	return err
}

// Origin is the log's name, which is its node's.
func (l *Tlog) Origin() string { return l.m.Origin }

// VKey is the C2SP vkey that the log's checkpoints verify with.
func (l *Tlog) VKey() string { return l.m.VKey }

// Mirror is the log's copy in the store.
func (l *Tlog) Mirror() *Mirror { return l.m }

// Newest returns the newest mirrored state and its checkpoint.
func (l *Tlog) Newest() (holdfast.Tree, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest.Tree, l.newest.Checkpoint
}

// Append adds leaf (at most 65,535 bytes) and returns once a checkpoint that
// covers it is published and mirrored, tiles first. After a crash or an error
// the leaf may be in the log or not; to append it again is harmless, a Seal
// needs one of its entries.
func (l *Tlog) Append(ctx context.Context, leaf []byte) (*Entry, error) {
	l.calls.RLock() // so that Close waits, and no leaf is handed to a stopped log
	defer l.calls.RUnlock()
	if l.closed {
		return nil, fmt.Errorf("append to log %s: %w", l.m.Origin, fs.ErrClosed)
	}
	e, err := l.append(ctx, leaf)
	if err != nil {
		return nil, fmt.Errorf("append to log %s: %w", l.m.Origin, err)
	}
	return e, nil
}

func (l *Tlog) append(ctx context.Context, leaf []byte) (*Entry, error) {
	i, err := l.add(ctx, tessera.NewEntry(leaf))()
	if err != nil {
		return nil, err
	}
	text, tree, err := l.published(ctx, int64(i.Index))
	if err != nil {
		return nil, err
	}
	e, err := l.mirror(ctx, tree, text)
	if err != nil {
		return nil, err
	}
	e.Index = int64(i.Index)
	e.Inclusion, err = inclusion(ctx, l.read.ReadTile, e.Index, e.Tree, leaf)
	return &e, err
}

// published waits for a checkpoint that covers entry index.
func (l *Tlog) published(ctx context.Context, index int64) ([]byte, holdfast.Tree, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, logWait, fmt.Errorf("no checkpoint covers entry %d after %s", index, logWait))
	defer cancel()
	tick := time.NewTicker(logPoll)
	defer tick.Stop()
	for {
		text, err := l.read.ReadCheckpoint(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, holdfast.Tree{}, err
		}
		if size, ok := checkpointSize(text); ok && size > index {
			tree, err := holdfast.OpenCheckpoint(text, l.m.VKey)
			return text, tree, err
		}
		select {
		case <-ctx.Done():
			return nil, holdfast.Tree{}, context.Cause(ctx)
		case <-tick.C:
			l.clockSetBack()
		}
	}
}

// clockSetBack helps Tessera over a clock that was set back: it publishes only
// when the last checkpoint is old enough, and one from the future never is. The
// bytes are not touched.
func (l *Tlog) clockSetBack() {
	path := filepath.Join(l.o.Dir, layout.CheckpointPath)
	info, err := os.Stat(path)
	if err != nil || time.Until(info.ModTime()) < logCheckpoint {
		return
	}
	past := time.Now().Add(-logCheckpoint)
	if err := os.Chtimes(path, past, past); err != nil {
		l.o.Log.Warn("log waits for the clock", "origin", l.m.Origin, "until", info.ModTime(), "err", err)
	}
}

// checkpointSize reads the second line, unverified: only to wait for more.
func checkpointSize(text []byte) (int64, bool) {
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	line, _, whole := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(line), 10, 64)
	return n, whole && err == nil && n >= 0
}

// mirror brings the store up to a published checkpoint and returns the newest
// mirrored state, which covers it. Several Seals that wait share one checkpoint.
func (l *Tlog) mirror(ctx context.Context, tree holdfast.Tree, text []byte) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree.Size <= l.newest.Tree.Size {
		return l.newest, nil
	}
	items, err := mirrorItems(ctx, l.read, l.m.Origin, l.newest.Tree.Size, tree, text)
	if err != nil {
		return Entry{}, err
	}
	taken, err := l.o.Store.CreateAll(ctx, items...)
	if err != nil {
		return Entry{}, fmt.Errorf("mirror: %w", err)
	}
	if err := l.sameAsMine(ctx, items, taken); err != nil {
		return Entry{}, err
	}
	l.newest = Entry{Tree: tree, Checkpoint: text}
	return l.newest, nil
}

// sameAsMine compares names that were taken before: a crash after mirroring
// leaves equal bytes; unequal ones were written by another holder of the key.
func (l *Tlog) sameAsMine(ctx context.Context, items []storage.Item, taken []string) error {
	for _, it := range items {
		if !slices.Contains(taken, it.Name) {
			continue
		}
		b, err := l.o.Store.ReadName(ctx, it.Name, maxMirrorFile)
		if err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
		if string(b) != string(it.Data) {
			return fmt.Errorf("mirror: %s differs from this log: %w", it.Name, ErrFork)
		}
	}
	return nil
}

// Close waits for calls of Append, then stops the log. Nothing is lost without
// it: what Append returned is durable.
func (l *Tlog) Close() error {
	l.calls.Lock()
	defer l.calls.Unlock()
	if l.closed || l.cancel == nil {
		return nil
	}
	l.closed = true
	defer l.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), logWait)
	defer cancel()
	if err := l.stop(ctx); err != nil {
		return fmt.Errorf("close log %s: %w", l.m.Origin, err)
	}
	return nil
}
