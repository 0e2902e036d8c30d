// Package recipes says what is particular to a site: what to wait for, what to press
// so that the whole of a post is there, what marks a wall or a post that is gone, and
// which element is the post.
//
// A recipe is a small JSON file; those in data are the program's own, and a directory can
// replace them by name, or add some, without a release. A recipe holds selectors, words and
// numbers, no script: its verbs are wait, press and expand, each bounded here whatever
// the file says, and what may be pressed is for the caller's own rules to refuse. Each file
// says whether somebody has tried it on the live site.
package recipes

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"holdfast/collectors/web/rules"
	"holdfast/hashing"
)

//go:embed data/*.json
var data embed.FS

// ErrRecipe is wrapped by the error for a file that is no recipe of version 1.
var ErrRecipe = errors.New("not a recipe of version 1")

// Bounds of recipes. A file that asks for more is refused.
const (
	MaxFile  = 64 << 10
	maxFiles = 200
	maxSteps = 20
	maxTimes = 50
	maxWait  = 10 * time.Second
	maxList  = 100 // hosts, paths, marks, words of one
	maxText  = 400 // bytes of a selector, a word, a name
)

// Recipe is one. It does not change once read.
type Recipe struct {
	Version int      `json:"version"`
	Name    string   `json:"name"`
	Tried   string   `json:"tried"` // on the live site: when and by whom, or "not tried on the live site"
	Hosts   []string `json:"hosts"` // each with all that is below it; "*" is any, and needs Signs
	Paths   []string `json:"paths"` // "*" is a part without a slash, "**" at the end is the rest; none is every path
	Signs   string   `json:"signs"` // selector of what must be in the document for the recipe to hold. Optional.
	Steps   []Step   `json:"steps"`
	Post    string   `json:"post"` // selector of the post's own element, the first one counts
	Marks   []Mark   `json:"marks"`

	Digest hashing.Digest `json:"-"` // of the file
	Own    bool           `json:"-"` // of the program
}

// Step is one verb: exactly one of Wait, Press and Expand is a selector.
type Step struct {
	Wait   string `json:"wait,omitempty"`   // until it is seen
	MS     int    `json:"ms,omitempty"`     // at most so long; up to 10,000
	Press  string `json:"press,omitempty"`  // the first that is seen, again as long as it brings something
	Expand string `json:"expand,omitempty"` // each that is seen, once
	Times  int    `json:"times,omitempty"`  // at most; up to 50. Optional: 1 of Press, 20 of Expand.
}

// Mark is what tells that something stands in the post's place.
type Mark struct {
	Reason string   `json:"reason"` // one of rules.Codes
	At     string   `json:"at"`     // selector of an element that is seen
	Text   []string `json:"text"`   // one of these is in it. Optional.
	Unless string   `json:"unless"` // and no such element is seen. Optional.
}

// Seen is an element that is there for a Mark.
type Seen struct {
	Mark   int    `json:"mark"` // index
	Text   string `json:"text"`
	Unless bool   `json:"unless"` // what it must not stand beside is seen too
}

// Set is what there is. It is safe for concurrent use.
type Set struct{ list []*Recipe }

// Load reads the program's own and those of a directory, *.json, which go before
// them; "" is none. Errors: [ErrRecipe] with the file's name; the directory's own. One
// that is bad is not passed over: somebody believes that it is followed.
func Load(dir string) (*Set, error) {
	own, err := fs.Sub(data, "data")
	if err != nil {
		return nil, err
	}
	s := &Set{}
	if dir != "" {
		if err := s.read(os.DirFS(dir), false); err != nil {
			return nil, fmt.Errorf("read recipes in %s: %w", dir, err)
		}
	}
	if err := s.read(own, true); err != nil {
		return nil, fmt.Errorf("read recipes: %w", err)
	}
	return s, nil
}

func (s *Set) read(from fs.FS, own bool) error {
	names, err := fs.Glob(from, "*.json")
	if err != nil {
		return err
	}
	if len(names) > maxFiles {
		return fmt.Errorf("%d files, at most %d: %w", len(names), maxFiles, ErrRecipe)
	}
	if _, err := fs.Stat(from, "."); err != nil {
		return err
	}
	for _, name := range names {
		f, err := from.Open(name)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r, err := Parse(b)
		if err != nil {
			return fmt.Errorf("%s: %w; mend the file, or take it out of the directory", name, err)
		}
		if r.Own = own; r.Name != strings.TrimSuffix(path.Base(name), ".json") {
			return fmt.Errorf("%s has the recipe %.40q, whose file is to be called so: %w", name, r.Name, ErrRecipe)
		}
		if !slices.ContainsFunc(s.list, func(o *Recipe) bool { return o.Name == r.Name }) {
			s.list = append(s.list, r)
		}
	}
	return nil
}

// Parse reads the bytes of a file, which may be anything. Errors: [ErrRecipe].
func Parse(b []byte) (*Recipe, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("more than %d bytes: %w", MaxFile, ErrRecipe)
	}
	r := &Recipe{Digest: hashing.Of(b)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value: %w", ErrRecipe)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return r, nil
}

