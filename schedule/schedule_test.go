package schedule

import (
	"math/rand/v2"
	"testing"
	"time"
)

func mustSchedule(t *testing.T, s string) Schedule {
	t.Helper()
	k, err := Parse(s)
	if err != nil || k.String() != s {
		t.Fatalf("%q is %q, %v", s, k, err)
	}
	return k
}

// TestGivenSchedule: what a person says is one schedule or refused, and its text is read
// back as the same.
func TestGivenSchedule(t *testing.T) {
	for _, c := range []struct {
		every, cron, zone string
		decaying          bool
		want              string
	}{
		{"6h", "", "", false, "every 6h0m0s"}, {"7d", "", "", false, "every 168h0m0s"}, {"90m", "", "", false, "every 1h30m0s"},
		{"", "0  6 * * *", "", false, "cron 0 6 * * * UTC"}, {"", "*/15 8-18 * * MON-FRI", "Europe/Kyiv", false, "cron */15 8-18 * * MON-FRI Europe/Kyiv"},
		{"", "", "", true, "decaying"}, {"", "", "", false, ""},
	} {
		got, err := Given(c.every, c.cron, c.zone, c.decaying)
		if err != nil || got != c.want {
			t.Errorf("%+v is %q, %v", c, got, err)
		}
		if got != "" {
			mustSchedule(t, got)
		}
	}
	for _, c := range [][3]string{{"0s"}, {"-1h"}, {"1"}, {"999d"}, {"99999999d"}, {"1h", "0 6 * * *"}, {"", "0 6 * *"}, {"", "0 0 6 * * *"}, {"", "@daily"}, {"", "TZ=0 6 * * *"}, {"", "61 6 * * *"}, {"", "0 6 30 2 *"},
		{"", "0 6 * * *", "Mars/Olympus"}, {"", "0 6 * * *", "Local"}, {"1h", "", "UTC"}, {"", "", "UTC"}} {
		if got, err := Given(c[0], c[1], c[2], false); err == nil {
			t.Errorf("%q is %q", c, got)
		}
	}
	if _, err := Given("1h", "", "", true); err == nil {
		t.Error("two schedules are one")
	}
}

// TestScheduleCheck: nobody is asked more often than may be.
func TestScheduleCheck(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for text, ok := range map[string]bool{"every 5m0s": true, "every 4m59s": false, "cron * * * * * UTC": false, "cron 0,2 6 * * * UTC": false, "cron */5 * * * * UTC": true, "cron 58 6 1 1 * UTC": true, "decaying": true} {
		if err := mustSchedule(t, text).Check(DefaultLeast, now); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestNext: each schedule's times, also over a change of the clock in a zone.
func TestNext(t *testing.T) {
	began := time.Date(2026, 3, 28, 0, 30, 0, 0, time.UTC)
	times := func(text string, after time.Time, n int) (out []string) {
		s := mustSchedule(t, text)
		for range n {
			after = s.Next(began, after)
			out = append(out, after.UTC().Format("02T15:04"))
		}
		return out
	}
	for _, c := range []struct {
		text  string
		after time.Time
		want  []string
	}{
		{"every 6h0m0s", began.Add(-time.Hour), []string{"28T00:30", "28T06:30", "28T12:30"}},
		{"cron 30 2 * * * Europe/Paris", began, []string{"28T01:30", "30T00:30", "31T00:30"}}, // on the 29th there is no 02:30
		{"decaying", began.Add(-1), []string{"28T00:30", "28T00:40", "28T01:00", "28T01:30", "28T03:30", "28T06:30", "28T12:30", "29T00:30", "30T00:30", "01T00:30", "04T00:30", "11T00:30", "18T00:30"}},
	} {
		got := times(c.text, c.after, len(c.want))
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.text, got, c.want)
				break
			}
		}
	}
	autumn := mustSchedule(t, "cron 30 2 * * * Europe/Paris")
	at, n := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), 0
	for at = autumn.Next(began, at); at.Before(time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC)); at = autumn.Next(began, at) {
		n++
	}
	if n != 2 {
		t.Errorf("a time that the clock has twice comes %d times", n)
	}
}

// TestMissed: it is what next says that lies behind the time that was due, up to now.
func TestMissed(t *testing.T) {
	began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"every 1h0m0s", "every 7m0s", "cron 0 */3 * * * Europe/Paris", "decaying"} {
		s := mustSchedule(t, text)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			due := s.Next(began, began.Add(time.Duration(rnd.IntN(1e6))*time.Second))
			now := due.Add(time.Duration(rnd.IntN(1e6)) * time.Second)
			want := int64(0)
			for at := s.Next(began, due); !at.After(now); at = s.Next(began, at) {
				want++
			}
			if got := s.Missed(began, due, now); got != min(want, MaxMissed) {
				t.Fatalf("%s: %d missed from %s to %s, want %d", text, got, due, now, want)
			}
		}
	}
	if n := mustSchedule(t, "every 5m0s").Missed(began, began, began.AddDate(100, 0, 0)); n != MaxMissed {
		t.Errorf("%d missed in a hundred years", n)
	}
}

// TestDeadSite: a site that is down for a year costs little more than a capture a day,
// whatever its schedule, and one that is rarely visited is asked again soon.
func TestDeadSite(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, most := range map[string]int{"every 5m0s": 385, "cron */10 * * * * UTC": 385, "every 24h0m0s": 385, "every 168h0m0s": 65, "decaying": 75} {
		s := mustSchedule(t, text)
		due, n, first := began, 0, time.Duration(0)
		for now := began; now.Before(began.AddDate(1, 0, 0)); now = due {
			n++
			if due = s.Again(began, due, now, int64(n), DefaultLeast); !due.After(now) {
				t.Fatalf("%s: visit %d at %s is due again at %s", text, n, now, due)
			}
			if n == 1 {
				first = due.Sub(now)
			}
		}
		if n > most || n < most/3 || first > 30*time.Minute {
			t.Errorf("%s: %d visits of a dead site in a year, the second after %s", text, n, first)
		}
	}
}

// TestAgainAfter guards that a site which asks to be left alone is: never sooner than by the
// page's own rest, and not at a time of the schedule that lies before.
func TestAgainAfter(t *testing.T) {
	began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := began.Add(time.Minute)
	for _, c := range []struct {
		schedule       string
		failures       int64
		asked, want    time.Duration // from now; asked 0: not
		atLeast, exact bool
	}{
		{"every 6h0m0s", 1, 0, 15 * time.Minute, false, true},
		{"every 6h0m0s", 1, time.Minute, 15 * time.Minute, false, true},
		{"every 6h0m0s", 1, time.Hour, time.Hour, false, true},
		{"every 6h0m0s", 1, 7 * time.Hour, 12*time.Hour - time.Minute, false, true}, // the schedule's time behind it
		{"every 5m0s", 9, 3 * time.Hour, 24 * time.Hour, true, false},
		{"cron 0 6 * * * UTC", 1, 20 * time.Hour, 30*time.Hour - time.Minute, false, true},
		{"every 6h0m0s", 0, 10 * time.Hour, 6*time.Hour - time.Minute, false, true}, // it came: nobody asked
	} {
		asked := time.Time{}
		if c.asked > 0 {
			asked = now.Add(c.asked)
		}
		next := mustSchedule(t, c.schedule).AgainAfter(began, began, now, c.failures, DefaultLeast, asked)
		if d := next.Sub(now); c.exact && d != c.want || c.atLeast && d < c.want {
			t.Errorf("%+v: %s", c, d)
		}
		if c.failures > 0 && next.Before(asked) {
			t.Errorf("%+v: before the site said", c)
		}
	}
}
