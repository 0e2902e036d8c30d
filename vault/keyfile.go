package vault

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"filippo.io/age"

	"holdfast/wholefile"
)

// Bounds of a key file and of what is in it.
const (
	maxKeyFile    = 16 << 20 // bytes, encrypted
	maxKeyEntry   = 1 << 20  // bytes
	maxKeyEntries = 1000
	keyFileWork   = 18 // log2 of scrypt's N
)

// Export writes the files of patterns into one, encrypted with the passphrase, and
// returns how many. It must not exist; it appears whole, with mode 0600, or not at
// all.
func (v *Vault) Export(file string, pass []byte, patterns ...string) (count int, err error) {
	names, err := v.export(file, pass, patterns)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s exists: choose another name: %w", file, fs.ErrExist)
	}
	if err != nil {
		return 0, fmt.Errorf("write key file: %w", err)
	}
	return len(names), nil
}

func (v *Vault) export(file string, pass []byte, patterns []string) ([]string, error) {
	if err := CheckNew(pass); err != nil {
		return nil, err
	}
	names, err := v.Files(patterns...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := sealTar(&out, pass, names, func(name string) ([]byte, error) { return os.ReadFile(v.path(name)) }); err != nil {
		return nil, err
	}
	if out.Len() > maxKeyFile {
		return nil, fmt.Errorf("%d bytes, at most %d can be read again", out.Len(), maxKeyFile)
	}
	return names, wholefile.Create(file, out.Bytes())
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

// ReadExport returns what [Vault.Export] wrote: name to content. Every name is one
// that these patterns can give, so it never leads out of a vault's directory.
func ReadExport(file string, pass []byte, patterns ...string) (map[string][]byte, error) {
	files, err := openTar(file, pass, patterns)
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", file, err)
	}
	return files, nil
}

func openTar(file string, pass []byte, patterns []string) (map[string][]byte, error) {
	if len(pass) == 0 {
		return nil, ErrNoPassphrase
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := decrypt(io.LimitReader(f, maxKeyFile), pass)
	if err != nil {
		return nil, err
	}
	files, err := readTar(r, patterns)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r) // to the end: a file that was cut fails here
	return files, err
}

// readTar takes nothing but files whose names [Vault.Files] can give.
func readTar(r io.Reader, patterns []string) (map[string][]byte, error) {
	files, t := map[string][]byte{}, tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case h.Typeflag != tar.TypeReg || !given(h.Name, patterns):
			return nil, fmt.Errorf("%.80q is no key of a node: the file was made by something else", h.Name)
		case h.Size > maxKeyEntry || len(files) >= maxKeyEntries || files[h.Name] != nil:
			return nil, fmt.Errorf("%.80q is too large, one too many, or there twice", h.Name)
		}
		if files[h.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}

func given(name string, patterns []string) bool {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") || unfinished(name) {
		return false
	}
	for _, pattern := range patterns {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