func (r *Recipe) check() error {
	switch {
	case r.Version != 1:
		return fmt.Errorf("version %d", r.Version)
	case r.Name == "" || strings.ContainsFunc(r.Name, func(c rune) bool { return !(c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z') }):
		return fmt.Errorf("name %.40q: [a-z0-9.-]+", r.Name)
	case r.Tried == "":
		return errors.New(`tried is missing: say when and by whom, or "not tried on the live site"`)
	case len(r.Hosts) == 0 || slices.Contains(r.Hosts, "*") && r.Signs == "":
		return errors.New("no hosts, or any host without signs")
	case len(r.Hosts) > maxList || len(r.Paths) > maxList || len(r.Marks) > maxList || len(r.Steps) > maxSteps:
		return errors.New("too many of something")
	}
	texts := slices.Concat([]string{r.Tried, r.Signs, r.Post}, r.Hosts, r.Paths)
	for i, s := range r.Steps {
		if err := s.check(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		texts = append(texts, s.Wait, s.Press, s.Expand)
	}
	for i, m := range r.Marks {
		if m.At == "" || !slices.Contains(rules.Codes(), m.Reason) || len(m.Text) > maxList {
			return fmt.Errorf("mark %d: at %.40q, reason %.40q", i+1, m.At, m.Reason)
		}
		texts = append(append(texts, m.At, m.Unless), m.Text...)
	}
	for _, t := range texts {
		if len(t) > maxText || strings.ContainsFunc(t, unicode.IsControl) {
			return fmt.Errorf("%.60q is longer than %d bytes, or has a control character", t, maxText)
		}
	}
	for _, p := range r.Paths {
		if !strings.HasPrefix(p, "/") {
			return fmt.Errorf("path %.40q does not begin with /", p)
		}
	}
	return nil
}

func (s Step) check() error {
	verbs := 0
	for _, v := range []string{s.Wait, s.Press, s.Expand} {
		if v != "" {
			verbs++
		}
	}
	switch {
	case verbs != 1:
		return errors.New("one of wait, press and expand")
	case s.Times < 0 || s.Times > maxTimes || s.Wait != "" && s.Times != 0:
		return fmt.Errorf("%d times, at most %d, and none of wait", s.Times, maxTimes)
	case s.MS < 0 || time.Duration(s.MS)*time.Millisecond > maxWait || s.Wait == "" && s.MS != 0:
		return fmt.Errorf("%d ms, at most %s, and only of wait", s.MS, maxWait)
	}
	return nil
}

// For gives the recipes that hold for an address, those with Signs if these are there
// too; the first is to be followed.
func (s *Set) For(address string) (out []*Recipe) {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	for _, r := range s.list {
		if r.host(strings.ToLower(u.Hostname())) && r.path(u.Path) {
			out = append(out, r)
		}
	}
	return out
}

// All gives those that there are, in the order in which they are tried.
func (s *Set) All() []*Recipe { return slices.Clone(s.list) }

func (r *Recipe) host(host string) bool {
	return slices.ContainsFunc(r.Hosts, func(h string) bool { return h == "*" || host == h || strings.HasSuffix(host, "."+h) })
}

func (r *Recipe) path(p string) bool {
	return len(r.Paths) == 0 || slices.ContainsFunc(r.Paths, func(pattern string) bool {
		return glob(strings.Split(pattern, "/"), strings.Split(strings.TrimSuffix(p, "/"), "/"))
	})
}

// glob compares part by part; a part of a pattern may have one star in it.
func glob(pattern, parts []string) bool {
	for i, want := range pattern {
		if want == "**" && i == len(pattern)-1 {
			return len(parts) > i && parts[i] != ""
		}
		if i >= len(parts) {
			return false
		}
		before, behind, star := strings.Cut(want, "*")
		got := parts[i]
		if !star && got != want || star && (len(got) <= len(before)+len(behind) || !strings.HasPrefix(got, before) || !strings.HasSuffix(got, behind)) {
			return false
		}
	}
	return len(parts) == len(pattern)
}

// Walls are what the marks say of what was seen: each reason once.
func (r *Recipe) Walls(seen []Seen) (out []rules.Wall) {
	for _, s := range seen {
		if s.Mark < 0 || s.Mark >= len(r.Marks) {
			continue
		}
		m := r.Marks[s.Mark]
		word := rules.Has(s.Text, m.Text)
		if s.Unless && m.Unless != "" || len(m.Text) > 0 && word == "" || slices.ContainsFunc(out, func(w rules.Wall) bool { return w.Code == m.Reason }) {
			continue
		}
		why := fmt.Sprintf("recipe %s: %s", r.Name, m.At)
		if word != "" {
			why += fmt.Sprintf("; %q", word)
		}
		out = append(out, rules.Wall{Code: m.Reason, Why: why})
	}
	return out
}
