package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// working runs both stages in this process until the test ends them.
func (p place) working(t *testing.T, q *kafka.Queue) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.work(ctx, t, q) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("work: %v", err)
		}
	}
}

// TestBrokersDie: one of three is killed and comes back, then two are, while captures
// are published and sealed. With one left nothing is accepted, and that is said; what
// was accepted is sealed once.
func TestBrokersDie(t *testing.T) {
	c := engines.Kafka(t, 3)
	t.Setenv(brokers, strings.Join(c.Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 3)
	stop := p.working(t, q)
	accepted := publishing(t, q, 4, 5, 20*time.Millisecond)
	further(t, q, 100)
	c.Kill(0)
	further(t, q, 200)
	c.Start(t, 0)
	further(t, q, 200)
	must(t, q.Ping(t.Context()))

	short := p.queue(t, 3, func(o *kafka.Options) { o.Patience = 3 * time.Second })
	c.Kill(1)
	c.Kill(2)
	time.Sleep(time.Second)
	if _, err := short.Publish(t.Context(), nil, captures(t, 20, 100)...); !errors.Is(err, pipeline.ErrUnavailable) || !strings.Contains(err.Error(), "bring back those that are down") {
		t.Errorf("publish with one broker of three: %v", err)
	}
	if err := short.Ping(t.Context()); !errors.Is(err, pipeline.ErrUnavailable) {
		t.Errorf("probe with one broker of three: %v", err)
	}
	c.Start(t, 1)
	c.Start(t, 2)
	further(t, q, 200)
	all := accepted()
	settled(t, q, 2*time.Minute)
	must(t, short.Ping(t.Context()))
	stop()
	p.once(t, all)
}

// TestEverythingAgain: all messages are given again, to each stage: the publisher asks
// twice, the groups forget how far they were, and somebody who does not know that he
// lost normalise writes all of it beside the owner.
func TestEverythingAgain(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 2)
	all := map[holdfast.ID]bool{}
	var messages []pipeline.Message
	for range 5 {
		some := captures(t, 100, 300)
		_, err := q.Publish(t.Context(), nil, some...)
		must(t, err)
		messages = append(messages, some...)
		for _, m := range some {
			all[m.ID] = true
		}
	}
	stop := p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	before := p.once(t, all)

	t.Run("Publish", func(t *testing.T) {
		_, err := q.Publish(t.Context(), nil, messages...)
		must(t, err)
		stop := p.working(t, q)
		settled(t, q, time.Minute)
		stop()
		if n := len(p.dead(t)); n != len(all) {
			t.Errorf("%d of %d second messages are in the dead-letter topic", n, len(all))
		}
	})
	t.Run("Offsets", func(t *testing.T) {
		p.rewind(t, 2, pipeline.StageNormalise, pipeline.StagePreserve)
		end, err := q.End(t.Context(), pipeline.StagePreserve, 0)
		must(t, err)
		buried := len(p.dead(t))
		stop := p.working(t, q)
		settled(t, q, time.Minute)
		stop()
		if now, _ := q.End(t.Context(), pipeline.StagePreserve, 0); now != end {
			t.Errorf("%d messages were normalised a second time", now-end)
		}
		if n := len(p.dead(t)) - buried; n != len(all) { // those that were published twice
			t.Errorf("%d messages that were only given again are in the dead-letter topic", n-len(all))
		}
	})
	t.Run("Beside", func(t *testing.T) {
		p.beside(t, q, 2)
		stop := p.working(t, q)
		settled(t, q, time.Minute)
		stop()
		if s := p.seals(t); s.skipped["duplicate"] != len(all) {
			t.Errorf("%d of %d second messages were skipped by a plan", s.skipped["duplicate"], len(all))
		}
	})
	after := p.once(t, all)
	if !maps.Equal(before.of, after.of) {
		t.Error("a capture is in another Seal than before")
	}
}

// TestReceiveEnds: who waits for a message and is ended because brokers were away (a batch
// before it could not be acknowledged) is ended, and does not wait for the brokers.
func TestReceiveEnds(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	q := place{t.TempDir()}.queue(t, 1)
	why := fmt.Errorf("publish result: %w", pipeline.ErrUnavailable)
	for _, when := range []time.Duration{0, time.Second} {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(when, func() { cancel(why) }).Stop()
		ended := make(chan error, 1)
		go func() {
			_, err := q.Receive(ctx, pipeline.StagePreserve, 0, 0, pipeline.Bounds{})
			ended <- err
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, why) {
				t.Errorf("ended by %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it waits on")
		}
	}
}

