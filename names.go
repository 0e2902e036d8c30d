package holdfast

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Version is the format version that this package writes and the largest that
// it reads.
const Version = 1

// ErrForm is wrapped by every error that says "this document is not of the
// form that docs/bundle.md gives it".
var ErrForm = errors.New("malformed")

// ErrNewer says that a document has a larger format version: neither good nor
// bad, a newer program must read it.
var ErrNewer = errors.New("newer format version: verify it with a newer holdfast")

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrForm, fmt.Errorf(format, a...))
}

// Source says what is watched, in text form: a URL, a channel or a post of
// Telegram, `holdfast:<kind>/<id>` for what was done, or `received:<id>` for what
// a person handed over.
type Source string

// MaxSource is the longest Source in bytes.
const MaxSource = 8192

// ParseSource accepts http and https URLs with a host, `telegram:@name` and
// `telegram:@name/<post>`, holdfast: Sources, and received: with an ID, which
// names nobody.
// The caller serialises URLs by the WHATWG rules first; this is the gate that
// keeps file:, javascript: and the like out of every later stage.
func ParseSource(s string) (Source, error) {
	if len(s) == 0 || len(s) > MaxSource {
		return "", malformed("source has %d bytes, 1 to %d are allowed", len(s), MaxSource)
	}
	if rest, ok := strings.CutPrefix(s, "holdfast:"); ok {
		kind, id, _ := strings.Cut(rest, "/")
		if !validName(kind, 64, "-") || !validName(id, 128, "._-") {
			return "", malformed("source %.80q is not holdfast:<kind>/<id>", s)
		}
		return Source(s), nil
	}
	if name, ok := strings.CutPrefix(s, "telegram:@"); ok {
		name, post, isPost := strings.Cut(name, "/")
		if len(name) < 4 || !validName(name, 32, "_") || isPost && (!digits(post, 1, 10) || post[0] == '0') {
			return "", malformed("source %.80q is not telegram:@name or telegram:@name/<number of a post>", s)
		}
		return Source(s), nil
	}
	if id, ok := strings.CutPrefix(s, "received:"); ok {
		if !isHex(id, 32) {
			return "", malformed("source %.80q is not received:<32 hex digits>", s)
		}
		return Source(s), nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", malformed("source %.80q is not a URL", s)
	case u.Scheme == "":
		return "", malformed("source %.80q has no scheme: write https://… in full", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", malformed("source %.80q: scheme %s is not captured, only http and https", s, u.Scheme)
	case u.Host == "":
		return "", malformed("source %.80q has no host", s)
	}
	return Source(s), nil
}

// IsEvent reports whether the Source names something done, not acquired.
func (s Source) IsEvent() bool { return strings.HasPrefix(string(s), "holdfast:") }

// IsReceived reports whether the Source names what a person handed over.
func (s Source) IsReceived() bool { return strings.HasPrefix(string(s), "received:") }

// ID is 16 bytes in 32 lowercase hex digits: a capture, Case, chain or Task.
type ID string

// NewID draws a random ID.
func NewID() ID { return ID(randomHex(16)) }

// NewNonce draws 32 random bytes, as 64 lowercase hex digits.
func NewNonce() string { return randomHex(32) }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand crashes the program instead
	return hex.EncodeToString(b)
}

// CaptureID derives the ID of one step of a Task. The same ask after a crash
// has the same ID, so a repeated publication is recognised (bundle.md, 2).
// attempt counts this step's accepted failures.
func CaptureID(task ID, step uint64, attempt uint32) ID {
	b, _ := hex.DecodeString(string(task))
	b = binary.BigEndian.AppendUint64(b, step)
	b = binary.BigEndian.AppendUint32(b, attempt)
	return shortHash(b)
}

// EventID derives the ID of the Event that carries line n of a chain.
func EventID(chain ID, n int64) ID {
	b, _ := hex.DecodeString(string(chain))
	return shortHash(binary.BigEndian.AppendUint64(b, uint64(n)))
}

func shortHash(b []byte) ID {
	h := sha256.Sum256(b)
	return ID(hex.EncodeToString(h[:16]))
}

// ParseID checks the form of an ID from outside.
func ParseID(s string) (ID, error) {
	if !isHex(s, 32) {
		return "", malformed("%.40q is not an id of 32 lowercase hex digits", s)
	}
	return ID(s), nil
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Names of docs/bundle.md section 2. Each call compiles nothing: plain loops
// keep the package free of globals.
func validName(s string, max int, extra string) bool {
	if s == "" || len(s) > max {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}

// ValidObjectName reports whether s may name an Object or a slice.
func ValidObjectName(s string) bool {
	return validName(s, 128, "._-") && !strings.ContainsAny(s[:1], "._-") && s != "manifest.json" && s != "slices"
}

// ValidAuthorityName reports whether s may name an Authority; `own` is the
// node's.
func ValidAuthorityName(s string) bool { return validName(s, 40, "-") && s[0] != '-' }

// NodeName joins a chosen label and the log key's hash: the name cannot be
// taken by a node that holds another log key.
func NodeName(label string, logKey []byte) (string, error) {
	if !ValidAuthorityName(label) {
		return "", malformed("node label %.60q: use 1 to 40 of a-z, 0-9 and -, not first", label)
	}
	h := sha256.Sum256(logKey)
	return label + "." + hex.EncodeToString(h[:8]), nil
}

func validNode(s string) bool {
	label, key, ok := strings.Cut(s, ".")
	return ok && ValidAuthorityName(label) && isHex(key, 16)
}

// ValidSealID reports whether s is `<queue>-<partition>-<first position>`.
func ValidSealID(s string) bool {
	p := strings.Split(s, "-")
	return len(p) == 3 && isHex(p[0], 16) && digits(p[1], 1, 9) && (p[1] == "0" || p[1][0] != '0') && digits(p[2], 20, 20)
}

func digits(s string, lo, hi int) bool {
	return len(s) >= lo && len(s) <= hi && strings.Trim(s, "0123456789") == ""
}

// SealID names the Seal of the batch that begins at a queue position.
func SealID(queue string, partition int, first int64) string {
	return fmt.Sprintf("%s-%d-%020d", queue, partition, first)
}

// Time is a UTC instant in whole milliseconds, the only form that documents
// carry: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
type Time struct{ time.Time }

const timeForm = "2006-01-02T15:04:05.000Z"

// At truncates t to the precision of documents.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// String returns the one text form.
func (t Time) String() string { return t.UTC().Format(timeForm) }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON overrides that of the embedded time.Time.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalText accepts the one text form only.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(timeForm, string(b))
	if err != nil || len(b) != len(timeForm) {
		return malformed("time %.40q is not of the form %s", b, timeForm)
	}
	t.Time = v
	return nil
}

// UnmarshalJSON overrides that of the embedded time.Time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' {
		return malformed("time is not a string")
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
