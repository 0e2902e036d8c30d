package received

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
)

// Bytes that ride inline, of one file, of all files, and of each of the two
// documents: together what an Acquired may carry.
const (
	maxInlineFile = 64 << 10
	maxInline     = 192 << 10
	maxInlineDoc  = 32 << 10
)

// sniffed is how much of a file mimetype looks at.
const sniffed = 3072

// file takes one file. Its size and time of change are compared before and after
// the reading; where a list is given, it is read twice, first only to be hashed,
// so that nothing of what is on the list is ever written here, and both readings
// must give the same bytes.
func (t *taker) file(ctx context.Context, path, name string) error {
	f, st, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var first hashing.Digest
	if w := collectors.WatchAll(t.o.Known); len(w) > 0 {
		d, n, err := hashing.Copy(w, &interruptible{ctx, f})
		if err != nil {
			return err
		}
		if found, _ := w.Match(); found != "" {
			t.doc.NotKept = append(t.doc.NotKept, collectors.NotKept{Digest: d.String(), Reason: ReasonNeverKeep, Size: n})
			return nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		first = d
	}
	var in io.Reader = f
	if !first.IsZero() {
		in = &same{r: f, sum: sha256.New(), want: first}
	}
	o, err := t.object(ctx, in, st.Size())
	if err != nil {
		return err
	}
	if err := unchanged(path, f, st, o.Size); err != nil {
		return err
	}
	if !first.IsZero() && first != o.Digest {
		return changed() // it grew: not all of it was read
	}
	o.Name, o.Role = name, collectors.RoleReceived
	t.a.Objects = append(t.a.Objects, o)
	t.doc.Files = append(t.doc.Files, collectors.Handed{MTime: stamp(st.ModTime()), Name: canon.Text(filepath.Base(path)), Object: name, Size: o.Size, Type: o.MediaType})
	return nil
}

// open opens a plain file. The type is looked at before the opening, which for
// a pipe would wait for ever, and again of what was opened.
func open(path string) (*os.File, fs.FileInfo, error) {
	was, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	switch m := was.Mode(); {
	case m.IsDir():
		return nil, nil, fmt.Errorf("%w but a folder: give its files, or put it into an archive (zip, tar) and give that", ErrNotFile)
	case m&fs.ModeSymlink != 0:
		return nil, nil, fmt.Errorf("%w but a link: give the file that it leads to", ErrNotFile)
	case !m.IsRegular():
		return nil, nil, fmt.Errorf("%w but a device, a pipe or a socket: copy its bytes into a file and give that", ErrNotFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && (!st.Mode().IsRegular() || !os.SameFile(was, st)) {
		err = changed()
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// Check refuses what Take would refuse by its kind alone, so that a wrong path
// is known before anything is made for it.
func Check(files []string) error {
	for _, path := range files {
		f, _, err := open(path)
		if err != nil {
			return fmt.Errorf("take file %s: %w", path, err)
		}
		f.Close()
	}
	return nil
}

func changed() error {
	return fmt.Errorf("%w: end the program that writes it, or give a copy", ErrChanged)
}

// unchanged compares the open file, and what now has its name, with before.
func unchanged(path string, f *os.File, before fs.FileInfo, read int64) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(path)
	if err != nil || !os.SameFile(before, named) || read != before.Size() || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
		return changed()
	}
	return nil
}

// object keeps the bytes, small ones inline, and looks at the first for a type.
func (t *taker) object(ctx context.Context, f io.Reader, size int64) (o collectors.Object, err error) {
	head := make([]byte, sniffed)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return o, err
	}
	head = head[:n]
	o.MediaType = mediaType(head)
	r := &interruptible{ctx, io.MultiReader(bytes.NewReader(head), f)}
	if size > maxInlineFile || t.inline+size > maxInline {
		o.Kept = true
		o.Digest, o.Size, err = t.keep.Put(ctx, r)
		return o, err
	}
	b, err := io.ReadAll(io.LimitReader(r, size+1)) // one more: it grew
	if err != nil {
		return o, err
	}
	t.inline += int64(len(b))
	o.Inline, o.Size, o.Digest = b, int64(len(b)), hashing.Of(b)
	return o, nil
}

// mediaType is a guess by the first bytes, without parameters: for who opens the
// file, not for anything here.
func mediaType(head []byte) string {
	if len(head) == 0 {
		return "application/octet-stream"
	}
	t, _, _ := strings.Cut(mimetype.Detect(head).String(), ";")
	return t
}

// stamp is a time as documents write it; "" for one that they cannot.
func stamp(t time.Time) string {
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		return ""
	}
	return t.Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
}

// same reads what was read before, or fails at its end: a file that was changed
// for another after the comparison is never whole in the store, whose Put ends
// with that error.
type same struct {
	r    io.Reader
	sum  hash.Hash
	want hashing.Digest
}

func (s *same) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	if err == io.EOF && hashing.Digest(s.sum.Sum(nil)) != s.want {
		return n, changed()
	}
	return n, err
}

// interruptible ends a long copy soon after ctx is done.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
