package mirror

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// Files of a mirror; docs/DESIGN.md says what each is for.
const (
	FileMark      = "node/mirror.json"
	FileStatement = "node/mirror.dsse.json" // a Statement in its envelope
	FileLock      = "mirror.lock"
	FileTasks     = "tasks.jsonl" // in node/
)

// A mirror lies on a disk that others have had in their hands. What is read of it
// beside its store is read never past these bounds, which are bytes, never out of the
// mirror by a link, never from what is no regular file.
const (
	MaxChain     = 1 << 30
	maxMark      = 4 << 20
	maxStatement = 64 << 20
	maxTasks     = 4 << 30
	maxTask      = 4 << 20 // a line of FileTasks
	maxChains    = 1 << 20 // files
)

// A Shelf keeps what of a mirror lies beside its store: small files that are replaced,
// each whole, and Custody chains, which only become longer. Names have slashes; those
// of chains are `node/outbox/<id>.jsonl`. One process writes to a shelf at a time.
type Shelf interface {
	// Open opens a file of at most limit bytes, as it is now; the caller closes it. The
	// error wraps [fs.ErrNotExist] or [wholefile.ErrTooLarge].
	Open(ctx context.Context, name string, limit int64) (io.ReadCloser, error)

	// Update replaces a file, and takes it away where b is nil; of a chain b begins
	// with what it was. On return it is durable; a crash leaves what was there.
	Update(ctx context.Context, name string, b []byte) error

	// Chains lists the Custody chains by the last part of their names, in no order.
	Chains(ctx context.Context) ([]string, error)
}

// Read opens a file and reads all of it.
func Read(ctx context.Context, s Shelf, name string, limit int64) ([]byte, error) {
	f, err := s.Open(ctx, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: more than %d bytes: %w", name, limit, wholefile.ErrTooLarge)
	}
	return b, err
}

// Tasks yields the Tasks, one at a time, and returns the digest of the file; none is
// an empty file.
func Tasks(ctx context.Context, s Shelf, yield func(pipeline.Task) error) (hashing.Digest, error) {
	f, err := s.Open(ctx, "node/"+FileTasks, maxTasks)
	if errors.Is(err, fs.ErrNotExist) {
		return hashing.Of(nil), nil
	}
	if err != nil {
		return hashing.Digest{}, err
	}
	defer f.Close()
	sum := hashing.NewWriter(io.Discard)
	lines := bufio.NewScanner(io.TeeReader(io.LimitReader(f, maxTasks), sum))
	lines.Buffer(nil, maxTask)
	for n := 1; lines.Scan(); n++ {
		var t pipeline.Task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return hashing.Digest{}, fmt.Errorf("read %s: line %d: %w", FileTasks, n, err)
		}
		if err := yield(t); err != nil {
			return hashing.Digest{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return hashing.Digest{}, fmt.Errorf("read %s: %w", FileTasks, err)
	}
	return sum.Digest(), nil
}