// TestOtherMessage: a stage whose last message is another one by now, or is not there,
// begins again; so does normalise where what it wrote is another one.
func TestOtherMessage(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	m := captures(t, 10, 100)
	_, err := q.Publish(t.Context(), nil, m...)
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 10}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 5}))
	client, prefix := p.raw(t)
	print := func(s pipeline.Stage, topic string) string {
		res, err := client.OffsetFetch(t.Context(), &kgo.OffsetFetchRequest{GroupID: prefix + "." + string(s), Topics: map[string][]int{prefix + "." + topic: {0}}})
		must(t, err)
		return res.Topics[prefix+"."+topic][0].Metadata
	}
	read, wrote, _ := strings.Cut(print(pipeline.StageNormalise, "captured"), " ")
	other := "00000000000000000000000000000000.00000000"
	for _, c := range []struct {
		what   string
		stage  pipeline.Stage
		topic  string
		offset int64
		print  string
		want   int64
	}{
		{"as it was", pipeline.StagePreserve, "normalised", 5, print(pipeline.StagePreserve, "normalised"), 5},
		{"by hand", pipeline.StagePreserve, "normalised", 4, "", 4},
		{"another message", pipeline.StagePreserve, "normalised", 5, other, 0},
		{"past the end", pipeline.StagePreserve, "normalised", 11, "", 0},
		{"as it was", pipeline.StageNormalise, "captured", 10, read + " " + wrote, 10},
		{"another was read", pipeline.StageNormalise, "captured", 10, other + " " + wrote, 0},
		{"another was written", pipeline.StageNormalise, "captured", 10, read + " 10 " + other, 0},
		{"what was written is gone", pipeline.StageNormalise, "captured", 10, read + " 11 " + other, 0},
	} {
		topic := prefix + "." + c.topic
		res, err := client.OffsetCommit(t.Context(), &kgo.OffsetCommitRequest{GroupID: prefix + "." + string(c.stage), GenerationID: -1,
			Topics: map[string][]kgo.OffsetCommit{topic: {{Offset: c.offset, Metadata: c.print}}}})
		must(t, err)
		must(t, res.Topics[topic][0].Error)
		if at, err := q.Position(t.Context(), c.stage, 0); err != nil || at != c.want {
			t.Errorf("%s, %s: at %d, not %d, %v", c.stage, c.what, at, c.want, err)
		}
	}
}

// rewind sets the groups back to the beginning.
func (p place) rewind(t *testing.T, partitions int, stages ...pipeline.Stage) {
	t.Helper()
	client, prefix := p.raw(t)
	for _, s := range stages {
		topic := prefix + "." + map[pipeline.Stage]string{pipeline.StageNormalise: "captured", pipeline.StagePreserve: "normalised"}[s]
		req := &kgo.OffsetCommitRequest{GroupID: prefix + "." + string(s), GenerationID: -1, Topics: map[string][]kgo.OffsetCommit{}}
		for n := range partitions {
			req.Topics[topic] = append(req.Topics[topic], kgo.OffsetCommit{Partition: n})
		}
		res, err := client.OffsetCommit(t.Context(), req)
		must(t, err)
		for _, r := range res.Topics[topic] {
			must(t, r.Error)
		}
	}
}

// read returns all records of a partition.
func (p place) read(t *testing.T, topic string, partition int) (out []kgo.Record) {
	t.Helper()
	client, prefix := p.raw(t)
	ends, err := client.ListOffsets(t.Context(), &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{
		prefix + "." + topic: {kgo.FirstOffsetOf(partition), kgo.LastOffsetOf(partition)}}})
	must(t, err)
	at := ends.Topics[prefix+"."+topic][0]
	for from := at.FirstOffset; from < at.LastOffset; {
		res, err := client.Fetch(t.Context(), &kgo.FetchRequest{Topic: prefix + "." + topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: time.Second})
		must(t, err)
		must(t, res.Error)
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break
			}
			if r.Offset < from {
				continue
			}
			from = r.Offset + 1
			key, err := kgo.ReadAll(r.Key)
			must(t, err)
			value, err := kgo.ReadAll(r.Value)
			must(t, err)
			out = append(out, kgo.Record{Offset: r.Offset, Key: kgo.NewBytes(key), Value: kgo.NewBytes(value), Headers: slices.Clone(r.Headers)})
		}
	}
	return out
}

