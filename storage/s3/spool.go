package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
)

// spool is a file without a name that bytes wait in until all of them, and so
// their digests, are known. It is never fsynced: nothing is told of it, and if
// the machine dies the bytes are brought again.
type spool struct {
	s     *Store
	f     *os.File
	whole *hashing.Writer // onto f
	part  *hashing.Writer // of the part that is being written, from the second one on
	parts []hashing.Digest
}

func (s *Store) spool() (*spool, error) {
	f, err := nameless(s.o.Spool)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", local(err))
	}
	return &spool{s: s, f: f, whole: hashing.NewWriter(f)}, nil
}

// Write implements io.Writer. Each part is digested in the same pass as the whole;
// the first is what the whole is when it ends.
func (p *spool) Write(b []byte) (n int, err error) {
	size := p.s.o.PartSize
	for len(b) > 0 {
		piece := b[:min(int64(len(b)), size-p.whole.Size()%size)]
		if p.s.spooled.Add(int64(len(piece))) > p.s.o.MaxSpool {
			p.s.spooled.Add(-int64(len(piece)))
			return n, fmt.Errorf("spool: %d MB wait already to be written (is the object store slow? else raise the bound): %w", p.s.o.MaxSpool>>20, storage.ErrFull)
		}
		m, err := p.whole.Write(piece)
		p.s.spooled.Add(int64(m - len(piece)))
		n += m
		if err != nil {
			return n, fmt.Errorf("spool: %w", local(err))
		}
		if p.part != nil {
			p.part.Write(piece)
		}
		if p.whole.Size()%size == 0 {
			p.endPart()
		}
		b = b[len(piece):]
	}
	return n, nil
}

func (p *spool) endPart() {
	if p.part == nil {
		p.parts = append(p.parts, p.whole.Digest())
	} else {
		p.parts = append(p.parts, p.part.Digest())
	}
	p.part = hashing.NewWriter(io.Discard)
}

// content ends the writing.
func (p *spool) content() content {
	c := content{r: p.f, size: p.whole.Size(), digest: p.whole.Digest()}
	if c.size <= p.s.o.PartSize {
		return c
	}
	c.parts = p.parts
	if p.part.Size() > 0 {
		c.parts = append(c.parts, p.part.Digest())
	}
	return c
}

// drop gives the disk back.
func (p *spool) drop() {
	p.s.spooled.Add(-p.whole.Size())
	p.f.Close()
}

func local(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (free space where the spool lies): %w", err, storage.ErrFull)
	}
	return err
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
