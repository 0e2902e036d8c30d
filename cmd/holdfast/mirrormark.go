package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast"
	"holdfast/preserve"
)

// Files of a mirror, which is a directory with a store and what else a node is
// made of; docs/DESIGN.md says what each is for.
const (
	fileMirrors    = "mirrors.json" // in the node
	fileMirror     = "node/mirror.json"
	fileMirrorLock = "mirror.lock"
)

// errNewer is wrapped where a mirror holds a later state than the node: the
// node is an old copy, or its store was damaged.
var errNewer = errors.New("the mirror is newer than this node")

// mirrorMark is DIR/node/mirror.json: of which node, and of which state of it,
// the mirror is. It is written before anything of that state is copied, with
// Whole unset, and again when all is there. So a mirror never holds more than
// its mark says, and whoever finds the node behind the mark has an old node.
type mirrorMark struct {
	Version int            `json:"version"`
	ID      string         `json:"id"`      // of the mirror, random
	Unfiled holdfast.ID    `json:"unfiled"` // what a node keeps through all its names
	Node    string         `json:"node"`
	VKey    string         `json:"vkey"`
	Former  []formerLog    `json:"former,omitempty"`
	Begun   holdfast.Time  `json:"begun"`
	Whole   *holdfast.Time `json:"whole,omitempty"` // nil: the run was cut short
	Log     *holdfast.Tree `json:"log,omitempty"`   // nil: the log has not begun
	Queue   mirrorQueue    `json:"queue"`
	Tasks   int            `json:"tasks"`
	// Encrypted: the node's keys were, so those that a restore without them draws
	// are too.
	Encrypted bool `json:"keys_encrypted,omitempty"`
}

// mirrorQueue says how far the queue was.
type mirrorQueue struct {
	Name    string `json:"name"`
	End     int64  `json:"end"`            // newest position
	Planned int64  `json:"planned"`        // acknowledged by preserve; what is behind it is in the queue alone
	Seal    string `json:"seal,omitempty"` // newest plan under Name
}

// knownMirror is a row of mirrors.json: where a mirror of this node is. It is a
// file of its own, so that node.json, whose digest every Manifest states,
// changes only when a person changes it.
type knownMirror struct {
	ID    string        `json:"id"`
	Path  string        `json:"path"` // absolute
	Added holdfast.Time `json:"added"`
}

func readMark(dir string) (*mirrorMark, error) {
	m := new(mirrorMark)
	b, err := readMirror(dir, fileMirror, maxNodeFile)
	if err == nil {
		err = decodeJSON(filepath.Join(dir, fileMirror), b, m)
	}
	if err != nil {
		return nil, err
	}
	if m.Version > 1 {
		return nil, fmt.Errorf("%s has version %d: use a newer holdfast", filepath.Join(dir, fileMirror), m.Version)
	}
	if _, _, err := holdfast.VKeyEd25519(m.VKey); err != nil || m.ID == "" {
		return nil, fmt.Errorf("read %s: not what holdfast wrote", filepath.Join(dir, fileMirror))
	}
	return m, nil
}

func (m *mirrorMark) write(dir string) error { return writeJSON(filepath.Join(dir, fileMirror), m) }

// isFormer reports whether the node had this name before.
func (s *settings) isFormer(name string) bool {
	return slices.ContainsFunc(s.Former, func(f formerLog) bool { return f.Name == name })
}

// against returns errNewer if the mirror's node went further than the one whose
// settings and store these are, and preserve.ErrFork if it went elsewhere.
func (m *mirrorMark) against(ctx context.Context, set *settings, store preserve.PartReader) error {
	if m.Unfiled != set.Unfiled {
		return fmt.Errorf("the mirror is of node %s, not of %s: name another directory", m.Node, set.Name)
	}
	if m.Node != set.Name {
		if set.isFormer(m.Node) {
			return nil // the log that was mirrored is continued by nobody
		}
		return fmt.Errorf("%w: it is of %s, a later name of this node", errNewer, m.Node)
	}
	return m.holds(ctx, store)
}

// holds returns nil if a store has the log of the mark at least as far as the
// mirror, and as the same.
func (m *mirrorMark) holds(ctx context.Context, store preserve.PartReader) error {
	if m.Log == nil {
		return nil
	}
	mine, err := preserve.LastTree(ctx, store, m.VKey)
	if errors.Is(err, fs.ErrNotExist) {
		mine, err = &holdfast.Tree{Origin: m.Node}, nil
	}
	if err != nil {
		return err
	}
	if mine.Size < m.Log.Size {
		return fmt.Errorf("%w: log %s has %d entries here, and had %d when the mirror was taken, %s", errNewer, m.Node, mine.Size, m.Log.Size, m.Begun)
	}
	_, err = (&preserve.Mirror{Store: store, Origin: m.Node, VKey: m.VKey}).Consistency(ctx, *m.Log, *mine)
	return err
}

// mirrors lists where this node's mirrors are.
func (n *node) mirrors() (list []knownMirror, err error) { return readMirrors(n.dir) }

func readMirrors(dir string) (list []knownMirror, err error) {
	err = readJSON(filepath.Join(dir, fileMirrors), &list)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}

// reachable returns the marks of the mirrors that can be read now, and says of
// each other one why not.
func reachable(list []knownMirror, missing func(knownMirror, error)) (marks map[string]*mirrorMark) {
	marks = map[string]*mirrorMark{}
	for _, k := range list {
		m, err := readMark(k.Path)
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
	marks := reachable(list, func(k knownMirror, err error) {
		n.log.WarnContext(ctx, "mirror is out of reach: whether this node is an old copy was not checked against it", "mirror", k.Path, "err", err)
	})
	for path, m := range marks {
		if err := m.against(ctx, n.set, n.store); err != nil {
			return fmt.Errorf("sealing stops: mirror %s: %w. %s", path, err, whatNow(path, err))
		}
		if err := n.queueOf(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func whatNow(path string, err error) string {
	if errors.Is(err, errNewer) {
		return fmt.Sprintf("This is an old copy of the node, and to go on would sign a second history. `holdfast restore --from %s --data NEW` goes on from the mirror; `holdfast init --new-log` begins another log here, and what only the mirror has stays there", path)
	}
	if errors.Is(err, preserve.ErrFork) {
		return "The log was continued in two places: find out where, keep both, and `holdfast init --new-log` begins another log here"
	}
	return "`holdfast mirror --forget " + path + "` if it is not to be looked at any more"
}

// queueOf gives the queue a new name if the mirror knows later positions of it:
// they are taken, by captures that this queue never held.
func (n *node) queueOf(ctx context.Context, m *mirrorMark) error {
	id, err := n.queue.Identity(ctx)
	if err != nil || id.Queue != m.Queue.Name {
		return err
	}
	end, err := n.queue.End(ctx, 0)
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
func (s *settings) adoptMirrors(dir string) error {
	list, err := readMirrors(dir)
	if err != nil {
		return err
	}
	for _, m := range reachable(list, func(knownMirror, error) {}) {
		if m.Unfiled != s.Unfiled {
			continue
		}
		for _, f := range append(m.Former, formerLog{Name: m.Node, VKey: m.VKey}) {
			if !s.isFormer(f.Name) && f.Name != s.Name {
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
	marks := reachable(list, func(k knownMirror, err error) {
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
		err := m.against(ctx, n.set, n.store)
		if err != nil {
			err = fmt.Errorf("%s: %w. %s", k.Path, err, whatNow(k.Path, err))
		}
		d.check("mirror", detail, err)
	}
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(os.PathSeparator))
}
