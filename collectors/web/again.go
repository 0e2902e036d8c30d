package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast/collectors"
)

// againAt is when the answer of the page says that it may be asked for again
// (Retry-After of 429 and 503; RFC 9110, 10.2.3), up to the next whole second, so that
// nobody is there too early; zero where it does not say so. What it says beyond
// [collectors.MaxAgain] counts as that.
func againAt(x *exchange) time.Time {
	if x == nil || x.status != http.StatusTooManyRequests && x.status != http.StatusServiceUnavailable {
		return time.Time{}
	}
	got := x.headed
	if got.IsZero() {
		got = time.Now()
	}
	wait, ok := retryAfter(x.fields.Get("Retry-After"), x.fields.Get("Date"), got)
	if !ok {
		return time.Time{}
	}
	return got.Round(0).Add(min(max(wait, 0), collectors.MaxAgain)).Truncate(time.Second).Add(time.Second)
}

// retryAfter reads both forms: seconds, and a time, which counts from the answer's own
// Date where it has one, since the two clocks need not agree.
func retryAfter(value, date string, got time.Time) (time.Duration, bool) {
	value = strings.Trim(value, " \t")
	if value != "" && strings.Trim(value, "0123456789") == "" {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n > uint64(collectors.MaxAgain/time.Second) { // more digits than a number has are long too
			return collectors.MaxAgain, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if d, err := http.ParseTime(strings.Trim(date, " \t")); err == nil {
		got = d
	}
	return at.Sub(got), true
}
