package visits_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/visits"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// at is so many hours behind the beginning.
func at(h float64) time.Time { return day.Add(time.Duration(h * float64(time.Hour))) }

// visit is one every six hours from the beginning on, which took a minute.
func visit(id string, due, started float64, missed, failures int64, reasons ...string) visits.Visit {
	return visits.Visit{Capture: holdfast.ID(id), Due: at(due), Started: at(started), Ended: at(started).Add(time.Minute), Missed: missed, Failures: failures, Reasons: reasons,
		Schedule: "every 6h0m0s", Began: day}
}

func told(gaps []visits.Gap) string {
	var b strings.Builder
	hours := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(t.Sub(day).Hours())
	}
	for _, g := range gaps {
		fmt.Fprintf(&b, "%s-%s x%d %s", hours(g.From), hours(g.To), g.Times, g.Why)
		if g.Capture != "" {
			fmt.Fprintf(&b, " %s", g.Capture)
		}
		if len(g.Reasons) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(g.Reasons, " "))
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// TestFold guards that each time that was due and has no page is listed, once, with why.
func TestFold(t *testing.T) {
	hourly := func(from, to float64) (all []time.Time) {
		for h := from; h <= to; h++ {
			all = append(all, at(h))
		}
		return all
	}
	for name, c := range map[string]struct {
		all   []visits.Visit
		lines visits.Lines
		until float64
		want  string
	}{
		"nothing is missing":        {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 6.1, 0, 0), visit("c", 12, 12, 0, 0)}, until: 17, want: ""},
		"the node was off two days": {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 54.5, 8, 0)}, lines: visits.Lines{At: []time.Time{at(0), at(54.4)}}, want: "6-54.5 x9 silent b"},
		"it ran, and did not visit": {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 54.5, 8, 0)}, lines: visits.Lines{At: hourly(0, 54)}, want: "6-54.5 x9 not-visited b"},
		"late, and no other was due": {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 7, 0, 0)}, lines: visits.Lines{At: []time.Time{at(6.5)}},
			want: "6-7 x1 not-visited b"},
		"late, and others were due": {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 6.2, 2, 0)}, want: "6-6.2 x3 silent b"},
		"paused":                    {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 20, 2, 0)}, lines: visits.Lines{Pauses: []visits.Span{{From: at(5), To: at(19.9)}}}, want: "6-20 x3 paused b"},
		"resumed":                   {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 20, 2, 0)}, lines: visits.Lines{Pauses: []visits.Span{{From: at(1), To: at(2)}}}, want: "6-20 x3 silent b"},
		"it failed, and rested": {all: []visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 6, 0, 1, "http-status: 503"), visit("c", 24, 24, 0, 0)},
			want: "6-24 x1 failed b (http-status: 503); 12-24 x2 rest c"},
		"it fails still": {all: []visits.Visit{visit("a", 0, 0, 0, 1, "login-wall")}, until: 5, want: "0-5 x1 failed a (login-wall)"},
		"a visit that took long": {all: []visits.Visit{{Capture: "a", Due: at(0), Started: at(0), Ended: at(7), Schedule: "every 6h0m0s", Began: day}, visit("b", 12, 12, 0, 0)},
			want: "6-12 x1 under-way b"},
		"down still":                  {all: []visits.Visit{visit("a", 0, 0, 0, 0)}, until: 24.5, want: "6-24.5 x4 silent"},
		"down up to a time due":       {all: []visits.Visit{visit("a", 0, 0, 0, 0)}, until: 24, want: "6-24 x3 silent"},
		"due a moment ago":            {all: []visits.Visit{visit("a", 0, 0, 0, 0)}, until: 6.1, want: ""},
		"removed":                     {all: []visits.Visit{visit("a", 0, 0, 0, 0)}, lines: visits.Lines{Removed: at(13)}, until: 48, want: "6-13 x2 silent"},
		"paused to the end":           {all: []visits.Visit{visit("a", 0, 0, 0, 0)}, lines: visits.Lines{Pauses: []visits.Span{{From: at(1)}}}, until: 13, want: "6-13 x2 paused"},
		"nobody ran when it was made": {all: []visits.Visit{visit("a", 9, 9, 0, 0)}, lines: visits.Lines{Added: day}, want: "0-9 x1 silent a"},
		"an older program's":          {all: []visits.Visit{{Capture: "a", Due: at(0), Started: at(0), Schedule: "every 6h0m0s"}, visit("b", 6, 54.5, 8, 0)}, want: "6-54.5 x9 silent b"},
	} {
		until := time.Time{}
		if c.until > 0 {
			until = at(c.until)
		}
		if got := told(visits.Fold(c.all, c.lines, until)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestSilence: a gap names the longest time of which nothing is written.
func TestSilence(t *testing.T) {
	g := visits.Fold([]visits.Visit{visit("a", 0, 0, 0, 0), visit("b", 6, 18, 2, 0)}, visits.Lines{At: []time.Time{at(17), at(8), at(9), at(30)}}, time.Time{})
	if len(g) != 1 || !g[0].Silence.From.Equal(at(9)) || !g[0].Silence.To.Equal(at(17)) || g[0].Why != visits.Silent {
		t.Errorf("%+v", g)
	}
}
