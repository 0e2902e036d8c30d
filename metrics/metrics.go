package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"
)

// Options say whose metrics they are.
type Options struct {
	Version, Node, Role string
	Data                string // the node's directory, whose free space is shown
}

// Metrics are those of one process. Every method may be called concurrently.
type Metrics struct {
	reg   *prometheus.Registry
	about map[string]string // name to help

	accepted, acceptedBytes           prometheus.Counter
	poison, lost                      prometheus.Counter
	tasks, done, errors               *prometheus.CounterVec
	seals, captures                   *prometheus.CounterVec
	sealSeconds                       prometheus.Histogram
	lastSealed                        prometheus.Gauge
	up, lag, still, due, held, oldest *prometheus.Desc
	lockLeft, lockAlert               *prometheus.Desc

	notes func(context.Context) map[string]string // of /readyz

	mu     sync.Mutex
	probes []*probe
}

// New makes them.
func New(o Options) *Metrics {
	m := &Metrics{reg: prometheus.NewRegistry(), about: map[string]string{}}
	m.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("build_info", "1; the labels say which program, node and role this is.", "version", "node", "role").WithLabelValues(o.Version, o.Node, o.Role).Set(1)
	m.accepted = m.counter("accepted_total", "Captures and Events accepted by this process.").WithLabelValues()
	m.acceptedBytes = m.counter("accepted_bytes_total", "Bytes of the messages that were accepted; large Objects are not among them.").WithLabelValues()
	m.tasks = m.counter("tasks_total", "What became of Tasks: taken, done, again (the step failed), next (another step follows), later, lost (the lease).", "what")
	m.done = m.counter("stage_done_total", "Messages that this process has done, by stage.", "stage")
	m.poison = m.counter("poison_total", "Messages that could not be read and went to the dead letters.").WithLabelValues()
	m.lost = m.counter("lost_total", "Captures that were accepted and come into no Seal, as this process has named them `lost` in custody.").WithLabelValues()
	m.errors = m.counter("errors_total", "Calls to the queue that failed, other than by a lost lease or partition.", "call")
	m.seals = m.counter("seals_total", "Seals made or completed by this process: signed, sealed.", "state")
	m.captures = m.counter("captures_total", "Captures and Events in those Seals.", "state")
	m.lastSealed = m.gauge("last_sealed_timestamp_seconds", "T of the newest Seal that this process saw sealed; 0: none yet.").WithLabelValues()
	m.sealSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.named("seal_seconds", "From a batch's first message, received by preserve, until it is acknowledged."),
		Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 20, 40, 60, 120, 300}})
	m.up = m.desc("engine_up", "1: the engine (queue, store, catalog) answered and can do its work; 0: not.", "engine")
	m.lag = m.desc("stage_lag", "Messages that a stage has before it, by partition. Absent where that cannot be read.", "stage", "partition")
	m.still = m.desc("stage_still_seconds", "For how long a stage has not moved in a partition though messages lie before it, as far as this process has seen; 0: it moves, or has nothing to do.", "stage", "partition")
	m.due = m.desc("tasks_due", "Tasks that are due and that nobody holds; of a shared queue counted up to 10,000.")
	m.held = m.desc("tasks_held", "Tasks under a lease.")
	m.oldest = m.desc("task_oldest_due_seconds", "Since when the Task is due that has been longest and that nobody holds.")
	m.lockLeft = m.desc("lock_left_seconds", "For how long nobody can remove what lies in the bucket, by its marker, which each pass keeps as all else.")
	m.lockAlert = m.desc("lock_alert", "1: less than two intervals are left, so locks are not made longer as they should be; 0: all is well.")
	m.reg.MustRegister(m.sealSeconds, &asking{[]*prometheus.Desc{m.up}, m.ups},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.named("data_free_bytes", "Free bytes where the node's directory lies; -1: not known.")}, func() float64 { return free(o.Data) }))
	return m
}

func (m *Metrics) desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(m.named(name, help), help, labels, nil)
}

func (m *Metrics) named(name, help string) string {
	m.about["holdfast_"+name] = help
	return "holdfast_" + name
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.named(name, help), Help: help}, labels)
	m.reg.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.named(name, help), Help: help}, labels)
	m.reg.MustRegister(g)
	return g
}

// About is every metric's name and what it says.
func (m *Metrics) About() map[string]string { return m.about }

func free(dir string) float64 {
	var st unix.Statfs_t
	if dir == "" || unix.Statfs(dir, &st) != nil {
		return -1
	}
	return float64(st.Bavail) * float64(st.Bsize)
}

// Accepted counts messages that Publish made durable, and their bytes.
func (m *Metrics) Accepted(messages, bytes int) {
	m.accepted.Add(float64(messages))
	m.acceptedBytes.Add(float64(bytes))
}

// Task counts Tasks: taken, done, again, next, later or lost.
func (m *Metrics) Task(what string, n int) { m.tasks.WithLabelValues(what).Add(float64(n)) }

// Done counts messages that a stage has gone past.
func (m *Metrics) Done(stage string, messages int64) {
	m.done.WithLabelValues(stage).Add(float64(messages))
}

// Poison counts messages that could not be read.
func (m *Metrics) Poison(n int) { m.poison.Add(float64(n)) }

// Lost counts captures that were named as lost in custody.
func (m *Metrics) Lost(n int) { m.lost.Add(float64(n)) }

// Error counts a call that failed.
func (m *Metrics) Error(call string) { m.errors.WithLabelValues(call).Inc() }

// Seal counts a Seal of that state; t is its T, where it is sealed.
func (m *Metrics) Seal(state string, captures int, t *time.Time) {
	m.seals.WithLabelValues(state).Inc()
	m.captures.WithLabelValues(state).Add(float64(captures))
	if t != nil {
		m.lastSealed.Set(float64(t.UnixMilli()) / 1000)
	}
}

// SealTook notes how long a batch took.
func (m *Metrics) SealTook(d time.Duration) { m.sealSeconds.Observe(d.Seconds()) }
