package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"holdfast/storage"
	"holdfast/wholefile"
)

// VersionsPrefix is what names of a Versions begin with in their store; nothing of a
// node's own store does.
const VersionsPrefix = "mirror/"

// Versions is the shelf of a mirror whose store replaces nothing: the names lie in that
// store itself, write-once, where its locks keep them. A file is
//
//	mirror/<name>/<20 digits>              its versions; the highest counts, and an empty one is none
//
// and a chain
//
//	mirror/<name>/<20 digits>-<20 digits>  its bytes from the one place to the other
//
// so whoever may write there can add to it and take nothing away. What lies there was
// listed when it was opened; it is for one goroutine.
type Versions struct {
	store  versioned
	files  map[string]version
	chains map[string][]piece
}

// versioned is what Versions need of a store.
type versioned interface {
	storage.Creator
	storage.Reader
	storage.Lister
}

type version struct{ number, size int64 }

type piece struct{ start, end int64 }

// maxPieces is from how many pieces on a chain is written whole again, so that its
// reader asks for no more of them.
const maxPieces = 64

// ErrAtWork: somebody else has written meanwhile.
var ErrAtWork = errors.New("another mirror run is at work there")

// OpenVersions lists what lies in a store. With only, it is for that one file.
func OpenVersions(ctx context.Context, s versioned, only string) (*Versions, error) {
	v := &Versions{store: s, files: map[string]version{}, chains: map[string][]piece{}}
	from := VersionsPrefix
	if only != "" {
		from += only + "/"
	}
	for e, err := range s.List(ctx, from) {
		if err != nil {
			return nil, fmt.Errorf("look through mirror: %w", err)
		}
		if err := v.take(e); err != nil {
			return nil, fmt.Errorf("look through mirror: %s: %w", e.Name, err)
		}
	}
	return v, nil
}

func isChain(name string) bool { return strings.HasPrefix(name, "node/outbox/") }

func (v *Versions) take(e storage.Entry) error {
	name, last := path.Split(strings.TrimPrefix(e.Name, VersionsPrefix))
	name = strings.TrimSuffix(name, "/")
	if !isChain(name) {
		n, err := digits(last)
		if err == nil && n >= v.files[name].number {
			v.files[name] = version{n, e.Size}
		}
		return err
	}
	from, to, _ := strings.Cut(last, "-")
	start, err := digits(from)
	end, err2 := digits(to)
	if err = errors.Join(err, err2); err == nil && end-start != e.Size {
		err = fmt.Errorf("it has %d bytes, and its name says %d: %w", e.Size, end-start, storage.ErrForeign)
	}
	if err == nil {
		v.chains[name] = append(v.chains[name], piece{start, end})
	}
	return err
}

func digits(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || len(s) != 20 {
		return 0, fmt.Errorf("no mirror makes such a name: %w", storage.ErrForeign)
	}
	return n, nil
}

// way is the pieces of a chain, each where the one before ends, the longest first.
func (v *Versions) way(name string) (way []piece, end int64) {
	best := map[int64]int64{}
	for _, p := range v.chains[name] {
		best[p.start] = max(best[p.start], p.end)
	}
	for best[end] > end {
		way = append(way, piece{end, best[end]})
		end = best[end]
	}
	return way, end
}

func (p piece) of(name string) string {
	return fmt.Sprintf("%s%s/%020d-%020d", VersionsPrefix, name, p.start, p.end)
}

// Open implements [Shelf].
func (v *Versions) Open(ctx context.Context, name string, limit int64) (io.ReadCloser, error) {
	if isChain(name) {
		return v.openChain(ctx, name, limit)
	}
	is := v.files[name]
	switch {
	case is.size == 0:
		return nil, fmt.Errorf("read %s of the mirror: %w", name, fs.ErrNotExist)
	case is.size > limit:
		return nil, fmt.Errorf("read %s of the mirror: %d bytes: %w", name, is.size, wholefile.ErrTooLarge)
	}
	f, err := v.store.OpenName(ctx, is.of(name))
	if err != nil {
		return nil, err
	}
	return sectioned{io.NewSectionReader(f, 0, is.size), f}, nil
}

func (is version) of(name string) string {
	return fmt.Sprintf("%s%s/%020d", VersionsPrefix, name, is.number)
}

func (v *Versions) openChain(ctx context.Context, name string, limit int64) (io.ReadCloser, error) {
	way, end := v.way(name)
	switch {
	case end == 0:
		return nil, fmt.Errorf("read %s of the mirror: %w", name, fs.ErrNotExist)
	case end > limit:
		return nil, fmt.Errorf("read %s of the mirror: %d bytes: %w", name, end, wholefile.ErrTooLarge)
	}
	return &pieces{ctx: ctx, v: v, name: name, way: way}, nil
}

// pieces reads a chain, a piece after the other.
type pieces struct {
	ctx  context.Context
	v    *Versions
	name string
	way  []piece
	in   *io.SectionReader
	f    storage.File
}

func (p *pieces) Read(b []byte) (int, error) {
	for {
		if p.in != nil {
			n, err := p.in.Read(b)
			if n > 0 || !errors.Is(err, io.EOF) {
				return n, err
			}
			if err := p.Close(); err != nil {
				return 0, err
			}
		}
		if len(p.way) == 0 {
			return 0, io.EOF
		}
		f, err := p.v.store.OpenName(p.ctx, p.way[0].of(p.name))
		if err != nil {
			return 0, err
		}
		p.f, p.in, p.way = f, io.NewSectionReader(f, 0, p.way[0].end-p.way[0].start), p.way[1:]
	}
}

func (p *pieces) Close() error {
	if p.f == nil {
		return nil
	}
	f := p.f
	p.f, p.in = nil, nil
	return f.Close()
}

// Update implements [Shelf]: one write-once name, or none where nothing is new. Two
// that write at once are told, but for one of them.
func (v *Versions) Update(ctx context.Context, name string, b []byte) error {
	if isChain(name) {
		return v.grow(ctx, name, b)
	}
	is := v.files[name]
	if is.size == int64(len(b)) {
		was, err := Read(ctx, v, name, is.size)
		if missing(err) != nil {
			return err
		}
		if bytes.Equal(was, b) {
			return nil
		}
	}
	next := version{is.number + 1, int64(len(b))}
	if err := v.create(ctx, next.of(name), b); err != nil {
		return err
	}
	v.files[name] = next
	return nil
}

func (v *Versions) grow(ctx context.Context, name string, b []byte) error {
	way, end := v.way(name)
	next := piece{end, int64(len(b))}
	if next.end <= end {
		return nil
	}
	if len(way) >= maxPieces {
		next.start = 0
	}
	if err := v.create(ctx, next.of(name), b[next.start:]); err != nil {
		return err
	}
	v.chains[name] = append(v.chains[name], next)
	return nil
}

func (v *Versions) create(ctx context.Context, name string, b []byte) error {
	err := v.store.Create(ctx, name, bytes.NewReader(b))
	if errors.Is(err, storage.ErrExists) {
		err = ErrAtWork
	}
	return err
}

// Chains implements [Shelf].
func (v *Versions) Chains(context.Context) (names []string, err error) {
	for name := range v.chains {
		names = append(names, path.Base(name))
	}
	if len(names) > maxChains {
		return nil, fmt.Errorf("read mirror: more than %d custody chains: %w", maxChains, wholefile.ErrTooLarge)
	}
	return names, nil
}

// None reports whether nothing of a mirror was ever put there.
func (v *Versions) None() bool { return len(v.files) == 0 && len(v.chains) == 0 }
