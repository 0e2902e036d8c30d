package kafka_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// TestClockRefused: brokers that refuse what this machine dates (those of Kafka 4 do where
// it is more than an hour ahead; here by a topic that takes nothing older than now) accept
// nothing, the clock is named, and all goes on without a restart once they agree.
func TestClockRefused(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1, func(o *kafka.Options) { o.Patience = time.Second })
	client, prefix := p.raw(t)
	limit := func(ms string) {
		res, err := client.IncrementalAlterConfigs(t.Context(), &kgo.IncrementalAlterConfigsRequest{Resources: []kgo.IncrementalAlterConfigsRequestResource{{
			ResourceType: kgo.ResourceTypeTopic, ResourceName: prefix + ".captured",
			Configs: []kgo.IncrementalAlterConfigsRequestConfig{{Name: "message.timestamp.before.max.ms", Value: ms, ConfigOperation: kgo.ConfigOperationSet}}}}})
		if err == nil {
			err = res.Resources[0].Error
		}
		must(t, err)
	}
	limit("0")
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := q.Publish(t.Context(), nil, captures(t, 1, 100)...)
		if errors.Is(err, pipeline.ErrUnavailable) && strings.Contains(err.Error(), "the clocks of this machine and of the brokers are too far apart") {
			break
		}
		if err != nil || time.Now().After(deadline) { // the broker learns of its setting in a moment
			t.Fatalf("what is dated wrong: %v", err)
		}
	}
	limit("9223372036854775807")
	for {
		if _, err := q.Publish(t.Context(), nil, captures(t, 1, 100)...); err == nil {
			return
		} else if !errors.Is(err, pipeline.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatalf("once the clocks agree: %v", err)
		}
	}
}
