package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// LineObject is the name of an Event's only Object.
const LineObject = "line.json"

// MaxName is the longest name of a Case, in bytes.
const MaxName = 1024

// Accepted is a normalised message, as far as a catalog keeps it: made by
// [Read], for Events completed by [Accepted.ReadLine], for captures of posts by
// [Accepted.ReadPosts].
type Accepted struct {
	Capture // what the Manifest and the position give; no state

	Head    Head     // of the home Case's chain at acceptance
	Line    *Line    // of an Event whose line was read
	Answers []Answer // of the Objects of role posts that were read
	Page    *Page    // of a capture of a page whose text was read
	Objects []hashing.Digest

	Documents []Document // by role and place; without a Sight

	line      hashing.Digest
	size      int64
	posts     []Small
	page      []Small
	pageRoles []string // of page
	addresses []string // of the page itself
}

// Small names bytes that the catalog wants to read.
type Small struct {
	Digest hashing.Digest
	Size   int64
}

// Head says that a chain has so many lines.
type Head struct {
	Chain  holdfast.ID
	Length int64
}

// Line is what a catalog keeps of a custody line.
type Line struct {
	Chain holdfast.ID
	N     int64
	At    holdfast.Time
	Name  string  // of the Case, from `opened`
	Given []Given // exhibit numbers, from `exported`

	Record *Record       // of the Case, from `changed`, and from an `opened` that holds one
	Named  []holdfast.ID // Captures that `collected` or `received` names
	Added  []holdfast.ID // Captures of other Cases, from `added`
}

// Given is a number that an export gave to a capture.
type Given struct {
	Capture holdfast.ID `json:"capture"`
	Number  string      `json:"number"`
}

// Read takes from a Manifest what the catalog keeps; manifest may be changed
// afterwards. Errors wrap holdfast.ErrForm or holdfast.ErrNewer: the message is
// poison, and the caller reports and skips it.
func Read(position int64, manifest []byte) (Accepted, error) {
	m, err := holdfast.ParseManifest(manifest)
	if err != nil {
		return Accepted{}, fmt.Errorf("read manifest at position %d: %w", position, err)
	}
	a := Accepted{Head: Head{m.Custody.Chain, m.Custody.Length}}
	a.Capture = Capture{
		ID: m.ID, Kind: m.Kind, Source: m.Source, Case: m.Case, Started: m.Started, Ended: m.Ended,
		Outcome: m.Completeness.Outcome, Agent: m.Agent, Node: m.Collection.Node, Training: m.Training,
		Manifest: hashing.Of(manifest), Position: position,
	}
	if o := m.Object(LineObject); o != nil && m.Kind == holdfast.KindEvent {
		a.line, a.size = o.Digest, o.Size
	}
	for _, o := range m.Objects {
		if o.Role == RolePosts && m.Kind == holdfast.KindCapture && len(a.posts) < MaxAnswers {
			a.posts = append(a.posts, Small{o.Digest, o.Size})
		}
		a.Objects = append(a.Objects, o.Digest)
	}
	a.statePage(m)
	a.stateDocuments(m)
	return a, nil
}

// statePage notes which Objects hold the text of a page: of each role the first. The text
// of frames is left out where it is larger than what is searched of a page: else the page
// itself would not be.
func (a *Accepted) statePage(m *holdfast.Manifest) {
	if m.Kind != holdfast.KindCapture {
		return
	}
	for _, role := range []string{RoleText, RolePage, RoleFrames} {
		for _, o := range m.Objects {
			if o.Role == role && (role == RoleText || len(a.page) > 0) && (role != RoleFrames || o.Size <= MaxPageText) {
				a.page, a.pageRoles = append(a.page, Small{o.Digest, o.Size}), append(a.pageRoles, role)
				break
			}
		}
	}
	own := []string{string(m.Source)}
	if m.Web != nil {
		own = append(own, string(m.Web.Asked), string(m.Web.Final))
	}
	a.addresses = addresses(own, nil)
}

