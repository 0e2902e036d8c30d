package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/collectors"
	"holdfast/collectors/web/secrets"
)

// maxSearched is how large a text, or a body, is at most that is looked through; one
// that is larger is restricted as it is.
const maxSearched = 64 << 20

// redaction keeps what a session's capture holds of secrets from leaving: what has any is
// a restricted Object, with a copy in its place in which they are overwritten. What
// cannot be looked into is restricted without one.
type redaction struct {
	x    *capture
	set  *secrets.Set
	list withheldList
	left int  // values that were not looked for: then nothing is let out
	seen bool // a secret stands in what is made of the page: then it may in its pictures
}

// withheldList is the Object that says what is withheld, and why.
type withheldList struct {
	Kind    string           `json:"kind"` // "withheld"
	Objects []withheldObject `json:"objects"`
	Records []withheldRecord `json:"records"`
	Cut     bool             `json:"records_cut,omitempty"` // more than maxNoted
	Session string           `json:"session"`
	Version int              `json:"version"`
}

type withheldObject struct {
	Instead string `json:"instead,omitempty"` // the copy; "" is none
	Object  string `json:"object"`
	Places  int    `json:"places,omitempty"` // that were overwritten
	Why     string `json:"why"`              // secret, not-searched, picture
}

type withheldRecord struct {
	ID     string `json:"id"`
	Places int    `json:"places"`
	URL    string `json:"url,omitempty"`
	What   string `json:"what"` // redacted, body, frames
}

// wholeName is the name of what is restricted because a copy stands in its place.
func wholeName(name string) string { return "whole-" + name }

// redact goes through the Objects to be of a capture with a session.
func (x *capture) redact(files []file, main *exchange) ([]file, error) {
	set, left, err := x.secrets()
	if err != nil {
		return nil, err
	}
	r := &redaction{x: x, set: set, left: left, list: withheldList{Kind: "withheld", Objects: []withheldObject{}, Records: []withheldRecord{}, Session: x.req.Session.Name, Version: 1}}
	var out []file
	for _, f := range files {
		kept, err := r.file(f, main)
		if err != nil {
			return nil, err
		}
		out = append(out, kept...)
	}
	r.pictures(out)
	for i := range out { // what an Object was made from is the whole one
		if d := out[i].derived; d != nil && !strings.HasPrefix(out[i].name, "withheld") {
			for j, in := range d.Inputs {
				if r.replaced(in) && out[i].name != in {
					d.Inputs[j] = wholeName(in)
				}
			}
		}
	}
	x.redaction = r
	last, err := r.save()
	return append(out, last), err
}

func (r *redaction) replaced(name string) bool {
	return slices.ContainsFunc(r.list.Objects, func(o withheldObject) bool { return o.Instead == name })
}

func (r *redaction) file(f file, main *exchange) ([]file, error) {
	kind := f.mediaType
	switch {
	case f.restricted:
		return []file{f}, nil
	case r.left > 0:
		f.restricted, f.slices = true, nil
		r.list.Objects = append(r.list.Objects, withheldObject{Object: f.name, Why: "not-searched"})
		return []file{f}, nil
	case f.role == "archive":
		return r.archive(f, main)
	case strings.HasPrefix(kind, "image/") && f.role != "source":
		return []file{f}, nil // pictures are judged by what stands beside them
	case !inlines(kind) || kind == "":
		f.restricted, f.slices = true, nil // compressed, or in parts with codings of their own
		r.list.Objects = append(r.list.Objects, withheldObject{Object: f.name, Why: "not-searched"})
		return []file{f}, nil
	}
	b, err := readAtMost(f.path, maxSearched)
	if err != nil {
		return nil, err
	}
	if b == nil {
		f.restricted = true
		r.seen = true
		r.list.Objects = append(r.list.Objects, withheldObject{Object: f.name, Why: "not-searched"})
		return []file{f}, nil
	}
	n := r.set.Overwrite(b)
	if n == 0 {
		return []file{f}, nil
	}
	r.seen = true
	shown := f
	shown.path = filepath.Join(r.x.dir, "shown-"+f.name)
	shown.derived = redacted(f.name, n)
	if err := os.WriteFile(shown.path, b, 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", f.name, err)
	}
	return r.instead(f, shown, n), nil
}

