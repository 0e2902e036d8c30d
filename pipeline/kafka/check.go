package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/pipeline"
)

// largest is the most bytes that one record may have, on the wire: a whole
// normalised message with its frame.
const largest = 2*pipeline.MaxMessage + 1<<20

func names() []string { return []string{captured, normalised, sealed, dead} }

// settings are what a topic must be set to. One that forgets by time or size, or
// keeps the last of each key only, loses what is not sealed yet; one whose leader
// may be a broker that lags behind loses what was acknowledged.
func (o Options) settings() map[string]string {
	insync := "2"
	if o.SingleBroker {
		insync = "1"
	}
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "min.insync.replicas": insync,
		"unclean.leader.election.enable": "false", "max.message.bytes": strconv.Itoa(largest)}
}

// Create makes the topics of a queue that are not there, with as many partitions,
// which it then has for its life. Of topics that are there it changes nothing; Open
// says what is wrong with them.
func Create(ctx context.Context, o Options, partitions int) error {
	if partitions < 1 || partitions >= pipeline.MaxPartitions {
		return fmt.Errorf("create queue: %d partitions: 1 to %d", partitions, pipeline.MaxPartitions-1)
	}
	q, err := connect(o)
	if err != nil {
		return fmt.Errorf("create queue: %w", err)
	}
	defer q.Close()
	if err := q.create(ctx, partitions); err != nil {
		return fmt.Errorf("create topics %s.*: %w", o.Prefix, explain(err, o))
	}
	return nil
}

