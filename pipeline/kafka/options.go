package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/scram"

	"holdfast/pipeline"
)

// Names knows what the queue is called: a database that all nodes share.
type Names interface {
	Identity(ctx context.Context) (pipeline.Identity, error)
	Redraw(ctx context.Context, old string) (pipeline.Identity, error)
}

// Tasks moves the Tasks of what is published.
type Tasks interface {
	// Holds returns nil while m could be made, else an error that wraps
	// pipeline.ErrLease.
	Holds(ctx context.Context, m *pipeline.Move) error
	// Settle makes m. A lazy one may be lost with the power.
	Settle(ctx context.Context, m *pipeline.Move, lazy bool) error
}

// Stages remembers where a stage began that is not always there.
type Stages interface {
	StartAt(ctx context.Context, s pipeline.Stage, behind []int64) error
	EndStage(ctx context.Context, s pipeline.Stage) error
	// StartedAt returns nil for a stage that is not there.
	StartedAt(ctx context.Context, s pipeline.Stage) (behind []int64, err error)
}

// Options say where the queue lies. Brokers, Prefix and Names are required.
type Options struct {
	Brokers []string // host:port of some or all
	Prefix  string   // of topics and consumer groups: letters, digits, '.', '_', '-', at most 100

	TLS            *tls.Config // optional
	User, Password string      // SCRAM-SHA-512; no User: nobody asks

	// SingleBroker takes topics with one replica: what that broker's disk loses is
	// lost. Else three replicas are wanted, two of which acknowledge.
	SingleBroker bool

	Names  Names
	Tasks  Tasks  // optional: without it no Move is taken
	Stages Stages // optional: without it no stage is started

	// Bind is told once per Open what the topics are, and refuses others than those
	// that it was told first. Optional.
	Bind func(ctx context.Context, cluster, prefix string, partitions int) error

	// Session is how long a process may show no sign of life before its partitions
	// go to others. Optional: 10 s.
	Session time.Duration

	// Patience is how long a call is tried again while brokers cannot be reached or
	// too few of them have a message. Optional: 1 min.
	Patience time.Duration

	// PruneEvery is how often Prune does something, at most. Optional: 1 min; less
	// than 0: each time.
	PruneEvery time.Duration

	Log *slog.Logger // optional
}

func (o Options) withDefaults() (Options, error) {
	o.Session, o.Patience, o.PruneEvery = or(o.Session, 10*time.Second), or(o.Patience, time.Minute), or(o.PruneEvery, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(o.Brokers) == 0:
		return o, errors.New("no brokers are named")
	case o.Names == nil:
		return o, errors.New("nothing knows the queue's name")
	case !regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`).MatchString(o.Prefix):
		return o, fmt.Errorf("prefix %.120q of topics: 1 to 100 letters, digits, dots, underscores and hyphens", o.Prefix)
	}
	return o, nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func (o Options) mechanism() (sasl.Mechanism, error) {
	if o.User == "" {
		return nil, nil
	}
	return scram.Mechanism(scram.SHA512, o.User, o.Password)
}

// The topics.
const (
	captured   = "captured"
	normalised = "normalised"
	sealed     = "sealed"
	dead       = "dead"
)

func (o Options) topic(name string) string { return o.Prefix + "." + name }

func (o Options) group(s pipeline.Stage) string { return o.Prefix + "." + string(s) }

// topicOf says what a stage reads.
func topicOf(s pipeline.Stage) (string, error) {
	switch s {
	case pipeline.StageNormalise:
		return captured, nil
	case pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageAlerts:
		return normalised, nil
	case pipeline.StageResults:
		return sealed, nil
	}
	return "", fmt.Errorf("stage %q is not known", s)
}

// stages are those that are always there.
func stages() []pipeline.Stage {
	return []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults}
}

// connect makes clients that share connections. The one that writes has a limit of
// its own: kafka-go tells the broker half of it, and a broker must not give up on
// the others before it knows that one of them is dead (9 s by Kafka's defaults).
func (o Options) connect() (read, write *kgo.Client, t *kgo.Transport, d *kgo.Dialer, err error) {
	m, err := o.mechanism()
	if err != nil {
		return nil, nil, nil, nil, fmt.Errorf("user and password: %w", err)
	}
	t = &kgo.Transport{TLS: o.TLS, SASL: m, DialTimeout: 3 * time.Second, MetadataTTL: time.Second, ClientID: "holdfast",
		MetadataTopics: []string{o.topic(captured), o.topic(normalised), o.topic(sealed), o.topic(dead)}}
	d = &kgo.Dialer{TLS: o.TLS, SASLMechanism: m, Timeout: 5 * time.Second, ClientID: "holdfast", DualStack: true}
	addr := kgo.TCP(o.Brokers...)
	return &kgo.Client{Addr: addr, Transport: t}, &kgo.Client{Addr: addr, Transport: t, Timeout: 2 * ackTime}, t, d, nil
}

// ackTime is how long a broker may take to have a message acknowledged by the
// others; attempt bounds any other question.
const (
	ackTime = 20 * time.Second
	attempt = 10 * time.Second
)
