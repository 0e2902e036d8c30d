package main

import (
	"context"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast"
	"holdfast/preserve/plans"
	"holdfast/storage/s3"
)

// cmdLose is `lose database URL`: all that holdfast keeps there is gone, as after the
// loss of its disk, and an empty database is in its place.
func cmdLose(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || args[0] != "database" {
		ts.Fatalf("usage: lose database URL")
	}
	ctx := context.Background()
	cfg, err := pgx.ParseConfig(args[1])
	ts.Check(err)
	cfg.Password = ts.Getenv("PGPASSWORD")
	c, err := pgx.ConnectConfig(ctx, cfg)
	ts.Check(err)
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'holdfast%'`)
	ts.Check(err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("nothing is there to be lost")
	}
	for _, name := range names {
		_, err := c.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{name}.Sanitize()+" CASCADE")
		ts.Check(err)
	}
}

// cmdOnce is `once STORE-URL`: no capture and no Event is in two plans of the store.
func cmdOnce(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: once STORE-URL")
	}
	o, err := s3.Parse(args[0])
	ts.Check(err)
	o.AccessKey, o.SecretKey, o.ReadOnly, o.Spool = ts.Getenv("AWS_ACCESS_KEY_ID"), ts.Getenv("AWS_SECRET_ACCESS_KEY"), true, os.TempDir()
	ctx := context.Background()
	s, err := s3.Open(ctx, o)
	ts.Check(err)
	defer s.Close()
	in := map[holdfast.ID]string{}
	for e, err := range s.List(ctx, "seals/") {
		ts.Check(err)
		if !strings.HasSuffix(e.Name, "/plan.json") {
			continue
		}
		p, err := plans.Read(ctx, s, e.Name)
		ts.Check(err)
		for _, c := range p.Captures {
			if was := in[c.ID]; was != "" {
				ts.Fatalf("%s is in two Seals, %s and %s", c.ID, was, p.Seal)
			}
			in[c.ID] = p.Seal
		}
	}
	if len(in) == 0 {
		ts.Fatalf("no plan is there")
	}
}
