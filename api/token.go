package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/wholefile"
)

// Scopes of a token.
const (
	ScopeCapture    = "capture"    // ask for captures, and see what became of them
	ScopeWatch      = "watch"      // add watches, and see them
	ScopeRead       = "read"       // list captures, see their state and Manifests
	ScopeExport     = "export"     // take Bundles, and single Objects
	ScopeRestricted = "restricted" // with export: restricted Objects too
)

// Scopes are all of them, in the order in which they are shown.
func Scopes() []string {
	return []string{ScopeCapture, ScopeWatch, ScopeRead, ScopeExport, ScopeRestricted}
}

// Token is what the node keeps of a token: of its secret the SHA-256 alone. 256
// random bits need no salt and no slow hash.
type Token struct {
	ID           string         `json:"id"` // 12 hex digits, public: lines of Custody and logs name it
	Name         string         `json:"name"`
	Agent        holdfast.Agent `json:"agent"` // as whom it acts
	Scopes       []string       `json:"scopes"`
	Cases        []holdfast.ID  `json:"cases"`
	AllowPrivate bool           `json:"allow_private,omitempty"`
	Sessions     []string       `json:"sessions,omitempty"` // at web sites that it may use, by name; of any other it knows nothing
	Added        holdfast.Time  `json:"added"`
	Until        *holdfast.Time `json:"until,omitempty"`
	Revoked      *holdfast.Time `json:"revoked,omitempty"`
	Hash         hashing.Digest `json:"hash"` // of the secret's hex digits
}

// Errors of a token that is no good.
var (
	ErrToken   = errors.New("no such token")
	ErrExpired = errors.New("the token has ended")
	ErrRevoked = errors.New("the token was revoked")
)

const (
	tokenPrefix = "hft_" // what scanners for secrets in files look for
	MaxTokens   = 1000   // that a list holds
	maxList     = 4 << 20
)

// Mint draws a token: t gets its ID and Hash, and the text is shown once.
func (t *Token) Mint() (text string) {
	var b [6 + 32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	secret := hex.EncodeToString(b[6:])
	t.ID, t.Hash = hex.EncodeToString(b[:6]), hashing.Of([]byte(secret))
	return tokenPrefix + t.ID + "_" + secret
}

// split parts a token's text; ok is false where it is none.
func split(text string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) != 12+1+64 || rest[12] != '_' || strings.Trim(rest[:12]+rest[13:], "0123456789abcdef") != "" {
		return "", "", false
	}
	return rest[:12], rest[13:], true
}

// TokenID returns the public part of a token's text; ok is false where it is none.
func TokenID(text string) (id string, ok bool) {
	id, _, ok = split(text)
	return id, ok
}

// Open finds the token of that text and says whether it is good now. Whether it has
// ended is told only to who has all of it. Errors wrap ErrToken, ErrExpired,
// ErrRevoked; with the last two the Token is returned.
func (l TokenList) Open(text string, now time.Time) (Token, error) {
	id, secret, ok := split(text)
	if !ok {
		return Token{}, ErrToken
	}
	got := sha256.Sum256([]byte(secret))
	i := slices.IndexFunc(l, func(t Token) bool { return t.ID == id })
	var want [sha256.Size]byte // an id that is not there takes as long
	if i >= 0 {
		if b, err := hex.DecodeString(l[i].Hash.Hex()); err == nil {
			copy(want[:], b)
		}
	}
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || i < 0 {
		return Token{}, ErrToken
	}
	switch t := l[i]; {
	case t.Revoked != nil:
		return t, ErrRevoked
	case t.Until != nil && !now.Before(t.Until.Time):
		return t, ErrExpired
	default:
		return t, nil
	}
}

// May says whether the token has a scope.
func (t Token) May(scope string) bool { return slices.Contains(t.Scopes, scope) }

// For says whether the token is for a Case.
func (t Token) For(id holdfast.ID) bool { return slices.Contains(t.Cases, id) }

// Uses says whether the token may have pages captured, or watched, with a session. Nobody's
// is everybody's.
func (t Token) Uses(session string) bool {
	return session == "" || slices.Contains(t.Sessions, session)
}

// TokenList is the list of a node, tokens.json. It holds no secret.
type TokenList []Token

type tokenDoc struct {
	Version int       `json:"version"`
	Tokens  TokenList `json:"tokens"`
}

// ReadTokens reads the list; where there is none nobody has a token.
func ReadTokens(file string) (TokenList, error) {
	b, err := wholefile.Read(file, maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d tokenDoc
	if err := wholefile.DecodeJSON("tokens.json", b, &d); err != nil {
		return nil, fmt.Errorf("%w; move it away: then nobody has a token, and `holdfast token add` makes new ones", err)
	}
	if d.Version > 1 {
		return nil, fmt.Errorf("tokens.json has version %d: use a newer holdfast", d.Version)
	}
	return d.Tokens, nil
}

// Write puts the list in the place of the file: a crash leaves the old or the new one.
func (l TokenList) Write(file string) error {
	return wholefile.WriteJSON(file, tokenDoc{1, l})
}

// Add takes one more token of a name that no good one has.
func (l TokenList) Add(t Token, now time.Time) (TokenList, error) {
	for _, o := range l {
		if o.Name == t.Name && o.Revoked == nil && (o.Until == nil || now.Before(o.Until.Time)) {
			return nil, fmt.Errorf("a token is called %s already: choose another name, or `holdfast token revoke %s` first", t.Name, t.Name)
		}
	}
	if len(l) >= MaxTokens {
		return nil, fmt.Errorf("%d tokens were given out, at most %d: take those that ended long ago out of tokens.json (where nodes share a queue: DELETE FROM holdfast_office.document WHERE name = 'token/ID')", len(l), MaxTokens)
	}
	return append(l, t), nil
}

// Revoke ends the tokens of that name or id, and returns them.
func (l TokenList) Revoke(name string, now time.Time) (gone []Token) {
	for i := range l {
		if (l[i].Name == name || l[i].ID == name) && l[i].Revoked == nil {
			at := holdfast.At(now)
			l[i].Revoked = &at
			gone = append(gone, l[i])
		}
	}
	return gone
}

// ValidName says whether a token may be called so: 1 to 40 of a-z, 0-9 and -.
func ValidName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
