package web

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"

	"holdfast/collectors"
	"holdfast/warc"
)

// spool is one direction of one exchange on disk, exactly as the wire carried
// it, digested while it is written: the whole, and the payload without
// transfer coding. Spools live in the capture's own folder, which is removed
// when the capture is over; a crash leaves a folder that names nothing.
type spool struct {
	file    *os.File
	w       *bufio.Writer
	block   hash.Hash
	payload hash.Hash
	size    int64 // of the block
	head    int64 // of its head
	body    int64 // of the payload
	hasBody bool
	known   collectors.Watchers
	times   *times // nil: not of interest
	err     error  // the first failure to write: a full disk
}

func newSpool(dir string, known collectors.Watchers) (*spool, error) {
	f, err := os.CreateTemp(dir, "wire-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 16<<10), block: sha256.New(), payload: sha256.New(), known: known}, nil
}

// wire takes bytes that belong to the block only: heads and chunk framing.
func (s *spool) wire(p []byte) {
	s.block.Write(p)
	s.size += int64(len(p))
	if _, err := s.w.Write(p); err != nil && s.err == nil {
		s.err = fmt.Errorf("spool: %w", err)
	}
}

// content takes bytes of the body.
func (s *spool) content(p []byte) {
	s.wire(p)
	s.payload.Write(p)
	s.known.Write(p)
	s.body += int64(len(p))
	s.hasBody = true
	s.times.note(s.size, s.body)
}

// close ends writing; the file stays readable by name.
func (s *spool) close() error {
	if err := s.w.Flush(); err != nil && s.err == nil {
		s.err = fmt.Errorf("spool: %w", err)
	}
	if err := s.file.Close(); err != nil && s.err == nil {
		s.err = fmt.Errorf("spool: %w", err)
	}
	return s.err
}

func (s *spool) open() (*os.File, error) {
	f, err := os.Open(s.file.Name())
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

func (s *spool) blockDigest() string { return warc.SumDigest(s.block) }

func (s *spool) payloadDigest() string {
	if !s.hasBody {
		return warc.Digest(nil)
	}
	return warc.SumDigest(s.payload)
}

// begin takes the message head.
func (s *spool) begin(p []byte) {
	s.wire(p)
	s.head = int64(len(p))
}
