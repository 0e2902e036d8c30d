package engineset

import (
	"errors"
	"strings"
	"testing"
)

// TestEngineURLs guards that no secret gets into what is printed, kept and mirrored,
// and that a refusal does not repeat it.
func TestEngineURLs(t *testing.T) {
	for _, c := range []struct{ queue, store, catalog, want string }{
		{catalog: "postgres://holdfast:hunter2@db/x", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{catalog: "postgres://db/x?password=hunter2", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{catalog: "postgres://db/x?user=u&PassWord=hunter2", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{store: "s3://key:hunter2@bucket/p?endpoint=https://m", want: "AWS_SECRET_ACCESS_KEY"},
		{queue: "kafka://u:hunter2@b1:9092,b2:9092/p", catalog: "postgres://db/x", want: "HOLDFAST_KAFKA_PASSWORD_FILE"},
		{queue: "kafka://b1:9092,b2:9092/p?sasl_password=hunter2", catalog: "postgres://db/x", want: "HOLDFAST_KAFKA_PASSWORD_FILE"},
		{store: "s3://bucket/p?endpoint=https://key:hunter2@m", want: "AWS_SECRET_ACCESS_KEY"},
		{store: "s3://bucket/p?endpoint=https%3A%2F%2Fkey%3Ahunter2%40m%2Fx", want: "AWS_SECRET_ACCESS_KEY"},
		{store: "s3://bucket/p?endpoint=https://m&AccessKey=hunter2", want: "AWS_SECRET_ACCESS_KEY"},
		{catalog: "postgres://holdfast%3Ahunter2@db/x", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{catalog: "postgres://holdfast%zzhunter2@db/x", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{catalog: "postgresql://holdfast:hunter2@db/x", want: "HOLDFAST_PG_PASSWORD_FILE"},
		{queue: "kafka://b1:9092/p", want: "--catalog postgres://"},
		{queue: "kafka://b1:9092/p", catalog: "sqlite:c.db", want: "--catalog postgres://"},
		{queue: "postgres://db/x", want: "--queue (HOLDFAST_QUEUE)"},
		{store: "sqlite:x", want: "begins with none of"},
		{store: "https://hunter2@host", want: "begins with none of"},
		{store: "file:", want: "file:PATH"},
		{catalog: "sqlite://x/y", want: "sqlite:PATH"},
		{store: "s3:bucket", want: "no URL"},
	} {
		_, err := URLs{Queue: c.queue, Store: c.store, Catalog: c.catalog}.Checked()
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want a usage error with %q and no secret", c, err, c.want)
		}
	}
	good := URLs{Queue: "kafka://b1:9092,b2:9092/p?single-broker=true", Store: "s3://bucket/p?endpoint=https://m:9000", Catalog: "postgres://u@db:5432/x?sslmode=verify-full"}
	if got, err := good.Checked(); err != nil || got != good {
		t.Errorf("checked = %+v, %v", got, err)
	}
	got, err := URLs{Queue: "sqlite:q.db", Store: "file:/s"}.Checked()
	if err != nil || !strings.HasPrefix(got.Queue, "sqlite:/") || got.Store != "file:/s" {
		t.Errorf("checked = %+v, %v: a path is recorded whole, since the next command runs elsewhere", got, err)
	}
}

// TestOtherEngine: a URL that is not the node's would look like a node that has lost
// everything.
func TestOtherEngine(t *testing.T) {
	embedded, scaled := URLs{}, URLs{Store: "s3://b/p", StoreID: "x"}
	if err := embedded.Same(URLs{}); err != nil {
		t.Error(err)
	}
	if err := scaled.Same(URLs{Store: "s3://b/p"}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		s URLs
		e URLs
	}{{embedded, URLs{Store: "s3://b/p"}}, {scaled, URLs{Store: "s3://b/q"}}, {scaled, URLs{Queue: "kafka://b/p"}}} {
		if err := c.s.Same(c.e); err == nil || !strings.Contains(err.Error(), "holdfast move") {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}
