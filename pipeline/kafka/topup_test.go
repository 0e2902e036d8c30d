package kafka_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pipeline"
)

// TestFullBatches: a call has as many messages as it may where they are there, however
// many one answer of the broker holds.
func TestFullBatches(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	const count, call = 5000, 250 // of 2 KB that nothing makes smaller: three answers of 4 MB
	for range count / call {
		var some []pipeline.Message
		for range call {
			body := make([]byte, 2000)
			rand.Read(body)
			some = append(some, pipeline.Message{ID: holdfast.NewID(), Body: body})
		}
		_, err := q.Publish(t.Context(), nil, some...)
		must(t, err)
	}
	for at := int64(0); at < count; {
		got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, at, pipeline.Bounds{})
		must(t, err)
		if want := min(pipeline.MaxBatch, count-at); int64(len(got)) != want {
			t.Errorf("behind %d: %d messages, want %d", at, len(got), want)
		}
		for i, m := range got {
			if m.Position != at+int64(i)+1 {
				t.Fatalf("behind %d: message %d is at %d", at, i, m.Position)
			}
		}
		at += int64(len(got))
	}
	some, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{Bytes: 100_000})
	must(t, err)
	if len(some) < 10 || len(some) > 50 {
		t.Errorf("%d messages of 2 KB in 100 KB", len(some))
	}
}
