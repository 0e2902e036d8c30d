package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"holdfast/storage"
)

// A pack is read a few kilobytes at a time, so it is fetched in blocks, and the last
// few are kept: 1 MiB for each open name.
const (
	blockSize  = 256 << 10
	keptBlocks = 4
)

// named is an open name, of one version.
type named struct {
	s             *Store
	ctx           context.Context
	name, version string
	size          int64

	mu     sync.Mutex
	blocks [keptBlocks]block
	next   int
}

type block struct {
	at   int64
	data []byte
}

// OpenName implements [storage.Reader]. ctx governs the reading too.
func (s *Store) OpenName(ctx context.Context, name string) (storage.File, error) {
	f, err := s.openName(ctx, name)
	if err != nil {
		return nil, s.note(fmt.Errorf("open %q: %w", name, err))
	}
	return f, nil
}

func (s *Store) openName(ctx context.Context, name string) (*named, error) {
	if err := errors.Join(storage.CheckName(name), ctx.Err()); err != nil {
		return nil, err
	}
	info, err := s.head(ctx, name)
	if missing(err) {
		return nil, gone(name)
	}
	if err != nil {
		return nil, errors.Join(ctx.Err(), explain(err))
	}
	return &named{s: s, ctx: ctx, name: name, version: info.VersionID, size: info.Size}, nil
}

// ReadName implements [storage.Reader].
func (s *Store) ReadName(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := storage.CheckName(name); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	b, err := s.readKey(ctx, name, limit)
	if err != nil {
		return nil, s.note(fmt.Errorf("read %q: %w", name, err))
	}
	return b, nil
}

// Size implements [storage.File].
func (n *named) Size() int64 { return n.size }

// Close implements io.Closer.
func (n *named) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (n *named) ReadAt(p []byte, off int64) (got int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %q at %d: a negative offset", n.name, off)
	}
	for got < len(p) && off < n.size {
		data, err := n.block(off - off%blockSize)
		if err != nil {
			return got, fmt.Errorf("read %q at %d: %w", n.name, off, err)
		}
		m := copy(p[got:], data[off%blockSize:])
		got, off = got+m, off+int64(m)
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

// block fetches one, or has it. Two that want the same one at once may both fetch.
func (n *named) block(at int64) ([]byte, error) {
	n.mu.Lock()
	for _, b := range n.blocks {
		if b.data != nil && b.at == at {
			n.mu.Unlock()
			return b.data, nil
		}
	}
	n.mu.Unlock()
	data, err := n.fetch(at, min(blockSize, n.size-at))
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocks[n.next] = block{at, data}
	n.next = (n.next + 1) % keptBlocks
	return data, nil
}

func (n *named) fetch(at, size int64) ([]byte, error) {
	data := make([]byte, size)
	var err error
	for range n.s.o.Tries {
		if err = n.fetchOnce(data, at); err == nil || n.ctx.Err() != nil || missing(err) {
			break
		}
	}
	return data, explain(err)
}

func (n *named) fetchOnce(data []byte, at int64) error {
	rc, _, err := n.s.get(n.ctx, n.name, n.version, at, int64(len(data)))
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.ReadFull(rc, data)
	return err
}