func (q *Queue) create(ctx context.Context, partitions int) error {
	replicas := 3
	if q.o.SingleBroker {
		replicas = 1
	}
	req := &kgo.CreateTopicsRequest{}
	for _, name := range names() {
		c := kgo.TopicConfig{Topic: q.o.topic(name), NumPartitions: partitions, ReplicationFactor: replicas}
		if name == dead {
			c.NumPartitions = 1
		}
		for k, v := range q.o.settings() {
			c.ConfigEntries = append(c.ConfigEntries, kgo.ConfigEntry{ConfigName: k, ConfigValue: v})
		}
		c.ConfigEntries = append(c.ConfigEntries, kgo.ConfigEntry{ConfigName: segmentMS, ConfigValue: strconv.FormatInt(segmentAge.Milliseconds(), 10)})
		req.Topics = append(req.Topics, c)
	}
	err := q.try(ctx, 3*attempt, func(ctx context.Context) error {
		res, err := q.write.CreateTopics(ctx, req)
		if err != nil {
			return err
		}
		for topic, err := range res.Errors {
			switch {
			case errors.Is(err, kgo.InvalidReplicationFactor):
				return fmt.Errorf("%s: %d replicas are wanted, and fewer brokers are there; one broker alone is taken with single-broker=true: %w", topic, replicas, err)
			case err != nil && !errors.Is(err, kgo.TopicAlreadyExists):
				return fmt.Errorf("%s: %w", topic, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return q.appeared(ctx)
}

// appeared waits until the brokers name a leader of each partition, and each of them
// knows the topics: they tell each other of new ones a moment after they have made them,
// and whoever asks one that was not told yet would hear that there is no queue.
func (q *Queue) appeared(ctx context.Context) error {
	return q.try(ctx, attempt, func(ctx context.Context) error {
		m, err := q.metadata(ctx)
		if err != nil {
			return err
		}
		if len(m.Topics) != len(names()) {
			return kgo.LeaderNotAvailable
		}
		for _, t := range m.Topics {
			err = errors.Join(err, t.Error)
			for _, p := range t.Partitions {
				err = errors.Join(err, p.Error)
			}
			if err == nil && len(t.Partitions) == 0 {
				err = kgo.LeaderNotAvailable
			}
		}
		for _, b := range m.Brokers {
			err = errors.Join(err, q.knows(ctx, b))
		}
		return err
	})
}

// knows returns an error that is transient while a broker does not know the topics. One
// that does not answer has told nobody that they are not there.
func (q *Queue) knows(ctx context.Context, b kgo.Broker) error {
	c, err := q.dialer.DialContext(ctx, "tcp", net.JoinHostPort(b.Host, strconv.Itoa(b.Port)))
	if err != nil {
		return nil
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(end)
	}
	if _, err := c.ReadPartitions(q.topics()...); errors.Is(err, kgo.UnknownTopicOrPartition) || errors.Is(err, kgo.LeaderNotAvailable) {
		return kgo.LeaderNotAvailable
	}
	return nil
}

func (q *Queue) topics() (all []string) {
	for _, n := range names() {
		all = append(all, q.o.topic(n))
	}
	return all
}

func (q *Queue) metadata(ctx context.Context) (*kgo.MetadataResponse, error) {
	return q.read.Metadata(ctx, &kgo.MetadataRequest{Topics: q.topics()})
}

// check refuses topics that are missing or could lose what they are given.
func (q *Queue) check(ctx context.Context) error {
	var m *kgo.MetadataResponse
	err := q.try(ctx, attempt, func(ctx context.Context) (err error) {
		m, err = q.metadata(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := q.checkTopics(m, q.topics()); err != nil {
		return err
	}
	return q.checkSettings(ctx, q.topics())
}

func (q *Queue) checkTopics(m *kgo.MetadataResponse, all []string) error {
	var missing []string
	for _, name := range all {
		i := slices.IndexFunc(m.Topics, func(t kgo.Topic) bool { return t.Name == name })
		if i < 0 || errors.Is(m.Topics[i].Error, kgo.UnknownTopicOrPartition) {
			missing = append(missing, name)
			continue
		}
		t := m.Topics[i]
		if t.Error != nil {
			return fmt.Errorf("topic %s: %w", name, t.Error)
		}
		if err := q.checkTopic(t); err != nil {
			return err
		}
	}
	if len(missing) == len(all) {
		return fmt.Errorf("%w: no topic %s.* is there: `holdfast init --queue` makes them", pipeline.ErrNoQueue, q.o.Prefix)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: the topics %q are missing, and others of the queue are there: bring them back; begun anew under the same names, positions would be taken twice", pipeline.ErrForeign, missing)
	}
	return nil
}

func (q *Queue) checkTopic(t kgo.Topic) error {
	for _, p := range t.Partitions {
		if n := len(p.Replicas); n < 3 && !q.o.SingleBroker {
			return fmt.Errorf("%w: partition %d of topic %s has %d replicas, and 3 are wanted: give it more brokers, or take the risk of one with single-broker=true", pipeline.ErrForeign, p.ID, t.Name, n)
		}
	}
	switch n := len(t.Partitions); {
	case t.Name == q.o.topic(dead):
	case q.partitions == 0:
		q.partitions = n
	case n != q.partitions:
		return fmt.Errorf("%w: topic %s has %d partitions, and %s has %d: they are made with the same number, which never changes", pipeline.ErrForeign, t.Name, n, q.o.topic(captured), q.partitions)
	}
	if q.partitions >= pipeline.MaxPartitions {
		return fmt.Errorf("%w: %d partitions, at most %d", pipeline.ErrForeign, q.partitions, pipeline.MaxPartitions-1)
	}
	return nil
}

func (q *Queue) checkSettings(ctx context.Context, all []string) error {
	req := &kgo.DescribeConfigsRequest{}
	for _, t := range all {
		req.Resources = append(req.Resources, kgo.DescribeConfigRequestResource{ResourceType: kgo.ResourceTypeTopic, ResourceName: t})
	}
	var res *kgo.DescribeConfigsResponse
	err := q.try(ctx, attempt, func(ctx context.Context) (err error) {
		res, err = q.read.DescribeConfigs(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	want := q.o.settings()
	for _, r := range res.Resources {
		if r.Error != nil {
			return fmt.Errorf("settings of topic %s: %w", r.ResourceName, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if w, ok := want[e.ConfigName]; ok && !enough(e.ConfigName, e.ConfigValue, w) {
				return fmt.Errorf("%w: topic %s has %s=%s, and %s is wanted: set it with kafka-configs --alter --topic %s --add-config %s=%s", pipeline.ErrForeign,
					r.ResourceName, e.ConfigName, e.ConfigValue, w, r.ResourceName, e.ConfigName, w)
			}
		}
	}
	return nil
}

// enough: of numbers that bound from below, more will do.
func enough(name, is, want string) bool {
	if name != "min.insync.replicas" && name != "max.message.bytes" {
		return is == want
	}
	a, err := strconv.ParseInt(is, 10, 64)
	b, _ := strconv.ParseInt(want, 10, 64)
	return err == nil && a >= b
}

// bind has it written down, the first time, where the queue lies, and refuses
// another place or another number of partitions later.
func (q *Queue) bind(ctx context.Context) error {
	if q.o.Bind == nil {
		return nil
	}
	m, err := q.metadata(ctx)
	if err != nil {
		return err
	}
	return q.o.Bind(ctx, m.ClusterID, q.o.Prefix, q.partitions)
}
