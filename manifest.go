package holdfast

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"holdfast/canon"
	"holdfast/hashing"
)

// Kinds of Manifest.
const (
	KindCapture = "capture"
	KindEvent   = "event"
)

// Limits of docs/bundle.md section 1.
const (
	MaxDocument = 16 << 20
	MaxObjects  = 4096
	MaxSlices   = 65536
	MaxSubjects = 1024
)

// Manifest lists one Capture's Objects and how they were acquired. It is what
// gets sealed; docs/bundle.md section 3 gives every member's meaning and the
// paragraph of the Berkeley Protocol that asks for it. Members stand in the
// order of their JSON names because that is the canonical order.
type Manifest struct {
	Agent           Agent            `json:"agent"`
	Case            ID               `json:"case"`
	Collection      Collection       `json:"collection"`
	Commitments     []Commitment     `json:"commitments"`
	Completeness    Completeness     `json:"completeness"`
	Custody         Head             `json:"custody"`
	Ended           Time             `json:"ended"`
	Found           Found            `json:"found"`
	ID              ID               `json:"id"`
	Kind            string           `json:"kind"`
	Nonce           string           `json:"nonce"`
	Objects         []Object         `json:"objects"`
	Source          Source           `json:"source"`
	Started         Time             `json:"started"`
	Training        bool             `json:"training"`
	Transformations []Transformation `json:"transformations"`
	Version         int              `json:"version"`
	Web             *Web             `json:"web,omitempty"`
	X               json.RawMessage  `json:"x,omitempty"`
}

// Agent is who did it: a pseudonym, a role, an office; "" is not recorded.
type Agent struct {
	Office    string `json:"office"`
	Pseudonym string `json:"pseudonym"`
	Role      string `json:"role"`
}

// Collection is Berkeley Protocol para. 155(g).
type Collection struct {
	Browser  *Browser       `json:"browser,omitempty"`
	Clock    Clock          `json:"clock"`
	Config   hashing.Digest `json:"config"`
	Egress   string         `json:"egress"`
	Identity string         `json:"identity"`
	Node     string         `json:"node"`
	Server   *Server        `json:"server,omitempty"`
	Software Software       `json:"software"`
}

// Browser is what rendered a page.
type Browser struct {
	Flags     []string `json:"flags"`
	Locale    string   `json:"locale"`
	Name      string   `json:"name"`
	Timezone  string   `json:"timezone"`
	UserAgent string   `json:"user_agent"`
	Version   string   `json:"version"`
	Viewport  string   `json:"viewport"`
}

// Clock says where the stated times come from.
type Clock struct {
	OffsetMS int64  `json:"offset_ms,omitempty"`
	Source   string `json:"source"`
}

// Server is what the connection of the main document showed.
type Server struct {
	Addresses []string `json:"addresses"`
	Peer      string   `json:"peer"`
	Protocol  string   `json:"protocol"`
	TLS       *TLS     `json:"tls,omitempty"`
}

// TLS is the connection's certificate chain and how it was judged.
type TLS struct {
	Chain   []string `json:"chain"`
	Cipher  string   `json:"cipher"`
	Verdict string   `json:"verdict"`
	Version string   `json:"version"`
}

// Software names the program by its own Digest.
type Software struct {
	Digest  hashing.Digest `json:"digest"`
	Name    string         `json:"name"`
	Version string         `json:"version"`
}

// Commitment hides a value: SHA-256(JCS({name, salt, value})).
type Commitment struct {
	Digest hashing.Digest `json:"digest"`
	Name   string         `json:"name"`
}

// Completeness states what was asked for and not had.
type Completeness struct {
	Asked     int64     `json:"asked"`
	Blocked   []Missing `json:"blocked"`
	Failed    []Missing `json:"failed"`
	Outcome   string    `json:"outcome"`
	Reasons   []string  `json:"reasons"`
	Truncated []Missing `json:"truncated"`
}

// Missing is one thing that was not had, and why.
type Missing struct {
	Reason string     `json:"reason"`
	URL    canon.Text `json:"url"`
}

