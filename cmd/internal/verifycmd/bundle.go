package verifycmd

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// Bundle is a Bundle that was verified and is read again. What it gives is held against
// what was judged: the Manifest against the Digest in the Report, an Object against its
// Manifest. So a file that is changed meanwhile gives an error and no other bytes. That
// two readers cannot see two files in it is among the things that were checked, so
// the second reader may be another one. Not safe for concurrent use.
type Bundle struct {
	File   string
	Policy string // file; "" is [Builtin]
	Report *holdfast.Report
	f      *os.File
	st     fs.FileInfo
	zip    *zip.Reader
}

// ContradictedError says that a Bundle is contradicted, by what, and that nothing of it
// is read.
type ContradictedError struct {
	File     string
	Findings []holdfast.Finding // those that contradict, at least one
}

func (e *ContradictedError) Error() string {
	f, more := e.Findings[0], ""
	if n := len(e.Findings) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return fmt.Sprintf("%s is contradicted, so nothing in it is read: %s: %s: %s%s; `holdfast verify` says all of it", e.File, f.Finding, f.Subject, f.Detail, more)
}

// Open verifies a Bundle under what the options say of trust, prints nothing, and keeps
// it open; the caller closes it. A contradicted one is a [*ContradictedError]. One that
// is unsealed or unattributed is opened: its Report says so. Memory is that of
// [holdfast.Verify] and as much again for the directory of the ZIP.
func Open(ctx context.Context, o Options) (*Bundle, error) {
	c := &check{Options: o}
	var err error
	if c.trust, err = trusted(o); err != nil {
		return nil, err
	}
	b := &Bundle{File: o.File, Policy: o.Policy}
	if b.f, err = os.Open(o.File); err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if err = b.open(ctx, c); err != nil {
		b.f.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bundle) open(ctx context.Context, c *check) (err error) {
	if b.st, err = b.f.Stat(); err != nil {
		return fmt.Errorf("open bundle: %w", err)
	}
	err = c.verify(ctx, b.f)
	LimitMemory() // what follows is no longer verify
	if err != nil {
		return err
	}
	b.Report = c.report
	if b.Report.Verdict == holdfast.VerdictContradicted {
		bad := slices.DeleteFunc(slices.Clone(b.Report.Findings), func(f holdfast.Finding) bool { return f.Outcome != holdfast.Contradicted })
		if len(bad) == 0 {
			bad = []holdfast.Finding{{Finding: "export-form", Subject: "bundle", Detail: "it has no exhibit"}}
		}
		return &ContradictedError{b.File, bad}
	}
	if b.zip, err = zip.NewReader(b.f, b.st.Size()); err != nil {
		return fmt.Errorf("read bundle %s: %w", b.File, err)
	}
	return nil
}

// Unchanged returns an error if the file was changed since it was verified, as far as its
// size and time tell.
func (b *Bundle) Unchanged() error {
	if now, err := b.f.Stat(); err != nil || now.Size() != b.st.Size() || !now.ModTime().Equal(b.st.ModTime()) {
		return fmt.Errorf("read bundle %s: it was changed while it was read, so nothing is said of it: wait until it is whole, and begin again", b.File)
	}
	return nil
}

// Close lets the file go.
func (b *Bundle) Close() error { return b.f.Close() }

// Manifest is that of an exhibit of the Report.
func (b *Bundle) Manifest(x holdfast.ExhibitReport) (*holdfast.Manifest, error) {
	r, err := b.entry(x, "manifest.json", x.Manifest, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, holdfast.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest of exhibit %s: %w", x.Number, err)
	}
	return holdfast.ParseManifest(raw)
}

// Open gives the bytes of an Object of the exhibit's Manifest. The reader ends with an
// error wrapping hashing.ErrMismatch instead of io.EOF if they are not the sealed ones.
// The error wraps fs.ErrNotExist where the Object is withheld, and says why.
func (b *Bundle) Open(x holdfast.ExhibitReport, o holdfast.Object) (io.ReadCloser, error) {
	return b.entry(x, o.Name, o.Digest, o.Size)
}

func (b *Bundle) entry(x holdfast.ExhibitReport, name string, want hashing.Digest, size int64) (io.ReadCloser, error) {
	path := "data/exhibits/" + x.Number + "/" + name
	i := slices.IndexFunc(b.zip.File, func(f *zip.File) bool { return f.Name == path })
	if i < 0 {
		return nil, fmt.Errorf("%s of exhibit %s is not in the bundle (%s): %w", name, x.Number, b.withheld(x.Number, name), fs.ErrNotExist)
	}
	r, err := b.zip.File[i].Open()
	if err != nil {
		return nil, fmt.Errorf("read %s of exhibit %s: %w", name, x.Number, errors.Join(b.Unchanged(), err))
	}
	return &held{hashing.NewReader(r, want, size), r}, nil
}

// withheld is why an Object is not here, as the exporter stated.
func (b *Bundle) withheld(number, name string) string {
	for _, f := range b.Report.Findings {
		if (f.Finding == "object-withheld" || f.Finding == "object-erased") && strings.TrimPrefix(f.Subject, "exhibit ") == number+"/"+name {
			return f.Detail
		}
	}
	return "nothing says why"
}

// held is the content of an entry that must turn out to be what was judged.
type held struct {
	io.Reader
	io.Closer
}
