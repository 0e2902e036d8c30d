package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/kept"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/search"
)

// Limits of `search`.
const (
	searchShown   = 5  // places of a text that a person is shown; --json has all
	snippetAround = 60 // characters on either side of what was found
	searchDefault = 50 // texts
)

type searchOptions struct {
	caseName, source, lang, since, until, below string

	limit   int
	timeout time.Duration
}

func (c *cli) searchCmd() *cobra.Command {
	var o searchOptions
	cmd := command("search QUERY [--case NAME] [--source SOURCE] [--lang TAG] [--since TIME] [--until TIME]", "Find texts of pages and posts, in any script",
		`holdfast search 'fire "at the harbour" -exercise' --case 2026-017`, cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
			q, err := o.query(args[0])
			if err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.search(cmd.Context(), n, q, o)
		})
	cmd.Long = `QUERY is words, all of which must be in a text, in any script; marks, case and
forms of letters make no difference (e is é, ا is أ, 3 is ٣), and where a script has no
spaces each character counts.

  word        the word                    "two words"  side by side
  begin*      words that begin so         -word        texts without it
  @part       part of a handle            url:part     of an address of the page, or of a link
  hash:DIGEST the SHA-256, or its first 8 digits or more, of an object, a manifest or a text

Each text is shown once, with every place in which it was seen: the newest first. Of a
post that is the version with this text. --source is telegram:@name, one post of it, or
an address, or its beginning up to a / or ?. --since and --until are about when a post
was posted, as the service states it, or a page captured. --lang is a guess of this
program from the text; where there is none, what ` + "`watch add --lang`" + ` says of the channel. The last line says what cannot be found yet, or at all.`
	s := cmd.Flags()
	s.StringVar(&o.caseName, "case", "", "only what was seen in captures of this Case")
	s.StringVar(&o.source, "source", "", "only of this channel, post or address")
	s.StringVar(&o.lang, "lang", "", "only texts that seem to be in this language: en, ru, ar, zh …")
	s.StringVar(&o.since, "since", "", "from this day (or time) on")
	s.StringVar(&o.until, "until", "", "up to this day (or time)")
	s.StringVar(&o.below, "below", "", "only texts that nobody has said again since this time: to go on where a search had no time left")
	s.IntVar(&o.limit, "limit", searchDefault, "texts at most, up to 1000")
	s.DurationVar(&o.timeout, "timeout", time.Minute, "after this long, tell what was found until then")
	return cmd
}

// query reads what needs no node.
func (o searchOptions) query(text string) (q catalog.TextQuery, err error) {
	if q.Words, err = search.Parse(text); err != nil {
		return q, usageError("search: %w", err)
	}
	if q.Since, err = parseWhen("--since", o.since, false); err != nil {
		return q, err
	}
	if q.Until, err = parseWhen("--until", o.until, true); err != nil {
		return q, err
	}
	below, err := parseWhen("--below", o.below, true)
	if err != nil {
		return q, err
	}
	if !below.IsZero() {
		q.After = catalog.AtOrBelow(below)
	}
	if o.limit < 1 || o.limit > catalog.MaxHits {
		return q, usageError("--limit %d: it is 1 to %d", o.limit, catalog.MaxHits)
	}
	if o.timeout <= 0 {
		return q, usageError("--timeout %s: it is more than 0", o.timeout)
	}
	q.Limit, q.Language = o.limit, strings.ToLower(o.lang)
	return q, nil
}

// restrict adds what the catalog must be asked for.
func (o searchOptions) restrict(ctx context.Context, n *node, q *catalog.TextQuery) error {
	if o.lang != "" {
		if err := n.spoken(ctx, q.Language, q); err != nil {
			return err
		}
	}
	if o.caseName != "" {
		cs, err := n.namedCase(ctx, o.caseName)
		if err != nil {
			return fmt.Errorf("search: case %.80q: %w; `holdfast case list` shows the cases", o.caseName, err)
		}
		q.Member = cs.ID
	}
	if o.source == "" {
		return nil
	}
	web := strings.HasPrefix(o.source, "https://") || strings.HasPrefix(o.source, "http://")
	name, err := telegram.ParseName(o.source)
	if web || err != nil && strings.ContainsAny(o.source, ".:/") && !strings.HasPrefix(o.source, "telegram:") {
		if q.Sources = []string{o.source}; !web {
			q.Sources = []string{"https://" + o.source, "http://" + o.source}
		}
		return nil
	}
	if err != nil {
		return usageError("search: --source: %w, or an address", err)
	}
	for k, err := range n.cat.Channels(ctx, name.Channel) {
		if err != nil {
			return err
		}
		q.Channels = append(q.Channels, k.ID)
	}
	if len(q.Channels) == 0 {
		return fmt.Errorf("search: no capture states what @%s is: `holdfast capture %s` asks the service", name.Channel, telegram.Name{Channel: name.Channel}.Source())
	}
	q.Post = int64(name.Post)
	return nil
}

