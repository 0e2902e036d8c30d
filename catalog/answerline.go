package catalog

import (
	"bytes"
	"encoding/json"
	"slices"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// PostText is one post's text, by what it is a text of.
type PostText struct {
	Post    int64
	Content hashing.Digest
}

// Texts returns the texts of what ParseAnswer reads; a catalog keeps none.
func Texts(b []byte) (map[PostText]canon.Text, error) {
	a, err := ParseAnswer(b)
	if err != nil {
		return nil, err
	}
	out := make(map[PostText]canon.Text, len(a.Posts))
	for i, p := range a.Posts {
		out[PostText{p.ID, p.Content}] = canon.Text(a.Said[i].Text)
	}
	return out, nil
}

// Lines returns the lines of posts of what ParseAnswer reads, without their LF. They
// share b's memory.
func Lines(b []byte) (map[PostText][]byte, error) {
	a, err := ParseAnswer(b)
	if err != nil {
		return nil, err
	}
	out, i := make(map[PostText][]byte, len(a.Posts)), 0
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	for line := range bytes.Lines(rest) {
		out[PostText{a.Posts[i].ID, a.Posts[i].Content}] = bytes.TrimSuffix(line, []byte("\n"))
		i++
	}
	return out, nil
}

func parseObserved(line []byte) (p Observed, said Said, err error) {
	m, err := readMembers(line)
	if err != nil {
		return p, said, err
	}
	var hidden bool
	var text canon.Text
	var links []canon.Text
	var poll *Poll
	err = m.read(map[string]any{"poll": &poll, "content": &p.Content, "edit_hidden": &hidden, "edited": &p.Edited, "forwards": &p.Forwards, "id": &p.ID, "kind": &p.Kind, "links": &links, "posted": &p.Posted,
		"reactions": &p.Reactions, "replies": &p.Replies, "text": &text, "text_digest": &p.Text, "views": &p.Views})
	switch {
	case err != nil:
		return p, said, err
	case p.ID < 1 || p.Content.IsZero() || p.Kind != "message" && p.Kind != "service":
		return p, said, badAnswer("id %d, kind %.40q, or no content", p.ID, p.Kind)
	case min(p.Views, p.Forwards, p.Reactions, p.Replies) < 0:
		return p, said, badAnswer("a number of post %d is negative", p.ID)
	}
	if poll != nil {
		if p.Poll, err = poll.encode(); err != nil {
			return p, said, err
		}
	}
	if hidden {
		p.Edited = holdfast.Time{} // of a reaction
	}
	if d := hashing.Of([]byte(text)); p.Text.IsZero() {
		p.Text = d
	} else if p.Text != d {
		return p, said, badAnswer("the text of post %d is not that of its digest", p.ID)
	}
	return p, Said{string(text), addresses(nil, links)}, nil
}

// encode is the canonical JSON of what was counted.
func (p *Poll) encode() (string, error) {
	if p.Voters < 0 || max(len(p.Votes), len(p.Correct)) > maxVotes {
		return "", badAnswer("a poll of %d voters, %d answers", p.Voters, len(p.Votes))
	}
	for _, n := range append(slices.Clone(p.Votes), p.Correct...) {
		if n < 0 {
			return "", badAnswer("a number of a poll is negative")
		}
	}
	b, err := canon.Append(nil, p)
	if err != nil {
		return "", badAnswer("poll: %w", err)
	}
	return string(b), nil
}

// object is one of JSON by the exact names of its members: the decoder of structs
// would take `ID` for `id`.
type object map[string]json.RawMessage

func readMembers(b []byte) (object, error) {
	if len(b) > maxLine {
		return nil, badAnswer("a line of %d bytes, at most %d", len(b), maxLine)
	}
	if err := canon.Check(b); err != nil {
		return nil, badAnswer("%w", err)
	}
	var m object
	if err := json.Unmarshal(b, &m); err != nil || m == nil {
		return nil, badAnswer("a line is no object: %.80q", b)
	}
	return m, nil
}

// read decodes the members that are there. Whatever is null is refused.
func (m object) read(into map[string]any) error {
	for name, v := range into {
		raw, ok := m[name]
		if !ok {
			continue
		}
		if string(raw) == "null" {
			return badAnswer("member %s is null", name)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			return badAnswer("member %s: %w", name, err)
		}
	}
	return nil
}
