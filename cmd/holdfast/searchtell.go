package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/kept"
	"holdfast/messages"
	"holdfast/search"
)

// searcher tells what was found. It is not safe for concurrent use.
type searcher struct {
	n     *node
	from  *kept.Reader
	texts *kept.Texts
	query search.Query
	cases map[holdfast.ID]string
}

// hit is one row of `search --json`, a contract, and the lines of it.
func (s *searcher) hit(ctx context.Context, h catalog.Hit) (row map[string]any, lines []string, err error) {
	var seen []map[string]any
	snippet, in := "", ""
	for _, p := range h.Seen {
		row, line, text, err := s.place(ctx, h, p, snippet == "")
		if err != nil {
			return nil, nil, err
		}
		if snippet == "" && (text.body != "" || text.frames != "") {
			snippet, in = s.snippet(text)
		}
		if seen = append(seen, row...); len(lines) < searchShown {
			lines = append(lines, line...)
		}
	}
	if more := len(seen) - len(lines); more > 0 || h.More {
		lines = append(lines, fmt.Sprintf("    … and %d more places", max(more, 1)))
	}
	row = map[string]any{"text_digest": h.Text, "language": textOrNil(h.Language), "snippet": textOrNil(snippet), "in": textOrNil(in), "seen": seen, "more": h.More}
	if snippet == "" {
		snippet = "(no text, or it cannot be read any more)"
	}
	if in == inFrame {
		snippet = "in a frame: " + snippet
	}
	return row, append([]string{snippet}, lines...), nil
}

// inFrame is said where what was found stands in a frame of a page, which may be
// another site's, and not in the page itself.
const inFrame = "frame"

// readText is what was read of a place: of a page what is its own, and what its frames
// show.
type readText struct{ body, frames string }

// snippet is the part of a text that shows what was found, and where that stands: what
// the page itself says goes first.
func (s *searcher) snippet(t readText) (snippet, in string) {
	text := t.body
	if t.frames != "" && !s.query.Shows(t.body) && s.query.Shows(t.frames) {
		text, in = t.frames, inFrame
	}
	return messages.Visible(s.query.Snippet(text, snippetAround)), in
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// place tells of one place; of a post each version that has this text. text is read
// if it is wanted.
func (s *searcher) place(ctx context.Context, h catalog.Hit, p catalog.Place, want bool) (rows []map[string]any, lines []string, text readText, err error) {
	if p.Channel == "" {
		return s.page(ctx, p, want)
	}
	for post, err := range s.n.cat.Posts(ctx, catalog.PostQuery{Channel: p.Channel, Post: p.Post}) {
		if err != nil {
			return nil, nil, text, err
		}
		for i, v := range post.Versions {
			if v.Text != h.Text {
				continue
			}
			first, err := s.capture(ctx, v.First.Capture)
			if err != nil {
				return nil, nil, text, err
			}
			row := postRow(post, i+1, v, postsOptions{})
			for _, name := range []string{"text", "text_digest", "counters"} {
				delete(row, name)
			}
			row["kind"], row["post"], row["of"] = "post", row["id"], first.Source
			delete(row, "id")
			row["case"], row["case_id"] = s.caseName(ctx, first.Case), first.Case
			rows = append(rows, row)
			lines = append(lines, "    "+messages.Visible(string(first.Source))+" "+strings.TrimSpace(postText(post, i+1, v, postsOptions{})))
			if t, ok := s.texts.Of(ctx, post.ID, v); ok && want && text.body == "" {
				text.body = string(t)
			}
		}
	}
	return rows, lines, text, nil
}

func (s *searcher) page(ctx context.Context, p catalog.Place, want bool) (rows []map[string]any, lines []string, text readText, err error) {
	cp, err := s.capture(ctx, p.Capture)
	if err != nil {
		return nil, nil, text, err
	}
	row := map[string]any{"kind": "page", "capture": cp.ID, "capture_state": cp.State, "source": cp.Source, "case": s.caseName(ctx, cp.Case), "case_id": cp.Case,
		"started": cp.Started, "outcome": cp.Outcome}
	line := fmt.Sprintf("    page  %s  captured %s  %s (%s)%s", messages.Visible(string(cp.Source)), cp.Started, cp.ID, cp.State, why(cp))
	if want {
		if text, err = s.pageText(ctx, cp.ID); err != nil {
			s.n.log.WarnContext(ctx, "the text of a page cannot be read", "capture", cp.ID, "err", err)
		}
	}
	return []map[string]any{row}, []string{line}, text, ctx.Err()
}

// pageText reads what was indexed where it lies, and compares it with its Digest.
func (s *searcher) pageText(ctx context.Context, id holdfast.ID) (t readText, err error) {
	raw, _, err := s.from.Manifest(ctx, id)
	if err != nil {
		return t, err
	}
	a, err := catalog.Read(0, raw)
	if err != nil {
		return t, err
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return t, err
	}
	var bodies [][]byte
	for _, o := range a.PageObjects() {
		i := slices.IndexFunc(m.Objects, func(k holdfast.Object) bool { return k.Digest == o.Digest })
		r, err := s.from.OpenObject(ctx, id, m.Objects[i])
		if err != nil {
			return t, err
		}
		b, err := io.ReadAll(io.LimitReader(r, catalog.MaxPageText+1))
		r.Close()
		if err != nil {
			return t, err
		}
		bodies = append(bodies, b)
	}
	if err := a.ReadPage(bodies); err != nil {
		return t, err
	}
	t = readText{a.Page.Text, a.Page.Frames}
	if a.Page.Title != "" {
		t.body = a.Page.Title + "\n\n" + t.body
	}
	return t, nil
}

func (s *searcher) capture(ctx context.Context, id holdfast.ID) (catalog.Capture, error) {
	cp, err := s.n.cat.Capture(ctx, id)
	if err != nil {
		return cp, fmt.Errorf("search: %w", err)
	}
	return cp, nil
}

func (s *searcher) caseName(ctx context.Context, id holdfast.ID) string {
	if _, known := s.cases[id]; !known {
		cs, err := s.n.cat.Case(ctx, string(id))
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			s.n.log.WarnContext(ctx, "the name of a case cannot be read", "case", id, "err", err)
		}
		s.cases[id] = cs.Name
	}
	return s.cases[id]
}

// held tells of a capture that has a Digest, and what of it that is.
func (s *searcher) held(ctx context.Context, h catalog.Held) (row map[string]any, line string, err error) {
	name, role := "", "object"
	if h.Digest == h.Capture.Manifest {
		name, role = "manifest", "manifest"
	} else if raw, _, err := s.from.Manifest(ctx, h.Capture.ID); err == nil {
		if m, err := holdfast.ParseManifest(raw); err == nil {
			for _, o := range m.Objects {
				if o.Digest == h.Digest {
					name, role = o.Name, o.Role
				}
			}
		}
	}
	cp := h.Capture
	row = map[string]any{"digest": h.Digest, "kind": cp.Kind, "name": textOrNil(name), "role": role, "capture": cp.ID, "capture_state": cp.State, "source": cp.Source,
		"case": s.caseName(ctx, cp.Case), "case_id": cp.Case, "started": cp.Started}
	return row, fmt.Sprintf("%s  %s  of %s  %s  %s (%s)", h.Digest, messages.Visible(name), messages.Visible(string(cp.Source)), cp.Started, cp.ID, cp.State), nil
}
