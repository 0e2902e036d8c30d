package rules

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Wall says that something stands in place of the page, or over it.
type Wall struct {
	Code string // login-wall, consent-wall, bot-wall, geo-wall or not-found
	Why  string // the rule, and what it went by; for people
}

// Codes are the reasons that a rule may give.
func Codes() []string {
	return []string{"bot-wall", "consent-wall", "geo-wall", "login-wall", "not-found"}
}

// Page is what was seen of one.
type Page struct {
	Status       int               // of the main answer
	Fields       map[string]string // of its head, names in lower case
	Asked, Final string            // addresses
	Title        string
	Heading      string // the first headings, a line each
	Text         string // visible; at most MaxText bytes of it are looked at
	Length       int    // characters of the visible text in all
	Marks        []Mark
}

// MaxText bounds what is looked at of a page's text, in bytes.
const MaxText = 64 << 10

// Mark is an element that a selector of [Rules.Selectors] found.
type Mark struct {
	Selector int     // index
	Covers   float64 // of the window, 0 to 1; 0 is not visible
	Text     string  // visible text, at most 2,000 characters
	Holds    bool    // something of the rule's holds is in it, visible
}

// Selector is one that a page is to be looked at with.
type Selector struct {
	At    string `json:"at"`
	Holds string `json:"holds,omitempty"`
}

type wallRules struct {
	Version int              `json:"version"`
	Words   map[string]words `json:"words"`
	Rules   []wallRule       `json:"rules"`

	folded    map[string][]string
	selectors []Selector
	begin     []int // of each rule, in selectors
}

// wallRule holds if all that it has holds. Text, Title, Heading and Within name a
// list of words.
type wallRule struct {
	Name    string            `json:"name"`
	Wall    string            `json:"wall"`
	Status  []int             `json:"status"`
	Header  map[string]string `json:"header"` // the field has this in it; "" is any value
	Host    []string          `json:"host"`   // the page came to it, or to one below it
	Path    []string          `json:"path"`   // in its path
	Title   string            `json:"title"`
	Heading string            `json:"heading"`
	Text    string            `json:"text"`
	Most    int               `json:"most"` // characters of visible text: a page with more is no wall
	At      []string          `json:"at"`   // one of these is there
	Holds   string            `json:"holds"`
	Within  string            `json:"within"` // the element has one of these words
	Covers  float64           `json:"covers"` // so much of the window; else visible is enough, and for a script not needed
	Over    bool              `json:"over"`   // only says so to people: the page may be below
	Unasked string            `json:"unasked"`
}

func (w *wallRules) check() error {
	w.folded = map[string][]string{}
	for name, list := range w.Words {
		if w.folded[name] = list.all(); len(w.folded[name]) == 0 {
			return fmt.Errorf("no words in %q: %w", name, ErrRules)
		}
	}
	for _, r := range w.Rules {
		if r.Name == "" || !slices.Contains(Codes(), r.Wall) {
			return fmt.Errorf("rule %q for %q: %w", r.Name, r.Wall, ErrRules)
		}
		for _, list := range []string{r.Title, r.Heading, r.Text, r.Within, r.Unasked} {
			if list != "" && len(w.folded[list]) == 0 {
				return fmt.Errorf("rule %q names the words %q, which are not there: %w", r.Name, list, ErrRules)
			}
		}
		if r.Title+r.Heading+r.Text != "" && r.Most <= 0 {
			return fmt.Errorf("rule %q goes by words and has no most: every article about them would be a wall: %w", r.Name, ErrRules)
		}
		if len(r.Status)+len(r.Header)+len(r.Host)+len(r.At) == 0 && r.Title+r.Heading+r.Text == "" {
			return fmt.Errorf("rule %q holds for every page: %w", r.Name, ErrRules)
		}
		w.begin = append(w.begin, len(w.selectors))
		for _, at := range r.At {
			w.selectors = append(w.selectors, Selector{At: at, Holds: r.Holds})
		}
	}
	if w.Version != 1 || len(w.Rules) == 0 {
		return fmt.Errorf("version %d, %d rules: %w", w.Version, len(w.Rules), ErrRules)
	}
	return nil
}

