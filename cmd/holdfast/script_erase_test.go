package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rogpeppe/go-internal/testscript"
	kgo "github.com/segmentio/kafka-go"
)

// cmdAnywhere is `anywhere DIR TEXT…`: each text is in some file of the directory, in
// whatever case, packed or written however; `! anywhere DIR TEXT…`: none is in any.
func cmdAnywhere(ts *testscript.TestScript, neg bool, args []string) {
	found := map[string][]string{}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, text := range args[1:] {
			found[text] = append(found[text], placesOf(name, b, text)...)
			if low := strings.ToLower(text); low != text { // an index folds what it holds
				found[text] = append(found[text], placesOf(name, b, low)...)
			}
		}
		return nil
	}))
	everywhere(ts, neg, args[1:], found)
}

func everywhere(ts *testscript.TestScript, neg bool, texts []string, found map[string][]string) {
	for _, text := range texts {
		if in := found[text]; neg && len(in) > 0 {
			ts.Fatalf("%q is in %q", text, in)
		} else if !neg && len(in) == 0 {
			ts.Fatalf("%q is nowhere", text)
		}
	}
}

// cmdRows is anywhere for the tables of $CATALOG.
func cmdRows(ts *testscript.TestScript, neg bool, args []string) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	o, err := pgx.ParseConfig(ts.Getenv("CATALOG"))
	ts.Check(err)
	o.Password = ts.Getenv("PGPASSWORD")
	db, err := pgx.ConnectConfig(ctx, o)
	ts.Check(err)
	defer db.Close(ctx)
	rows, err := db.Query(ctx, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	ts.Check(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ts.Check(err)
	found := map[string][]string{}
	for _, table := range tables {
		for _, text := range args {
			n := 0
			q := `SELECT count(*) FROM ` + table + ` t WHERE t::text ILIKE '%' || $1 || '%' OR t::text ILIKE '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'`
			ts.Check(db.QueryRow(ctx, q, text).Scan(&n))
			if n > 0 {
				found[text] = append(found[text], fmt.Sprintf("%d rows of %s", n, table))
			}
		}
	}
	everywhere(ts, neg, args, found)
}

// cmdTopics is anywhere for what the brokers of $QUEUE give to whoever reads all topics
// of its prefix from their beginning.
func cmdTopics(ts *testscript.TestScript, neg bool, args []string) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	hosts, prefix, _ := strings.Cut(strings.TrimPrefix(ts.Getenv("QUEUE"), "kafka://"), "/")
	prefix, _, _ = strings.Cut(prefix, "?")
	broker := strings.Split(hosts, ",")[0]
	conn, err := kgo.DialContext(ctx, "tcp", broker)
	ts.Check(err)
	defer conn.Close()
	parts, err := conn.ReadPartitions()
	ts.Check(err)
	found, topics := map[string][]string{}, 0
	for _, p := range parts {
		if !strings.HasPrefix(p.Topic, prefix) {
			continue
		}
		topics++
		where := fmt.Sprintf("%s/%d", p.Topic, p.ID)
		leader, err := kgo.DialLeader(ctx, "tcp", broker, p.Topic, p.ID)
		ts.Check(err)
		first, last, err := leader.ReadOffsets()
		leader.Close()
		ts.Check(err)
		if first == last {
			continue
		}
		r := kgo.NewReader(kgo.ReaderConfig{Brokers: []string{broker}, Topic: p.Topic, Partition: p.ID, MaxWait: 200 * time.Millisecond})
		ts.Check(r.SetOffset(first))
		for at := first; at < last; {
			m, err := r.ReadMessage(ctx)
			ts.Check(err)
			at = m.Offset + 1
			for _, text := range args {
				found[text] = append(found[text], placesOf(where, m.Value, text)...)
			}
		}
		r.Close()
	}
	if topics == 0 {
		ts.Fatalf("no topic begins with %q", prefix)
	}
	everywhere(ts, neg, args, found)
}

// cmdBucket is `bucket hide|over|remove REGEXP`: what somebody with the keys of $STORE
// does to the first key like it: a delete marker over it, other bytes over it, or, as
// soon as its lock has lapsed, its version away.
func (s *office) cmdBucket(ts *testscript.TestScript, neg bool, args []string) {
	ctx, stop := context.WithTimeout(context.Background(), 4*time.Minute)
	defer stop()
	u, err := url.Parse(s.minio.Endpoint)
	ts.Check(err)
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(s.minio.AccessKey, s.minio.SecretKey, ""), Secure: u.Scheme == "https"})
	ts.Check(err)
	bucket, _, _ := strings.Cut(strings.TrimPrefix(ts.Getenv("STORE"), "s3://"), "/")
	like := regexp.MustCompile(args[1])
	for o := range c.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		ts.Check(o.Err)
		if !like.MatchString(o.Key) {
			continue
		}
		switch args[0] {
		case "hide":
			ts.Check(c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{}))
		case "over":
			_, err = c.PutObject(ctx, bucket, o.Key, strings.NewReader("another"), 7, minio.PutObjectOptions{SendContentMd5: true, DisableContentSha256: true})
			ts.Check(err)
		case "remove":
			for err = c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID}); err != nil; err = c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID}) {
				if ctx.Err() != nil {
					ts.Fatalf("remove %s: %v", o.Key, err)
				}
				time.Sleep(time.Second)
			}
		}
		return
	}
	ts.Fatalf("no key like %s", args[1])
}
