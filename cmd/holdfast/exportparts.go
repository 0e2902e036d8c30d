package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/kept"
)

// parseSize reads the size of a bundle. "" is 0.
func parseSize(s string) (int64, error) {
	n, err := parseBytes("--size", s)
	if err == nil && s != "" && n < export.MinSize {
		err = usageError("--size %s: a bundle has at least 1MiB", s)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// parseBytes reads a number of bytes, with a unit or without: kB, MB, GB and TB
// are powers of 1,000, KiB, MiB, GiB and TiB of 1,024. "" is 0.
func parseBytes(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	digits := strings.TrimRight(s, "kKmMgGtTiIbB ")
	unit := map[string]int64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || unit == 0 || n > math.MaxInt64/uint64(unit) {
		return 0, usageError("%s %.40q: write it as 650MB, 4GB or 4GiB", flag, s)
	}
	return int64(n) * unit, nil
}

// partName is FILE-k.zip.
func partName(file string, k int) string {
	base := strings.TrimSuffix(file, ".zip")
	return base + "-" + strconv.Itoa(k) + ".zip"
}

// exportParts writes one export as several bundles, each of which appears whole
// or not at all. What ended between two of them is done again by the same
// command with --replace: numbers stay.
func (c *cli) exportParts(ctx context.Context, n *node, sel []export.Selection, at kept.Places, file string, o exportOptions, size int64) error {
	opts, err := n.exportOptions(ctx, sel, at, o)
	if err != nil {
		return err
	}
	bar := c.progress("measuring")
	parts, err := export.Split(ctx, opts, size)
	bar.done()
	if err != nil {
		if errors.Is(err, export.ErrSize) {
			err = fmt.Errorf("%w; nothing was written: give a larger --size", err)
		}
		return err
	}
	if err := freeParts(file, len(parts), o.replace); err != nil {
		return err
	}
	group := fmt.Sprintf("%s %s", opts.Node, opts.Exported)
	facts := newCaseFacts(n, sel, o)
	for i, sel := range parts {
		p := &export.Part{Number: i + 1, Of: len(parts), Group: group}
		opts.Cases, opts.Part, opts.MaxBytes = sel, p, size
		opts.Exported = holdfast.At(time.Now())
		if err := c.exportFile(ctx, partName(file, i+1), opts, facts.of(sel, p)); err != nil {
			return fmt.Errorf("part %d of %d: %w; the parts before it are whole", i+1, len(parts), err)
		}
	}
	return nil
}

// freeParts refuses names that are taken before the first part is written. The
// next number must be free even with --replace: a part that an earlier export
// left there would be taken for one of this.
func freeParts(file string, parts int, replace bool) error {
	for k := 1; k <= parts+1; k++ {
		name := partName(file, k)
		_, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && replace && k <= parts:
		case err != nil:
			return fmt.Errorf("export to %s: %w", name, err)
		case k > parts:
			return fmt.Errorf("export to %s: this export has %d parts, and part %d is there from another: remove it, or choose another name", file, parts, k)
		default:
			return fmt.Errorf("export to %s: %w: choose another name, or --replace", name, export.ErrExists)
		}
	}
	return nil
}
