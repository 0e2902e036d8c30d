package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/messages"
	"holdfast/scope"
)

// recordFlags are the flags of case new and case edit.
type recordFlags struct {
	reference, mandate, basis, purpose string
	depth, since, until, egress        string
	sources, keywords, canary          []string
	comments                           string
}

func (f *recordFlags) add(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.reference, "reference", "", "the office's own file number")
	s.StringVar(&f.mandate, "mandate", "", "who has ordered or allowed it")
	s.StringVar(&f.basis, "legal-basis", "", "the law that allows it")
	s.StringVar(&f.purpose, "purpose", "", "what it is collected for")
	s.StringArrayVar(&f.sources, "scope-source", nil, "a source in scope: [https://]HOST[:PORT][/PATH], the HOST perhaps with *. before it; without PORT only the usual one; may be repeated")
	s.StringArrayVar(&f.keywords, "keyword", nil, "a word of which a page should have one; may be repeated")
	s.StringArrayVar(&f.canary, "canary", nil, "a channel of one's own that 'holdfast watch canary' may write in; may be repeated")
	s.StringVar(&f.comments, "comments", "", "yes: what people answered to posts of a channel is captured too, in the group where they are discussed; else it is not")
	s.StringVar(&f.depth, "depth", "", "how many links away may be gone; recorded, not enforced")
	s.StringVar(&f.since, "since", "", "begin of the period: 2026-01-31, or 2026-01-31T14:00:00+01:00; a date is one in UTC")
	s.StringVar(&f.until, "until", "", "end of the period, included")
	s.StringVar(&f.egress, "egress", "", "the network exit that captures must take: direct, or a NAME of 'holdfast egress list'")
}

