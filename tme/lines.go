package tme

import (
	"fmt"
	"strings"

	"holdfast/canon"
)

// Lines is posts.jsonl of a page: a head, then a line for each post. At most most
// bytes: posts that do not fit are left out, and the head says so.
type Lines struct {
	Address  string // that the page was received from
	Received string // a time, as documents write it
	Training bool
	Most     int
}

// head is the first line. Members stand in canonical order.
type head struct {
	Address  canon.Text `json:"address"`
	Channel  string     `json:"channel"`
	Count    int        `json:"count"`
	Kind     string     `json:"kind"`
	Method   string     `json:"method"`
	Names    []string   `json:"names"`
	Received string     `json:"received"`
	Title    canon.Text `json:"title,omitempty"`
	Training bool       `json:"training"`
	Unread   *unread    `json:"unread"`
	Version  int        `json:"version"`
}

type unread struct {
	Byte int        `json:"byte"` // 0: of a page no place is told
	Why  canon.Text `json:"why"`
}

// Encode returns the lines; nil if the page has no post, or does not state the
// channel's number, without which nobody knows whose posts they are.
func (l Lines) Encode(p *Page) ([]byte, error) {
	if p.Channel == "" || len(p.Posts) == 0 {
		return nil, nil
	}
	h := head{Address: canon.Text(l.Address), Channel: p.Channel, Kind: "posts", Method: "web", Names: []string{p.At.Channel},
		Received: l.Received, Title: p.Title, Training: l.Training, Version: 1}
	const room = 8 << 10 // for the head
	var body []byte
	why := p.Unread
	for i, x := range p.Posts {
		next, err := canon.Append(body, x)
		if err != nil || len(next)+1+room > l.Most {
			why = append(why[:len(why):len(why)], fmt.Sprintf("posts from number %d of the page on do not fit", i+1))
			break
		}
		body, h.Count = append(next, '\n'), h.Count+1
	}
	if h.Count == 0 {
		return nil, nil
	}
	if len(why) > 0 {
		h.Unread = &unread{Why: canon.Text(short(strings.ToValidUTF8(strings.Join(why, "; "), "\uFFFD"), 500))}
	}
	first, err := canon.Append(nil, h)
	if err != nil {
		return nil, err
	}
	return append(append(first, '\n'), body...), nil
}

// Missing is missing.json, in canonical form: an embedded post of which the page
// says that it is not found. The page states neither the channel's number nor why.
func (l Lines) Missing(p *Page) ([]byte, error) {
	return canon.Append(nil, struct {
		Address  canon.Text `json:"address"`
		Kind     string     `json:"kind"`
		Name     string     `json:"name"`
		Post     int64      `json:"post"`
		Received string     `json:"received"`
		Said     string     `json:"said"`
		Training bool       `json:"training"`
		Version  int        `json:"version"`
	}{canon.Text(l.Address), "missing-post", p.At.Channel, p.At.Post, l.Received, notFound, l.Training, 1})
}
