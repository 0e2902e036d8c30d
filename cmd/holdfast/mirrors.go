package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/wholefile"
)

const fileMirrors = "mirrors.json"

// knownMirror is a row of mirrors.json: where a mirror of this node is. It is a
// file of its own, so that node.json, whose digest every Manifest states,
// changes only when a person changes it.
type knownMirror struct {
	ID    string        `json:"id"`
	Path  string        `json:"path"`            // absolute, or the URL of a bucket
	Store string        `json:"store,omitempty"` // the id of the store in that bucket
	Added holdfast.Time `json:"added"`
}

// mirrors lists where this node's mirrors are.
func (n *node) mirrors() (list []knownMirror, err error) { return readMirrors(n.dir) }

func readMirrors(dir string) (list []knownMirror, err error) {
	err = wholefile.ReadJSON(filepath.Join(dir, fileMirrors), &list)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}

// reachable returns the marks of the mirrors that can be read now, and says of
// each other one why not.
func reachable(ctx context.Context, log *slog.Logger, list []knownMirror, missing func(knownMirror, error)) (marks map[string]*mirror.Mark) {
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

// notBehindMirrors is asked before the log is opened for sealing: an old copy of
// the whole node is whole in itself, and only its mirrors know better. A mirror
// that cannot be read is said, and sealing goes on: a disk in a safe must not
// stop the office.
func (n *node) notBehindMirrors(ctx context.Context) error {
	list, err := n.mirrors()
	if err != nil {
		return err
	}
	marks := reachable(ctx, n.log, list, func(k knownMirror, err error) {
		n.log.WarnContext(ctx, "mirror is out of reach: whether this node is an old copy was not checked against it", "mirror", k.Path, "err", err)
	})
	for path, m := range marks {
		if err := m.Against(ctx, n.set.Mirrored(), n.store); err != nil {
			return fmt.Errorf("sealing stops: mirror %s: %w. %s", path, err, whatNow(path, err))
		}
		if err := n.queueOf(ctx, m); err != nil {
			return err
		}
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
func (n *node) queueOf(ctx context.Context, m *mirror.Mark) error {
	if n.sharedQueue() { // no file, of which an old copy could have been put back
		return nil
	}
	id, err := n.queue.Identity(ctx)
	if err != nil || id.Queue != m.Queue.Name {
		return err
	}
	end, err := n.queue.End(ctx, pipeline.StagePreserve, 0)
	if err != nil {
		return err
	}
	planned := true
	if m.Queue.Seal != "" {
		f, err := n.store.OpenName(ctx, "seals/"+m.Queue.Seal+"/plan.json")
		if planned = !errors.Is(err, fs.ErrNotExist); err == nil {
			f.Close()
		}
	}
	if end >= m.Queue.End && planned {
		return nil
	}
	now, err := n.queue.Redraw(ctx, id.Queue)
	if err == nil {
		n.log.WarnContext(ctx, "the mirror knows later positions of this queue: it is an older copy and gets a new name", "old", id.Queue, "new", now.Queue)
	}
	return err
}

// adoptMirrors is for a new log on an old copy: its entry 0 names the newest
// state that any mirror in reach knows, and the names that the node had there.
func adoptMirrors(ctx context.Context, s *nodedir.Settings, log *slog.Logger, dir string) error {
	list, err := readMirrors(dir)
	if err != nil {
		return err
	}
	for _, m := range reachable(ctx, log, list, func(knownMirror, error) {}) {
		if m.Unfiled != s.Unfiled {
			continue
		}
		for _, f := range append(m.Former, mirror.FormerLog{Name: m.Node, VKey: m.VKey}) {
			if !s.Mirrored().IsFormer(f.Name) && f.Name != s.Name {
				s.Former = append(s.Former, f)
			}
		}
		newest := len(s.Former) > 0 && m.Node == s.Former[len(s.Former)-1].Name
		if newest && m.Log != nil && (s.Previous == nil || s.Previous.Origin != m.Node || s.Previous.Size < m.Log.Size) {
			s.Previous = m.Log
		}
	}
	return nil
}

// doctorMirrors says of each mirror how old it is.
func (d *doctor) mirrors(ctx context.Context, n *node) {
	list, err := n.mirrors()
	if err != nil {
		d.check("mirror", "", err)
		return
	}
	marks := reachable(ctx, n.log, list, func(k knownMirror, err error) {
		detail := fmt.Sprintf("%s is out of reach: whether this node is an old copy cannot be checked against it (%v)", k.Path, err)
		d.c.say(map[string]any{"check": "mirror", "ok": true, "detail": detail}, "%-6s %-12s %s", "note", "mirror", detail)
	})
	for _, k := range list {
		m := marks[k.Path]
		if m == nil {
			continue
		}
		detail := k.Path + " was cut short; run `holdfast mirror` again"
		if m.Whole != nil {
			detail = fmt.Sprintf("%s is of %s", k.Path, m.Whole)
		}
		err := m.Against(ctx, n.set.Mirrored(), n.store)
		if err != nil {
			err = fmt.Errorf("%s: %w. %s", k.Path, err, whatNow(k.Path, err))
		}
		d.check("mirror", detail, err)
	}
}
