package mirrors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/storage"
)

// Options say where a run mirrors to, and how.
type Options struct {
	To    string                   // the mirror, in the form of [URL]
	Check bool                     // also read what is there already, on both sides
	Told  func(files, bytes int64) // Optional: progress, so far.
	// Ordered says whether a sealed order bears a tombstone of the node out: see
	// [mirror.Copier]. Without it nothing leaves the mirror.
	Ordered func(ctx context.Context, t *storage.Tombstone) error
}

// Done is what came of a run that went to its end.
type Done struct {
	Files, Bytes, Erased int64
	Problems             int       // things that are not as they should be; each was logged
	First                []string  // of them, the first few
	Later                time.Time // when the last of what is to be erased can be; zero: nothing waits
	Unsigned             error     // why the settings beside the store are not signed; nil: they are
}

// run is one run.
type run struct {
	n     *Node
	at    string     // absolute path, or URL of a bucket
	dir   mirror.Dir // where it is a directory
	store string     // the id of its store, where it is a bucket
	shelf mirror.Shelf
	to    target
	mark  *mirror.Mark
	done  Done
}

// shown bounds the problems that an error names.
const shown = 3

func (m *run) problem(name string, err error) {
	m.n.Log.Error("mirror", "problem", name, "err", err)
	if m.done.Problems++; len(m.done.First) < shown {
		m.done.First = append(m.done.First, name+": "+err.Error())
	}
}

// Run copies what the mirror lacks, and makes it where there is none. An error says what to
// do, and [mirror.ErrNewer] or [mirror.ErrNone] that no other run can go better. A mirror is
// one state of the node at whatever instant the run is cut short; problems are no error.
func (n *Node) Run(ctx context.Context, o Options) (*Done, error) {
	m := &run{n: n, at: o.To}
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, m.explain(err)
	}
	defer leave()
	k := &mirror.Copier{From: n.Store, To: m.to, Check: o.Check, Problem: m.problem, Told: o.Told, Ordered: o.Ordered}
	k.Locked = func(e *storage.LockedError) {
		if e.Until.After(m.done.Later) {
			m.done.Later = e.Until
		}
	}
	if err := m.run(ctx, k); err != nil {
		return nil, m.explain(err)
	}
	if err := m.keep(ctx); err != nil {
		return nil, m.explain(err)
	}
	m.done.Files, m.done.Bytes = k.Copied()
	m.done.Erased = k.Erased()
	return &m.done, nil
}

// run writes the mark of the state that it is about to copy, then the state,
// then the mark as whole. The chains go before the Seals: a Seal holds no line
// that the mirror's chains lack.
func (m *run) run(ctx context.Context, k *mirror.Copier) error {
	if err := k.Look(ctx); err != nil {
		return err
	}
	if err := m.state(ctx, k); err != nil {
		return err
	}
	if err := m.mark.Write(ctx, m.shelf); err != nil {
		return err
	}
	if err := m.nodeFiles(ctx); err != nil {
		return err
	}
	if err := k.Run(ctx); err != nil {
		return err
	}
	whole := holdfast.At(time.Now())
	m.mark.Whole = &whole
	return m.mark.Write(ctx, m.shelf)
}

// state fills the mark. The log's state is the one that look ended at, and the
// queue is asked after that.
func (m *run) state(ctx context.Context, k *mirror.Copier) error {
	as := m.n.As
	m.mark.Node, m.mark.VKey, m.mark.Former, m.mark.Begun, m.mark.Whole, m.mark.Log = as.Name, m.n.VKey, as.Former, holdfast.At(time.Now()), nil, nil
	m.mark.Encrypted = m.n.Encrypted
	if size := k.LogSize(as.Name); size > 0 {
		_, t, err := (&preserve.Mirror{Store: m.n.Store, Origin: as.Name, VKey: m.n.VKey}).Checkpoint(ctx, size)
		if err != nil {
			return err
		}
		m.mark.Log = &t
	}
	id, err := m.n.Queue.Identity(ctx)
	if err != nil {
		return err
	}
	q := mirror.Queue{Name: id.Queue}
	for p := range id.Partitions {
		is := mirror.Part{Seal: k.NewestSeal(id.Queue, p)}
		if is.Planned, err = m.n.Queue.Position(ctx, pipeline.StagePreserve, p); err != nil {
			return err
		}
		if is.End, err = m.n.Queue.End(ctx, pipeline.StagePreserve, p); err != nil {
			return err
		}
		if is.Raw, err = m.n.rawIn(ctx, p); err != nil {
			return err
		}
		if p > 0 {
			q.Further = append(q.Further, is)
			continue
		}
		q.End, q.Planned, q.Seal, q.Raw = is.End, is.Planned, is.Seal, is.Raw
	}
	m.mark.Queue = q
	return nil
}

func (m *run) mine(ctx context.Context) error {
	if m.mark.Unfiled != m.n.As.Unfiled {
		return fmt.Errorf("%w: it is of node %s: name another directory", mirror.ErrNone, m.mark.Node)
	}
	err := m.mark.Against(ctx, m.n.As, m.n.Store)
	if err == nil { // under a former name too: it must not lose what only it has
		err = m.mark.Holds(ctx, m.n.Store)
	}
	if err == nil {
		_, err = m.chains(ctx, false)
	}
	if errors.Is(err, mirror.ErrNewer) || errors.Is(err, preserve.ErrFork) {
		return fmt.Errorf("%w. Nothing was changed in it. %s", err, whatNow(m.at, err))
	}
	return err
}

func (m *run) known() (*Known, error) {
	list, err := Read(m.n.Dir)
	if i := slices.IndexFunc(list, func(k Known) bool { return k.Path == m.at }); i >= 0 {
		return &list[i], err
	}
	return nil, err
}

// remember writes the Event and then the row. There is one Event for each
// mirror and none for each run: an Event is sealed, so a run that made one would
// leave every copy one Seal behind. A crash between the two gives a second
// Event, which says the same.
func (m *run) remember(ctx context.Context) error {
	x, err := canon.Marshal(struct {
		Mirror string `json:"mirror"`
	}{m.mark.ID})
	if err != nil {
		return err
	}
	if _, err := m.n.Custody.Append(ctx, pipeline.Entry{Case: m.n.As.Unfiled, Action: "mirrored", Agent: m.n.Agent, X: x,
		Why: "a second copy of the store is kept from now on"}); err != nil {
		return err
	}
	return change(ctx, m.n.Dir, func(list []Known) []Known {
		return append(list, Known{ID: m.mark.ID, Path: m.at, Store: m.store, Added: holdfast.At(time.Now())})
	})
}

// explain says what a person can do about the disk.
func (m *run) explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, mirror.ErrNewer), errors.Is(err, mirror.ErrNone):
	case errors.Is(err, storage.ErrFull):
		hint = ": what was copied stands; free space there, or use a larger disk, and run it again"
	case errors.Is(err, fs.ErrPermission):
		hint = ": it must be writable for this account"
	case m.dir == "":
	case isGone(m.dir):
		hint = ": the directory is gone: put its disk back and run it again"
	}
	return fmt.Errorf("mirror to %s: %w%s", m.at, err, hint)
}

func isGone(dir mirror.Dir) bool {
	_, err := os.Stat(dir.Path(mirror.FileMark))
	return err != nil
}