// Selectors are what a page is to be looked at with before [Rules.Walls].
func (r *Rules) Selectors() []Selector { return slices.Clone(r.walls.selectors) }

// Walls gives each kind at most once, by the first rule that holds, in the order
// of the rules; nil for a page that is one. What is kept from robots or from a
// country is not called missing too.
func (r *Rules) Walls(p Page) (out []Wall) {
	s := seen{Page: p, title: fold(p.Title), heading: fold(p.Heading), text: fold(p.Text[:min(len(p.Text), MaxText)]), asked: fold(unescape(p.Asked))}
	s.final, _ = url.Parse(p.Final)
	for i, rule := range r.walls.Rules {
		if slices.ContainsFunc(out, func(w Wall) bool { return w.Code == rule.Wall || rule.Wall == "not-found" && w.Code != "login-wall" }) {
			continue
		}
		if by, ok := r.walls.holds(i, s); ok {
			why := "rule: " + rule.Name + by
			if rule.Over {
				why += "; it lies over the page"
			}
			out = append(out, Wall{Code: rule.Wall, Why: why})
		}
	}
	return out
}

// seen is a page made comparable, once for all rules.
type seen struct {
	Page
	title, heading, text, asked string
	final                       *url.URL
}

func unescape(s string) string {
	u, _ := url.PathUnescape(s)
	return strings.NewReplacer("/", " ", "-", " ", "_", " ", ".", " ", "?", " ", "&", " ", "=", " ").Replace(cmp.Or(u, s))
}

// holds reports whether a rule does, and by which words.
func (w *wallRules) holds(i int, s seen) (by string, ok bool) {
	r := w.Rules[i]
	if len(r.Status) > 0 && !slices.Contains(r.Status, s.Status) || r.Most > 0 && s.Length > r.Most {
		return "", false
	}
	for name, value := range r.Header {
		if got, there := s.Fields[name]; !there || !strings.Contains(strings.ToLower(got), value) {
			return "", false
		}
	}
	if !r.address(s.final) || r.Unasked != "" && has(s.asked, w.folded[r.Unasked]) != "" {
		return "", false
	}
	for _, t := range []struct{ list, in string }{{r.Title, s.title}, {r.Heading, s.heading}, {r.Text, s.text}} {
		if t.list == "" {
			continue
		}
		phrase := has(t.in, w.folded[t.list])
		if phrase == "" {
			return "", false
		}
		by += fmt.Sprintf("; %q", phrase)
	}
	if len(r.At) == 0 {
		return by, true
	}
	for _, m := range s.Marks {
		if n := m.Selector - w.begin[i]; n >= 0 && n < len(r.At) && w.marked(r, r.At[n], m) {
			return by + "; " + r.At[n], true
		}
	}
	return "", false
}

func (r wallRule) address(u *url.URL) bool {
	if len(r.Host) > 0 && (u == nil || !slices.ContainsFunc(r.Host, func(h string) bool { return under(u.Hostname(), h) })) {
		return false
	}
	return len(r.Path) == 0 || u != nil && slices.ContainsFunc(r.Path, func(p string) bool { return strings.Contains(u.Path, p) })
}

// under reports whether host is h or below it.
func under(host, h string) bool {
	host = strings.ToLower(host)
	return host == h || strings.HasSuffix(host, "."+h)
}

func (w *wallRules) marked(r wallRule, at string, m Mark) bool {
	if m.Covers < r.Covers || m.Covers == 0 && !strings.HasPrefix(at, "script") || r.Holds != "" && !m.Holds {
		return false
	}
	return r.Within == "" || has(fold(m.Text), w.folded[r.Within]) != ""
}
