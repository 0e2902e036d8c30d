package web

import (
	"slices"

	"holdfast/collectors"
)

// heal takes from the account of what is missing what came whole when the
// browser asked for it again: on a bad line it does. The failed exchange stays
// in the record; it returns how many there were.
func (r *recorder) heal() (n int) {
	whole := map[string]bool{}
	for _, x := range r.exchanges {
		if x.fault == nil && !x.upgraded {
			whole[x.method+" "+x.url] = true
		}
	}
	for _, x := range r.failures {
		if x.fault == nil || x.fault.blocked || !whole[x.method+" "+x.url] {
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
