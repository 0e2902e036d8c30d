package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/catalog"
)

// Options are the settings of a handle; the zero value is good.
type Options struct {
	// Password of the URL's user. Optional: else PGPASSWORD or PGPASSFILE.
	Password string

	// Schema is the schema that the catalog has for itself: a lower-case letter, then up
	// to 40 of a-z, 0-9 and _. Default "holdfast_catalog".
	Schema string

	// Owner says whose store the catalog is of, as its random id. A catalog of another
	// owner is refused. Optional: nothing is compared.
	Owner string

	// Patience is for how long a call is made again that the server's end, its start or
	// other writers have cut off. Default 30 s; negative: not at all.
	Patience time.Duration

	// Busy is how long a write waits for one lock of others. Default 30 s.
	Busy time.Duration

	// Timeout bounds each statement of a question. Default 60 s.
	Timeout time.Duration

	// Readers and Writers are how many questions are answered, and how many writes made, at
	// once. Default 4 and 2.
	Readers, Writers int

	// Rebuilding waits until no rebuild is at work. A question that is refused
	// because of one is then asked once more. Optional: it is refused.
	Rebuilding func(context.Context) error
}

func (o Options) filled() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Patience, 30*time.Second)
	set(&o.Busy, 30*time.Second)
	set(&o.Timeout, 60*time.Second)
	if o.Schema == "" {
		o.Schema = "holdfast_catalog"
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.Writers <= 0 {
		o.Writers = 2
	}
	return o
}

// config reads a URL. What it says of a wrong one has no secret in it.
func config(address string, o Options) (*pgxpool.Config, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("this is no URL of PostgreSQL: write postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full")
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return nil, errors.New("there is a password in the URL, where others see it: take it out and give it by HOLDFAST_PG_PASSWORD_FILE, PGPASSWORD or PGPASSFILE")
	}
	if ok, _ := regexp.MatchString(`^[a-z][a-z0-9_]{0,40}$`, o.Schema); !ok {
		return nil, fmt.Errorf("schema %.60q: it is a lower-case letter and up to 40 of a-z, 0-9 and _", o.Schema)
	}
	c, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("read URL of PostgreSQL: %w", err)
	}
	if o.Password != "" {
		c.ConnConfig.Password = o.Password
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	p := c.ConnConfig.RuntimeParams
	if p["application_name"] == "" {
		p["application_name"] = "holdfast catalog"
	}
	p["jit"] = "off"
	p["search_path"] = o.Schema // and no other: what is missing here is not looked for elsewhere
	return c, nil
}

// writing are the settings of connections that write.
func writing(c *pgxpool.Config, o Options) *pgxpool.Config {
	c = c.Copy()
	c.MaxConns = int32(o.Writers)
	c.ConnConfig.RuntimeParams["lock_timeout"] = milliseconds(o.Busy)
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { // whatever the server says in general, but not less than that
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}
	return c
}

// reading are those of connections that ask. Each question is planned for the words
// that it asks for: how many texts have them decides.
func reading(c *pgxpool.Config, o Options) *pgxpool.Config {
	c = c.Copy()
	c.MaxConns = int32(o.Readers)
	p := c.ConnConfig.RuntimeParams
	p["statement_timeout"], p["plan_cache_mode"], p["default_transaction_read_only"] = milliseconds(o.Timeout), "force_custom_plan", "on"
	return c
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// The server's codes that mean something here (PostgreSQL, appendix A).
const (
	codeSerialization, codeDeadlock                    = "40001", "40P01"
	codeStopped, codeCrashed, codeStarting, codeFull   = "57P01", "57P02", "57P03", "53300"
	codeUser, codePassword, codeNoDatabase             = "28000", "28P01", "3D000"
	codeNoSchema, codeNoTable, codeNoColumn, codeNoFun = "3F000", "42P01", "42703", "42883"
	codeCorrupt, codeIndexCorrupt                      = "XX001", "XX002"
	codeForbidden, codeCanceled, codeLock              = "42501", "57014", "55P03"
	codeNoFile, codeNoFeature, codeNoType              = "58P01", "0A000", "42704"
)

// again reports whether a call that ended so may be made anew: the server was away, or
// has chosen others.
func again(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeSerialization, codeDeadlock, codeStopped, codeCrashed, codeStarting, codeFull:
			return true
		}
		return len(pg.Code) == 5 && pg.Code[:2] == "08"
	}
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// explain adds what the person can do.
func explain(err error) error {
	var pg *pgconn.PgError
	if err == nil || !errors.As(err, &pg) {
		return err
	}
	say := func(what string) error { return fmt.Errorf("%s: %w", what, err) }
	switch pg.Code {
	case codeUser, codePassword:
		return say("PostgreSQL refuses this user, or the password: the URL has the user, HOLDFAST_PG_PASSWORD_FILE, PGPASSWORD or PGPASSFILE the password")
	case codeNoDatabase:
		return say("there is no such database: its operator makes it (createdb -O USER -E UTF8 NAME)")
	case codeForbidden:
		return say("PostgreSQL does not let this user do that: the database, or the schema in it, must be the user's own")
	case codeCanceled:
		return say("PostgreSQL took longer than this may take: ask for less (a Case, a channel, rarer words)")
	case codeLock:
		return say("other writers hold what is to be written; it is written when it comes again")
	case codeNoSchema, codeNoTable, codeNoColumn, codeNoFun, codeCorrupt, codeIndexCorrupt:
		return fmt.Errorf("%w: %w", err, catalog.ErrRebuild)
	}
	return err
}

// repeat makes a call until it ends otherwise than by what again names, or patience is over.
func repeat(ctx context.Context, patience time.Duration, call func() error) error {
	end := time.Now().Add(patience)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := call()
		if err == nil || !again(err) || ctx.Err() != nil || time.Now().Add(wait).After(end) {
			return explain(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
