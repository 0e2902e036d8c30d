package verifycmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// errExists tells how to write where something is.
var errExists = errors.New("it exists already: give another name, or --replace")

// mayWriteReport says before a long check what would stop the report after it.
// A report never takes the place of what was checked, nor of the Policy.
func (c *check) mayWriteReport(bundle fs.FileInfo) error {
	if c.Report == "" {
		return nil
	}
	st, err := os.Stat(c.Report)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	policy, err := os.Stat(c.Policy)
	if os.SameFile(st, bundle) || err == nil && os.SameFile(st, policy) {
		return fmt.Errorf("write report: %s is what is checked, or the policy: give another name", c.Report)
	}
	if !c.Replace || !st.Mode().IsRegular() {
		return fmt.Errorf("write report %s: %w", c.Report, errExists)
	}
	return nil
}

// writeFile creates a file, or with replace puts it in the place of another at
// once. A crash leaves a part of a new file, or beside an old one a file whose
// name begins with `.report-`.
func writeFile(path string, b []byte, replace bool) error {
	if !replace {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			err = errExists
		}
		if err != nil {
			return fmt.Errorf("write report %s: %w", path, err)
		}
		return fill(f, b)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := fill(f, b); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// fill writes and closes; what could not be written whole is removed.
func fill(f *os.File, b []byte) error {
	_, err := f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// beside is the first name for a report beside a Bundle that is free.
func beside(dir, bundle string) string {
	base := filepath.Join(dir, strings.TrimSuffix(filepath.Base(bundle), filepath.Ext(bundle)))
	for i := 1; i < 10_000; i++ {
		name := base + ".report.html"
		if i > 1 {
			name = base + ".report-" + strconv.Itoa(i) + ".html"
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
	return base + ".report.html"
}
