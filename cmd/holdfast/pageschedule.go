package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a schedule in a zone is the same on a machine without a list of zones

	"github.com/robfig/cron/v3"
)

// Bounds of a schedule.
const (
	defaultLeast    = 5 * time.Minute // between two visits of one page
	defaultPagePace = 2 * time.Second // between two visits of one host
	maxEvery        = 365 * 24 * time.Hour
	maxCron         = 200 // bytes
	cronLooks       = 500 // times that are looked at for the shortest pause
	maxMissed       = 10_000
)

// decayAges are how old a watch is when its page is visited under --decaying; from the
// last on it is visited every week.
func decayAges() []time.Duration {
	const m, h, d = time.Minute, time.Hour, 24 * time.Hour
	return []time.Duration{0, 10 * m, 30 * m, h, 3 * h, 6 * h, 12 * h, d, 2 * d, 4 * d, 7 * d}
}

const decayWeek = 7 * 24 * time.Hour

// schedule is when a page is visited. Its text is one line, and the same for the same
// schedule: "every 6h0m0s", "cron 0 6 * * * Europe/Paris", "decaying".
type schedule struct {
	every    time.Duration
	cron     cron.Schedule
	decaying bool
	text     string
}

// parseSchedule reads what schedule.text says.
func parseSchedule(s string) (schedule, error) {
	kind, rest, _ := strings.Cut(s, " ")
	switch kind {
	case "decaying":
		if rest == "" {
			return schedule{decaying: true, text: s}, nil
		}
	case "every":
		d, err := time.ParseDuration(rest)
		if err == nil && d > 0 {
			return schedule{every: d, text: "every " + d.String()}, nil
		}
	case "cron":
		if i := strings.LastIndexByte(rest, ' '); i > 0 {
			return parseCron(rest[:i], rest[i+1:])
		}
	}
	return schedule{}, fmt.Errorf("schedule %.80q: every DURATION, cron EXPR ZONE, or decaying", s)
}

func parseCron(expr, zone string) (schedule, error) {
	expr = strings.Join(strings.Fields(expr), " ")
	switch {
	case len(expr) > maxCron || strings.ContainsAny(expr, "=@") || len(strings.Fields(expr)) != 5: // the library reads a zone and names there
		return schedule{}, fmt.Errorf("cron %.80q: five fields, minute, hour, day of the month, month, day of the week, as \"0 6 * * *\"", expr)
	case zone == "":
		zone = "UTC"
	}
	where, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return schedule{}, fmt.Errorf("zone %.80q: a name as Europe/Paris, or UTC", zone)
	}
	c, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(expr)
	if err != nil {
		return schedule{}, fmt.Errorf("cron %.80q: %w", expr, err)
	}
	if s, ok := c.(*cron.SpecSchedule); ok {
		s.Location = where
	}
	if c.Next(time.Unix(0, 0)).IsZero() {
		return schedule{}, fmt.Errorf("cron %.80q: there is no such day", expr)
	}
	return schedule{cron: c, text: "cron " + expr + " " + zone}, nil
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

// givenSchedule reads what a command says; "" and false of each is no schedule.
func givenSchedule(every, expr, zone string, decaying bool) (string, error) {
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

// check refuses what visits a page more often than may be.
func (s schedule) check(least time.Duration, from time.Time) error {
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

// next is the first time behind after; began is when the watch was made, which is the
// first time of all.
func (s schedule) next(began, after time.Time) time.Time {
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

// missed counts the times behind due, up to now: nobody was there for them. At most
// maxMissed, which then means as many or more.
func (s schedule) missed(began, due, now time.Time) (n int64) {
	if s.every > 0 {
		if now.Before(due) {
			return 0
		}
		return min(int64(now.Sub(began)/s.every)-int64(due.Sub(began)/s.every), maxMissed)
	}
	for t := s.next(began, due); !t.After(now) && n < maxMissed; t = s.next(began, t) {
		n++
	}
	return n
}
