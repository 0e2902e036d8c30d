package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/storage"
)

// maxSearched is how much of a page's text is looked through for keywords, in
// bytes; longer texts than that are lists, not pages.
const maxSearched = 8 << 20

// textOf returns the visible text of a page, or of posts, "" if there is none.
func textOf(ctx context.Context, a *collectors.Acquired, store storage.Opener) (string, error) {
	for _, o := range a.Objects {
		if o.Role == "posts" {
			s, err := textOfObject(ctx, o, store)
			return postTexts(s), err
		}
		if o.Role == "text" {
			return textOfObject(ctx, o, store)
		}
	}
	return "", nil
}

// postTexts are the texts in lines of posts, one a line.
func postTexts(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		var p struct {
			Text canon.Text `json:"text"`
		}
		if json.Unmarshal([]byte(line), &p) == nil && p.Text != "" {
			b.WriteString(string(p.Text))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func textOfObject(ctx context.Context, o collectors.Object, store storage.Opener) (string, error) {
	if !o.Kept {
		return string(o.Inline[:min(len(o.Inline), maxSearched)]), nil
	}
	r, _, err := store.Open(ctx, o.Digest)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSearched))
	if err != nil {
		return "", fmt.Errorf("read text: %w", err)
	}
	return string(b), nil
}