// Head is a state of a Custody chain.
type Head struct {
	Chain  ID             `json:"chain"`
	Head   hashing.Digest `json:"head"`
	Length int64          `json:"length"`
}

// Found says how the Source came up and why it was captured.
type Found struct {
	How string `json:"how"`
	Why string `json:"why"`
}

// Object is one bitstream of a Capture.
type Object struct {
	Digest     hashing.Digest `json:"digest"`
	Name       string         `json:"name"`
	Restricted bool           `json:"restricted"`
	Role       string         `json:"role"`
	Size       int64          `json:"size"`
	Slices     []Slice        `json:"slices,omitempty"`
	Type       string         `json:"type"`
}

// Slice is a range of an Object that can be shown without the rest.
type Slice struct {
	Commitment hashing.Digest `json:"commitment"`
	Length     int64          `json:"length"`
	Name       string         `json:"name"`
	Offset     int64          `json:"offset"`
}

// SliceSalt derives a slice's salt from its Object's 32-byte secret. Showing
// one salt reveals nothing of another: HMAC is a pseudo-random function.
func SliceSalt(secret []byte, name string) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(name))
	return m.Sum(nil)
}

// Transformation says what a derived Object was made from.
type Transformation struct {
	Action string   `json:"action"`
	Inputs []string `json:"inputs"`
	Output string   `json:"output"`
	Tool   string   `json:"tool"`
}

// Web is Berkeley Protocol para. 155(a).
type Web struct {
	Asked     canon.Text `json:"asked"`
	Final     canon.Text `json:"final"`
	Redirects []Redirect `json:"redirects"`
}

// Redirect is one step on the way from Asked to Final.
type Redirect struct {
	Status int64      `json:"status"`
	URL    canon.Text `json:"url"`
}

