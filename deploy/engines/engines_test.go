package engines

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func TestKafka(t *testing.T) {
	for name, k := range map[string]func() *KafkaCluster{
		"one":  func() *KafkaCluster { return Kafka(t, 1) },
		"sasl": func() *KafkaCluster { return KafkaSASL(t, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := k()
			roundTrip(t, c, 1)
			c.Kill(0)
			if _, err := net.DialTimeout("tcp", c.Brokers[0], time.Second); err == nil {
				t.Error("it listens after it was killed")
			}
			c.Restart(t, 0)
			produce(t, c, "again")
		})
	}
}

func TestKafkaThree(t *testing.T) {
	c := Kafka(t, 3)
	roundTrip(t, c, 3)
	c.Kill(1)
	produce(t, c, "one is gone")
	c.Restart(t, 1)
	produce(t, c, "and back")
}

func TestKafkaSASLStrangers(t *testing.T) {
	c := KafkaSASL(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stranger := &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: &kafka.Transport{TLS: c.TLS(t)}}
	if _, err := stranger.Metadata(ctx, &kafka.MetadataRequest{}); err == nil {
		t.Error("a broker with SASL answered one without a name")
	}
}

func roundTrip(t *testing.T, c *KafkaCluster, replicas int) {
	t.Helper()
	got, err := c.Client().CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "t", NumPartitions: 2, ReplicationFactor: replicas}}})
	if err != nil || got.Errors["t"] != nil {
		t.Fatal(err, got)
	}
	produce(t, c, "first")
}

func produce(t *testing.T, c *KafkaCluster, value string) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(c.Brokers...), Transport: c.Client().Transport, Topic: "t", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, MaxAttempts: 25, WriteTimeout: 20 * time.Second}
	defer w.Close()
	var err error
	for range 30 { // the first asks of a broker that began a moment ago may find no leader
		if err = w.WriteMessages(t.Context(), kafka.Message{Value: []byte(value)}); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatal(err)
}

func TestS3(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *S3{"minio": MinIO, "minio-tls": MinIOTLS, "versitygw": Versity} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			if s.CA != "" != strings.HasPrefix(s.Endpoint, "https://") {
				t.Error(s.Endpoint, s.CA)
			}
			denied(t, s)
			s.Kill()
			if _, err := s.client.Get(s.Endpoint); err == nil {
				t.Error("it answers after it was killed")
			}
			s.Restart(t)
			denied(t, s)
		})
	}
}

// denied: whoever gives no key is told so, in S3's words.
func denied(t *testing.T, s *S3) {
	t.Helper()
	resp, err := s.client.Get(s.Endpoint + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
}

func TestPostgreSQL(t *testing.T) {
	p := PostgreSQL(t)
	if err := p.ask(t.Context(), "holdfast", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.ask(t.Context(), "holdfast", "SELECT 1"); err == nil {
		t.Error("it answers after it was killed")
	}
	p.Restart(t)
	if err := p.ask(t.Context(), "holdfast", "SELECT 1/count(*) FROM t"); err != nil {
		t.Error(err)
	}
	if url := p.Database(t, "other"); !strings.HasSuffix(url, "/other?sslmode=disable") {
		t.Error(url)
	}
	right := p.Password
	p.Password = "wrong"
	if err := p.ask(t.Context(), "holdfast", "SELECT 1"); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Error(err)
	}
	p.Password = right
}
