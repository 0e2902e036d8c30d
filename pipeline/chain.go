package pipeline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	lastAt atomic.Int64 // the Place of the last of them

	mu     sync.Mutex // held while the file's lock is held
	size   int64      // bytes verified
	length int64
	head   hashing.Digest
	seen   int64 // bytes of whole lines that were there when it was found
	was    mark  // what the lines are compared with while they are read
	synced int64 // bytes of whole lines that are known to be on the disk
	broken error // bytes could not be made durable: this handle appends no more
}

func (c *chain) headNow() holdfast.Head {
	return holdfast.Head{Chain: c.id, Head: c.head, Length: c.length}
}

// least is how long the file is at least: no line is ever taken away.
func (c *chain) least() int64 { return max(c.size, c.seen) }

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
	if how == unix.LOCK_EX && c.least() == 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(c.path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && c.least() > 0 {
		return fmt.Errorf("%w: %s is gone; bring the folder outbox back from a copy", ErrChain, c.path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock(f, how); err != nil {
		return fmt.Errorf("lock %s: %w", c.path, err)
	}
	return do(f)
}

// peek verifies the first line, which says whose chain this is, and sees how far
// whole lines go. The others are verified by catchUp, before this handle states a
// head or writes a line. A file with something behind its last LF is read whole
// at once: that is what a crash left, or damage.
func (c *chain) peek(f *os.File) error {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	end := make([]byte, 1)
	if _, err := f.ReadAt(end, st.Size()-1); err != nil {
		return err
	}
	if end[0] != '\n' {
		return c.catchUp(f, nil)
	}
	first, err := bufio.NewReader(io.NewSectionReader(f, 0, maxLine+1)).ReadBytes('\n')
	if err == io.EOF {
		return c.tooLong()
	}
	if err != nil {
		return err
	}
	c.seen, c.was = st.Size(), c.mark()
	_, err = c.lines(first, nil)
	return err
}

func (c *chain) tooLong() error {
	return fmt.Errorf("%w: %s: line %d is longer than %d bytes", ErrChain, c.path, c.length+1, maxLine)
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
	if st.Size() < c.least() {
		return c.shorter()
	}
	if st.Size() > c.size {
		c.was = c.mark()
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
		case err == io.EOF && c.size < c.seen: // what was whole lines is none now
			return c.shorter()
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(buf) > maxLine:
			return c.tooLong()
		}
	}
}

func (c *chain) shorter() error {
	return fmt.Errorf("%w: %s has become shorter; restore it from the sealed Events", ErrChain, c.path)
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
		if err := c.compare(c.was); err != nil {
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
	c.mu.Lock()
	fresh := &chain{id: c.id, home: c.home, node: c.node, path: c.path, sync: c.sync, seen: c.least(), synced: c.synced, broken: c.broken}
	c.mu.Unlock()
	err := fresh.locked(unix.LOCK_SH, func(f *os.File) error { return fresh.catchUp(f, yield) })
	c.adopt(fresh)
	return err
}

// adopt takes over what another reader of the same file verified, so that it is
// not done twice, and that the disk failed it.
func (c *chain) adopt(v *chain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = v.broken
	}
	if v.size > c.size {
		c.size, c.length, c.head = v.size, v.length, v.head
	}
	c.synced = max(c.synced, v.synced)
}
