package scaled_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pg"
	"holdfast/pipeline"
	"holdfast/pipeline/queuetest"
	"holdfast/pipeline/scaled"
)

// The environment variables that tell child processes where the engines are.
const (
	brokers  = "HOLDFAST_TEST_BROKERS"
	database = "HOLDFAST_TEST_DATABASE"
)

func TestMain(m *testing.M) {
	queuetest.Main(open)
	os.Exit(m.Run())
}

func options(name string) scaled.Options {
	return scaled.Options{URL: "kafka://" + os.Getenv(brokers) + "/" + name + "?single-broker=true&partitions=1",
		Database: os.Getenv(database), Session: 3 * time.Second, PruneEvery: -1}
}

func open(ctx context.Context, dir string, now func() time.Time) (queuetest.Queue, error) {
	o := options(fmt.Sprintf("t%x", sha256.Sum256([]byte(dir)))[:13])
	o.Now = now
	q, err := scaled.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return q, nil
}

// TestScaled is all of it, on one broker and one database.
func TestScaled(t *testing.T) {
	p := engines.PostgreSQL(t)
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	t.Setenv(database, p.URL)
	t.Setenv("PGPASSWORD", p.Password)
	t.Run("Queue", func(t *testing.T) { queuetest.TestKind(t, queuetest.Kind{}, open) })
	t.Run("Refused", func(t *testing.T) { refused(t, p) })
}

func refused(t *testing.T, p *engines.PG) {
	try := func(change func(*scaled.Options)) error {
		o := options("refused")
		change(&o)
		q, err := scaled.Open(t.Context(), o)
		if err == nil {
			q.Close()
		}
		return err
	}
	existing := func(o *scaled.Options) { o.Existing = true }
	other := p.Database(t, "other")
	used := func() error {
		q, err := scaled.Open(t.Context(), options("refused"))
		if err != nil {
			return err
		}
		defer q.Close()
		id := holdfast.NewID()
		_, err = q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: queuetest.Body(id)})
		return err
	}
	for _, c := range []struct {
		what   string
		change func(*scaled.Options)
		is     error
		says   string
	}{
		{"none", existing, pipeline.ErrNoQueue, ""},
		{"made", func(o *scaled.Options) {}, nil, ""},
		{"again", existing, nil, ""},
		{"password", func(o *scaled.Options) { o.DatabasePassword = "wrong" }, pg.ErrRefused, "PGPASSWORD"},
		{"other database", func(o *scaled.Options) { o.Database, o.Existing = other, true }, pipeline.ErrNoQueue, ""},
		{"used", func(o *scaled.Options) {
			if err := used(); err != nil {
				t.Error(err)
			}
		}, nil, ""},
		{"new database, topics that are not", func(o *scaled.Options) { o.Database = other }, pipeline.ErrForeign, "give the database that was theirs"},
		{"the same again", func(o *scaled.Options) { o.Database = other }, pipeline.ErrForeign, "give the database that was theirs"},
		{"two brokers wanted", func(o *scaled.Options) {
			o.URL = strings.Replace(o.URL, "single-broker=true", "single-broker=false", 1)
		}, nil, "single-broker=true"},
	} {
		err := try(c.change)
		if c.is != nil && !errors.Is(err, c.is) || c.is == nil && c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://u:secret@b:1/p":         "HOLDFAST_KAFKA_USER",
		"kafka://b:1":                    "write kafka://HOST",
		"kafka:///p":                     "write kafka://HOST",
		"sqlite:/x":                      "write kafka://HOST",
		"kafka://b/p?partitions=9999":    "1 to 8191",
		"kafka://b/p?partitions=secret":  "partitions has no such value",
		"kafka://b/p?single_broker=true": "is not known",
		"kafka://b/p?ca=/nowhere":        "no such file",
	} {
		_, err := scaled.Open(t.Context(), scaled.Options{URL: url})
		if !errors.Is(err, scaled.ErrURL) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
