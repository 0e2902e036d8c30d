package web

import (
	"net/http"
	"slices"

	"holdfast/collectors"
)

// heal takes from the account of what is missing what came whole when the
// browser asked for it again: on a bad line it does. An answer that was there
// before is another, and so are a part and what was sent with other data. The
// failed exchange stays in the record; it returns how many there were.
func (r *recorder) heal() (n int) {
	whole := map[string]int{} // the last of them
	for _, x := range r.exchanges {
		if x.fault == nil && !x.upgraded && !x.own && replayable(x.method) && x.status != http.StatusPartialContent {
			whole[x.method+" "+x.url] = max(x.number, whole[x.method+" "+x.url])
		}
	}
	for _, x := range r.failures {
		if x.fault == nil || x.fault.blocked || x.own || whole[x.method+" "+x.url] < x.number {
			continue
		}
		url, why := clean(x.url), clean(x.fault.Error())
		i := slices.IndexFunc(r.count.Missing, func(m collectors.Miss) bool {
			return m.Kind != collectors.MissBlocked && m.URL == url && m.Why == why
		})
		if i < 0 {
			continue
		}
		if r.count.Missing[i].Kind == collectors.MissTruncated {
			r.count.Truncated--
		} else {
			r.count.Failed--
		}
		r.count.Missing = slices.Delete(r.count.Missing, i, i+1)
		n++
	}
	return n
}
