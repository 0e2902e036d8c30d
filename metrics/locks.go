package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Locks has it asked at each look for how long nobody can remove what lies in the
// store, and whether that is so short that a person must see to it. Call it once, and
// only for a store that locks.
func (m *Metrics) Locks(ask func(context.Context) (left time.Duration, alert bool, err error)) {
	left := m.desc("lock_left_seconds", "For how long nobody can remove what lies in the bucket, by its marker, which each pass keeps as all else.")
	alert := m.desc("lock_alert", "1: less than two intervals are left, so locks are not made longer as they should be; 0: all is well.")
	m.reg.MustRegister(&asking{[]*prometheus.Desc{left, alert}, func(ctx context.Context) []prometheus.Metric {
		d, bad, err := ask(ctx)
		if err != nil {
			return nil
		}
		v := 0.0
		if bad {
			v = 1
		}
		return []prometheus.Metric{value(left, d.Seconds()), value(alert, v)}
	}})
}