// Encode returns the canonical bytes, or an error wrapping [ErrForm] if m is
// not a valid Manifest. Nil lists are written as empty ones.
func (m *Manifest) Encode() ([]byte, error) {
	c := *m
	c.Version = Version
	fill(&c.Commitments)
	fill(&c.Objects)
	fill(&c.Transformations)
	fill(&c.Completeness.Blocked)
	fill(&c.Completeness.Failed)
	fill(&c.Completeness.Reasons)
	fill(&c.Completeness.Truncated)
	c.Collection.Browser, c.Collection.Server, c.Web = clone(c.Collection.Browser), clone(c.Collection.Server), clone(c.Web)
	if b := c.Collection.Browser; b != nil {
		fill(&b.Flags)
	}
	if s := c.Collection.Server; s != nil {
		fill(&s.Addresses)
		if s.TLS = clone(s.TLS); s.TLS != nil {
			fill(&s.TLS.Chain)
		}
	}
	if c.Web != nil {
		fill(&c.Web.Redirects)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return canon.Append(nil, &c)
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func fill[T any](s *[]T) {
	if *s == nil {
		*s = []T{}
	}
}

// ParseManifest reads canonical bytes from an untrusted place. Errors wrap
// [ErrForm], or [ErrNewer] for a larger version.
func ParseManifest(b []byte) (*Manifest, error) {
	return parse[Manifest](b, MaxDocument)
}

// parse is the way of a document from outside: bounded, read, checked.
func parse[T any, P interface {
	*T
	check() error
}](b []byte, limit int) (P, error) {
	p := P(new(T))
	if err := decode(b, p, limit); err != nil {
		return nil, err
	}
	return p, p.check()
}

// decode is the one door for documents: bounded, version first, canonical.
func decode(b []byte, v any, limit int) error {
	if len(b) > limit {
		return malformed("document of %d bytes, at most %d are read", len(b), limit)
	}
	read := canon.Unmarshal
	if _, ok := v.(nullable); ok {
		read = canon.UnmarshalNullable
	}
	if err := read(b, v); err != nil {
		// A newer document may well have members that this program does not know:
		// only its version says which of the two it is.
		var head struct {
			Predicate struct {
				Version int64 `json:"version"`
			} `json:"predicate"`
			Version int64 `json:"version"`
		}
		if json.Unmarshal(b, &head) == nil && max(head.Version, head.Predicate.Version) > Version {
			return ErrNewer
		}
		return malformed("%w", err)
	}
	return nil
}

// wrongVersion is the error for a version that is not [Version].
func wrongVersion(document string, v int) error {
	if v > Version {
		return ErrNewer
	}
	return malformed("%s version %d", document, v)
}

// nullable marks the documents that have members which may be null; their
// check methods refuse a nil list themselves.
type nullable interface{ nullable() }

func (m *Manifest) check() error {
	c := m.Completeness
	switch {
	case m.Version != Version:
		return wrongVersion("manifest", m.Version)
	case m.Kind != KindCapture && m.Kind != KindEvent:
		return malformed("manifest kind %.40q", m.Kind)
	case (m.Kind == KindEvent) != m.Source.IsEvent():
		return malformed("manifest kind %s with source %.80q", m.Kind, m.Source)
	case !isHex(string(m.ID), 32) || !isHex(string(m.Case), 32) || !isHex(string(m.Custody.Chain), 32) || m.Custody.Length < 1:
		return malformed("manifest id, case or custody head")
	case !isHex(m.Nonce, 64):
		return malformed("manifest nonce is not 64 hex digits")
	case !validNode(m.Collection.Node):
		return malformed("node name %.80q", m.Collection.Node)
	case c.Outcome != "complete" && c.Outcome != "partial" && c.Outcome != "failed":
		return malformed("outcome %.40q", c.Outcome)
	case !validX(m.X):
		return malformed("manifest member x is not a non-empty object")
	case len(m.Objects) > MaxObjects:
		return malformed("manifest has %d objects, at most %d", len(m.Objects), MaxObjects)
	}
	if _, err := ParseSource(string(m.Source)); err != nil {
		return err
	}
	return m.checkObjects()
}

func validX(x json.RawMessage) bool { return x == nil || len(x) > 2 && x[0] == '{' }

func (m *Manifest) checkObjects() error {
	names := make(map[string]bool, len(m.Objects))
	for i, o := range m.Objects {
		if !ValidObjectName(o.Name) || i > 0 && m.Objects[i-1].Name >= o.Name {
			return malformed("object name %.80q not allowed or out of order", o.Name)
		}
		if o.Size < 0 || o.Role == "" || !strings.Contains(o.Type, "/") || o.Digest.IsZero() {
			return malformed("object %s: size, role, type or digest", o.Name)
		}
		if err := o.checkSlices(); err != nil {
			return err
		}
		names[o.Name] = true
	}
	for i, c := range m.Commitments {
		if c.Name == "" || i > 0 && m.Commitments[i-1].Name >= c.Name {
			return malformed("commitment %.80q out of order", c.Name)
		}
	}
	for _, t := range m.Transformations {
		if !names[t.Output] {
			return malformed("transformation of %.80q, which is no object", t.Output)
		}
		for _, in := range t.Inputs {
			if !names[in] || in == t.Output {
				return malformed("transformation of %.80q from %.80q, which is no other object", t.Output, in)
			}
		}
	}
	return nil
}

func (o Object) checkSlices() error {
	if len(o.Slices) > MaxSlices {
		return malformed("object %s: more than %d slices", o.Name, MaxSlices)
	}
	end, seen := int64(0), make(map[string]bool, len(o.Slices))
	for _, s := range o.Slices {
		if !ValidObjectName(s.Name) || strings.HasSuffix(s.Name, ".salt") || seen[s.Name] || s.Offset < end || s.Length < 0 || s.Length > o.Size-s.Offset {
			return malformed("object %s: slice %.80q overlaps, repeats or lies outside", o.Name, s.Name)
		}
		seen[s.Name] = true
		end = s.Offset + s.Length
	}
	return nil
}

// Object returns the Object of that name, or nil.
func (m *Manifest) Object(name string) *Object {
	for i := range m.Objects {
		if m.Objects[i].Name == name {
			return &m.Objects[i]
		}
	}
	return nil
}
