package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/tme"
)

// compared is the line of custody about two views of posts.
const compared = "compared"

// pair is one post as the service answered it and as its public page showed it, and
// what became of holding one against the other.
type pair struct {
	channel        string
	post           int64
	record, page   catalog.Sight
	ours, theirs   hashing.Digest // the contents
	fields         []tme.Field
	home           holdfast.ID // of the page's capture
	missing        *missing    // newer than page, or all that there is
	unread         error       // why it could not be compared
	fresh          bool        // it is written now, and was not before
	viewed, listed bool        // there is a page; there is a record
}

// missing is a page that had no such post.
type missing struct {
	Capture  holdfast.ID   `json:"capture"`
	State    string        `json:"state"`
	Received holdfast.Time `json:"at"`
}

// compare holds the public pages of a channel's posts against the service's own
// answers, says what came of it, and writes it into the custody of the Case that has
// the page: which fields are equal, not what is in them. What is written already is
// not written again.
func (c *cli) compare(ctx context.Context, n *node, name telegram.Name, channels []catalog.Channel, o postsOptions) error {
	lines := kept.NewLines(n.kept())
	var pairs []*pair
	for _, k := range channels {
		for p, err := range n.cat.Posts(ctx, catalog.PostQuery{Channel: k.ID, Post: int64(name.Post)}) {
			if err != nil {
				return err
			}
			x := pairOf(p)
			if x.viewed && x.listed {
				x.unread = x.hold(ctx, n, lines)
			}
			if name.Post > 0 {
				if x.missing, err = n.missingPage(ctx, name, x.page.At); err != nil {
					return err
				}
			}
			if name.Post > 0 || x.viewed && x.listed {
				pairs = append(pairs, x)
			}
		}
	}
	if name.Post > 0 && len(pairs) == 0 {
		return fmt.Errorf("posts: post %d of @%s was never seen; `holdfast capture %s` asks for it", name.Post, name.Channel, name.Source())
	}
	memo := o.memo
	if memo == nil {
		memo = newComparedMemo()
	}
	written, err := n.writeCompared(ctx, pairs, memo)
	for _, x := range pairs {
		if o.memo != nil && x.unread != nil { // it may be on its way into a pack
			err = errors.Join(err, x.unread)
			continue
		}
		if o.memo != nil && !x.fresh && (x.missing == nil || x.missing.Capture != o.view) { // it was told when it was written, or came
			continue
		}
		if !o.after || x.fields != nil || x.missing != nil {
			c.sayPair(x, written)
		}
	}
	return err
}

// pairOf takes the newest page, and the version of the service's own that was seen
// nearest to it in time.
func pairOf(p catalog.Post) *pair {
	x := &pair{channel: p.Channel, post: p.ID}
	for _, v := range p.Versions {
		if v.Last.How == catalog.HowWeb && (!x.viewed || v.Last.At.After(x.page.At.Time)) {
			x.viewed, x.page, x.theirs = true, v.Last, v.Content
		}
	}
	near := time.Duration(-1)
	for _, v := range p.Versions {
		if v.Last.How == catalog.HowWeb {
			continue
		}
		if d := between(x.page.At, v); near < 0 || d <= near {
			x.listed, near, x.ours = true, d, v.Content
			if x.record = v.Last; v.First.At.Sub(x.page.At.Time).Abs() < v.Last.At.Sub(x.page.At.Time).Abs() {
				x.record = v.First
			}
		}
	}
	return x
}

// between is how far from when a version was seen t is; 0 within.
func between(t holdfast.Time, v catalog.Version) time.Duration {
	return max(v.First.At.Sub(t.Time), t.Sub(v.Last.At.Time), 0)
}

