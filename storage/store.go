package storage

import (
	"context"
	"io"
	"iter"

	"holdfast/hashing"
)

// Putter takes Objects in. Both methods stream: memory does not grow with the
// Object. Both may be called at once, from several processes too, for the same
// bytes too: all succeed, one copy is kept.
type Putter interface {
	// Put keeps what r yields until io.EOF and returns its Digest and size.
	// An Object that is there already is read again, compared, kept and made
	// durable; if it is not what its name says, the error wraps
	// hashing.ErrMismatch and ErrForeign, and the good bytes are not kept.
	// An error of r, and a ctx that is done, leave nothing visible.
	Put(ctx context.Context, r io.Reader) (hashing.Digest, int64, error)

	// PutDigest is Put for bytes whose name is known: if r does not yield
	// exactly d, of exactly size bytes (negative: not known), the error wraps
	// hashing.ErrMismatch and nothing is kept.
	PutDigest(ctx context.Context, d hashing.Digest, size int64, r io.Reader) error
}

// Opener gives Objects out.
type Opener interface {
	// Open returns the Object's bytes and size. The reader ends with an error
	// wrapping hashing.ErrMismatch instead of io.EOF if they are not the named
	// ones; who stops before the end has verified nothing. The caller closes
	// it. A missing Object wraps fs.ErrNotExist. ctx is for the opening only.
	Open(ctx context.Context, d hashing.Digest) (io.ReadCloser, int64, error)

	// Has reports whether an Object lies under d; it does not read it.
	Has(ctx context.Context, d hashing.Digest) (bool, error)
}

// Creator takes write-once names in. Among any number of calls for one name, in
// any number of processes, exactly one creates it; the others find it taken,
// and then it is durable. Names as in [CheckName], else ErrName. No name is the
// folder of another: where "a" is a name, "a/b" is ErrName, and conversely.
type Creator interface {
	// Create keeps what r yields until io.EOF under name, or says ErrExists.
	// It streams; an error of r, and a ctx that is done, leave nothing visible.
	Create(ctx context.Context, name string, r io.Reader) error

	// CreateFunc is Create for bytes that are made by writing, such as a pack:
	// write gets a buffered writer onto the spool, and is not called when the
	// name is taken. The error of write is returned, wrapped.
	CreateFunc(ctx context.Context, name string, write func(io.Writer) error) error

	// CreateAll creates several small names at the price of few waits for the
	// disk, and returns those that were taken already (kept as they are; that
	// is no error). On return all of them are durable. They become visible in
	// the order given; on an error any first few of them may be. The same name
	// twice is ErrName, more than MaxItems is an error.
	CreateAll(ctx context.Context, items ...Item) (taken []string, err error)
}

// MaxItems bounds one CreateAll, which holds that many files open.
const MaxItems = 256

// Item is a name and the bytes to create under it.
type Item struct {
	Name string
	Data []byte
}

// Reader gives names out. A name's bytes are not hashed by the store.
type Reader interface {
	// OpenName opens name for reading at any offset; the caller closes it.
	// A missing name wraps fs.ErrNotExist. ctx may govern the reading too.
	OpenName(ctx context.Context, name string) (File, error)

	// ReadName returns all bytes of name, or an error if they are more than
	// limit: so a changed file cannot exhaust the memory of its reader.
	ReadName(ctx context.Context, name string, limit int64) ([]byte, error)
}

// File is an open name. ReadAt may be called concurrently.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Lister finds names.
type Lister interface {
	// List yields the names that begin with prefix (a plain string prefix:
	// "seals/0" yields "seals/01/plan.json"; "" yields all), sorted bytewise.
	// An ErrForeign is yielded with the name where it lies, and the iteration
	// may go on; any other error is the last thing yielded. Names created
	// meanwhile may be missed. Objects are not names, see [ObjectLister].
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
}

// AfterLister finds the last of many names.
type AfterLister interface {
	// ListAfter is Lister.List without the names up to and with after, at the cost of what it
	// yields: so the newest of many Seals are found without a look at all of them. What
	// is foreign before after is not met. A name after need not be there, nor be one
	// that a store takes; of those that do not begin with prefix, List says what comes.
	ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
}

// Entry is a name and the size of its bytes.
type Entry struct {
	Name string
	Size int64
}

// Store is both doors. A consumer asks for the part that it needs. Every method
// may be called concurrently.
type Store interface {
	Putter
	Opener
	Creator
	Reader
	Lister
	AfterLister
}

// ObjectLister finds the Objects of a store, for an audit of all it holds.
type ObjectLister interface {
	// Objects yields every Object once, sorted by Digest, without reading it;
	// errors as in Lister.List.
	Objects(ctx context.Context) iter.Seq2[ObjectEntry, error]
}

// ObjectEntry is an Object's Digest and size.
type ObjectEntry struct {
	Digest hashing.Digest
	Size   int64
}

// Accepter says whether more may be accepted. Intake asks it before it accepts
// a capture; sealing what is accepted never asks.
type Accepter interface {
	// Accept returns nil, or an error that wraps ErrFull (too little space is
	// left), ErrForeign (a foreign file was met) or ErrStopped, and says what
	// to do.
	Accept(ctx context.Context) error
}

// Importer takes in many files at once, for copies.
type Importer interface {
	// Import keeps at most MaxImport Objects and names, and returns how many bytes
	// it wrote. Bytes that are not of their Digest wrap hashing.ErrMismatch and are
	// not kept. A name becomes visible after all that was given before it, and on nil
	// all of them are durable. A name that is taken must hold the same bytes, else the
	// error wraps ErrExists. An error, a ctx that is done and a crash leave any first
	// few of the files, each whole, and perhaps Objects behind them: Import again.
	Import(ctx context.Context, in []Incoming) (int64, error)
}

// MaxImport bounds one Import, which remembers that many names.
const MaxImport = 4096

// Incoming is one file for Import.
type Incoming struct {
	// Name is a write-once name; empty for an Object.
	Name string
	// Digest is an Object's name. Optional for a name: its bytes are compared.
	Digest *hashing.Digest
	// Open gives the bytes; the reader is closed.
	Open func() (io.ReadCloser, error)
}
