package wholefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// ErrTooLarge is wrapped where a file is larger than any that holdfast writes.
var ErrTooLarge = errors.New("larger than holdfast writes")

// Read reads a regular file of at most limit bytes. A link to it is followed, and a
// pipe not waited for.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f, err = regular(f, limit)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return atMost(f, limit)
}

// OpenIn opens a regular file of at most limit bytes in a directory that others have
// had in their hands; name has slashes. No link leads out of it, and a pipe is not
// waited for. The file may grow: who reads it keeps the limit himself.
func OpenIn(dir, name string, limit int64) (*os.File, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, errors.Join(err, fmt.Errorf("open %s: not a directory", dir))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", name, dir, err)
	}
	return regular(f, limit)
}

// ReadIn is OpenIn and reads all of it.
func ReadIn(dir, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(dir, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return atMost(f, limit)
}

// regular closes what is no regular file of at most limit bytes.
func regular(f *os.File, limit int64) (*os.File, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("read %s: %v is no regular file", f.Name(), st.Mode().Type())
	case st.Size() > limit:
		err = fmt.Errorf("read %s: %d bytes: %w", f.Name(), st.Size(), ErrTooLarge)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// atMost reads all of f, which may grow meanwhile.
func atMost(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: %w", f.Name(), ErrTooLarge)
	}
	return b, err
}

// Update is Replace with mode 0600 that leaves an equal file alone.
func Update(path string, b []byte) error {
	if was, err := Read(path, int64(len(b))); err == nil && bytes.Equal(was, b) {
		return nil
	}
	return Replace(path, b, 0o600)
}

// EncodeJSON gives a value the form that a person can edit.
func EncodeJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

// DecodeJSON reads what EncodeJSON gave, or a person made of it; a member that v has
// not is an error, which says of which file.
func DecodeJSON(name string, b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// MaxJSON is how many bytes [ReadJSON] reads at most.
const MaxJSON = 4 << 20

// ReadJSON reads a file of one JSON object, at most MaxJSON bytes, into v. It wraps
// [fs.ErrNotExist] where there is none; a member that v has not is an error.
func ReadJSON(path string, v any) error {
	b, err := Read(path, MaxJSON)
	if err != nil {
		return err
	}
	return DecodeJSON(path, b, v)
}

// WriteJSON replaces a file whole with v, for its owner alone: a crash leaves the old or
// the new one. Two that write one file at once need a lock of their own.
func WriteJSON(path string, v any) error {
	b, err := EncodeJSON(v)
	if err != nil {
		return err
	}
	return Replace(path, b, 0o600)
}