func (f *recordFlags) given(cmd *cobra.Command) bool {
	for _, name := range []string{"reference", "mandate", "legal-basis", "purpose", "scope-source", "keyword", "canary", "comments", "depth", "since", "until", "egress"} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// apply sets the fields that were given; an empty value empties one.
func (f *recordFlags) apply(cmd *cobra.Command, r *catalog.Record) (err error) {
	given := cmd.Flags().Changed
	for name, to := range map[string]struct {
		from string
		to   *string
	}{"reference": {f.reference, &r.Reference}, "mandate": {f.mandate, &r.Mandate}, "legal-basis": {f.basis, &r.LegalBasis},
		"purpose": {f.purpose, &r.Purpose}, "egress": {f.egress, &r.Egress}} {
		if given(name) {
			*to.to = to.from
		}
	}
	if given("scope-source") {
		if r.Sources, err = scopeSources(f.sources); err != nil {
			return err
		}
	}
	if given("keyword") {
		r.Keywords = notEmpty(f.keywords)
	}
	if given("canary") {
		if r.Canary, err = canaryChannels(f.canary); err != nil {
			return err
		}
	}
	if given("comments") {
		if f.comments != "yes" && f.comments != "no" && f.comments != "" {
			return usageError("--comments %.20q: yes or no", f.comments)
		}
		r.Comments = f.comments == "yes"
	}
	if given("depth") {
		if r.Depth, err = parseDepth(f.depth); err != nil {
			return err
		}
	}
	if given("since") {
		if r.Since, err = parseWhen("--since", f.since, false); err != nil {
			return err
		}
	}
	if given("until") {
		if r.Until, err = parseWhen("--until", f.until, true); err != nil {
			return err
		}
	}
	if err := r.Check(); err != nil {
		return usageError("%w", err)
	}
	return nil
}

func notEmpty(list []string) (out []string) {
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func scopeSources(list []string) (out []string, err error) {
	for _, s := range notEmpty(list) {
		if l := strings.ToLower(s); strings.HasPrefix(l, "telegram:") || strings.HasPrefix(l, "tg:") || strings.HasPrefix(l, "@") {
			src, err := parseTelegram(s)
			if err != nil {
				return nil, usageError("--scope-source %w", err)
			}
			out = append(out, string(src))
			continue
		}
		p, err := scope.Parse(s)
		if err != nil {
			return nil, usageError("--scope-source %w", err)
		}
		out = append(out, p.String())
	}
	return out, nil
}

// canaryChannels are channels, each under its one spelling.
func canaryChannels(list []string) (out []string, err error) {
	for _, s := range notEmpty(list) {
		name, err := telegram.ParseName(s)
		switch {
		case err != nil:
			return nil, usageError("--canary %w", err)
		case name.Post > 0:
			return nil, usageError("--canary %.80q is one post: name the channel", s)
		}
		out = append(out, name.Source())
	}
	return out, nil
}

func parseDepth(s string) (*int, error) {
	if s == "" {
		return nil, nil
	}
	k, err := strconv.Atoi(s)
	if err != nil {
		return nil, usageError("--depth %.40q: it is a number", s)
	}
	return &k, nil
}

// parseWhen reads a time, or a date in UTC: its first or its last millisecond.
func parseWhen(flag, s string, end bool) (holdfast.Time, error) {
	if s == "" {
		return holdfast.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		if end {
			t = t.Add(24*time.Hour - time.Millisecond)
		}
		return holdfast.At(t), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return holdfast.Time{}, usageError("%s %.40q: write a date as 2026-11-25, or a time with its zone as 2026-11-25T14:05:00+01:00", flag, s)
	}
	return holdfast.At(t), nil
}

// newerFields names what this program cannot read of a record.
func newerFields(r catalog.Record) string {
	return messages.Visible(strings.Join(slices.Sorted(maps.Keys(r.Newer)), ", "))
}

func orNone(s string) string {
	if s == "" {
		return "not recorded"
	}
	return s
}

func timeOrNil(t holdfast.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// caseRow is one row of `case list --json`, and the beginning of `case show
// --json`: a contract.
func caseRow(cs catalog.Case) map[string]any {
	r := cs.Record
	chains := []map[string]any{}
	for _, k := range cs.Chains {
		chains = append(chains, map[string]any{"chain": k.ID, "node": k.Node, "length": k.Length})
	}
	return map[string]any{"case": cs.Name, "case_id": cs.ID, "opened": timeOrNil(cs.Opened), "captures": cs.Captures, "added": cs.Added, "chains": chains,
		"record": map[string]any{"reference": r.Reference, "mandate": r.Mandate, "legal_basis": r.LegalBasis, "purpose": r.Purpose,
			"sources": append([]string{}, r.Sources...), "keywords": append([]string{}, r.Keywords...), "canary": append([]string{}, r.Canary...), "comments": r.Comments, "depth": r.Depth,
			"since": timeOrNil(r.Since), "until": timeOrNil(r.Until), "egress": r.Egress, "hold": r.Hold}}
}

// sayCase prints a Case as the catalog knows it by now, with its notes.
func (c *cli) sayCase(ctx context.Context, n *node, id holdfast.ID) error {
	cs, err := n.findCase(ctx, string(id))
	if err != nil {
		return err
	}
	row, text := caseRow(cs), describeCase(cs)
	notes := []map[string]any{}
	err = n.outbox.AllLines(ctx, cs.ID, func(b []byte, _ holdfast.Head) error {
		var l holdfast.Line
		if err := json.Unmarshal(b, &l); err != nil || l.Action != "noted" {
			return err
		}
		notes = append(notes, map[string]any{"at": l.At, "objects": l.Objects, "text": l.Why, "agent": l.Agent})
		text += fmt.Sprintf("\nnote         %s  %s%s", l.At, messages.Visible(l.Why), onWhat(l.Objects))
		return nil
	})
	row["notes"] = notes
	c.say(row, "%s", text)
	return err
}

func onWhat(objects []string) string {
	if len(objects) == 0 {
		return ""
	}
	return "  (on " + messages.Visible(strings.Join(objects, ", ")) + ")"
}

func describeCase(cs catalog.Case) string {
	r, b := cs.Record, new(strings.Builder)
	say := func(name, value, hint string) {
		if value == "" {
			value = "not recorded"
		} else if hint != "" {
			value += "  (" + hint + ")"
		}
		fmt.Fprintf(b, "%-12s %s\n", name, messages.Visible(value))
	}
	when := func(t holdfast.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.String()
	}
	depth := ""
	if r.Depth != nil {
		depth = strconv.Itoa(*r.Depth)
	}
	say("case", cs.Name, "")
	say("id", string(cs.ID), "")
	say("opened", when(cs.Opened), "")
	say("captures", fmt.Sprintf("%d at home here, %d added from other cases", cs.Captures, cs.Added), "")
	say("reference", r.Reference, "")
	say("mandate", r.Mandate, "")
	say("legal basis", r.LegalBasis, "")
	say("purpose", r.Purpose, "")
	say("sources", strings.Join(r.Sources, ", "), "enforced")
	say("since", when(r.Since), "enforced")
	say("until", when(r.Until), "enforced")
	say("egress", r.Egress, "enforced")
	say("keywords", strings.Join(r.Keywords, ", "), "a page that has none of them is flagged")
	say("depth", depth, "recorded, not enforced")
	if len(r.Canary) > 0 {
		say("canary", strings.Join(r.Canary, ", "), "`holdfast watch canary` may write there")
	}
	if r.Comments {
		say("comments", "yes", "what people answered to posts is captured too")
	}
	if r.Hold {
		say("hold", "yes", "nothing that belongs to it can be erased")
	}
	if newer := newerFields(r); newer != "" {
		say("also", newer, "written by a newer holdfast; this one cannot read it, enforces none of it and edits nothing")
	}
	for _, k := range cs.Chains {
		fmt.Fprintf(b, "%-12s chain %s of node %s, %d lines\n", "custody", k.ID, messages.Visible(k.Node), k.Length)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
