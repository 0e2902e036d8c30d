package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"holdfast"
	"holdfast/hashing"
)

// maxLine bounds a custody line; it must fit into a message.
const maxLine = MaxInline

// chain is one file of lines, and how far this handle has verified it. Other
// processes append too: catchUp reads what is new, under the file's lock.
type chain struct {
	id, home holdfast.ID
	path     string
	node     string
	sync     func(*os.File) error // of the file and of its folder

	told   atomic.Int64 // lines that this handle knows to be published
	lastAt atomic.Int64 // where in the queue the last of them lies

	mu     sync.Mutex // held while the file's lock is held
	size   int64      // bytes verified
	length int64
	head   hashing.Digest
	synced int64 // bytes of whole lines that are known to be on the disk
	broken error // bytes could not be made durable: this handle appends no more
}

func (c *chain) headNow() holdfast.Head {
	return holdfast.Head{Chain: c.id, Head: c.head, Length: c.length}
}

// flock waits for the lock; the kernel gives it back when the process dies.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// locked runs do with the file locked. Who locks it to append makes the file if
// it is not there; empty, it is no chain yet.
func (c *chain) locked(how int, do func(*os.File) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if how == unix.LOCK_EX && c.length == 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(c.path, flags, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock(f, how); err != nil {
		return fmt.Errorf("lock %s: %w", c.path, err)
	}
	return do(f)
}

// catchUp verifies the lines that are new to this handle and gives them to yield
// (may be nil). What follows the last LF was acknowledged to nobody: nobody
// writes while the lock is held, so it is what a crash left. It is ignored here
// and cut off by append.
func (c *chain) catchUp(f *os.File, yield func([]byte, holdfast.Head) error) error {
	if c.broken != nil {
		return c.broken
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < c.size {
		return fmt.Errorf("%w: %s has become shorter; restore it from the sealed Events", ErrChain, c.path)
	}
	if st.Size() > c.synced {
		// A line that another process wrote and did not live to fsync must not
		// be built upon before it is on the disk.
		if err := c.settle(f); err != nil {
			return err
		}
		defer func() { c.synced = c.size }()
	}
	buf := make([]byte, 0, 64<<10)
	for at := c.size; ; {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := f.ReadAt(buf[len(buf):cap(buf)], at)
		buf, at = buf[:len(buf)+n], at+int64(n)
		rest, bad := c.lines(buf, yield)
		if bad != nil {
			return bad
		}
		buf = buf[:copy(buf, rest)]
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(buf) > maxLine:
			return fmt.Errorf("%w: %s: line %d is longer than %d bytes", ErrChain, c.path, c.length+1, maxLine)
		}
	}
}

// lines takes the whole lines of buf and returns the rest.
func (c *chain) lines(buf []byte, yield func([]byte, holdfast.Head) error) ([]byte, error) {
	for {
		line, rest, ok := bytes.Cut(buf, []byte{'\n'})
		if !ok {
			return buf, nil
		}
		if err := c.take(line); err != nil {
			return nil, err
		}
		if yield != nil {
			if err := yield(bytes.Clone(line), c.headNow()); err != nil {
				return nil, err
			}
		}
		buf = rest
	}
}

// take verifies one line and adds it to the head.
func (c *chain) take(line []byte) error {
	l, err := holdfast.ParseLine(line)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s: line %d: %w", ErrChain, c.path, c.length+1, err)
	case l.N != c.length+1 || l.Chain != c.id || c.home != "" && l.Case != c.home || c.node != "" && l.Node != c.node:
		return fmt.Errorf("%w: %s: line %d says number %d of chain %s, case %s, node %s", ErrChain, c.path, c.length+1, l.N, l.Chain, l.Case, l.Node)
	}
	if l.N == 1 { // never written again: others may read them meanwhile
		c.home, c.node = l.Case, l.Node
	}
	c.length, c.size = l.N, c.size+int64(len(line))+1
	c.head = holdfast.Next(c.head, hashing.Of(line))
	return nil
}

// append writes a line behind the verified ones. The exclusive lock is held and
// catchUp was called.
func (c *chain) append(f *os.File, line []byte) error {
	if len(line) > maxLine {
		return messageError("custody line of %d bytes, at most %d", len(line), maxLine)
	}
	if err := f.Truncate(c.size); err != nil { // a torn line of a crashed process
		return err
	}
	if _, err := f.WriteAt(append(bytes.Clone(line), '\n'), c.size); err != nil {
		// No space, perhaps. Without its LF it is no line; cut it off if we can.
		return errors.Join(err, f.Truncate(c.size))
	}
	if err := c.settle(f); err != nil {
		return errors.Join(err, f.Truncate(c.size))
	}
	err := c.take(line)
	c.synced = c.size
	return err
}

// settle makes durable what is in the file and, once, that there is one. After a
// failure it is not known what the disk holds, and a second fsync could lie.
func (c *chain) settle(f *os.File) error {
	err := c.sync(f)
	if err == nil && c.synced == 0 {
		err = syncDir(filepath.Dir(c.path), c.sync)
	}
	if err != nil {
		c.broken = fmt.Errorf("write %s: %w: check the disk, then start again: %w", c.path, ErrStopped, err)
	}
	return c.broken
}

func syncDir(path string, sync func(*os.File) error) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(sync(d), d.Close())
}

// again verifies the chain once more from its first line and yields each.
func (c *chain) again(yield func([]byte, holdfast.Head) error) error {
	fresh := &chain{id: c.id, home: c.home, node: c.node, path: c.path, sync: c.sync}
	return fresh.locked(unix.LOCK_SH, func(f *os.File) error { return fresh.catchUp(f, yield) })
}

// mark is how many lines were published, and where the last of them lies: in
// which queue, and at which position. It counts for a queue that has that name, or
// had it, and that position; a new queue, or an older copy, has not.
type mark struct {
	lines, position int64
	queue           string
}

func (m mark) counts(id Identity, end int64) bool {
	return m.lines > 0 && m.position <= end && (m.queue == id.Queue || slices.Contains(id.Former, m.queue))
}

// mark reads the mark. Where it cannot be read the answer is none, which costs
// only work.
func (c *chain) mark() (m mark) {
	b, err := os.ReadFile(strings.TrimSuffix(c.path, ".jsonl") + ".published")
	if err != nil || len(b) > 100 {
		return mark{}
	}
	if n, err := fmt.Sscanf(string(b), "%d %d %s\n", &m.lines, &m.position, &m.queue); err != nil || n != 3 || m.lines < 0 {
		return mark{}
	}
	return m
}

// setMark is written without fsync, and by rename so that no reader sees half a
// number, which could be too large. A crash leaves a file that OpenOutbox removes.
func (c *chain) setMark(m mark) error {
	name := strings.TrimSuffix(c.path, ".jsonl") + ".published"
	f, err := os.CreateTemp(filepath.Dir(name), marks)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, m.lines, m.position, m.queue)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.Remove(f.Name())
	}
	return err
}
