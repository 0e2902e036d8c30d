package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/collectors/telegram"
	"holdfast/pipeline"
)

// Lines of custody about a canary (docs/bundle.md, section 5). A line of canary-writing
// is durable before its act is asked for, so nothing is ever written of which no line
// tells; what came of it is in the line of canary-measured, or, where a run was
// stopped in between, in the canary-cleaned of a later one.
const (
	canaryWriting  = "canary-writing"
	canaryMeasured = "canary-measured"
	canaryCleaned  = "canary-cleaned"
)

// canaryWritingX is `x` of canary-writing. Members stand in canonical order.
type canaryWritingX struct {
	Account string          `json:"account"`
	Act     string          `json:"act"`
	Channel string          `json:"channel"`
	ID      int             `json:"id,omitempty"` // of the post; none before it has one
	Source  holdfast.Source `json:"source"`
	Token   string          `json:"token"`
}

// canaryMeasuredX is that of canary-measured.
type canaryMeasuredX struct {
	Account  string          `json:"account"`
	Acts     []canaryActX    `json:"acts"`
	Channel  string          `json:"channel"`
	Source   holdfast.Source `json:"source"`
	Token    string          `json:"token"`
	WithinMS int64           `json:"within_ms"`
}

type canaryActX struct {
	AcceptedMS *int64         `json:"accepted_ms,omitempty"`
	Act        string         `json:"act"`
	Answered   *holdfast.Time `json:"answered,omitempty"`
	Capture    holdfast.ID    `json:"capture,omitempty"`
	How        string         `json:"how,omitempty"`
	ID         int            `json:"id,omitempty"`
	Result     string         `json:"result"`
	Said       string         `json:"said,omitempty"`
	SealedMS   *int64         `json:"sealed_ms,omitempty"`
}

// canaryCleanedX is that of canary-cleaned.
type canaryCleanedX struct {
	Account string          `json:"account"`
	Channel string          `json:"channel"`
	IDs     []int           `json:"ids"`
	Source  holdfast.Source `json:"source"`
	Token   string          `json:"token"`
}

func (x *canaryRun) line(ctx context.Context, action, why string, objects []string, v any) (h holdfast.Head, err error) {
	b, err := canon.Marshal(v)
	if err != nil {
		return h, err
	}
	h, err = x.n.outbox.Append(ctx, pipeline.Entry{Case: x.home, Action: action, Agent: x.n.set.Agent, Objects: objects, Why: why, X: b})
	if err != nil {
		return h, fmt.Errorf("write custody line: %w", err)
	}
	return h, nil
}

// will says what is about to be written.
func (x *canaryRun) will(ctx context.Context, act string, id int, token, why string) error {
	_, err := x.line(ctx, canaryWriting, why, nil, canaryWritingX{x.account, act, x.channel, id, x.source, token})
	return err
}

func (x *canaryRun) measuredLine(ctx context.Context, acts []*canaryAct) (holdfast.Head, error) {
	m := canaryMeasuredX{Account: x.account, Channel: x.channel, Source: x.source, Token: acts[0].token, WithinMS: x.within.Milliseconds()}
	var objects []string
	for _, a := range acts {
		k := canaryActX{AcceptedMS: a.after(a.accepted), Act: a.what, ID: a.id, Result: a.result, Said: a.said, SealedMS: a.after(a.sealed)}
		if !a.answered.IsZero() {
			at := holdfast.At(a.answered)
			k.Answered = &at
		}
		if a.sight != nil {
			k.Capture, k.How = a.sight.Capture, a.sight.How
			if !slices.Contains(objects, string(k.Capture)) {
				objects = append(objects, string(k.Capture))
			}
		}
		m.Acts = append(m.Acts, k)
	}
	return x.line(ctx, canaryMeasured, "", objects, m)
}

// canaryLeft is what lines say was to be posted, of which none says that it is gone:
// when that was, by token.
func (n *node) canaryLeft(p canaryPlace) (map[string]holdfast.Time, error) {
	left := map[string]holdfast.Time{}
	for _, home := range p.cases {
		err := n.outbox.Lines(home, func(b []byte, _ holdfast.Head) error {
			if !bytes.Contains(b, []byte(`"canary-`)) {
				return nil
			}
			var l holdfast.Line
			if err := json.Unmarshal(b, &l); err != nil {
				return err
			}
			var m canaryMeasuredX // has what the others have, and Act
			var w canaryWritingX
			if json.Unmarshal(l.X, &m) != nil || json.Unmarshal(l.X, &w) != nil || m.Source != p.source || m.Channel != p.channel {
				return nil
			}
			switch {
			case l.Action == canaryWriting && w.Act == actPost:
				left[w.Token] = l.At
			case l.Action == canaryCleaned, l.Action == canaryMeasured && m.gone():
				delete(left, m.Token)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}

// gone says whether nothing of a round is left: its post was refused, or its deletion
// was answered.
func (m canaryMeasuredX) gone() bool {
	for _, a := range m.Acts {
		switch {
		case a.Act == actPost && a.Result == canaryRefused:
			return true
		case a.Act == actDelete && a.Answered != nil:
			return true
		}
	}
	return false
}

// clean deletes what runs that were stopped have left, and nothing else: posts whose
// text is to the last letter that of a token which a line of this office has named
// before it was posted, in the channel that the line names.
func (x *canaryRun) clean(ctx context.Context, t *telegram.Canary) error {
	left, err := x.n.canaryLeft(x.canaryPlace)
	if err != nil || len(left) == 0 {
		return err
	}
	tokens := slices.Sorted(maps.Keys(left))
	first := time.Now()
	for _, at := range left {
		if at.Before(first) {
			first = at.Time
		}
	}
	found, whole, err := t.Find(ctx, tokens, first.Add(-time.Hour)) // the service's clock may be another
	if err != nil {
		return err
	}
	for _, token := range tokens {
		ids := found[token]
		if len(ids) == 0 && !whole {
			continue // it may be further down: the next run looks again
		}
		for _, id := range ids {
			if err := x.will(ctx, actDelete, id, token, "left by a run that was stopped"); err != nil {
				return err
			}
			if _, err := t.Delete(ctx, id); err != nil {
				return fmt.Errorf("delete what an earlier run has left, post %d of %s: %w", id, x.source, err)
			}
		}
		if _, err := x.line(ctx, canaryCleaned, "", nil, canaryCleanedX{x.account, x.channel, append([]int{}, ids...), x.source, token}); err != nil {
			return err
		}
		x.c.say(map[string]any{"event": "cleaned", "source": x.source, "ids": append([]int{}, ids...)}, "cleaned   %s  %d posts that a run which was stopped had left", x.source, len(ids))
	}
	return nil
}
