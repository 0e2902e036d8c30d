// Package warc writes and reads the evidence format for web traffic:
// WARC 1.1 (ISO 28500:2017), one gzip member per record, with its CDXJ index,
// packed as WACZ 1.1.1.
//
// Bodies are streamed from the caller's spool and never held in memory. What
// is written is the strictest common form of the readers that exist: digests
// are `sha256:` and 64 lowercase hex, record IDs are `<urn:uuid:…>`, the file
// is a plain concatenation of gzip members so that any record can be cut out
// by offset and length.
package warc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// The record types of WARC 1.1, clause 6, that this package writes.
const (
	Warcinfo = "warcinfo"
	Response = "response"
	Request  = "request"
	Resource = "resource"
	Metadata = "metadata"
)

// Truncation reasons of clause 5.13 for [Record.Truncated].
const (
	TruncatedLength     = "length"     // a limit on bytes
	TruncatedTime       = "time"       // a limit on time
	TruncatedDisconnect = "disconnect" // the other side went away
	// TruncatedUnspecified is any other reason.
	TruncatedUnspecified = "unspecified"
)

// TimeFormat is the form of WARC-Date and of pages.jsonl: UTC, milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// ErrFormat is wrapped by every error for bytes that are not the WARC or HTTP
// that they claim to be; ErrDigest by the error for a block that is not the one
// its header names; ErrLimit by the error for input beyond a bound.
var (
	ErrFormat = errors.New("malformed")
	ErrDigest = errors.New("digest mismatch")
	ErrLimit  = errors.New("limit exceeded")
)

// Field is one named field; order and repetition are kept.
type Field struct{ Name, Value string }

// Fields is a header as it stands. Names compare without case.
type Fields []Field

// Get returns the first value of name, or "".
func (f Fields) Get(name string) string {
	for _, x := range f {
		if strings.EqualFold(x.Name, name) {
			return x.Value
		}
	}
	return ""
}

// List returns all values of a name that may stand on several lines, as one
// (RFC 9110, 5.3).
func (f Fields) List(name string) string {
	var all []string
	for _, x := range f {
		if strings.EqualFold(x.Name, name) {
			all = append(all, x.Value)
		}
	}
	return strings.Join(all, ", ")
}

// Has reports whether name has the comma-separated token, without case.
func (f Fields) Has(name, token string) bool {
	for _, x := range f {
		if !strings.EqualFold(x.Name, name) {
			continue
		}
		for part := range strings.SplitSeq(x.Value, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Record is one record to be written. Block gives exactly Length bytes.
type Record struct {
	Type          string
	ID            string // see NewID; drawn when empty
	Date          time.Time
	TargetURI     string // none for warcinfo
	ContentType   string // of the block
	BlockDigest   string // `sha256:` + hex of the block
	PayloadDigest string // the HTTP body without transfer coding, content coding kept; "" if there is none
	ConcurrentTo  []string
	RefersTo      string
	IP            string   // WARC-IP-Address, no port
	Protocols     []string // WARC-Protocol, e.g. http/1.1, tls/1.3
	Cipher        string   // WARC-Cipher-Suite, IANA name
	Truncated     string   // see the Truncated constants
	Filename      string   // warcinfo only
	Label         string   // Holdfast-Label, a field of our own: what the block is, if not what the wire carried
	AskedBy       string   // Holdfast-Asked-By, likewise: the program that asked for it, if not the browser or the recorder
	Block         io.Reader
	Length        int64
}

// Span is where a record lies in the file, in bytes: its whole gzip member.
type Span struct{ Offset, Length int64 }

// NewID draws a record ID of the form `<urn:uuid:…>` (RFC 9562, version 4).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("<urn:uuid:%x-%x-%x-%x-%x>", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Digest names b in the form that WARC fields have.
func Digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// SumDigest is Digest for bytes that were written to a SHA-256.
func SumDigest(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
