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
	m.reg.MustRegister(&asking{[]*prometheus.Desc{m.lockLeft, m.lockAlert}, func(ctx context.Context) []prometheus.Metric {
		d, bad, err := ask(ctx)
		if err != nil {
			return nil
		}
		v := 0.0
		if bad {
			v = 1
		}
		return []prometheus.Metric{value(m.lockLeft, d.Seconds()), value(m.lockAlert, v)}
	}})
}
