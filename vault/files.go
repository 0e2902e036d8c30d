package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"filippo.io/age"

	"holdfast/wholefile"
)

// encrypted tells a file by its header.
func encrypted(file []byte) bool { return bytes.HasPrefix(file, []byte(header)) }

// Open returns the text of a file, decrypted if it is encrypted.
func (v *Vault) Open(file []byte) ([]byte, error) {
	if !encrypted(file) {
		return file, nil
	}
	id, err := v.identity()
	if err != nil {
		return nil, err
	}
	return openWith(id, file)
}

func openWith(id age.Identity, file []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(file), id)
	if err != nil {
		return nil, fmt.Errorf("decrypt a key: %w: is it of this node?", err)
	}
	return io.ReadAll(r)
}

// Seal returns what a new file shall hold.
func (v *Vault) Seal(text []byte) ([]byte, error) {
	if !v.Encrypts() {
		return text, nil
	}
	id, err := v.identity()
	if err != nil {
		return nil, err
	}
	return encryptTo(id.Recipient(), text)
}

// Encrypted reports whether a file is; the error wraps [fs.ErrNotExist] where there
// is none.
func (v *Vault) Encrypted(name string) (bool, error) {
	b, err := wholefile.ReadSecret(v.path(name))
	return encrypted(b), err
}

// Read returns the text of a file that only its owner may read.
func (v *Vault) Read(name string) ([]byte, error) {
	b, err := wholefile.ReadSecret(v.path(name))
	if err != nil {
		return nil, err
	}
	return v.Open(b)
}

// Create makes a file that is not there yet; [fs.ErrExist] otherwise.
func (v *Vault) Create(name string, text []byte) error {
	b, err := v.Seal(text)
	if err != nil {
		return err
	}
	if err := wholefile.Create(v.path(name), b); err != nil {
		return err
	}
	return v.settle(name, text, b)
}

// Replace makes a file, in the place of what is there.
func (v *Vault) Replace(name string, text []byte) error {
	b, err := v.Seal(text)
	if err != nil {
		return err
	}
	if err := wholefile.Replace(v.path(name), b, 0o600); err != nil {
		return err
	}
	return v.settle(name, text, b)
}

// settle looks again whether keys are encrypted, once a file that was made as b has
// its name: Encrypt and Decrypt in another process may have gone past the name just
// before. Since both go through all files after the identity came or went, none is
// left encrypted to one that has gone.
func (v *Vault) settle(name string, text, b []byte) error {
	if encrypted(b) == v.Encrypts() {
		return nil
	}
	return v.Replace(name, text)
}

// Files lists the vault's files of patterns as of [path.Match], in order. A pattern
// has no star before its last slash. What a crash has left, never in use, is not
// among them.
func (v *Vault) Files(patterns ...string) (names []string, err error) {
	for _, pattern := range patterns {
		err = errors.Join(err, v.each(pattern, func(name string, d fs.DirEntry) error {
			if d.Type().IsRegular() && !unfinished(name) {
				names = append(names, name)
			}
			return nil
		}))
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// each visits what a pattern names. A folder that cannot be read is an error: its
// keys would be missing from a key file without a word.
func (v *Vault) each(pattern string, visit func(name string, d fs.DirEntry) error) error {
	dir := path.Dir(pattern)
	list, err := os.ReadDir(v.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, d := range list {
		name := path.Join(dir, d.Name())
		if ok, bad := path.Match(pattern, name); bad != nil {
			return bad
		} else if ok {
			err = errors.Join(err, visit(name, d))
		}
	}
	return err
}

// unfinished reports whether a name is of [wholefile.Temp].
func unfinished(name string) bool {
	ok, _ := path.Match(wholefile.Temp, path.Base(name))
	return ok
}

// Encrypt encrypts, after [Vault.Begin], what lies in clear of the files of
// patterns, and returns how many. A stop in between leaves both kinds side by side,
// which can all be read, and the next call goes on.
func (v *Vault) Encrypt(patterns ...string) (changed int, err error) {
	return v.rewrite(patterns, false, v.Seal)
}

// Decrypt is the reverse, and takes the identity away once nothing needs it.
func (v *Vault) Decrypt(patterns ...string) (changed int, err error) {
	if !v.Encrypts() {
		return v.rewrite(patterns, true, v.Open)
	}
	id, err := v.identity() // first: what it opens may come while it goes
	if err != nil {
		return 0, err
	}
	open := func(file []byte) ([]byte, error) { return openWith(id, file) }
	if changed, err = v.rewrite(patterns, true, open); err != nil {
		return changed, err
	}
	if err := os.Remove(v.path(Identity)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	late, err := v.rewrite(patterns, true, open) // see settle
	return changed + late, err
}

// rewrite makes each file anew that is encrypted, or is not.
func (v *Vault) rewrite(patterns []string, was bool, as func([]byte) ([]byte, error)) (changed int, err error) {
	if err := v.Sweep(patterns...); err != nil {
		return 0, err
	}
	names, err := v.Files(patterns...)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		b, err := wholefile.ReadSecret(v.path(name))
		if err != nil {
			return changed, err
		}
		if encrypted(b) != was {
			continue
		}
		if b, err = as(b); err != nil {
			return changed, err
		}
		if err := wholefile.Replace(v.path(name), b, 0o600); err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}

// Sweep removes, beside the files of patterns, what a crash has left of a key that
// was being written: it may be a second name of a key in clear. Who is writing one
// at this moment fails, and can do it again.
func (v *Vault) Sweep(patterns ...string) error {
	var err error
	for _, pattern := range patterns {
		err = errors.Join(err, v.each(path.Join(path.Dir(pattern), wholefile.Temp), func(name string, _ fs.DirEntry) error {
			err := os.Remove(v.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}))
	}
	if err != nil {
		return fmt.Errorf("remove unfinished keys: %w", err)
	}
	return nil
}