// spoken adds the channels of which a watch says that they are in a language: short
// texts give no guess.
func (n *node) spoken(ctx context.Context, lang string, q *catalog.TextQuery) error {
	list, err := n.watches(ctx)
	if err != nil {
		return err
	}
	said := slices.Contains(search.Tags(), lang)
	for _, w := range list {
		tag, _, _ := strings.Cut(strings.ToLower(w.Lang), "-")
		name, err := telegram.ParseName(string(w.Source))
		if tag != lang || err != nil {
			continue
		}
		said = true
		for k, err := range n.cat.Channels(ctx, name.Channel) {
			if err != nil {
				return err
			}
			if q.Spoken = append(q.Spoken, k.ID); len(q.Spoken) > catalog.MaxSpoken {
				return fmt.Errorf("search: more than %d watched channels are in %s: leave --lang out, or say of which --source", catalog.MaxSpoken, lang)
			}
		}
	}
	if !said {
		return usageError("--lang %.20q: it is one of %s, or what `holdfast watch add --lang` says of a channel", lang, strings.Join(search.Tags(), " "))
	}
	return nil
}

func (c *cli) search(ctx context.Context, n *node, q catalog.TextQuery, o searchOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	if err := o.restrict(ctx, n, &q); err != nil {
		return err
	}
	q.Within = o.timeout
	f, err := n.cat.Search(ctx, q)
	if err != nil {
		return err
	}
	s := &searcher{n: n, from: n.kept(), query: q.Words, cases: map[holdfast.ID]string{}}
	s.texts = kept.NewTexts(s.from)
	for _, h := range f.Hits {
		row, lines, err := s.hit(ctx, h)
		if err != nil {
			return err
		}
		c.say(row, "%s", strings.Join(lines, "\n"))
	}
	for _, held := range f.Objects {
		row, line, err := s.held(ctx, held)
		if err != nil {
			return err
		}
		c.say(row, "%s", line)
	}
	if err := c.searched(ctx, n, f, o); err != nil || !f.Stopped {
		return err
	}
	return fmt.Errorf("search: not done after %s: %s; ask for rarer words, or for less with --case, --source, --since and --until, or give it longer with --timeout", o.timeout, lookedDown(f))
}

// lookedDown says of what an answer that was broken off is whole.
func lookedDown(f catalog.Found) string {
	if f.Down.At.IsZero() {
		return "nothing was looked through"
	}
	return fmt.Sprintf("what was said after %s is told whole, and nothing older was looked through (--below %s goes on there)", f.Down.At, f.Down.At)
}

// whatIsSearched counts it, for at most as long as the search may take: of a billion texts
// that takes minutes, and what was found is not worth less without.
func (n *node) whatIsSearched(ctx context.Context, o searchOptions) (u catalog.Unsearched, unguessed int64, known bool, err error) {
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	u, err = n.cat.Unsearched(limited)
	if err == nil && o.lang != "" {
		unguessed, err = n.cat.Unguessed(limited)
	}
	if err != nil && ctx.Err() == nil && (limited.Err() != nil || errors.Is(err, catalog.ErrTooLong)) {
		return u, 0, false, nil
	}
	return u, unguessed, err == nil, err
}

// searched says what was looked through, and what could not be found: never a silent
// nothing.
func (c *cli) searched(ctx context.Context, n *node, f catalog.Found, o searchOptions) error {
	u, unguessed, known, err := n.whatIsSearched(ctx, o)
	if err != nil {
		return err
	}
	waiting, err := n.behind(ctx, pipeline.StageIndex)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%d texts", len(f.Hits))
	if len(f.Objects) > 0 {
		line = fmt.Sprintf("%d captures, %s", len(f.Objects), line)
	}
	if f.More {
		line += ", and there are more: --limit shows more, other words find fewer"
	}
	if f.Stopped {
		line += ", and not all was looked through"
	}
	if known {
		line += fmt.Sprintf("; searched: %d texts of %d captures", u.Texts, u.Captures-u.Textless)
	} else {
		line += "; how much is searched, and what is not, could not be counted in time"
	}
	var not []string
	for _, k := range []struct {
		n    int64
		what string
	}{{unguessed, "texts are in no language that was guessed (of watched channels with this --lang they were searched)"}, {waiting, "messages wait for the index"}, {u.Unread, "captures have a text that could not be read, or is too long"}, {u.Textless, "captures have no text (files, failures, facts of a channel)"}} {
		if k.n > 0 {
			not = append(not, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	if len(not) > 0 {
		line += "; not searched: " + strings.Join(not, ", ")
	}
	row := map[string]any{"event": "searched", "texts": len(f.Hits), "objects": len(f.Objects), "more": f.More, "searched_texts": u.Texts, "captures": u.Captures,
		"waiting": waiting, "unguessed": unguessed, "unread": u.Unread, "textless": u.Textless, "stopped": f.Stopped, "looked_down_to": nil}
	if f.Stopped && !f.Down.At.IsZero() {
		row["looked_down_to"] = f.Down.At
	}
	if !known {
		for _, name := range []string{"searched_texts", "captures", "unguessed", "unread", "textless"} {
			row[name] = nil
		}
	}
	c.say(row, "%s", line)
	return nil
}

// shortText is the beginning of a text on one line.
func shortText(s canon.Text) string {
	const most = 70
	short, n := string(s), 0
	for i := range short {
		if n++; n > most {
			short = short[:i] + "…"
			break
		}
	}
	return messages.Visible(short)
}
