package main

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"holdfast"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// maxCredentials bounds a file of credentials, in bytes.
const maxCredentials = 4 << 10

// secretLine reads a file that nobody else can read: one line of text, without
// its end. Errors never quote it.
func secretLine(path string) (string, error) {
	b, err := wholefile.ReadSecret(path)
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	line := strings.TrimRight(string(b), "\r\n")
	if len(b) > maxCredentials || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
		return "", fmt.Errorf("read credentials %s: not one line of text of at most 4 KiB", path)
	}
	return line, nil
}

// authorization turns a line, either `Bearer TOKEN` or `user:password`, into the
// value of an Authorization header.
func authorization(line string) (preserve.Secret, error) {
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

// keptCredentials is what such a copy holds.
type keptCredentials struct {
	// Origin is whom they are for. authorities.json may be edited, or come from
	// a mirror that somebody else has changed: it does not choose to whom a
	// secret is sent.
	Origin string `json:"origin"`
	Line   string `json:"credentials"`
}

// origin is scheme, host and port of a URL.
func origin(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port), nil
}

// readCredentials reads what a person has written, as a header.
func readCredentials(path string) (preserve.Secret, error) {
	line, err := secretLine(path)
	if err != nil {
		return "", err
	}
	s, err := authorization(line)
	if err != nil {
		err = fmt.Errorf("read credentials %s: %w", path, err)
	}
	return s, err
}

// keepCredentials copies a file of credentials beside the keys, 0600, with whom
// they are for. A crash after it leaves a file that the next `authority add` of
// this name replaces.
func (n *node) keepCredentials(e *authorityEntry) error {
	if e.authFrom == "" {
		return nil
	}
	line, err := secretLine(e.authFrom)
	if err != nil {
		return err
	}
	of, err := origin(e.URL)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	e.Auth = authFile(e.Name)
	return writeJSON(n.path(e.Auth), keptCredentials{of, line}) // 0600, as all that writeJSON makes
}

// credentials returns what an authority's entry names. If it cannot be read, or
// is for another place, the authority is asked without, says no, and the log
// says why.
func (n *node) credentials(e authorityEntry) preserve.Secret {
	if e.Auth == "" {
		return ""
	}
	s, err := n.keptFor(e)
	if err != nil {
		n.log.Error("authority is asked without its credentials", "authority", e.Name, "err", err)
		return ""
	}
	return s
}

func (n *node) keptFor(e authorityEntry) (preserve.Secret, error) {
	if !e.keepsAuth() {
		return "", errors.New("they are of another")
	}
	b, err := wholefile.ReadSecret(n.path(e.Auth))
	if err != nil {
		return "", err
	}
	again := fmt.Sprintf("if %s is right, `holdfast authority remove %s`, and add it again with --auth", e.URL, e.Name)
	var k keptCredentials
	if json.Unmarshal(b, &k) != nil || k.Origin == "" { // never quoted
		return "", fmt.Errorf("%s does not say to whom they may be sent: %s", e.Auth, again)
	}
	if of, err := origin(e.URL); err != nil || of != k.Origin {
		return "", fmt.Errorf("they were given for %s, and the address is %s now: %s", k.Origin, e.URL, again)
	}
	return authorization(k.Line)
}

// keepsAuth reports whether the entry's file of credentials is its own:
// authorities.json may be from a mirror, and chooses no file that is sent, or
// deleted.
func (e authorityEntry) keepsAuth() bool {
	return holdfast.ValidAuthorityName(e.Name) && e.Auth == authFile(e.Name)
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
