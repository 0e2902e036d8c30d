package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/scope"
	"holdfast/search"
)

// maxReason bounds what a person gives as a reason or a note, in bytes.
const maxReason = 4096

// inScope holds Sources against what is recorded of their Case, before anything
// is accepted. It returns the rules that each breaks; without a reason any such
// rule is an error, for the whole call.
func (n *node) inScope(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) (map[holdfast.Source][]string, error) {
	if err := n.refresh(ctx); err != nil { // another process may have edited it
		return nil, err
	}
	cs, err := n.cat.Case(ctx, string(home))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	broken, first := map[holdfast.Source][]string{}, holdfast.Source("")
	for _, s := range sources {
		rules := outside(cs.Record, s, time.Now(), o.via)
		if why := outsideComments(cs.Record, s, o.telegram.comments); why != "" {
			rules = append(rules, why)
		}
		if len(rules) > 0 && first == "" {
			first = s
		}
		if len(rules) > 0 {
			broken[s] = rules
		}
	}
	if first == "" || o.reason != "" {
		return broken, nil
	}
	return nil, outsideError(string(first), cs.Name, broken[first], len(broken)-1)
}

// inPeriod is inScope for files that a person hands over: the period binds when
// the office takes them; where they come from, no scope of Sources can say.
func (n *node) inPeriod(ctx context.Context, home holdfast.ID, first, reason string) (out pipeline.Outside, err error) {
	if err := n.refresh(ctx); err != nil {
		return out, err
	}
	cs, err := n.cat.Case(ctx, string(home))
	if errors.Is(err, catalog.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	why := scope.Period(cs.Record, time.Now())
	if why == "" {
		return out, nil
	}
	if reason == "" {
		return out, outsideError(first, cs.Name, []string{why}, 0)
	}
	return pipeline.Outside{Rules: []string{why}, Reason: reason}, nil
}

// outside is what one capture breaks of the rules that are known before it.
func outside(r catalog.Record, s holdfast.Source, now time.Time, via string) (rules []string) {
	for _, why := range []string{scope.Period(r, now), outsideSource(r, string(s)), scope.Egress(r.Egress, via)} {
		if why != "" {
			rules = append(rules, why)
		}
	}
	return rules
}

// outsideSource is the rule that a Source breaks, or "". A channel takes its public
// pages.
func outsideSource(r catalog.Record, s string) string {
	return scope.Source(r.Sources, s, asTelegram(s))
}

// outsideComments says why what people answered is not to be captured: a Case whose
// record says which Sources are in scope has to say so of comments too.
func outsideComments(r catalog.Record, s holdfast.Source, asked string) string {
	if asked == "yes" && isTelegram(s) && !r.Comments && len(r.Sources) > 0 {
		return "comments: the record of the case does not take what people answered to posts"
	}
	return ""
}

// errOutside is wrapped for a Task that was inside the scope when it was asked
// for and is not any more.
var errOutside = errors.New("outside the scope of its case by now")

// stillInside holds a Task against the period and the egress again when its turn
// comes: it may have waited past the end of the one, and the other may have been
// demanded meanwhile. It waits then, unless a reason was given for that rule.
func (r *round) stillInside(ctx context.Context, t pipeline.Task, o taskOptions) error {
	rec, err := r.scopes.of(ctx, r.n, t.Case)
	if err != nil {
		return err
	}
	via := o.Via
	if via == "" {
		via = collectors.EgressDirect
	}
	for rule, why := range map[string]string{"period: ": scope.Period(rec, time.Now()), "egress: ": scope.Egress(rec.Egress, via)} {
		given := slices.ContainsFunc(o.Outside, func(s string) bool { return strings.HasPrefix(s, rule) })
		if why != "" && !given {
			return fmt.Errorf("%.300s: %w: %s; change the scope with `holdfast case edit`, or give it up with `holdfast task drop`", t.Source, errOutside, why)
		}
	}
	return nil
}

func outsideError(what, caseName string, rules []string, more int) error {
	others := ""
	if more > 0 {
		others = fmt.Sprintf(" (and %d more)", more)
	}
	return usageError("%.300s%s is outside the scope of case %.80q: %s; nothing was captured. Change the scope with `holdfast case edit`, or give --reason TEXT: then it is captured, flagged, and the reason is sealed with it",
		what, others, caseName, strings.Join(rules, "; "))
}

// checkReason bounds the text of a --reason, --why or note.
func checkReason(flag, s string) error {
	if len(s) > maxReason || strings.ToValidUTF8(s, "") != s {
		return usageError("%s: at most %d bytes of UTF-8", flag, maxReason)
	}
	return nil
}

// outside are the options of a Task with the rules that it breaks. A reason goes
// only with what it is a reason for.
func (t taskOptions) outside(rules []string, reason string) (json.RawMessage, error) {
	if len(rules) > 0 {
		t.Outside, t.Reason = rules, reason
	}
	b, err := json.Marshal(t)
	return b, err
}

// scopes remembers the record of each Case in a round: a change of the scope
// meanwhile counts from the next call on.
type scopes struct {
	mu      sync.Mutex
	records map[holdfast.ID]catalog.Record
}

func (k *scopes) of(ctx context.Context, n *node, home holdfast.ID) (catalog.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if rec, ok := k.records[home]; ok {
		return rec, nil
	}
	cs, err := n.cat.Case(ctx, string(home))
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return catalog.Record{}, err
	}
	if k.records == nil {
		k.records = map[holdfast.ID]catalog.Record{}
	}
	k.records[home] = cs.Record
	return cs.Record, nil
}

// forget lets what was recorded meanwhile count.
func (k *scopes) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = nil
}

// outside joins what was decided when the Task was asked for with what only the
// result can show: a redirect that leaves the scope, a text without any keyword.
// These are flagged and never refused, since what was seen is not thrown away.
func (r *round) outside(ctx context.Context, t pipeline.Task, o taskOptions, a *collectors.Acquired) (pipeline.Outside, error) {
	out := pipeline.Outside{Rules: o.Outside, Reason: o.Reason}
	rec, err := r.scopes.of(ctx, r.n, t.Case)
	if err != nil {
		return out, err
	}
	if final := a.Address.Final; final != "" && outsideSource(rec, string(t.Source)) == "" {
		if why := outsideSource(rec, final); why != "" {
			out.Rules = append(out.Rules, strings.Replace(why, "source: ", "redirect: ", 1))
		}
	}
	if len(rec.Keywords) == 0 || isTelegram(t.Source) && !slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Role == "posts" }) {
		return out, nil
	}
	text, err := textOf(ctx, a, r.n.store)
	if err != nil {
		return out, fmt.Errorf("look for the keywords of the case: %w", err)
	}
	if !search.HasAny(text, rec.Keywords) {
		out.Rules = append(out.Rules, fmt.Sprintf("keyword: the text has none of the %d keywords of the case", len(rec.Keywords)))
	}
	return out, nil
}

func outsideText(rules []string) string {
	if len(rules) == 0 {
		return ""
	}
	return "  OUTSIDE THE SCOPE (" + messages.Visible(strings.Join(rules, "; ")) + ")"
}