func (p place) dead(t *testing.T) []kgo.Record { return p.read(t, "dead", 0) }

// beside writes all that is in normalised once more.
func (p place) beside(t *testing.T, q *kafka.Queue, partitions int) {
	t.Helper()
	client, prefix := p.raw(t)
	for n := range partitions {
		res, err := client.Produce(t.Context(), &kgo.ProduceRequest{Topic: prefix + ".normalised", Partition: n, RequiredAcks: kgo.RequireAll,
			Records: kgo.NewRecordReader(p.read(t, "normalised", n)...)})
		must(t, err)
		must(t, res.Error)
	}
}

func header(r kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// TestOneFails: a partition that cannot go on is tried again and takes no other away;
// where all fail, Share says so.
func TestOneFails(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	q := place{t.TempDir()}.queue(t, 2)
	bad, all := errors.New("contradicted"), make(chan struct{})
	var zero, one atomic.Int32
	ended := make(chan error, 1)
	go func() {
		ended <- q.Share(t.Context(), pipeline.StagePreserve, func(ctx context.Context, partition int) error {
			if partition == 0 {
				zero.Add(1)
				return bad
			}
			one.Add(1)
			select {
			case <-all:
				return bad
			case <-ctx.Done():
				return nil
			}
		})
	}()
	for end := time.Now().Add(30 * time.Second); zero.Load() < 4 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	select {
	case err := <-ended:
		t.Fatalf("one of two fails, and share ended: %v", err)
	default:
	}
	if zero.Load() < 4 || one.Load() != 1 {
		t.Errorf("the one that fails was tried %d times, the other begun %d times", zero.Load(), one.Load())
	}
	close(all)
	select {
	case err := <-ended:
		if err != bad {
			t.Errorf("share ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("all fail, and share goes on")
	}
}

// TestPoison: what is no message, what is of another form, and what is not what was
// written, is copied to the dead-letter topic and skipped, and the partition goes on.
func TestPoison(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	all := map[holdfast.ID]bool{}
	put := func() {
		m := capture(t, 100)
		_, err := q.Publish(t.Context(), nil, m)
		must(t, err)
		all[m.ID] = true
	}
	put()
	garbage := holdfast.NewID()
	_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: garbage, Body: []byte("of a format that nobody reads any more")})
	must(t, err)
	put()
	client, prefix := p.raw(t)
	good := capture(t, 100)
	for _, r := range []kgo.Record{
		{Value: kgo.NewBytes([]byte("from a stranger, without a header"))},
		{Value: kgo.NewBytes(good.Body), Headers: []kgo.Header{{Key: "id", Value: []byte(good.ID)}, {Key: "sum", Value: []byte("none")}}},
		{Value: nil, Headers: []kgo.Header{{Key: "id", Value: nil}, {Key: "body", Value: []byte("12345678")}}},
	} {
		res, err := client.Produce(t.Context(), &kgo.ProduceRequest{Topic: prefix + ".captured", RequiredAcks: kgo.RequireAll, Records: kgo.NewRecordReader(r)})
		must(t, err)
		must(t, res.Error)
	}
	put()
	stop := p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	if s := p.once(t, all); s.skipped["poison"] != 4 || len(s.of) != len(all) {
		t.Errorf("skipped %v, %d sealed", s.skipped, len(s.of))
	}
	if n, err := q.Poison(t.Context()); err != nil || n != 4 {
		t.Errorf("%d are counted, %v", n, err)
	}
	must(t, q.Check(t.Context()))
	dead := p.dead(t)
	if len(dead) != 4 {
		t.Fatalf("%d messages are in the dead-letter topic", len(dead))
	}
	value, _ := kgo.ReadAll(dead[0].Value)
	if header(dead[0], "id") != string(garbage) || header(dead[0], "position") != "2" || header(dead[0], "stage") != "preserve" ||
		header(dead[0], "partition") != "0" || header(dead[0], "reason") != "poison" || string(value) != "of a format that nobody reads any more" {
		t.Errorf("the dead letter says %q of %q", dead[0].Headers, value)
	}
}