// instead restricts f under another name, and has shown stand in its place.
func (r *redaction) instead(f, shown file, places int) []file {
	r.list.Objects = append(r.list.Objects, withheldObject{Object: wholeName(f.name), Instead: f.name, Places: places, Why: "secret"})
	f.name, f.restricted, f.slices = wholeName(f.name), true, nil
	return []file{f, shown}
}

func redacted(name string, places int) *collectors.Transformation {
	return &collectors.Transformation{Action: "redact", Inputs: []string{wholeName(name)},
		Detail: fmt.Sprintf("what gives access to the session is overwritten with asterisks, in %d places", places)}
}

// pictures restricts those of a page whose text has a secret.
func (r *redaction) pictures(list []file) {
	for i, f := range list {
		if r.seen && strings.HasPrefix(f.mediaType, "image/") && f.role != "source" && !f.restricted {
			list[i].restricted = true
			r.list.Objects = append(r.list.Objects, withheldObject{Object: f.name, Why: "picture"})
		}
	}
}

// text overwrites what the Manifest would say: addresses, and what went wrong with them.
func (r *redaction) text(a *collectors.Acquired) {
	a.Address.Final = r.set.Text(a.Address.Final)
	for i := range a.Address.Redirects {
		a.Address.Redirects[i].URL = r.set.Text(a.Address.Redirects[i].URL)
	}
	for i, m := range a.Completeness.Missing {
		a.Completeness.Missing[i].URL, a.Completeness.Missing[i].Why = r.set.Text(m.URL), r.set.Text(m.Why)
	}
	for i, w := range a.Reasons {
		a.Reasons[i].Detail = r.set.Text(w.Detail)
	}
	for i, n := range a.Collection.Notes {
		a.Collection.Notes[i] = r.set.Text(n)
	}
	a.Collection.Account = r.x.req.Session.Name
	a.Collection.Notes = append(a.Collection.Notes,
		"Somebody was logged in: "+givenOf(r.x.req.Session)+" of a session were given to the browser before the page was asked for; what the page shows may be for that account alone.",
		"What gives access to the session is withheld: withheld.json lists what, and copies without it stand in the place of what has any.")
	if r.left > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("There were more values that may give access than can be looked for, %d were not: no Object of the page leaves without being asked for, and what the Manifest says was searched for the session's own values and the first of the others.", r.left))
	}
	if why := r.x.unstored; why != "" {
		a.Collection.Notes = append(a.Collection.Notes, "What the page has put into its local storage meanwhile "+why+": a token in it may stand in what is not withheld.")
	}
}

// givenOf says what of a session was given to the browser.
func givenOf(s *collectors.Session) string {
	n := len(s.Origins)
	if n == 0 {
		return "the cookies"
	}
	text := fmt.Sprintf("the local storage for %d origins", n)
	if n == 1 {
		text = "the local storage for one origin"
	}
	if len(s.Cookies) > 0 {
		text = "the cookies and " + text
	}
	return text
}

func (r *redaction) save() (file, error) {
	f := file{name: "withheld.json", role: "withheld", mediaType: "application/json", path: filepath.Join(r.x.dir, "withheld.json")}
	var b bytes.Buffer
	if err := line(&b, r.list); err != nil {
		return f, fmt.Errorf("write %s: %w", f.name, err)
	}
	if !json.Valid(b.Bytes()) || r.set.In(b.Bytes()) {
		return f, fmt.Errorf("write %s: a secret is in it", f.name)
	}
	if err := os.WriteFile(f.path, b.Bytes(), 0o600); err != nil {
		return f, fmt.Errorf("write %s: %w", f.name, err)
	}
	return f, nil
}

// readAtMost reads a file; nil is one that is larger.
func readAtMost(path string, limit int64) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("look for secrets: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("look for secrets: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, nil
	}
	return append([]byte{}, b...), nil
}
