package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/cmd/internal/engineset"
	"holdfast/deploy/engines"
)

// benchOffice are one broker, one PostgreSQL and, where it is asked for, one MinIO.
func benchOffice(t testing.TB, bucket bool) *office {
	s := &office{pg: engines.PostgreSQL(t), kafka: engines.Kafka(t, 1)}
	t.Setenv("PGPASSWORD", s.pg.Password)
	if !bucket {
		return s
	}
	s.minio = engines.MinIO(t)
	if err := s.bucket("bench", true); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", s.minio.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.minio.SecretKey)
	return s
}

// benchCLI works with them, in a database of its own.
func (s *office) benchCLI(t testing.TB, out *bytes.Buffer) *cli {
	s.n++
	c := &cli{out: out, errs: os.Stderr, asked: engineset.URLs{
		Queue:   "kafka://" + strings.Join(s.kafka.Brokers, ",") + "/bench?single-broker=true",
		Catalog: s.pg.Database(t, fmt.Sprintf("bench%d", s.n)),
	}}
	if s.minio != nil {
		c.asked.Store = "s3://bench/office?endpoint=" + s.minio.Endpoint
	}
	return c
}

// TestBenchScaled runs the command small, and looks at what it says.
func TestBenchScaled(t *testing.T) {
	var out bytes.Buffer
	c := benchOffice(t, true).benchCLI(t, &out)
	c.json = true
	if err := c.benchScaled(t.Context(), scaledBench{captures: 600, size: 1000, partitions: []int{1, 2}, index: true}); err != nil {
		t.Fatal(err)
	}
	said := out.String()
	if n := strings.Count(said, "\n"); n != 2 {
		t.Errorf("%d lines, want one for each number of partitions:\n%s", n, said)
	}
	for line := range strings.Lines(said) {
		var f struct {
			Bench, Unit, Against string
			Value, Ratio         float64
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Bench != "scaled" || f.Value <= 0 {
			t.Errorf("%v: %s", err, line)
		}
		if strings.Contains(f.Against, "not known") || !strings.Contains(f.Against, "database ") {
			t.Errorf("an engine's processor time is missing: %s", f.Against)
		}
	}
}

// BenchmarkScaled is `holdfast bench scaled` on engines that it starts, in a file store and
// in MinIO; -cpuprofile shows where this process's part goes.
func BenchmarkScaled(b *testing.B) {
	for _, store := range []string{"file", "minio"} {
		b.Run(store, func(b *testing.B) {
			s := benchOffice(b, store == "minio")
			for _, p := range []int{1, 2, 4} {
				b.Run(fmt.Sprintf("partitions-%d", p), func(b *testing.B) {
					for b.Loop() {
						var out bytes.Buffer
						if err := s.benchCLI(b, &out).benchScaled(b.Context(), scaledBench{captures: 20 * 1024, size: 1000, partitions: []int{p}}); err != nil {
							b.Fatal(err)
						}
						b.Log(out.String())
					}
				})
			}
		})
	}
}