func (x *pair) hold(ctx context.Context, n *node, lines *kept.Lines) error {
	ours := lines.Of(ctx, x.post, catalog.Version{Content: x.ours, First: x.record})
	theirs := lines.Of(ctx, x.post, catalog.Version{Content: x.theirs, First: x.page})
	if ours == nil || theirs == nil {
		return errors.New("what was captured cannot be read any more")
	}
	cp, err := n.cat.Capture(ctx, x.page.Capture)
	if err != nil {
		return err
	}
	x.home = cp.Case
	x.fields, err = tme.Compare(ours, theirs)
	return err
}

// missingPage is the newest capture of the post's own page, if that said, later than
// the newest page with the post, that there is none.
func (n *node) missingPage(ctx context.Context, name telegram.Name, after holdfast.Time) (*missing, error) {
	site, err := n.publicSite()
	if err != nil {
		return nil, err
	}
	from, found := n.kept(), (*missing)(nil)
	for _, base := range []string{site.base, tme.Base} {
		if base == "" {
			continue
		}
		source := holdfast.Source(tme.PostPage(base, name.Channel, int64(name.Post)))
		for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: source, Limit: 1}) {
			if err != nil {
				return nil, err
			}
			m, err := from.Parsed(ctx, cp.ID)
			if err != nil {
				return nil, err
			}
			said := slices.ContainsFunc(m.Objects, func(o holdfast.Object) bool { return o.Role == roleMissing })
			if said && cp.Started.After(after.Time) && (found == nil || cp.Started.After(found.Received.Time)) {
				found = &missing{Capture: cp.ID, State: cp.State, Received: cp.Started}
			}
		}
	}
	return found, nil
}

// comparedX is `x` of a line of custody: of each post the results, and nothing that
// was compared, since the line goes with every Bundle of the Case. Members stand in
// canonical order.
type comparedX struct {
	Posts []comparedPost `json:"posts"`
}

type comparedPost struct {
	Channel string            `json:"channel"`
	Post    int64             `json:"post"`
	Results map[string]string `json:"results"`
}

// comparedMemo is what lines of custody say of posts that were compared, by what they
// say, as far as it was read; of the Cases in homes all.
type comparedMemo struct {
	said  map[string]int64
	homes map[holdfast.ID]bool
}

func newComparedMemo() *comparedMemo {
	return &comparedMemo{map[string]int64{}, map[holdfast.ID]bool{}}
}

// writeCompared writes one line for each two captures, of what no line says yet, and
// returns the lines that say it, by what they say.
func (n *node) writeCompared(ctx context.Context, pairs []*pair, memo *comparedMemo) (map[string]int64, error) {
	said, homes := memo.said, memo.homes
	type two struct{ home, record, page holdfast.ID }
	var order []two
	fresh := map[two][]comparedPost{}
	for _, x := range pairs {
		if x.fields == nil {
			continue
		}
		if !homes[x.home] {
			homes[x.home] = true
			if err := n.comparedBefore(x.home, said); err != nil {
				return nil, err
			}
		}
		if _, is := said[x.key()]; is {
			continue
		}
		x.fresh = true
		k := two{x.home, x.record.Capture, x.page.Capture}
		if fresh[k] == nil {
			order = append(order, k)
		}
		fresh[k] = append(fresh[k], x.results())
	}
	for _, k := range order {
		x, err := canon.Marshal(comparedX{fresh[k]})
		if err != nil {
			return said, err
		}
		h, err := n.outbox.Append(ctx, pipeline.Entry{Case: k.home, Action: compared, Agent: n.set.Agent, Objects: []string{string(k.record), string(k.page)}, X: x})
		if err != nil {
			return said, fmt.Errorf("write what was compared: %w", err)
		}
		for _, p := range fresh[k] {
			said[keyOf([]string{string(k.record), string(k.page)}, p)] = h.Length
		}
	}
	return said, nil
}

