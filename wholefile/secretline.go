package wholefile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSecretLine bounds a file that [SecretLine] reads, in bytes.
const MaxSecretLine = 4 << 10

// SecretLine reads a file that nobody else can read, as [ReadSecret] does: one line of
// UTF-8 text without control characters, of at most [MaxSecretLine]; without its end.
// Errors never quote it.
func SecretLine(path string) (string, error) {
	b, err := ReadSecret(path)
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	line := strings.TrimRight(string(b), "\r\n")
	if len(b) > MaxSecretLine || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
		return "", fmt.Errorf("read credentials %s: not one line of text of at most 4 KiB", path)
	}
	return line, nil
}
