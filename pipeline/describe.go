package pipeline

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"strings"

	"holdfast"
	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
)

// describe copies what the Collector says of the act of acquisition. Text is
// made valid UTF-8: the encoder would write an escape for what is not, and that
// is not canonical.
func describe(m *holdfast.Manifest, a *collectors.Acquired, f Facts, out Outside, v *Version) {
	m.Started, m.Ended = holdfast.At(a.Started), holdfast.At(a.Ended)
	m.Completeness = completeness(a)
	c := a.Collection
	m.Collection = holdfast.Collection{Browser: browser(c), Clock: f.Clock, Config: f.Config, Node: f.Node, Server: server(c),
		Egress: or(clean(c.Egress), f.Egress, "unknown"), Identity: or(clean(c.Account), "none"), Software: f.Software}
	m.Collection.Clock.Source = or(f.Clock.Source, "node")
	if s := c.Servers.String(); s != "" {
		m.Collection.Clock.Source += "; " + s
	}
	if r := clockDiffers(f.Clock); r != "" {
		m.Completeness.Reasons = append(m.Completeness.Reasons, r)
	}
	for _, t := range a.Transformations {
		action := clean(t.Action)
		if t.Detail != "" {
			action += ": " + clean(t.Detail)
		}
		m.Transformations = append(m.Transformations, holdfast.Transformation{Action: action, Inputs: append([]string{}, t.Inputs...), Output: t.Output, Tool: clean(t.Tool)})
	}
	for _, k := range a.Commitments {
		m.Commitments = append(m.Commitments, holdfast.Commitment{Digest: k.Digest, Name: k.Name})
	}
	if strings.HasPrefix(string(m.Source), "http") && a.Address.Asked != "" {
		m.Web = web(a.Address)
	}
	m.X = extra(c, out, v)
}

func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func cleanAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = clean(s)
	}
	return out
}