// comparedBefore adds what lines of a Case say.
func (n *node) comparedBefore(home holdfast.ID, said map[string]int64) error {
	return n.outbox.Lines(home, func(b []byte, h holdfast.Head) error {
		if !bytes.Contains(b, []byte(compared)) {
			return nil
		}
		var l holdfast.Line
		if err := json.Unmarshal(b, &l); err != nil || l.Action != compared {
			return err
		}
		var x comparedX
		if err := json.Unmarshal(l.X, &x); err != nil {
			return nil // of a newer program: it is said once more
		}
		for _, p := range x.Posts {
			said[keyOf(l.Objects, p)] = l.N
		}
		return nil
	})
}

func (x *pair) results() comparedPost {
	p := comparedPost{Channel: x.channel, Post: x.post, Results: map[string]string{}}
	for _, f := range x.fields {
		p.Results[f.Name] = f.Result
	}
	return p
}

func (x *pair) key() string {
	return keyOf([]string{string(x.record.Capture), string(x.page.Capture)}, x.results())
}

func keyOf(objects []string, p comparedPost) string {
	b, _ := json.Marshal(p) // maps are sorted
	return strings.Join(objects, " ") + " " + string(b)
}

// sayPair is a line of `posts --compare`.
func (c *cli) sayPair(x *pair, written map[string]int64) {
	row := map[string]any{"event": compared, "channel": x.channel, "id": x.post, "result": nil, "fields": append([]tme.Field{}, x.fields...), "record": nil, "page": nil, "missing": x.missing, "custody": nil}
	if x.listed {
		row["record"] = sightRow(x.record)
	}
	if x.viewed {
		row["page"] = sightRow(x.page)
	}
	text := fmt.Sprintf("%8d  ", x.post)
	switch {
	case x.unread != nil:
		row["error"] = x.unread.Error()
		text += "could not be compared: " + x.unread.Error()
	case x.fields == nil && !x.viewed && x.missing == nil:
		text += "no public page was captured"
	case x.fields == nil && !x.viewed:
		text += "no public page showed it"
	case x.fields == nil:
		text += "on the public page only: the service itself was not asked"
	default:
		row["result"] = tme.Worst(x.fields)
		row["custody"] = map[string]any{"case_id": x.home, "n": written[x.key()]}
		text += tme.Worst(x.fields) + fieldsText(x.fields) + fmt.Sprintf("  service %s (%s), page %s (%s)", x.record.At, x.record.Capture, x.page.At, x.page.Capture)
	}
	if x.missing != nil {
		text += fmt.Sprintf("; at %s the page said: post not found (%s)", x.missing.Received, x.missing.Capture)
	}
	c.say(row, "%s", messages.Visible(text))
}

func sightRow(s catalog.Sight) map[string]any {
	return map[string]any{"at": s.At, "how": s.How, "capture": s.Capture, "state": s.State}
}

// fieldsText is what is not equal, each with what both say.
func fieldsText(all []tme.Field) string {
	var s []string
	for _, f := range all {
		switch f.Result {
		case tme.Differs:
			s = append(s, fmt.Sprintf("%s: service %q, page %q", f.Name, shortText(f.Record), shortText(f.Page)))
		case tme.NotShown:
			s = append(s, f.Name+" not shown")
		}
	}
	if len(s) == 0 {
		return ""
	}
	return " (" + strings.Join(s, "; ") + ")"
}

// compareCaptured compares the posts that a call captured with their public pages,
// before its bundle is written: so the bundle's custody has it. It is no reason to
// fail: `posts --compare` does it at any time.
func (c *cli) compareCaptured(ctx context.Context, n *node, sources []holdfast.Source, o captureOptions) {
	if site, err := n.publicSite(); err != nil || site.base == "" || len(o.pages) > 0 || o.telegram.web != "yes" || ctx.Err() != nil {
		return
	}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(sources))) {
		name, err := telegram.ParseName(string(s))
		if !isTelegram(s) || err != nil || name.Post == 0 {
			continue
		}
		if err := c.posts(ctx, n, name, postsOptions{compare: true, after: true}); err != nil {
			n.log.WarnContext(ctx, "not compared with the public page; `holdfast posts --compare` tries again", "source", s, "err", err)
		}
	}
}