// LineDigest names the Event's custody line, whose bytes ReadLine wants; ok is
// false for a Capture. The bytes ride inline in the message, lie in a pack, or,
// if larger than a message may be, are an Object of the store.
func (a *Accepted) LineDigest() (d hashing.Digest, size int64, ok bool) {
	return a.line, a.size, !a.line.IsZero()
}

// ReadLine takes from the custody line what the catalog keeps. An error, which
// wraps hashing.ErrMismatch, holdfast.ErrForm or holdfast.ErrNewer, leaves a as
// it was: the Event itself can still be indexed.
func (a *Accepted) ReadLine(line []byte) error {
	if got := hashing.Of(line); got != a.line {
		return fmt.Errorf("read custody line of event %s: bytes are %s: %w", a.ID, got, hashing.ErrMismatch)
	}
	l, err := holdfast.ParseLine(line)
	if err != nil {
		return fmt.Errorf("read custody line of event %s: %w", a.ID, err)
	}
	// The ID binds the Event to its place in the chain: a line that was moved
	// under another Event names no Case and gives no number.
	if l.Case != a.Case || holdfast.EventID(l.Chain, l.N) != a.ID {
		return fmt.Errorf("read custody line of event %s: it is line %d of chain %s of case %s: %w", a.ID, l.N, l.Chain, l.Case, holdfast.ErrForm)
	}
	k := Line{Chain: l.Chain, N: l.N, At: l.At}
	if err := k.take(l); err != nil {
		return fmt.Errorf("read custody line of event %s (%.40q): %w", a.ID, l.Action, err)
	}
	a.Line = &k
	return nil
}

// PostsObjects are the Objects whose bytes ReadPosts wants, each at most
// MaxAnswerBytes: inline in the message, in a pack, or Objects of the store.
func (a *Accepted) PostsObjects() []Small { return a.posts }

// ReadPosts takes what the Object of that place says of posts. An error, as that of
// [ParseAnswer] or hashing.ErrMismatch, leaves a as it was.
func (a *Accepted) ReadPosts(part int, b []byte) error {
	if got := hashing.Of(b); got != a.posts[part].Digest {
		return fmt.Errorf("read posts of capture %s: bytes are %s: %w", a.ID, got, hashing.ErrMismatch)
	}
	answer, err := ParseAnswer(b)
	if err != nil {
		return fmt.Errorf("read posts of capture %s: %w", a.ID, err)
	}
	answer.Part = part
	a.Answers = append(a.Answers, answer)
	return nil
}

func (k *Line) take(l *holdfast.Line) error {
	switch l.Action {
	case "opened":
		name, r, err := parseRecord(l.X)
		if err != nil || name == "" || len(name) > MaxName {
			return fmt.Errorf("no name of 1 to %d bytes, or no sound record: %w", MaxName, errors.Join(err, holdfast.ErrForm))
		}
		if k.Name = name; !r.IsZero() { // a chain begun anew without one takes nothing back
			k.Record = &r
		}
	case "changed", "held", "released":
		_, r, err := parseRecord(l.X)
		if err != nil {
			return err
		}
		k.Record = &r
	case "collected", "received":
		k.Named = ids(l.Objects)
	case "added":
		k.Added = ids(l.Objects)
	case "exporting", "exported": // which gave the numbers before there was the other
		var x struct {
			Exhibits []Given `json:"exhibits"`
		}
		if err := json.Unmarshal(l.X, &x); err != nil {
			return fmt.Errorf("exhibits: %w: %w", holdfast.ErrForm, err)
		}
		for _, g := range x.Exhibits {
			if _, err := holdfast.ParseID(string(g.Capture)); err != nil || !validNumber(g.Number) {
				return fmt.Errorf("exhibit %.40q of capture %.40q: %w", g.Number, g.Capture, holdfast.ErrForm)
			}
		}
		k.Given = x.Exhibits
	}
	return nil
}

// ids returns those of a line's objects that are IDs: the rest names other things.
func ids(objects []string) (out []holdfast.ID) {
	for _, o := range objects {
		if id, err := holdfast.ParseID(o); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// validNumber accepts a decimal from 1 without leading zeros. The number is the
// Case's own; the `<k>-` of a Bundle of several Cases is not kept.
func validNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 9 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}