// or returns the first that is not empty.
func or(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func web(a collectors.Address) *holdfast.Web {
	w := &holdfast.Web{Asked: canon.Text(a.Asked), Final: canon.Text(a.Final)}
	for _, h := range a.Redirects {
		w.Redirects = append(w.Redirects, holdfast.Redirect{Status: int64(h.Status), URL: canon.Text(h.URL)})
	}
	return w
}

// completeness sorts what is missing by its kind; the numbers, which count also
// what a cut list leaves out, stand among the reasons.
func completeness(a *collectors.Acquired) holdfast.Completeness {
	k := a.Completeness
	c := holdfast.Completeness{Asked: int64(k.Requests), Outcome: string(a.Outcome)}
	for _, r := range a.Reasons {
		s := clean(r.Code)
		if r.Detail != "" {
			s += ": " + clean(r.Detail)
		}
		c.Reasons = append(c.Reasons, s)
	}
	if k.Cut {
		c.Reasons = append(c.Reasons, fmt.Sprintf("list-cut: %d failed, %d truncated, %d blocked in all", k.Failed, k.Truncated, k.Blocked))
	}
	for _, m := range k.Missing {
		miss := holdfast.Missing{Reason: clean(m.Why), URL: canon.Text(m.URL)}
		switch m.Kind {
		case collectors.MissBlocked:
			c.Blocked = append(c.Blocked, miss)
		case collectors.MissTruncated:
			c.Truncated = append(c.Truncated, miss)
		default:
			c.Failed = append(c.Failed, miss)
		}
	}
	return c
}

func browser(c collectors.Collection) *holdfast.Browser {
	if c.Browser == "" {
		return nil
	}
	name, version := clean(c.Browser), ""
	if i := strings.LastIndexAny(name, " /"); i > 0 {
		name, version = name[:i], name[i+1:]
	}
	return &holdfast.Browser{Flags: cleanAll(c.Flags), Locale: clean(c.Locale), Name: name, Timezone: clean(c.Timezone),
		UserAgent: clean(c.UserAgent), Version: version, Viewport: clean(c.Viewport)}
}

func server(c collectors.Collection) *holdfast.Server {
	p := c.Peer
	if p.Address == "" && len(p.Resolved) == 0 && !p.Unobserved {
		return nil
	}
	s := &holdfast.Server{Addresses: cleanAll(p.Resolved), Peer: clean(p.Address), Protocol: strings.Join(cleanAll(c.Protocols), ", ")}
	if p.Unobserved {
		s.Peer = "not observed"
	}
	if p.TLS != nil {
		s.TLS = &holdfast.TLS{Cipher: clean(p.TLS.Cipher), Verdict: clean(p.TLS.Verdict), Version: clean(p.TLS.Version), Chain: make([]string, len(p.TLS.Chain))}
		for i, d := range p.TLS.Chain {
			s.TLS.Chain[i] = d.Hex()
		}
	}
	return s
}

// collector is what the Manifest has no member for; members in canonical order.
type collector struct {
	Browser  string   `json:"browser_digest,omitempty"`
	Notes    []string `json:"notes"`
	Program  *program `json:"program,omitempty"`
	Software string   `json:"software"`
	TLS      *leaf    `json:"tls,omitempty"`
}

// more is the Manifest's `x`; members in canonical order.
type more struct {
	Collector collector `json:"collector"`
	Outside   []string  `json:"outside,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Version   *Version  `json:"version,omitempty"`
}

// program is one that was run beside; members in canonical order.
type program struct {
	Arguments []string `json:"arguments,omitempty"`
	Digest    string   `json:"digest,omitempty"`
	Name      string   `json:"name"`
	Version   string   `json:"version,omitempty"`
}

type leaf struct {
	Host      string        `json:"host"`
	Issuer    string        `json:"issuer"`
	NotAfter  holdfast.Time `json:"not_after"`
	NotBefore holdfast.Time `json:"not_before"`
	Subject   string        `json:"subject"`
}

func extra(c collectors.Collection, out Outside, v *Version) []byte {
	x := more{Collector: collector{Notes: cleanAll(c.Notes), Software: clean(c.Software)}, Outside: cleanAll(out.Rules), Reason: clean(out.Reason), Version: v}
	if !c.BrowserDigest.IsZero() {
		x.Collector.Browser = c.BrowserDigest.String()
	}
	if p := c.Program; p != nil {
		x.Collector.Program = &program{Arguments: cleanAll(p.Arguments), Name: clean(p.Name), Version: clean(p.Version)}
		if !p.Digest.IsZero() {
			x.Collector.Program.Digest = p.Digest.String()
		}
	}
	if t := c.Peer.TLS; t != nil {
		x.Collector.TLS = &leaf{Host: clean(c.Peer.Host), Issuer: clean(t.Issuer), Subject: clean(t.Subject),
			NotAfter: holdfast.At(t.NotAfter), NotBefore: holdfast.At(t.NotBefore)}
	}
	b, err := canon.Append(nil, x)
	if err != nil { // a year that no document can carry: Encode refuses such a time elsewhere
		x.Collector.TLS = nil
		b, _ = canon.Append(nil, x) // strings alone
	}
	return b
}

// commit computes the commitments of an Object's slices in one pass over its
// bytes; a large Object is streamed from the store, which checks its Digest.
func (in *Intake) commit(ctx context.Context, o collectors.Object) ([]holdfast.Slice, error) {
	if len(o.SliceSecret) != sha256.Size {
		return nil, fmt.Errorf("the secret has %d bytes, not %d", len(o.SliceSecret), sha256.Size)
	}
	if !o.Kept {
		return commitTo(o, func(h io.Writer, from, length int64) error {
			if from+length > int64(len(o.Inline)) {
				return io.ErrUnexpectedEOF
			}
			_, err := h.Write(o.Inline[from : from+length])
			return err
		})
	}
	r, _, err := in.Store.Open(ctx, o.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	at := int64(0)
	out, err := commitTo(o, func(h io.Writer, from, length int64) error {
		if _, err := io.CopyN(io.Discard, r, from-at); err != nil {
			return err
		}
		at = from + length
		_, err := io.CopyN(h, r, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return out, nil
}

// commitTo asks copy for the bytes of each slice, one behind the other.
func commitTo(o collectors.Object, copy func(to io.Writer, from, length int64) error) ([]holdfast.Slice, error) {
	out, at, h := make([]holdfast.Slice, len(o.Slices)), int64(0), sha256.New()
	for i, s := range o.Slices {
		if s.Offset < at || s.Length < 0 || s.Length > math.MaxInt64-s.Offset {
			return nil, fmt.Errorf("slice %.80q overlaps or is out of order", s.Name)
		}
		h.Reset()
		h.Write(holdfast.SliceSalt(o.SliceSecret, s.Name))
		if err := copy(h, s.Offset, s.Length); err != nil {
			return nil, fmt.Errorf("slice %.80q: %w", s.Name, err)
		}
		at = s.Offset + s.Length
		out[i] = holdfast.Slice{Commitment: hashing.Digest(h.Sum(nil)), Length: s.Length, Name: s.Name, Offset: s.Offset}
	}
	return out, nil
}
