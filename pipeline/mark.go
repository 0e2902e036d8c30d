package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// point is a place behind a line of a chain, with the bytes up to there.
type point struct {
	holdfast.Head
	size int64
}

// mark says up to which line a chain was published, and where the last of them
// lies: in which queue, and at which Place. That counts for a queue that has
// that name, or had it, and that position; a new queue, or an older copy, has not.
//
// Size and head are what the file was up to that line; zero in the mark of an
// older program. A file of just that size has nothing to publish and is not read
// for that. Whoever reads it compares the head: a mark can accuse a chain, and
// never clears one, since every line is verified with it or without.
type mark struct {
	lines int64
	place Place
	queue string
	size  int64
	head  hashing.Digest
}

// of reports whether the mark is of the queue, whatever it holds.
func (m mark) of(id Identity) bool {
	return m.lines > 0 && (m.queue == id.Queue || slices.Contains(id.Former, m.queue))
}

func (m mark) counts(now state) bool { return m.of(now.id) && now.holds(m.place) }

// state is a queue as the marks are compared with it.
type state struct {
	id   Identity
	ends []int64 // of each partition
}

// holds reports whether the queue has, or had, a message at p.
func (s state) holds(p Place) bool {
	return p.Partition() < len(s.ends) && p.Position() <= s.ends[p.Partition()]
}

// state asks the queue.
func (o *Outbox) state(ctx context.Context) (s state, err error) {
	if s.id, err = o.queue.Identity(ctx); err != nil {
		return s, err
	}
	s.ends = make([]int64, s.id.Partitions)
	for p := range s.ends {
		if s.ends[p], err = o.queue.End(ctx, StageNormalise, p); err != nil {
			return s, err
		}
	}
	return s, nil
}

const markEnd = ".published"

func (c *chain) markName() string { return strings.TrimSuffix(c.path, ".jsonl") + markEnd }

// mark reads the mark. Where it cannot be read the answer is none, which costs
// only work.
func (c *chain) mark() mark { return readMark(c.markName()) }

func readMark(name string) mark {
	b, err := os.ReadFile(name)
	text, whole := strings.CutSuffix(string(b), "\n")
	f := strings.Split(text, " ")
	if err != nil || !whole || len(b) > 300 || len(f) != 3 && len(f) != 5 {
		return mark{}
	}
	m := mark{queue: f[2]}
	m.lines, err = strconv.ParseInt(f[0], 10, 64)
	place, perr := strconv.ParseInt(f[1], 10, 64)
	m.place, err = Place(place), errors.Join(err, perr)
	if len(f) == 5 {
		size, serr := strconv.ParseInt(f[3], 10, 64)
		head, herr := hashing.ParseHex(f[4])
		m.size, m.head, err = size, head, errors.Join(err, serr, herr)
	}
	if err != nil || m.lines < 0 || m.place < 0 || m.size < 0 {
		return mark{}
	}
	return m
}

// setMark is written without fsync, and by rename so that no reader sees half a
// number, which could be too large. What it says is durable before it is written:
// the lines, and that the queue has them. A crash leaves the mark before, or a file
// that OpenOutbox removes.
func (c *chain) setMark(m mark) error {
	f, err := os.CreateTemp(filepath.Dir(c.path), marks)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, m.lines, int64(m.place), m.queue, m.size, m.head.Hex())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.markName())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.Remove(f.Name())
	}
	return err
}

// published reports whether the file is whole lines and has the size that it had
// when all its lines were published. Lines are only ever added, so then there are
// no others.
func (c *chain) published(m mark) bool {
	st, err := os.Lstat(c.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	return err == nil && m.size > 0 && st.Size() == m.size && c.least() == m.size
}

// compare holds the chain, up to here, against the mark.
func (c *chain) compare(m mark) error {
	if m.size > 0 && c.length == m.lines && (c.head != m.head || c.size != m.size) {
		return fmt.Errorf("%w: %s: the lines up to %d are not those that were published: %s", ErrChain, c.path, m.lines, c.whatNow())
	}
	return nil
}

// whatNow is said of a chain that its mark contradicts.
func (c *chain) whatNow() string {
	return "bring the folder outbox back from a copy. If there is none, and " + filepath.Base(c.markName()) +
		" is removed, the node goes on, and what is sealed already contradicts what it writes from then on"
}

// marked lists the chains that have a mark.
func (o *Outbox) marked() (stems []string, err error) {
	entries, err := os.ReadDir(o.dir)
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), markEnd); ok {
			stems = append(stems, stem)
		}
	}
	return stems, err
}

// missing returns an error for each chain of which this queue has lines, and whose
// file is gone, or has none. Another chain would be begun in its place.
func (o *Outbox) missing(marked []string, now state) (err error) {
	there := map[string]bool{}
	for _, c := range o.list() {
		there[string(c.id)] = true
	}
	for _, stem := range marked {
		c := &chain{path: filepath.Join(o.dir, stem+".jsonl")}
		if m := c.mark(); !there[stem] && m.size > 0 && m.counts(now) {
			err = errors.Join(err, fmt.Errorf("%w: %s is gone, and %d lines were published: %s", ErrChain, c.path, m.lines, c.whatNow()))
		}
	}
	return err
}
