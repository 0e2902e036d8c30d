package preserve_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

func TestMeasure(t *testing.T) {
	now := time.Now()
	s := func(op string, offset, age time.Duration) preserve.Sighting {
		return preserve.Sighting{Operator: op, Offset: offset, At: now.Add(-age)}
	}
	for name, c := range map[string]struct {
		all    []preserve.Sighting
		offset time.Duration
		ops    string
	}{
		"nobody":            {nil, 0, ""},
		"one":               {[]preserve.Sighting{s("a", time.Hour, 0)}, 0, ""},
		"one, asked twice":  {[]preserve.Sighting{s("a", time.Hour, 0), s("a", time.Hour, time.Second)}, 0, ""},
		"two agree":         {[]preserve.Sighting{s("a", time.Hour, 0), s("b", time.Hour+2*time.Second, 0)}, time.Hour + time.Second, "a b"},
		"two do not":        {[]preserve.Sighting{s("a", time.Hour, 0), s("b", 0, 0)}, 0, ""},
		"two of three":      {[]preserve.Sighting{s("a", -time.Hour, 0), s("b", 0, 0), s("c", time.Second, 0)}, 0, "b c"},
		"one is old":        {[]preserve.Sighting{s("a", time.Hour, 0), s("b", time.Hour, time.Hour)}, 0, ""},
		"the newest counts": {[]preserve.Sighting{s("a", 0, time.Second), s("a", time.Hour, 2*time.Second), s("b", 0, 0)}, 0, "a b"},
	} {
		d, ok := preserve.Measure(c.all, now)
		if ok != (c.ops != "") || ok && (d.Offset != c.offset || strings.Join(d.Operators, " ") != c.ops) {
			t.Errorf("%s: %+v, %t", name, d, ok)
		}
	}
}

func TestMeasureFiles(t *testing.T) {
	now := time.Now()
	s := func(op string, offset time.Duration) preserve.Sighting {
		return preserve.Sighting{Operator: op, Offset: offset, At: now, Bound: true}
	}
	for name, c := range map[string]struct {
		all    []preserve.Sighting
		offset time.Duration
		ops    string
	}{
		"nobody":        {nil, 0, ""},
		"one, twice":    {[]preserve.Sighting{s("a", time.Hour), s("a", 2*time.Hour)}, 0, ""},
		"ahead, behind": {[]preserve.Sighting{s("a", time.Hour), s("b", -time.Hour)}, 0, ""},
		"two":           {[]preserve.Sighting{s("a", time.Hour), s("a", 2*time.Hour), s("b", 3*time.Hour)}, 2 * time.Hour, "a b"},
		"two behind":    {[]preserve.Sighting{s("a", -time.Hour), s("b", -3*time.Hour), s("c", time.Minute)}, -time.Hour, "a b"},
	} {
		d, ok := preserve.MeasureFiles(c.all, now)
		if ok != (c.ops != "") || d.Offset != c.offset || strings.Join(d.Operators, " ") != c.ops || d.Bound != ok {
			t.Errorf("%s: %+v, %t", name, d, ok)
		}
	}
}

// A wrong clock, ours or theirs, is reported and changes nothing: the tokens are
// kept, T is theirs, and the Manifest says what the node's clock said.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	for _, by := range []time.Duration{0, week, -week} {
		n := sealtest.NewNode(t, sealtest.NodeOptions{})
		for _, a := range n.Authorities {
			a.SetMode(sealtest.Clock(by))
		}
		var mu sync.Mutex
		var told []preserve.Drift
		n.WatchClock(func(d preserve.Drift) { mu.Lock(); told = append(told, d); mu.Unlock() })
		o := n.MustSeal(n.Batch(0, 1, 10))
		n.Quorum.Close()
		if got := time.Until(o.T.Time); (got - by).Abs() > 10*time.Second {
			t.Errorf("clock %v: T is %v from now", by, got)
		}
		parts, err := preserve.Parts(t.Context(), n.Files, o.Seal)
		if err != nil {
			t.Fatal(err)
		}
		if r := holdfast.CheckSeal(o.Seal, parts, n.Trust.Policy(), n.Trust.Material()); !r.Sealed() || len(r.Operators) < 2 {
			t.Errorf("clock %v: %+v", by, r.Findings)
		}
		mu.Lock()
		if len(told) == 0 {
			t.Fatalf("clock %v: nothing was told", by)
		}
		d := told[len(told)-1]
		if (d.Offset-by).Abs() > 3*time.Second || len(d.Operators) < 2 || d.Wrong() != (by != 0) {
			t.Errorf("clock %v: told %+v", by, d)
		}
		mu.Unlock()
	}
}

// A reply that travelled shows only that a clock is wrong by at least so much.
func TestSightedFile(t *testing.T) {
	t.Parallel()
	n, _, us, _ := offline(t, sealtest.NodeOptions{})
	for _, c := range []struct{ clock, asked, want time.Duration }{
		{0, -time.Hour, 0}, {-30 * time.Minute, -time.Hour, 0}, {time.Hour, -time.Hour, time.Hour}, {-3 * time.Hour, -time.Hour, -2 * time.Hour},
	} {
		n.Authorities[0].SetMode(sealtest.Clock(c.clock))
		query, err := preserve.ParseQuery(us[0].DER)
		if err != nil {
			t.Fatal(err)
		}
		ts, err := query.Accept(us[0].Authority, n.Authorities[0].Issue(t.Context(), us[0].DER))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		s, ok := preserve.SightedFile("alpha", ts, now.Add(c.asked), now)
		if ok != (c.want != 0) || ok && ((s.Offset-c.want).Abs() > 3*time.Second || !s.Bound) {
			t.Errorf("clock %v, asked %v: %+v, %t", c.clock, c.asked, s, ok)
		}
	}
}
