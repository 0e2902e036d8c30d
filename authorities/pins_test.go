package authorities

import (
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
)

// TestJoin guards that no process undoes what another has written
// into the Policy: not a pin, not an end.
func TestJoin(t *testing.T) {
	at := func(sec int64) holdfast.Time { return holdfast.At(time.Unix(sec, 0)) }
	end := at(50)
	entry := func(op string, from int64, until *holdfast.Time) holdfast.Authority {
		issuer := hashing.Of([]byte(op + " CA"))
		return holdfast.Authority{Operator: op, Root: hashing.Of([]byte(op)), Issuer: &issuer, From: at(from), Until: until}
	}
	type list = []holdfast.Authority
	for name, c := range map[string]struct{ saved, ours, want list }{
		"pins of both":               {list{entry("a", 1, nil)}, list{entry("b", 2, nil)}, list{entry("a", 1, nil), entry("b", 2, nil)}},
		"one pin by two at once":     {list{entry("a", 1, nil)}, list{entry("a", 2, nil)}, list{entry("a", 1, nil)}},
		"an end is written":          {list{entry("a", 1, nil)}, list{entry("a", 1, &end)}, list{entry("a", 1, &end)}},
		"an end is not undone":       {list{entry("a", 1, &end)}, list{entry("a", 1, nil)}, list{entry("a", 1, &end)}},
		"asked again after its end":  {list{entry("a", 1, &end)}, list{entry("a", 1, &end), entry("a", 60, nil)}, list{entry("a", 1, &end), entry("a", 60, nil)}},
		"another issuing CA of both": {list{entry("a", 1, nil)}, list{{Operator: "a", Root: hashing.Of([]byte("a")), From: at(1)}}, list{entry("a", 1, nil), {Operator: "a", Root: hashing.Of([]byte("a")), From: at(1)}}},
	} {
		got := Join(c.saved, c.ours)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d entries, want %d", name, len(got), len(c.want))
			continue
		}
		for i, a := range got {
			if w := c.want[i]; a.Operator != w.Operator || !a.From.Equal(w.From.Time) || (a.Until == nil) != (w.Until == nil) {
				t.Errorf("%s: entry %d is %+v, want %+v", name, i, a, w)
			}
		}
	}
}
