package metrics

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Lag is how far a stage is behind in a partition.
type Lag struct {
	Stage     string
	Partition int
	Messages  int64
	Position  int64 // of the stage; it is not shown

	// Still is for how long the stage has not moved there, though it has messages before
	// it, as far as this process has seen.
	Still time.Duration
}

// Backlog is what waits to be captured.
type Backlog struct {
	Due, Held int64
	Oldest    time.Duration // since the Task is due that has been longest
}

// askEvery is how often an engine is asked at most, however often somebody looks,
// and askTime how long the answer may take.
const (
	askEvery = 5 * time.Second
	askTime  = 5 * time.Second
)

// probe is one question to an engine, and its last answer.
type probe struct {
	engine string
	ask    func(context.Context) error

	mu  sync.Mutex
	at  time.Time
	err error
}

func (p *probe) answer(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && time.Since(p.at) < askEvery {
		return p.err
	}
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	p.err = p.ask(limited)
	p.at = time.Now()
	return p.err
}

// Probe has an engine (queue, store, catalog) asked whether it can do its work; the
// answer is holdfast_engine_up, and a part of /readyz.
func (m *Metrics) Probe(engine string, ask func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes = append(m.probes, &probe{engine: engine, ask: ask})
}

// answers asks all engines at once and returns what each said, by name.
func (m *Metrics) answers(ctx context.Context) map[string]error {
	m.mu.Lock()
	all := m.probes
	m.mu.Unlock()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]error{}
	for _, p := range all {
		wg.Go(func() {
			err := p.answer(ctx)
			mu.Lock()
			defer mu.Unlock()
			out[p.engine] = err
		})
	}
	wg.Wait()
	return out
}

// Lag has the stages' lag asked for at each look. Call it once.
func (m *Metrics) Lag(ask func(context.Context) ([]Lag, error)) {
	m.reg.MustRegister(&asking{[]*prometheus.Desc{m.lag, m.still}, func(ctx context.Context) (out []prometheus.Metric) {
		all, err := ask(ctx)
		if err != nil {
			return nil
		}
		for _, l := range all {
			p := strconv.Itoa(l.Partition)
			out = append(out, value(m.lag, float64(l.Messages), l.Stage, p), value(m.still, l.Still.Seconds(), l.Stage, p))
		}
		return out
	}})
}

// Notes has /readyz say more, by name: what a person should know, and what makes the
// process no less ready. Call it before Serve.
func (m *Metrics) Notes(ask func(context.Context) map[string]string) { m.notes = ask }

// Backlog has the number of Tasks asked for at each look. Call it once.
func (m *Metrics) Backlog(ask func(context.Context) (Backlog, error)) {
	m.reg.MustRegister(&asking{[]*prometheus.Desc{m.due, m.held, m.oldest}, func(ctx context.Context) []prometheus.Metric {
		b, err := ask(ctx)
		if err != nil {
			return nil
		}
		return []prometheus.Metric{value(m.due, float64(b.Due)), value(m.held, float64(b.Held)), value(m.oldest, b.Oldest.Seconds())}
	}})
}

// ups is holdfast_engine_up.
func (m *Metrics) ups(ctx context.Context) (out []prometheus.Metric) {
	for engine, err := range m.answers(ctx) {
		up := 1.0
		if err != nil {
			up = 0
		}
		out = append(out, value(m.up, up, engine))
	}
	return out
}

func value(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// asking is a collector that asks when somebody looks. What cannot be read is
// absent; the other metrics are shown all the same.
type asking struct {
	descs []*prometheus.Desc
	ask   func(context.Context) []prometheus.Metric
}

func (a *asking) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		ch <- d
	}
}

func (a *asking) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	for _, v := range a.ask(ctx) {
		ch <- v
	}
}
