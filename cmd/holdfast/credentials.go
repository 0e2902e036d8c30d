package main

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"holdfast/preserve"
)

// maxCredentials bounds a file of credentials, in bytes.
const maxCredentials = 4 << 10

// readCredentials reads a file that nobody else can read: one line, either
// `Bearer TOKEN` or `user:password`. It returns the value of an Authorization
// header. Errors never quote the file.
func readCredentials(path string) (preserve.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read credentials: %s has mode %v, so others can read it: chmod go= %s", path, st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	s, err := authorization(string(b))
	if err != nil {
		return "", fmt.Errorf("read credentials %s: %w", path, err)
	}
	return s, nil
}

func authorization(text string) (preserve.Secret, error) {
	line := strings.TrimRight(text, "\r\n")
	if len(text) > maxCredentials || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
		return "", errors.New("not one line of text of at most 4 KiB")
	}
	if token, ok := strings.CutPrefix(line, "Bearer "); ok && token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return preserve.Secret(line), nil
	}
	if user, _, ok := strings.Cut(line, ":"); ok && user != "" {
		return preserve.Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(line))), nil
	}
	return "", errors.New("one line is wanted: `user:password`, or `Bearer TOKEN`")
}

// authFile is where a copy of an authority's credentials lies in the node.
func authFile(name string) string { return "keys/auth-" + name }

// keepCredentials copies a file of credentials beside the keys, 0600. A crash
// after it leaves a file that the next `authority add` of this name replaces.
func (n *node) keepCredentials(e *authorityEntry) error {
	if e.authFrom == "" {
		return nil
	}
	b, err := os.ReadFile(e.authFrom)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	if err := os.MkdirAll(n.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	e.Auth = authFile(e.Name)
	return writeFile(n.path(e.Auth), b) // 0600, as all that writeFile makes
}

// credentials returns what an authority's entry names. If it cannot be read, the
// authority is asked without, says no, and the log says why.
func (n *node) credentials(e authorityEntry) preserve.Secret {
	if e.Auth == "" {
		return ""
	}
	if e.Auth != authFile(e.Name) { // authorities.json may be from a mirror: it chooses no file that is sent
		n.log.Error("authority is asked without its credentials: they are of another", "authority", e.Name)
		return ""
	}
	s, err := readCredentials(n.path(filepath.FromSlash(e.Auth)))
	if err != nil {
		n.log.Error("authority is asked without its credentials", "authority", e.Name, "err", err)
	}
	return s
}

// demand lets only requests with these credentials through.
func demand(want preserve.Secret, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="time-stamping authority"`)
			http.Error(w, "credentials are wanted", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
