//go:build unix

package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// tmpDir is tmp/<16 hex>, one for each handle. Its flock, which dies with the
// process however that dies, says that the files in it are still wanted.
type tmpDir struct {
	store *Store
	dir   *os.File
	next  atomic.Int64
}

// newTmp makes a locked folder. A sweeper of another process may lock it in the
// instant between mkdir and flock, and remove it: then another one is made.
func (s *Store) newTmp() (*tmpDir, error) {
	for range 100 {
		var id [8]byte
		rand.Read(id[:])
		name := "tmp/" + hex.EncodeToString(id[:])
		dir, err := s.openDir(name, true)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		var st unix.Stat_t
		err = at(dir, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil {
			err = at(dir, func(fd int) error { return unix.Fstat(fd, &st) })
		}
		if err == nil && st.Nlink > 0 && s.same(name, st) {
			return &tmpDir{store: s, dir: dir}, nil
		}
		dir.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w (the data directory must lie on a local file system)", name, err)
		}
	}
	return nil, fmt.Errorf("make a folder in tmp: another process removes each")
}

// same reports whether rel still is the folder that st describes.
func (s *Store) same(rel string, st unix.Stat_t) bool {
	now, err := statAt(s.root, rel)
	return err == nil && now.Dev == st.Dev && now.Ino == st.Ino
}

// sweep removes what dead handles left. Nothing in tmp/ was ever visible or
// reported as kept, so removing it loses nothing.
func (s *Store) sweep(log *slog.Logger) error {
	tmp, err := s.openDir("tmp", false)
	if err != nil {
		return err
	}
	defer tmp.Close()
	ids, err := tmp.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
			return foreign("tmp/"+id, "not a spool of ours")
		}
		n, err := s.sweepOne(tmp, id)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if n > 0 {
			log.Info("removed unfinished files of a process that is gone", "spool", id, "files", n)
		}
	}
	return nil
}

func (s *Store) sweepOne(tmp *os.File, id string) (int, error) {
	dir, err := openSegment(tmp, id, "tmp/"+id, false)
	if errors.Is(err, unix.ENOTDIR) {
		return 0, foreign("tmp/"+id, "not a folder")
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	err = at(dir, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return 0, nil // its owner lives
	}
	if err != nil {
		return 0, fmt.Errorf("lock tmp/%s: %w", id, err)
	}
	n, err := empty(dir)
	if err != nil {
		return n, err
	}
	return n, at(tmp, func(fd int) error { return unix.Unlinkat(fd, id, unix.AT_REMOVEDIR) })
}

// empty removes the files of a spool, and only what can be one.
func empty(dir *os.File) (int, error) {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	for i, name := range names {
		if _, err := strconv.ParseUint(name, 10, 63); err != nil {
			return i, foreign(dir.Name()+"/"+name, "not a spooled file of ours")
		}
		err := at(dir, func(fd int) error { return unix.Unlinkat(fd, name, 0) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i, fmt.Errorf("remove %s/%s: %w", dir.Name(), name, err)
		}
	}
	return len(names), nil
}

func (t *tmpDir) close() error {
	_, err := empty(t.dir)
	if err == nil {
		err = at(t.store.root, func(fd int) error { return unix.Unlinkat(fd, t.dir.Name(), unix.AT_REMOVEDIR) })
	}
	return errors.Join(err, t.dir.Close())
}

// spool is a file in tmp/ that only its writer knows.
type spool struct {
	store *Store
	f     *os.File
	base  string
	dirty int // bytes written since the last startWriteback
}

// maxDirty is how much of a stream waits in the page cache, so that the fsync
// at its end is short.
const maxDirty = 8 << 20

// spool makes one. The mode forbids writing from the start; the descriptor that
// made it may write all the same.
func (s *Store) spool() (*spool, error) {
	base := strconv.FormatInt(s.tmp.next.Add(1), 10)
	var fd int
	err := at(s.tmp.dir, func(dir int) (err error) {
		fd, err = unix.Openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o400)
		return err
	})
	rel := s.tmp.dir.Name() + "/" + base
	if err != nil {
		return nil, explain(&fs.PathError{Op: "create", Path: rel, Err: err})
	}
	return &spool{store: s, f: os.NewFile(uintptr(fd), rel), base: base}, nil
}

// Write implements io.Writer.
func (p *spool) Write(b []byte) (int, error) {
	n, err := p.store.hooks.Write(p.f, b)
	if p.dirty += n; p.dirty >= maxDirty {
		p.dirty = 0
		startWriteback(p.f)
	}
	return n, explain(err)
}

// settle makes the bytes durable. The mode is set first, whatever the umask
// was, so that one fsync covers both.
func (p *spool) settle() error {
	if err := at(p.f, func(fd int) error { return unix.Fchmod(fd, 0o400) }); err != nil {
		return fmt.Errorf("chmod %s: %w", p.f.Name(), err)
	}
	return p.store.sync(p.f)
}

// drop removes the spool's own name; what was linked from it stays. A failure
// leaves a file that the next Open sweeps.
func (p *spool) drop() {
	p.f.Close()
	at(p.store.tmp.dir, func(fd int) error { return unix.Unlinkat(fd, p.base, 0) })
}

// ctxReader ends a copy when ctx is done.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
