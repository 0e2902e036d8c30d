package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"holdfast/vault"
)

var keys = []string{"keys/seal*", "own/ca.*"}

// begun is a directory with a Vault that has a passphrase, and one of another
// process, which is asked for it.
func begun(t *testing.T, pass string) (v, other *vault.Vault) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a[b*c")
	for _, sub := range []string{"keys", "own"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	t.Cleanup(func() {
		if asked > 2 {
			t.Errorf("the passphrase was asked for %d times", asked)
		}
	})
	v = vault.New(dir, func() ([]byte, error) { return nil, errors.New("asked") })
	if err := v.Begin([]byte(pass)); err != nil {
		t.Fatal(err)
	}
	return v, vault.New(dir, func() ([]byte, error) { asked++; return []byte(pass), nil })
}

func lies(t *testing.T, v *vault.Vault, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.Dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAtRest guards that no text lies in clear once the vault has begun, that who
// has not the passphrase reads nothing and makes nothing, and that age opens what
// lies there.
func TestAtRest(t *testing.T) {
	v, other := begun(t, "correct horse")
	if err := v.Create("keys/seal.pem", []byte("PRIVATE")); err != nil {
		t.Fatal(err)
	}
	if err := v.Create("keys/seal.pem", []byte("another")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if is, err := v.Encrypted("keys/seal.pem"); !is || err != nil || strings.Contains(lies(t, v, "keys/seal.pem"), "PRIVATE") {
		t.Errorf("encrypted %t, %v", is, err)
	}
	if b, err := other.Read("keys/seal.pem"); err != nil || string(b) != "PRIVATE" {
		t.Errorf("another process reads %q, %v", b, err)
	}
	if err := other.Replace("keys/seal.pem", []byte("newer")); err != nil {
		t.Fatal(err)
	}
	if b, err := v.Read("keys/seal.pem"); err != nil || string(b) != "newer" {
		t.Errorf("read %q, %v", b, err)
	}
	for want, ask := range map[error]func() ([]byte, error){
		vault.ErrPassphrase:   func() ([]byte, error) { return []byte("wrong horse"), nil },
		vault.ErrNoPassphrase: func() ([]byte, error) { return nil, nil },
		fs.ErrClosed:          func() ([]byte, error) { return nil, fs.ErrClosed },
	} {
		x := vault.New(v.Dir(), ask)
		if b, err := x.Read("keys/seal.pem"); !errors.Is(err, want) {
			t.Errorf("read %q, %v", b, err)
		}
		if err := x.Create("keys/seal-2.pem", nil); !errors.Is(err, want) {
			t.Errorf("create: %v", err)
		}
		if _, err := x.Decrypt(keys...); !errors.Is(err, want) {
			t.Errorf("decrypt: %v", err)
		}
	}
}

// TestBothWays guards that encrypting and decrypting change every file, once, and
// leave neither a key in clear that a crash had half written nor an identity that
// nothing needs.
func TestBothWays(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"keys/seal.pem": "seal", "keys/auth-a": "sent away", "own/ca.pem": "ca", "own/.new-17": "half"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	v := vault.New(dir, nil)
	if k, err := v.Decrypt(keys...); k != 0 || err != nil {
		t.Errorf("%d were decrypted, %v", k, err)
	}
	if err := v.Begin([]byte("correct horse")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 0} {
		if k, err := v.Encrypt(keys...); k != want || err != nil {
			t.Errorf("%d were encrypted, %v", k, err)
		}
	}
	if lies(t, v, "own/ca.pem") == "ca" || lies(t, v, "keys/auth-a") != "sent away" {
		t.Error("the wrong ones are encrypted")
	}
	if _, err := os.Lstat(filepath.Join(dir, "own/.new-17")); err == nil {
		t.Error("what a crash has left lies there")
	}
	for _, want := range []int{2, 0} {
		if k, err := v.Decrypt(keys...); k != want || err != nil {
			t.Errorf("%d were decrypted, %v", k, err)
		}
	}
	if lies(t, v, "keys/seal.pem") != "seal" || v.Encrypts() {
		t.Error("not in clear again")
	}
}

// TestBeginAgain guards that a vault which is open takes no other passphrase for
// its own: the person would believe that the keys are under the new one.
func TestBeginAgain(t *testing.T) {
	v, other := begun(t, "correct horse")
	if _, err := other.Seal(nil); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*vault.Vault{v, other} {
		if err := x.Begin([]byte("another horse")); !errors.Is(err, vault.ErrPassphrase) {
			t.Errorf("another passphrase: %v", err)
		}
		if err := x.Begin([]byte("correct horse")); err != nil {
			t.Error(err)
		}
	}
}

// TestAnotherIdentity guards that a process which has the vault open when another
// one decrypts and encrypts it anew writes nothing that nobody can open.
func TestAnotherIdentity(t *testing.T) {
	v, other := begun(t, "correct horse")
	if err := other.Create("keys/seal.pem", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Decrypt(keys...); err != nil {
		t.Fatal(err)
	}
	if err := v.Begin([]byte("correct horse")); err != nil {
		t.Fatal(err)
	}
	if err := other.Replace("keys/seal.pem", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if b, err := v.Read("keys/seal.pem"); err != nil || string(b) != "two" {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestWritesMeanwhile guards that a file which is replaced while the others are
// decrypted or encrypted is neither lost nor left in clear.
func TestWritesMeanwhile(t *testing.T) {
	v, other := begun(t, "correct horse")
	if err := v.Create("keys/seal.pem", []byte("0")); err != nil {
		t.Fatal(err)
	}
	stop, wg := make(chan struct{}), sync.WaitGroup{}
	halt := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer halt()
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				// its unfinished file may be swept away: that is said, and done again
				if err := other.Replace("keys/seal.pem", fmt.Append(nil, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
					return
				}
			}
		}
	})
	_, err := v.Decrypt(keys...)
	halt()
	if is, bad := v.Encrypted("keys/seal.pem"); is || err != nil || bad != nil {
		t.Errorf("encrypted %t without an identity, %v, %v", is, err, bad)
	}
}

// TestWork guards that a hostile file does not choose how much memory is taken.
func TestWork(t *testing.T) {
	var b bytes.Buffer
	r, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(2)
	w, err := age.Encrypt(&b, r)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	line, rest, _ := bytes.Cut(b.Bytes()[len("age-encryption.org/v1\n"):], []byte("\n"))
	name := filepath.Join(t.TempDir(), "hostile")
	hostile := fmt.Sprintf("age-encryption.org/v1\n%s30\n%s", bytes.TrimSuffix(line, []byte("2")), rest)
	if err := os.WriteFile(name, []byte(hostile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.ReadExport(name, []byte("correct horse"), "keys/*"); err == nil || !strings.Contains(err.Error(), "work factor") {
		t.Errorf("2^30: %v", err)
	}
}
