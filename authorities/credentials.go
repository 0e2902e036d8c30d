package authorities

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

	"holdfast"
	"holdfast/preserve"
	"holdfast/wholefile"
)

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

// ReadCredentials reads what a person has written, `user:password` or `Bearer TOKEN` in a
// file that nobody else can read, as an Authorization header.
func ReadCredentials(path string) (preserve.Secret, error) {
	line, err := wholefile.SecretLine(path)
	if err != nil {
		return "", err
	}
	s, err := authorization(line)
	if err != nil {
		err = fmt.Errorf("read credentials %s: %w", path, err)
	}
	return s, err
}

// keep copies a file of credentials beside the keys, 0600, with whom
// they are for. A crash after it leaves a file that the next `authority add` of
// this name replaces.
func (b *Book) keep(e *Entry) error {
	if e.AuthFrom == "" {
		return nil
	}
	line, err := wholefile.SecretLine(e.AuthFrom)
	if err != nil {
		return err
	}
	of, err := origin(e.URL)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	e.Auth = authFile(e.Name)
	return wholefile.WriteJSON(b.path(e.Auth), keptCredentials{of, line})
}

// Credentials returns what an authority's entry names, "" for none. If it cannot be read, or
// is for another place, the authority is asked without, says no, and the log
// says why.
func (b *Book) Credentials(e Entry) preserve.Secret {
	if e.Auth == "" {
		return ""
	}
	s, err := b.keptFor(e)
	if err != nil {
		b.Log.Error("authority is asked without its credentials", "authority", e.Name, "err", err)
		return ""
	}
	return s
}

func (b *Book) keptFor(e Entry) (preserve.Secret, error) {
	if !e.keepsAuth() {
		return "", errors.New("they are of another")
	}
	raw, err := wholefile.ReadSecret(b.path(e.Auth))
	if err != nil {
		return "", err
	}
	again := fmt.Sprintf("if %s is right, `holdfast authority remove %s`, and add it again with --auth", e.URL, e.Name)
	var k keptCredentials
	if json.Unmarshal(raw, &k) != nil || k.Origin == "" { // never quoted
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
func (e Entry) keepsAuth() bool {
	return holdfast.ValidAuthorityName(e.Name) && e.Auth == authFile(e.Name)
}

// Demand lets only requests with these credentials through.
func Demand(want preserve.Secret, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="time-stamping authority"`)
			http.Error(w, "credentials are wanted", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
