// Package schedule says when a watched page is visited: every so often, at the times
// that cron's five fields name in a zone, or ever more rarely as the watch grows older.
//
// It is arithmetic alone: no clock is asked and nothing is kept. A schedule is one line
// of text, which lies in the list of watches and in the Task of the page, so a time that
// was due before a crash is the same time after it. All times are cut to the millisecond,
// as a Task keeps them.
package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a schedule in a zone is the same on a machine without a list of zones

	"github.com/robfig/cron/v3"
)

// DefaultLeast is the shortest pause between two visits of one page where nothing else
// is configured.
const DefaultLeast = 5 * time.Minute

// MaxMissed is the most that [Schedule.Missed] counts.
const MaxMissed = 10_000

// Bounds of a schedule.
const (
	maxEvery  = 365 * 24 * time.Hour
	maxCron   = 200 // bytes
	cronLooks = 500 // times that are looked at for the shortest pause

	retries    = 6 // of a visit that failed, before the schedule's own time
	restFactor = 3 // the shortest pause between two visits, times so much: the first rest
	restMost   = 24 * time.Hour
)

// decayAges are how old a watch is when its page is visited under --decaying; from the
// last on it is visited every week.
func decayAges() []time.Duration {
	const m, h, d = time.Minute, time.Hour, 24 * time.Hour
	return []time.Duration{0, 10 * m, 30 * m, h, 3 * h, 6 * h, 12 * h, d, 2 * d, 4 * d, 7 * d}
}

const decayWeek = 7 * 24 * time.Hour

// Schedule is when a page is visited; [Parse] makes one. It does not change, and may be
// used by several at once.
type Schedule struct {
	every    time.Duration
	cron     cron.Schedule
	decaying bool
	text     string
}

// String is the schedule in one line, and the same for the same schedule: "every 6h0m0s",
// "cron 0 6 * * * Europe/Paris", "decaying".
func (s Schedule) String() string { return s.text }

// Parse reads what [Schedule.String] says. It takes what was written once, whatever the
// bounds of now are: [Schedule.Check] refuses what asks too often.
func Parse(s string) (Schedule, error) {
	kind, rest, _ := strings.Cut(s, " ")
	switch kind {
	case "decaying":
		if rest == "" {
			return Schedule{decaying: true, text: s}, nil
		}
	case "every":
		d, err := time.ParseDuration(rest)
		if err == nil && d > 0 {
			return Schedule{every: d, text: "every " + d.String()}, nil
		}
	case "cron":
		if i := strings.LastIndexByte(rest, ' '); i > 0 {
			return parseCron(rest[:i], rest[i+1:])
		}
	}
	return Schedule{}, fmt.Errorf("schedule %.80q: every DURATION, cron EXPR ZONE, or decaying", s)
}

func parseCron(expr, zone string) (Schedule, error) {
	expr = strings.Join(strings.Fields(expr), " ")
	switch {
	case len(expr) > maxCron || strings.ContainsAny(expr, "=@") || len(strings.Fields(expr)) != 5: // the library reads a zone and names there
		return Schedule{}, fmt.Errorf("cron %.80q: five fields, minute, hour, day of the month, month, day of the week, as \"0 6 * * *\"", expr)
	case zone == "":
		zone = "UTC"
	}
	where, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Schedule{}, fmt.Errorf("zone %.80q: a name as Europe/Paris, or UTC", zone)
	}
	c, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(expr)
	if err != nil {
		return Schedule{}, fmt.Errorf("cron %.80q: %w", expr, err)
	}
	if s, ok := c.(*cron.SpecSchedule); ok {
		s.Location = where
	}
	if c.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, fmt.Errorf("cron %.80q: there is no such day", expr)
	}
	return Schedule{cron: c, text: "cron " + expr + " " + zone}, nil
}

// parseAge reads a length of time, also in days.
func parseAge(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * 24 * time.Hour, err
}

