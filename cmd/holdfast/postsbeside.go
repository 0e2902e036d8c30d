package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/kept"
	"holdfast/messages"
)

// beside is what is said of a channel that no post says: how it was itself, its
// topics, its stories. Each is read where it lies, and what follows is folded when it
// is asked for.
type beside struct {
	role    string
	passing []string // members that change without being another state
}

// besideOf is what a flag asks for; nil: none of them.
func (o postsOptions) besideOf() *beside {
	switch {
	case o.channel:
		return &beside{catalog.RoleChannel, []string{"members", "pts", "received"}}
	case o.topics:
		return &beside{catalog.RoleTopics, []string{"top"}}
	case o.stories:
		return &beside{catalog.RoleStories, []string{"forwards", "reactions", "views"}}
	}
	return nil
}

// besideState is one state of a thing, from the first time that it was seen so to the
// last before it was another, or until now.
type besideState struct {
	id          int64 // of a topic or a story
	key         string
	line        json.RawMessage // as it was last
	changed     []string        // members that were otherwise before
	first, last catalog.Sight
}

// stateMaker folds documents, oldest first.
type stateMaker struct {
	of     beside
	states []besideState
	newest map[int64]int // of states, by id
}

// line takes one in. One that is as it was before goes on; one that is another, also
// one that is as it was once, is a further state.
func (m *stateMaker) line(s catalog.Sight, b []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	var id int64
	if raw := all["id"]; raw != nil {
		if err := json.Unmarshal(raw, &id); err != nil {
			return err
		}
	}
	still := maps.Clone(all)
	for _, p := range append([]string{"kind", "training", "version"}, m.of.passing...) {
		delete(still, p)
	}
	k, err := canon.Marshal(still)
	if err != nil {
		return err
	}
	at, known := m.newest[id]
	if known && m.states[at].key == string(k) {
		m.states[at].last, m.states[at].line = s, b
		return nil
	}
	n := besideState{id: id, key: string(k), line: b, first: s, last: s}
	if known {
		n.changed = differs(m.states[at].key, string(k))
	}
	if m.newest == nil {
		m.newest = map[int64]int{}
	}
	m.newest[id] = len(m.states)
	m.states = append(m.states, n)
	return nil
}

// differs names the members in which two documents are not the same, sorted.
func differs(a, b string) (names []string) {
	var x, y map[string]json.RawMessage
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return nil
	}
	for name := range maps.Keys(x) {
		if !bytes.Equal(x[name], y[name]) {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(y) {
		if _, ok := x[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sayBeside prints them, one line a state. Of a document that cannot be read the
// reason is on the log.
func (c *cli) sayBeside(ctx context.Context, n *node, name telegram.Name, b beside) error {
	m, read := stateMaker{of: b}, n.kept()
	source := holdfast.Source(telegram.Name{Channel: name.Channel}.Source())
	for d, err := range n.cat.Documents(ctx, source, b.role) {
		if err != nil {
			return err
		}
		if err := m.document(ctx, read, d); err != nil {
			n.log.WarnContext(ctx, "not read", "capture", d.Capture, "role", b.role, "err", err)
		}
	}
	if len(m.states) == 0 {
		return fmt.Errorf("posts: no capture of @%s has its %s: `holdfast capture %s%s` asks the service", name.Channel, b.role, source, map[string]string{catalog.RoleStories: " --stories"}[b.role])
	}
	slices.SortStableFunc(m.states, func(x, y besideState) int { return int(x.id - y.id) })
	version := 0
	for i, s := range m.states {
		if version++; i > 0 && m.states[i-1].id != s.id {
			version = 1
		}
		last := i+1 == len(m.states) || m.states[i+1].id != s.id
		c.say(map[string]any{"source": source, "kind": b.role, "id": idOrNil(s.id), "version": version, "current": last, "changed": append([]string{}, s.changed...), "line": s.line,
			"first_seen": s.first.At, "capture": s.first.Capture, "capture_state": s.first.State,
			"last_seen": s.last.At, "last_capture": s.last.Capture, "last_capture_state": s.last.State}, "%s", s.text(version))
	}
	return nil
}

func idOrNil(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func (m *stateMaker) document(ctx context.Context, read *kept.Reader, d catalog.Document) error {
	parsed, err := read.Parsed(ctx, d.Capture)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(parsed.Objects, func(o holdfast.Object) bool { return o.Digest == d.Digest && o.Role == d.Role })
	if i < 0 {
		return errors.New("its manifest has no such object")
	}
	b, err := read.Bytes(ctx, d.Capture, parsed.Objects[i], catalog.MaxAnswerBytes)
	if err != nil {
		return err
	}
	if d.Role == catalog.RoleChannel {
		return m.line(d.Sight, b)
	}
	_, rest, _ := bytes.Cut(b, []byte("\n")) // behind the head
	for line := range bytes.Lines(rest) {
		if err := m.line(d.Sight, bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (s besideState) text(version int) string {
	var l struct {
		Title, Text canon.Text
		Names       []string
		Closed      bool
		Deleted     bool
		Scam, Fake  bool
		Verified    bool
		Linked      string
		Expires     string
	}
	_ = json.Unmarshal(s.line, &l) // what is not there is left out
	out := fmt.Sprintf("version %d  seen %s to %s  %s (%s)  %s", version, s.first.At, s.last.At, s.first.Capture, s.first.State, shortText(l.Title+l.Text))
	if s.id > 0 {
		out = fmt.Sprintf("%8d  ", s.id) + out
	}
	for word, is := range map[string]bool{"closed": l.Closed, "deleted": l.Deleted, "fake": l.Fake, "scam": l.Scam, "verified": l.Verified} {
		if is {
			s.changed = append(s.changed, "is "+word)
		}
	}
	slices.Sort(s.changed)
	if len(l.Names) > 0 {
		out += "  @" + strings.Join(l.Names, " @")
	}
	if len(s.changed) > 0 {
		out += "  (" + strings.Join(s.changed, ", ") + ")"
	}
	return messages.Visible(out)
}

// sayComments prints the posts of the discussion group that stand below a post.
func (c *cli) sayComments(ctx context.Context, n *node, name telegram.Name, channels []catalog.Channel, o postsOptions) error {
	found, lines := false, kept.NewLines(n.kept())
	o.several = true // each line names the group
	for _, k := range channels {
		for at, err := range n.cat.Below(ctx, catalog.Thread{Channel: k.ID, Post: int64(name.Post)}) {
			if err != nil {
				return err
			}
			for p, err := range n.cat.Posts(ctx, catalog.PostQuery{Channel: at.Channel, Post: at.Post}) {
				if err != nil {
					return err
				}
				found = true
				c.sayPost(ctx, p, o, lines)
			}
		}
	}
	if !found {
		return fmt.Errorf("posts: no capture has comments on post %d of @%s: `holdfast capture %s --comments yes` asks for them", name.Post, name.Channel, name.Source())
	}
	return nil
}
