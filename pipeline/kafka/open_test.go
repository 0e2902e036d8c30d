package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// made makes one topic as it should not be.
func made(t *testing.T, c *kgo.Client, name string, partitions, replicas int, settings ...string) {
	t.Helper()
	all := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "min.insync.replicas": "2",
		"unclean.leader.election.enable": "false", "max.message.bytes": strconv.Itoa(64 << 20)}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		all[k] = v
	}
	topic := kgo.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: replicas}
	for k, v := range all {
		topic.ConfigEntries = append(topic.ConfigEntries, kgo.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	res, err := c.CreateTopics(t.Context(), &kgo.CreateTopicsRequest{Topics: []kgo.TopicConfig{topic}})
	must(t, err)
	must(t, res.Errors[name])
}

// TestRefused: what could lose or mix up what it is given is not opened, and a
// sentence says why.
func TestRefused(t *testing.T) {
	c := engines.Kafka(t, 3)
	t.Setenv(brokers, strings.Join(c.Brokers, ","))
	client := c.Client()
	four := []string{"captured", "normalised", "sealed", "dead"}
	for i, k := range []struct {
		name   string
		topics []string
		make   func(t *testing.T, topic string)
		change func(*kafka.Options)
		is     error
		says   string
	}{
		{name: "none", is: pipeline.ErrNoQueue, says: "init --queue"},
		{name: "some", topics: four[:2], is: pipeline.ErrForeign, says: "are missing"},
		{name: "partitions", topics: four, is: pipeline.ErrForeign, says: "never changes", make: func(t *testing.T, topic string) {
			made(t, client, topic, map[bool]int{false: 2, true: 3}[strings.HasSuffix(topic, "sealed")], 3)
		}},
		{name: "replicas", topics: four, is: pipeline.ErrForeign, says: "single-broker=true", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 1, "min.insync.replicas=1")
		}},
		{name: "insync", topics: four, is: pipeline.ErrForeign, says: "min.insync.replicas=1, and 2 is wanted", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 3, "min.insync.replicas=1")
		}},
		{name: "retention", topics: four, is: pipeline.ErrForeign, says: "retention.ms=604800000, and -1 is wanted", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 3, "retention.ms=604800000")
		}},
		{name: "compacted", topics: four, is: pipeline.ErrForeign, says: "cleanup.policy=compact", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 3, "cleanup.policy=compact")
		}},
		{name: "unclean", topics: four, is: pipeline.ErrForeign, says: "unclean.leader.election.enable=true", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 3, "unclean.leader.election.enable=true")
		}},
		{name: "small", topics: four, is: pipeline.ErrForeign, says: "max.message.bytes=1048576", make: func(t *testing.T, topic string) {
			made(t, client, topic, 2, 3, "max.message.bytes=1048576")
		}},
		{name: "changed", topics: four, says: "another number", change: func(o *kafka.Options) {
			o.Bind = func(_ context.Context, cluster, prefix string, partitions int) error {
				if cluster == "" || prefix != o.Prefix || partitions != 2 {
					return fmt.Errorf("told of cluster %q, prefix %q, %d partitions", cluster, prefix, partitions)
				}
				return errors.New("another number")
			}
		}},
		{name: "password", topics: four, says: "take no user here", change: func(o *kafka.Options) { o.User, o.Password = "nobody", "no" }},
		{name: "nobody", says: "no broker of [127.0.0.1:1] answers", is: pipeline.ErrUnavailable, change: func(o *kafka.Options) { o.Brokers = []string{"127.0.0.1:1"} }},
		{name: "sound", topics: four},
	} {
		t.Run(k.name, func(t *testing.T) {
			o, d, err := options(t.Context(), t.TempDir(), nil)
			must(t, err)
			defer d.Close()
			o.Prefix, o.Patience = fmt.Sprintf("refused%d", i), 2*time.Second
			for _, name := range k.topics {
				if k.make != nil {
					k.make(t, o.Prefix+"."+name)
				} else {
					made(t, client, o.Prefix+"."+name, 2, 3)
				}
			}
			time.Sleep(time.Second) // all brokers know it
			if k.change != nil {
				k.change(&o)
			}
			q, err := kafka.Open(t.Context(), o)
			if k.says == "" {
				must(t, err)
				q.Close()
				return
			}
			if err == nil {
				q.Close()
				t.Fatal("it was opened")
			}
			if k.is != nil && !errors.Is(err, k.is) || !strings.Contains(err.Error(), k.says) {
				t.Errorf("says: %v", err)
			}
			t.Log(err)
		})
	}
}

