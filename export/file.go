package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile writes a Bundle to path. The file appears whole and durable, or not
// at all: an interrupt leaves the path as it was, and a crash leaves at most a
// hidden file `.<name>.<random>.part` beside it. A file that is there already
// is [ErrExists] unless Options.Replace is set.
func WriteFile(ctx context.Context, path string, o Options) (*Summary, error) {
	if _, err := os.Lstat(path); err == nil && !o.Replace {
		return nil, fmt.Errorf("export to %s: %w: choose another name or remove it first", path, ErrExists)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // fails once the file has its name
	sum, err := Write(ctx, tmp, o)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = place(tmp.Name(), path, o.Replace)
	}
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", path, err)
	}
	return sum, nil
}

// place gives the finished file its name. link(2) does not overwrite, so a file
// that appeared meanwhile is kept; rename is for file systems without links,
// where that cannot be had.
func place(tmp, path string, replace bool) error {
	if !replace {
		err := os.Link(tmp, path)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: choose another name or remove it first", ErrExists)
		}
		if err == nil {
			return syncDir(filepath.Dir(path))
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name durable; windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