// Given makes the line of a schedule of what a person says: a length of time from 1 s to
// 365 days, days too ("6h", "90m", "7d"); five fields of cron and the name of a zone, ""
// for UTC; or that it decays. At most one of the three; "" where none is said. The errors
// are for that person, and name the flags of `watch add`.
func Given(every, expr, zone string, decaying bool) (string, error) {
	said := 0
	for _, is := range []bool{every != "", expr != "", decaying} {
		if is {
			said++
		}
	}
	switch {
	case said > 1:
		return "", errors.New("say one of --every, --cron and --decaying")
	case zone != "" && expr == "":
		return "", errors.New("--zone is the time zone of --cron EXPR")
	case decaying:
		return "decaying", nil
	case expr != "":
		s, err := parseCron(expr, zone)
		return s.text, err
	case every == "":
		return "", nil
	}
	d, err := parseAge(every)
	if err != nil || d < time.Second || d > maxEvery {
		return "", fmt.Errorf("every %.40q: a length of time up to %d days, as 6h, 90m or 7d", every, maxEvery/(24*time.Hour))
	}
	return "every " + d.String(), nil
}

// Check refuses what visits a page more often than every least, as it looks from the time
// from on. Of cron's times the next 500 are looked at.
func (s Schedule) Check(least time.Duration, from time.Time) error {
	shortest, at := s.every, from
	switch {
	case s.decaying:
		return nil // its shortest pause is longer than anything a person may set
	case s.cron != nil:
		shortest = maxEvery
		for range cronLooks {
			next := s.cron.Next(at)
			if next.IsZero() {
				break
			}
			if at != from {
				shortest = min(shortest, next.Sub(at))
			}
			at = next
		}
	}
	if shortest < least {
		return fmt.Errorf("a page is visited every %s at most, not every %s: other people's machines answer (web.least in holdfast.yaml says another bound)", least, shortest)
	}
	return nil
}

// Next is the first time behind after; began is when the watch was made, which is the
// first time of all.
func (s Schedule) Next(began, after time.Time) time.Time {
	began, after = began.Truncate(time.Millisecond), after.Truncate(time.Millisecond)
	if after.Before(began) {
		return began
	}
	switch {
	case s.cron != nil:
		if t := s.cron.Next(after); !t.IsZero() {
			return t
		}
		return after.Add(maxEvery)
	case s.decaying:
		age := after.Sub(began)
		ages := decayAges()
		for _, d := range ages {
			if d > age {
				return began.Add(d)
			}
		}
		last := ages[len(ages)-1]
		return began.Add(last + ((age-last)/decayWeek+1)*decayWeek)
	}
	return began.Add((after.Sub(began)/s.every + 1) * s.every)
}

// Missed counts the times behind due, up to now: nobody was there for them. At most
// [MaxMissed], which then means as many or more.
func (s Schedule) Missed(began, due, now time.Time) (n int64) {
	if s.every > 0 {
		if now.Before(due) {
			return 0
		}
		return min(int64(now.Sub(began)/s.every)-int64(due.Sub(began)/s.every), MaxMissed)
	}
	for t := s.Next(began, due); !t.After(now) && n < MaxMissed; t = s.Next(began, t) {
		n++
	}
	return n
}

// Again is when a page is visited again that was due at due and came, or did not, at now;
// failures is how often in a row it did not. Then it rests: it is asked for again after 3
// times the shortest pause, then after twice as long each time, up to a day, before its
// schedule's time too, but no more than 6 times so. A site that is down for good costs a
// capture a day, or fewer where the schedule has fewer.
func (s Schedule) Again(began, due, now time.Time, failures int64, least time.Duration) time.Time {
	if now.Before(due) { // the clock was set back
		now = due
	}
	next := s.Next(began, now)
	if failures == 0 {
		return next
	}
	again := now.Add(min(restFactor*least<<min(failures-1, 16), restMost))
	if again.After(next) {
		return s.Next(began, again)
	}
	if failures <= retries {
		return again
	}
	return next
}

// AgainAfter is Again of a page whose site asked to be left alone until then, and is: it
// may only be later. Zero is a site that did not ask; where the page came it counts not.
func (s Schedule) AgainAfter(began, due, now time.Time, failures int64, least time.Duration, asked time.Time) time.Time {
	next := s.Again(began, due, now, failures, least)
	if failures == 0 || !asked.After(next) {
		return next
	}
	if asked.After(s.Next(began, now)) {
		return s.Next(began, asked)
	}
	return asked
}