// TestTLS: with SCRAM over TLS the queue works, and a wrong password, no password and
// a certificate of somebody else are told apart.
func TestTLS(t *testing.T) {
	c := engines.KafkaSASL(t, 1)
	t.Setenv(brokers, strings.Join(c.Brokers, ","))
	p := place{t.TempDir()}
	sound := func(o *kafka.Options) {
		o.TLS, o.User, o.Password, o.Patience = c.TLS(t), c.User, c.Password, 3*time.Second
	}
	q := p.queue(t, 1, sound)
	stop := p.working(t, q)
	m := capture(t, 100)
	_, err := q.Publish(t.Context(), nil, m)
	must(t, err)
	settled(t, q, time.Minute)
	stop()
	if p.seals(t).of[m.ID] == "" {
		t.Error("it was not sealed")
	}
	for name, k := range map[string]struct {
		change func(*kafka.Options)
		says   string
	}{
		"password":    {func(o *kafka.Options) { o.Password = "wrong" }, "refuse user"},
		"no user":     {func(o *kafka.Options) { o.User = "" }, "TLS or a user is wanted"},
		"certificate": {func(o *kafka.Options) { o.TLS = o.TLS.Clone(); o.TLS.RootCAs = nil }, "certificate is not one to trust"},
	} {
		t.Run(name, func(t *testing.T) {
			o, d, err := options(t.Context(), t.TempDir(), nil)
			must(t, err)
			defer d.Close()
			sound(&o)
			k.change(&o)
			if q, err := kafka.Open(t.Context(), o); err == nil {
				q.Close()
				t.Error("it was opened")
			} else if !strings.Contains(err.Error(), k.says) {
				t.Errorf("says: %v", err)
			} else if strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), c.Password) {
				t.Errorf("tells the password: %v", err)
			}
		})
	}
}

// TestPruneKeeps: nothing is deleted where one stage cannot be read, and a group that
// Kafka has forgotten is not begun anew behind what is gone.
func TestPruneKeeps(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	client, prefix := p.raw(t)
	_, err := q.Publish(t.Context(), nil, captures(t, 20, 100)...)
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 20}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 20}))
	if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageAlerts); err == nil || n != 0 {
		t.Errorf("%d pruned though nobody knows where alerts is: %v", n, err)
	}
	for _, some := range [][]pipeline.Stage{{pipeline.StagePreserve, pipeline.StageIndex}, {pipeline.StageIndex, pipeline.StagePreserve}} {
		if n, err := q.Prune(t.Context(), 0, some...); err != nil || n != 0 {
			t.Errorf("%d pruned though the index has none: %v", n, err)
		}
	}
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageIndex, To: 12}))
	n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex)
	must(t, err)
	if n != 12 {
		t.Errorf("%d pruned, 12 are done", n)
	}
	for topic, want := range map[string]int64{"captured": 12, "normalised": 12, "sealed": 0} {
		r, err := client.ListOffsets(t.Context(), &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{prefix + "." + topic: {kgo.FirstOffsetOf(0)}}})
		must(t, err)
		if got := r.Topics[prefix+"."+topic][0].FirstOffset; got != want {
			t.Errorf("%s begins at %d, not %d", topic, got, want)
		}
	}
	res, err := client.DeleteGroups(t.Context(), &kgo.DeleteGroupsRequest{GroupIDs: []string{prefix + ".preserve"}})
	must(t, err)
	must(t, res.Errors[prefix+".preserve"])
	if at, err := q.Position(t.Context(), pipeline.StagePreserve, 0); !errors.Is(err, pipeline.ErrForeign) || !strings.Contains(err.Error(), "reset-offsets") {
		t.Errorf("a group that was forgotten is at %d: %v", at, err)
	}
	if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex); err == nil || n != 0 {
		t.Errorf("%d pruned though nobody knows where preserve is: %v", n, err)
	}
}
