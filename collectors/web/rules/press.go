package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Button is something on a page that can be pressed.
type Button struct {
	Index  int    // the caller's own
	Text   string // visible text, else its label
	Type   string // of an input or a button in a form: "submit", "reset", …; "" is none of these
	Leaves bool   // a link to another document, a window of its own, a download
	Form   bool   // it stands in a form that has fields to fill in, or that is sent by POST
}

// maxLabel is the longest text of a button in characters: what is longer is no
// name of what it does.
const maxLabel = 60

// Banner is what may be one that asks for consent.
type Banner struct {
	Platform int     // index of [Rules.Platforms]; -1: not of a known one
	Text     string  // visible; at most 4,000 characters
	Covers   float64 // of the window
	Fields   int     // visible ones to type in
	Frame    bool    // the whole document of a frame
	Buttons  []Button
	Refuse   []int // of Buttons: found by the platform's selectors
	Accept   []int
}

// Platform is a known maker of banners.
type Platform struct {
	Name   string   `json:"name"`
	Loads  []string `json:"loads"`            // in the address of a script: a banner may come
	Hosts  []string `json:"hosts,omitempty"`  // only there
	Banner []string `json:"banner,omitempty"` // selectors, in open shadow roots too
	Frames []string `json:"frames,omitempty"` // selectors of the frame that the banner is in
	Refuse []string `json:"refuse"`           // selectors in the banner
	Accept []string `json:"accept"`
}

// Answer is how a banner is answered.
type Answer struct {
	Index  int    // of the Button
	Choice string // "refused" or "accepted"
	Text   string // of the Button
	Why    string // platform, or words
}

type consentRules struct {
	Version   int        `json:"version"`
	About     words      `json:"about"`
	Refuse    words      `json:"refuse"`
	Accept    words      `json:"accept"`
	Platforms []Platform `json:"platforms"`

	about, refuse, accept []string
}

func (c *consentRules) check() error {
	c.about, c.refuse, c.accept = c.About.all(), c.Refuse.all(), c.Accept.all()
	if c.Version != 1 || len(c.about) == 0 || len(c.refuse) == 0 || len(c.accept) == 0 {
		return fmt.Errorf("version %d, or no words: %w", c.Version, ErrRules)
	}
	for _, p := range c.Platforms {
		if p.Name == "" || len(p.Banner)+len(p.Frames) == 0 || len(p.Refuse)+len(p.Accept) == 0 {
			return fmt.Errorf("platform %q: %w", p.Name, ErrRules)
		}
	}
	for _, s := range c.refuse {
		if slices.Contains(c.accept, s) {
			return fmt.Errorf("%q refuses and accepts: %w", s, ErrRules)
		}
	}
	return nil
}

// Platforms are the known ones.
func (r *Rules) Platforms() []Platform { return slices.Clone(r.consent.Platforms) }

// About are words that a banner speaks of, folded.
func (r *Rules) About() []string { return slices.Clone(r.consent.about) }

// Answer picks the button to press: one that refuses if there is one, else one
// that accepts. Nothing that is no banner is answered: it must be of a known
// platform, or speak of cookies or consent and have nothing to type in.
func (r *Rules) Answer(b Banner) (Answer, bool) {
	why := "words"
	if b.Platform >= 0 && b.Platform < len(r.consent.Platforms) {
		why = r.consent.Platforms[b.Platform].Name
	} else if b.Fields > 0 || utf8.RuneCountInString(b.Text) > 4000 || has(fold(b.Text), r.consent.about) == "" {
		return Answer{}, false
	}
	for _, c := range []struct {
		choice string
		found  []int
		words  []string
	}{{"refused", b.Refuse, r.consent.refuse}, {"accepted", b.Accept, r.consent.accept}} {
		for _, i := range c.found {
			if i >= 0 && i < len(b.Buttons) {
				return Answer{b.Buttons[i].Index, c.choice, b.Buttons[i].Text, why}, true
			}
		}
		for _, u := range b.Buttons {
			if !u.Leaves && slices.Contains(c.words, label(u.Text)) {
				return Answer{u.Index, c.choice, u.Text, why}, true
			}
		}
	}
	return Answer{}, false
}

// label is the text of a button without what stands around its words: arrows,
// counts in brackets, an ellipsis.
func label(s string) string {
	const around = " .…·•+-<>»«›‹→←↓↑▼▾⌄×✕✖|:!?\"'"
	s = strings.Trim(fold(s), around)
	if i := strings.LastIndex(s, " ("); i > 0 && strings.HasSuffix(s, ")") && strings.Trim(s[i+2:len(s)-1], "0123456789,. +km") == "" {
		s = s[:i]
	}
	return strings.Trim(s, around)
}

type moreRules struct {
	Version int      `json:"version"`
	More    words    `json:"more"`
	Count   []string `json:"count"` // expressions over a whole folded label
	Never   words    `json:"never"`

	more, never []string
	count       []*regexp.Regexp
}

func (m *moreRules) check() error {
	m.more, m.never = m.More.all(), m.Never.all()
	if m.Version != 1 || len(m.more) == 0 || len(m.never) == 0 {
		return fmt.Errorf("version %d, or no words: %w", m.Version, ErrRules)
	}
	for _, s := range m.Count {
		e, err := regexp.Compile(s)
		if err != nil || !strings.HasPrefix(s, "^") || !strings.HasSuffix(s, "$") {
			return fmt.Errorf("%q is no expression over a whole label: %w", s, ErrRules)
		}
		m.count = append(m.count, e)
	}
	return nil
}

// More reports whether a button gives more of the page and does nothing else: its
// label says so, it leads nowhere, sends no form, and has no word of buying,
// sending or logging in.
func (r *Rules) More(b Button) bool {
	if b.Leaves || b.Form || b.Type == "submit" || b.Type == "reset" || b.Type == "image" || utf8.RuneCountInString(b.Text) > maxLabel {
		return false
	}
	text := label(b.Text)
	if !slices.Contains(r.more.more, text) && !slices.ContainsFunc(r.more.count, func(e *regexp.Regexp) bool { return e.MatchString(text) }) {
		return false
	}
	// Words that a label of the list itself has (more posts) are not held against it.
	return slices.Contains(r.more.more, text) || has(text, r.more.never) == ""
}

// Presses reports whether a recipe may press a button: as [Rules.More], but its
// label is free as long as it has no word of buying, sending or logging in.
func (r *Rules) Presses(b Button) bool {
	return !b.Leaves && !b.Form && b.Type != "submit" && b.Type != "reset" && (slices.Contains(r.more.more, label(b.Text)) || has(fold(b.Text), r.more.never) == "")
}
