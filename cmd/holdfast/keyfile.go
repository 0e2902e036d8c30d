package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"holdfast/wholefile"
)

// Bounds of a key file and of what is in it.
const (
	maxKeyFile    = 16 << 20 // of the encrypted file
	maxKeyEntry   = 1 << 20
	maxKeyEntries = 1000
	minPassphrase = 8 // bytes of a passphrase that something new is encrypted with
	maxPassphrase = 4 << 10
	keyFileWork   = 18 // log2 of scrypt's N for a key file: 256 MiB and a second, on a disk that may be lost
	maxScryptWork = 20 // more is refused: a hostile file must not take all memory
)

// errNoPassphrase is wrapped where a passphrase is needed and none was given.
var errNoPassphrase = errors.New("a passphrase is needed: put it into a file that only you can read and set HOLDFAST_PASSPHRASE_FILE to its name, or set HOLDFAST_PASSPHRASE")

// errPassphrase is wrapped where a passphrase does not open what it should.
var errPassphrase = errors.New("the passphrase is wrong")

// passphrase returns what HOLDFAST_PASSPHRASE_FILE or else HOLDFAST_PASSPHRASE
// gives, without the line's end; nil, nil if neither is set. A file that others
// can read is refused. There is no flag: the command line is for all to see.
func passphrase() ([]byte, error) {
	name := os.Getenv("HOLDFAST_PASSPHRASE_FILE")
	if name == "" {
		if p := os.Getenv("HOLDFAST_PASSPHRASE"); p != "" {
			return []byte(p), nil
		}
		return nil, nil
	}
	b, err := wholefile.ReadSecret(name)
	if err != nil {
		return nil, fmt.Errorf("read HOLDFAST_PASSPHRASE_FILE: %w", err)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 || len(b) > maxPassphrase {
		return nil, fmt.Errorf("read HOLDFAST_PASSPHRASE_FILE: %s holds %d bytes; give 1 to %d", name, len(b), maxPassphrase)
	}
	return b, nil
}

// newPassphrase refuses one that nothing new should be encrypted with.
func newPassphrase(pass []byte) error {
	if len(pass) == 0 {
		return errNoPassphrase
	}
	if len(pass) < minPassphrase {
		return fmt.Errorf("the passphrase has %d bytes: choose one of %d or more, better six random words", len(pass), minPassphrase)
	}
	return nil
}

// secretFiles lists the files of the node's directory that nobody else may
// have: keys, the own authority, and credentials. They are paths with slashes.
func (n *node) secretFiles() (names []string, err error) {
	for _, pattern := range []string{"keys/*", "own/*", fileEgresses, fileConfig} {
		found, err := filepath.Glob(filepath.Join(globEscape(n.dir), filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			st, err := os.Lstat(f)
			if err != nil {
				return nil, err
			}
			if ok, _ := filepath.Match(wholefile.Temp, filepath.Base(f)); ok || !st.Mode().IsRegular() {
				continue // what a crash left, never in use
			}
			rel, err := filepath.Rel(n.dir, f)
			if err != nil {
				return nil, err
			}
			names = append(names, filepath.ToSlash(rel))
		}
	}
	slices.Sort(names)
	return names, nil
}

// globEscape keeps a directory's name from being read as a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// writeKeyFile writes every private key of the node into one file, encrypted
// with the passphrase: a tar in age's format, so `age -d FILE | tar x` reads it
// too. Keys that are encrypted at rest go in as they lie, and need their own
// passphrase as well. The file must not exist; it appears whole, with mode
// 0600, or not at all.
func (n *node) writeKeyFile(name string, pass []byte) error {
	if err := newPassphrase(pass); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	names, err := n.secretFiles()
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	var out bytes.Buffer
	if err := sealTar(&out, pass, names, func(name string) ([]byte, error) { return os.ReadFile(n.path(filepath.FromSlash(name))) }); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := wholefile.Create(name, out.Bytes()); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write key file: %s exists: choose another name: %w", name, fs.ErrExist)
		}
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}

func sealTar(out io.Writer, pass []byte, names []string, read func(string) ([]byte, error)) error {
	if len(names) > maxKeyEntries {
		return fmt.Errorf("%d files, at most %d are written", len(names), maxKeyEntries)
	}
	r, err := age.NewScryptRecipient(string(pass))
	if err != nil {
		return err
	}
	r.SetWorkFactor(keyFileWork)
	w, err := age.Encrypt(out, r)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(w, names, read), w.Close())
}

func writeTar(w io.Writer, names []string, read func(string) ([]byte, error)) error {
	t := tar.NewWriter(w)
	for _, name := range names {
		b, err := read(name)
		if err != nil {
			return err
		}
		if len(b) > maxKeyEntry {
			return fmt.Errorf("%s has %d bytes, at most %d are written", name, len(b), maxKeyEntry)
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b)), Mode: 0o600}); err != nil {
			return err
		}
		if _, err := t.Write(b); err != nil {
			return err
		}
	}
	return t.Close()
}

// readKeyFile returns what writeKeyFile wrote: path below the node's directory,
// with slashes, to content. Every path is one that writeKeyFile gives, so it
// never leads out of that directory.
func readKeyFile(name string, pass []byte) (map[string][]byte, error) {
	files, err := openTar(name, pass)
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", name, err)
	}
	return files, nil
}

func openTar(name string, pass []byte) (map[string][]byte, error) {
	if len(pass) == 0 {
		return nil, errNoPassphrase
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := decryptWith(io.LimitReader(f, maxKeyFile), pass)
	if err != nil {
		return nil, err
	}
	files, err := readTar(r)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r) // to the end: a file that was cut fails here
	return files, err
}

// readTar takes nothing but files whose names [node.secretFiles] can give.
func readTar(r io.Reader) (map[string][]byte, error) {
	files, t := map[string][]byte{}, tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		dir, base, _ := strings.Cut(h.Name, "/")
		switch {
		case h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || strings.ContainsAny(h.Name, "\\\x00"),
			base == "" && dir != fileEgresses && dir != fileConfig,
			base != "" && dir != "keys" && dir != "own",
			strings.Contains(base, "/"):
			return nil, fmt.Errorf("%.80q is no key of a node: the file was made by something else", h.Name)
		case h.Size > maxKeyEntry || len(files) >= maxKeyEntries || files[h.Name] != nil:
			return nil, fmt.Errorf("%.80q is too large, one too many, or there twice", h.Name)
		}
		if files[h.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}

// decryptWith opens an age file that a passphrase protects.
func decryptWith(r io.Reader, pass []byte) (io.Reader, error) {
	id, err := age.NewScryptIdentity(string(pass))
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(maxScryptWork)
	out, err := age.Decrypt(r, id)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, errPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("not a file encrypted with a passphrase: %w", err)
	}
	return out, nil
}
