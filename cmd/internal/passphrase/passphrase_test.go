package passphrase

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPassphrase guards where it comes from and what is refused.
func TestPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	t.Setenv("HOLDFAST_PASSPHRASE", "")
	t.Setenv("HOLDFAST_PASSPHRASE_FILE", "")
	if p, err := FromEnvironment(); p != nil || err != nil {
		t.Errorf("none: %q, %v", p, err)
	}
	t.Setenv("HOLDFAST_PASSPHRASE", "from env")
	if p, err := FromEnvironment(); string(p) != "from env" || err != nil {
		t.Errorf("environment: %q, %v", p, err)
	}
	t.Setenv("HOLDFAST_PASSPHRASE_FILE", file)
	if _, err := FromEnvironment(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for text, want := range map[string]string{"from file\n": "from file", "from file\r\n": "from file", " two words": " two words", "two\n\n": "two\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := FromEnvironment(); string(p) != want || err != nil {
			t.Errorf("file %q: %q, %v", text, p, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), "chmod go=") {
		t.Errorf("a file that others can read: %v", err)
	}
}
