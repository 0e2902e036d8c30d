package compare

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/collectors/web/content"
)

// ErrNothing is the error for a document that says nothing.
var ErrNothing = errors.New("the document says nothing that could be compared")

// Documents compares two documents. Errors: [ErrNothing].
func Documents(a, b *content.Document) (*Result, error) {
	sa, ok := a.Fingerprint()
	sb, ok2 := b.Fingerprint()
	if !ok || !ok2 {
		return nil, ErrNothing
	}
	r := &Result{Same: sa == sb, A: sa.String(), B: sb.String(), Cut: a.Cut || b.Cut}
	ids := map[string]rune{}
	ta, ca := tokens(a, ids)
	tb, cb := tokens(b, ids)
	r.Cut = r.Cut || ca || cb
	r.runs(ta, tb)
	r.structure(a, b)
	return r, nil
}

// token is one word, or the end of a block.
type token struct {
	id      rune
	word    string // "" ends a block
	ignored content.Reason
}

// tokens are the words of a document. What counts never equals what does not.
func tokens(d *content.Document, ids map[string]rune) (out []token, cut bool) {
	all := d.All()
	add := func(key, word string, ignored content.Reason) {
		id, ok := ids[key]
		if !ok {
			id = rune(len(ids))
			ids[key] = id
		}
		out = append(out, token{id, word, ignored})
	}
	for _, b := range d.Blocks {
		last := content.Reason("")
		for _, p := range b.Parts {
			ignored := p.Ignored
			if ignored.Counts(all) {
				ignored = ""
			}
			for _, w := range strings.Fields(p.Said()) {
				if len(out) >= maxWords {
					return out, true
				}
				if key := "+" + w; ignored == "" {
					add(key, w, "")
				} else {
					add("-"+w, w, ignored)
				}
			}
			last = ignored
		}
		add(fmt.Sprintf("\n%s %d", b.Kind, b.Level), "", last)
	}
	return out, false
}

func idsOf(ts []token) []rune {
	out := make([]rune, len(ts))
	for i, t := range ts {
		out[i] = t.id
	}
	return out
}

// runs lays the words of both out in one order.
func (r *Result) runs(a, b []token) {
	at := 0
	for _, d := range align(idsOf(a), idsOf(b)) {
		r.add(a[at:d.a0], "")
		r.add(a[d.a0:d.a1], Removed)
		r.add(b[d.b0:d.b1], Added)
		at = d.a1
	}
	r.add(a[at:], "")
}

// add adds words; those of one run are gathered first, since there may be very many.
func (r *Result) add(ts []token, op Op) {
	for len(ts) > 0 {
		end := 1
		for end < len(ts) && ts[end].ignored == ts[0].ignored {
			end++
		}
		r.count(ts[:end], op)
		n := len(r.Runs)
		if n > 0 && r.Runs[n-1].Op == op && r.Runs[n-1].Ignored == ts[0].ignored {
			last := &r.Runs[n-1] // of the range before, which adjoins
			last.Text = textOf(last.Text, ts[:end])
		} else {
			r.Runs = append(r.Runs, Run{Op: op, Ignored: ts[0].ignored, Text: textOf("", ts[:end])})
		}
		ts = ts[end:]
	}
}

func (r *Result) count(ts []token, op Op) {
	for _, t := range ts {
		if t.word != "" {
			switch {
			case op != "" && t.ignored != "":
				r.IgnoredWords++
			case op == Added:
				r.Added++
			case op == Removed:
				r.Removed++
			}
		}
	}
}

// textOf adds words to a text: a space between them, a line break at the end of a block.
func textOf(text string, ts []token) string {
	var b strings.Builder
	b.WriteString(text)
	begun := text != "" && !strings.HasSuffix(text, "\n")
	for _, t := range ts {
		if t.word == "" {
			b.WriteByte('\n')
			begun = false
			continue
		}
		if begun {
			b.WriteByte(' ')
		}
		b.WriteString(t.word)
		begun = true
	}
	return b.String()
}

// structure says what of the lists is in one alone.
func (r *Result) structure(a, b *content.Document) {
	if a.Title != b.Title {
		r.change(Change{"title", Removed, a.Title, ""})
		r.change(Change{"title", Added, b.Title, ""})
	}
	r.differ(blocks(a, content.Heading, "heading"), blocks(b, content.Heading, "heading"))
	r.differ(links(a), links(b))
	r.differ(blocks(a, content.Media, "media"), blocks(b, content.Media, "media"))
	r.differ(head(a), head(b))
}

func (r *Result) change(c Change) {
	if c.Value == "" {
		return
	}
	if len(r.Changes) >= maxChanges {
		r.Cut = true
		return
	}
	r.Changes = append(r.Changes, c)
}

// differ says what is in one list more often than in the other, in the list's order.
func (r *Result) differ(a, b []Change) {
	r.more(a, b, Removed)
	r.more(b, a, Added)
}

func (r *Result) more(in, than []Change, op Op) {
	left := map[string]int{}
	for _, c := range than {
		left[c.Value]++
	}
	for _, c := range in {
		if left[c.Value]--; left[c.Value] < 0 {
			c.Op = op
			r.change(c)
		}
	}
}

func blocks(d *content.Document, kind content.Kind, part string) (out []Change) {
	all := d.All()
	for _, b := range d.Blocks {
		if b.Kind != kind {
			continue
		}
		var words []string
		ignored := content.Reason("")
		for _, p := range b.Parts {
			if s := p.Said(); s != "" {
				words = append(words, s)
			}
			if !p.Ignored.Counts(all) {
				ignored = p.Ignored
			}
		}
		value := strings.Join(words, " ")
		if kind == content.Heading {
			value = fmt.Sprintf("h%d %s", b.Level, value)
		}
		out = append(out, Change{Part: part, Value: value, Ignored: ignored})
	}
	return out
}

func links(d *content.Document) (out []Change) {
	all := d.All()
	for _, l := range d.Links {
		c := Change{Part: "link", Value: l.Address, Ignored: l.Ignored}
		if l.Ignored.Counts(all) {
			c.Ignored = ""
		}
		out = append(out, c)
	}
	return out
}

func head(d *content.Document) (out []Change) {
	for _, f := range d.Head {
		out = append(out, Change{Part: "head", Value: f.Name + ": " + f.Value})
	}
	return out
}
