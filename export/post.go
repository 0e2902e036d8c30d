package export

import (
	"encoding/json"
	"fmt"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// Roles and names of what the node makes out of what it knows of one post, for
// people and for programs (docs/bundle.md, section 3).
const (
	RolePost     = "post-json"
	RolePostPage = "post-page"
	NamePost     = "post.json"
	NamePostPage = "post.html"
)

// States of a post, as a catalog says them.
const (
	statePresent = "present"
	stateEdited  = "edited"
	stateAbsent  = "absent"
	stateUnknown = "unknown"
)

// Post is post.json: what follows from all Captures that observed a post. It is
// derived and names what it follows from; it states, and proves nothing. Members
// stand in canonical order.
type Post struct {
	Absences []PostAbsence   `json:"absences"`
	AsOf     holdfast.Time   `json:"as_of"` // of the newest observation
	Captures []PostCapture   `json:"captures"`
	Channel  string          `json:"channel"` // its number
	Class    string          `json:"class"`   // of the statement: always "derived"
	Edits    []PostEdit      `json:"edits"`
	ID       int64           `json:"id"`
	Kind     string          `json:"kind"` // "post"
	Series   []PostCount     `json:"series"`
	Source   holdfast.Source `json:"source"`
	State    string          `json:"state"` // present, edited, absent, unknown
	Title    canon.Text      `json:"title"`
	Training bool            `json:"training"`
	Version  int             `json:"version"`
	Versions []PostVersion   `json:"versions"`
}

// PostSight is an observation: when, how, in which Capture.
type PostSight struct {
	At      holdfast.Time `json:"at"`
	Capture holdfast.ID   `json:"capture"`
	How     string        `json:"how"`
}

// PostVersion is one content of a post. Line is its line of posts.jsonl in the
// Capture that showed it first; nil if that cannot be read any more.
type PostVersion struct {
	Content    hashing.Digest  `json:"content"`
	Edited     *holdfast.Time  `json:"edited,omitempty"` // as the service says
	First      PostSight       `json:"first"`
	Last       PostSight       `json:"last"`
	Line       json.RawMessage `json:"line,omitempty"`
	Posted     *holdfast.Time  `json:"posted,omitempty"` // as the service says
	TextDigest hashing.Digest  `json:"text_digest"`
}

// PostEdit is a change from one version to the next, by places among the versions,
// from 1: it was made after the one was last seen, or while both were, and before
// the other was first seen.
type PostEdit struct {
	After  holdfast.Time  `json:"after"`
	Before holdfast.Time  `json:"before"`
	From   int            `json:"from"`
	How    string         `json:"how"`
	Stated *holdfast.Time `json:"stated,omitempty"` // when the service says
	To     int            `json:"to"`
}

// PostAbsence is a time in which it was gone, or nothing could be relied on.
type PostAbsence struct {
	After *holdfast.Time `json:"after,omitempty"` // it was last seen then
	Back  *holdfast.Time `json:"back,omitempty"`  // it was seen again then
	First PostSight      `json:"first"`
	Last  PostSight      `json:"last"`
	State string         `json:"state"` // absent, unknown
	Told  bool           `json:"told"`  // the service told the deletion
}

// PostCount is what the counters were; 0 is also "not said".
type PostCount struct {
	At       holdfast.Time `json:"at"`
	Capture  holdfast.ID   `json:"capture"`
	Forwards int64         `json:"forwards"`

	// Poll is how it was answered, as the catalog says it: nil of what is no poll.
	Poll json.RawMessage `json:"poll,omitempty"`

	Reactions int64 `json:"reactions"`
	Replies   int64 `json:"replies"`
	Views     int64 `json:"views"`
}

// PostCapture is a Capture that observed it, or that is about it alone, and how far
// it had come when this was made.
type PostCapture struct {
	Capture  holdfast.ID     `json:"capture"`
	Manifest hashing.Digest  `json:"manifest"`
	Seal     string          `json:"seal"` // "" while pending
	Source   holdfast.Source `json:"source"`
	State    State           `json:"state"`
	Time     *holdfast.Time  `json:"time,omitempty"` // of the Seal: it existed at the latest then
}

// Encode returns the canonical bytes of post.json.
func (p *Post) Encode() ([]byte, error) {
	c := *p
	c.Class, c.Kind, c.Version = "derived", "post", 1
	notNil(&c.Absences)
	notNil(&c.Captures)
	notNil(&c.Edits)
	notNil(&c.Series)
	notNil(&c.Versions)
	b, err := canon.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode post %d: %w", p.ID, err)
	}
	return b, nil
}

func notNil[T any](s *[]T) {
	if *s == nil {
		*s = []T{}
	}
}
