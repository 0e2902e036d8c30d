package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	kgo "github.com/segmentio/kafka-go"
)

// segmentMS is the setting by which a segment of a topic ends, at the next message. What
// was pruned lies on the brokers' disks until then: a topic that Create makes has
// segmentAge, and one that somebody else has made is taken with what it has.
const segmentMS = "segment.ms"

const segmentAge = 24 * time.Hour

// Lingers says where messages that no reader gets any more still lie, and until when; it
// asks the brokers for the topics' settings.
func (q *Queue) Lingers(ctx context.Context) (string, error) {
	req := &kgo.DescribeConfigsRequest{}
	for _, t := range q.topics() {
		req.Resources = append(req.Resources, kgo.DescribeConfigRequestResource{ResourceType: kgo.ResourceTypeTopic, ResourceName: t, ConfigNames: []string{segmentMS}})
	}
	var res *kgo.DescribeConfigsResponse
	err := q.try(ctx, attempt, func(ctx context.Context) (err error) {
		res, err = q.read.DescribeConfigs(ctx, req)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read settings of the topics: %w", err)
	}
	longest := time.Duration(0)
	for _, r := range res.Resources {
		if r.Error != nil {
			return "", fmt.Errorf("settings of topic %s: %w", r.ResourceName, r.Error)
		}
		for _, e := range r.ConfigEntries {
			ms, err := strconv.ParseInt(e.ConfigValue, 10, 64)
			if e.ConfigName == segmentMS && err == nil {
				longest = max(longest, time.Duration(min(ms, 1<<42))*time.Millisecond)
			}
		}
	}
	return fmt.Sprintf("no reader gets its messages from %s any more; the brokers' disks lose them some minutes after their segment has ended, which is with the first message to the partition once it is %s old (%s), or earlier by its size",
		strings.Join(q.topics()[:2], " and "), longest, segmentMS), nil
}
