package mirrors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/filelock"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// FileName is the list of them in the node's directory.
const FileName = "mirrors.json"

// Known is a row of mirrors.json: where a mirror of this node is. It is a
// file of its own, so that node.json, whose digest every Manifest states,
// changes only when a person changes it.
type Known struct {
	ID    string        `json:"id"`
	Path  string        `json:"path"`            // absolute, or the URL of a bucket
	Store string        `json:"store,omitempty"` // the id of the store in that bucket
	Added holdfast.Time `json:"added"`
}

// Read lists where the mirrors are of the node in dir; none where it has no list.
func Read(dir string) (list []Known, err error) {
	err = wholefile.ReadJSON(filepath.Join(dir, FileName), &list)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}

// Write makes list the whole list of the node in dir, which nobody else works in yet.
func Write(dir string, list []Known) error {
	return wholefile.WriteJSON(filepath.Join(dir, FileName), list)
}

// change edits the list under a lock; a crash leaves the old one or the new one.
func change(ctx context.Context, dir string, edit func([]Known) []Known) error {
	unlock, err := filelock.Wait(ctx, filepath.Join(dir, "mirrors.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, err := Read(dir)
	if err != nil {
		return err
	}
	return Write(dir, edit(list))
}

// Forget takes the mirror at a place, in the form of [URL], out of the list of the node in
// dir. Nothing in the mirror is changed.
func Forget(ctx context.Context, dir, at string) error {
	found := false
	err := change(ctx, dir, func(list []Known) []Known {
		return slices.DeleteFunc(list, func(k Known) bool {
			found = found || k.Path == at
			return k.Path == at
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("forget mirror %s: it is none of this node's; `holdfast doctor` lists them", at)
	}
	return err
}

// markOf reads the mark of a known mirror.
func (k Known) markOf(ctx context.Context, log *slog.Logger) (*mirror.Mark, error) {
	if engineset.KindOf(k.Path) != engineset.KindS3 {
		return mirror.ReadMark(ctx, mirror.Dir(k.Path))
	}
	ctx, stop := context.WithTimeout(ctx, 3*askWait)
	defer stop()
	s, err := OpenBucket(ctx, k.Path, k.Store, log, toAsk)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	v, err := mirror.OpenVersions(ctx, s, mirror.FileMark)
	if err != nil {
		return nil, err
	}
	return mirror.ReadMark(ctx, v)
}

// Reachable returns the marks of the mirrors that can be read now, by their place, and says
// of each other one why not. A bucket is waited for half a minute at most.
func Reachable(ctx context.Context, log *slog.Logger, list []Known, missing func(Known, error)) (marks map[string]*mirror.Mark) {
	marks = map[string]*mirror.Mark{}
	for _, k := range list {
		m, err := k.markOf(ctx, log)
		if err == nil && m.ID != k.ID {
			err = errors.New("another mirror lies there")
		}
		if err != nil {
			missing(k, err)
			continue
		}
		marks[k.Path] = m
	}
	return marks
}

// NotBehind is asked before the log is opened for sealing: an old copy of
// the whole node is whole in itself, and only its mirrors know better. A mirror
// that cannot be read is said, and sealing goes on: a disk in a safe must not
// stop the office.
func (n *Node) NotBehind(ctx context.Context) error {
	list, err := Read(n.Dir)
	if err != nil {
		return err
	}
	marks := Reachable(ctx, n.Log, list, func(k Known, err error) {
		n.Log.WarnContext(ctx, "mirror is out of reach: whether this node is an old copy was not checked against it", "mirror", k.Path, "err", err)
	})
	for path, m := range marks {
		if err := n.Against(ctx, path, m); err != nil {
			return fmt.Errorf("sealing stops: mirror %w", err)
		}
		if err := n.queueOf(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Against holds the node against the mark of its mirror at a place. What is wrong it says
// with what to do.
func (n *Node) Against(ctx context.Context, at string, m *mirror.Mark) error {
	if err := m.Against(ctx, n.As, n.Store); err != nil {
		return fmt.Errorf("%s: %w. %s", at, err, whatNow(at, err))
	}
	return nil
}

func whatNow(path string, err error) string {
	if errors.Is(err, mirror.ErrNewer) {
		return fmt.Sprintf("This is an old copy of the node, and to go on would sign a second history. `holdfast restore --from %s --data NEW` goes on from the mirror; `holdfast init --new-log` begins another log here, and what only the mirror has stays there", path)
	}
	if errors.Is(err, preserve.ErrFork) {
		return "The log was continued in two places: find out where, keep both, and `holdfast init --new-log` begins another log here"
	}
	return "`holdfast mirror --forget " + path + "` if it is not to be looked at any more"
}

// queueOf gives the queue a new name if the mirror knows later positions of it:
// they are taken, by captures that this queue never held.
func (n *Node) queueOf(ctx context.Context, m *mirror.Mark) error {
	if n.SharedQueue { // no file, of which an old copy could have been put back
		return nil
	}
	id, err := n.Queue.Identity(ctx)
	if err != nil || id.Queue != m.Queue.Name {
		return err
	}
	end, err := n.Queue.End(ctx, pipeline.StagePreserve, 0)
	if err != nil {
		return err
	}
	planned := true
	if m.Queue.Seal != "" {
		f, err := n.Store.OpenName(ctx, "seals/"+m.Queue.Seal+"/plan.json")
		if planned = !errors.Is(err, fs.ErrNotExist); err == nil {
			f.Close()
		}
	}
	if end >= m.Queue.End && planned {
		return nil
	}
	now, err := n.Queue.Redraw(ctx, id.Queue)
	if err == nil {
		n.Log.WarnContext(ctx, "the mirror knows later positions of this queue: it is an older copy and gets a new name", "old", id.Queue, "new", now.Queue)
	}
	return err
}

// Adopt is for a new log on an old copy, the node as in dir: it returns the names that the
// node had, with those that a mirror in reach knows, and the newest state of the last of
// them, which entry 0 of the new log names. previous is the state that is known here; nil:
// none. A mirror that is out of reach is passed over.
func Adopt(ctx context.Context, log *slog.Logger, dir string, as mirror.Node, previous *holdfast.Tree) ([]mirror.FormerLog, *holdfast.Tree, error) {
	list, err := Read(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range Reachable(ctx, log, list, func(Known, error) {}) {
		if m.Unfiled != as.Unfiled {
			continue
		}
		for _, f := range append(m.Former, mirror.FormerLog{Name: m.Node, VKey: m.VKey}) {
			if !as.IsFormer(f.Name) && f.Name != as.Name {
				as.Former = append(as.Former, f)
			}
		}
		newest := len(as.Former) > 0 && m.Node == as.Former[len(as.Former)-1].Name
		if newest && m.Log != nil && (previous == nil || previous.Origin != m.Node || previous.Size < m.Log.Size) {
			previous = m.Log
		}
	}
	return as.Former, previous, nil
}
