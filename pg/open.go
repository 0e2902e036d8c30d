package pg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say what to open.
type Options struct {
	// URL is postgres://USER@HOST[:PORT][,HOST…]/DATABASE[?sslmode=…&pool_max_conns=N].
	// A password in it is refused with [ErrURL]. Of several hosts the one that can
	// be written is used. Where sslmode is not said, here or in PGSSLMODE, another
	// machine must show a certificate that is good for its name (verify-full).
	URL string

	// Password is the user's. Optional: PGPASSWORD, else the file PGPASSFILE or
	// ~/.pgpass, as for every program of PostgreSQL's.
	Password string

	// Schema is the namespace, at most 63 bytes.
	Schema string

	// Migrations has the files NNNNN_name.sql, in goose's form, at its top.
	Migrations fs.FS

	// Existing refuses to make the schema: where there is none, or an empty one,
	// the error wraps [ErrNone] and nothing is written.
	Existing bool

	// Params are settings of each connection, such as statement_timeout.
	// Optional: lock_timeout is 20 s, statement_timeout 60 s.
	Params map[string]string
}

// Open connects, and makes or brings up to date what o names. Errors wrap
// [ErrURL], [ErrNone], [ErrNewer], [ErrRefused] or [ErrUnavailable], and say what
// to do. It waits at most 10 s for each host.
func Open(ctx context.Context, o Options) (*pgxpool.Pool, error) {
	c, err := config(o)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", Explain(err))
	}
	if err := migrate(ctx, pool, o); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s at %s: %w", c.ConnConfig.Database, c.ConnConfig.Host, Explain(err))
	}
	return pool, nil
}

// minConns is the least that a pool needs: one holds the lock of a migration.
const minConns = 4

func config(o Options) (*pgxpool.Config, error) {
	text, err := checked(o.URL)
	if err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	c.MaxConns = max(c.MaxConns, minConns)
	cc := c.ConnConfig
	if o.Password != "" {
		cc.Password = o.Password
	}
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = 10 * time.Second
	}
	if cc.ValidateConnect == nil {
		cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	for k, v := range map[string]string{"application_name": "holdfast", "synchronous_commit": "on", "TimeZone": "UTC",
		"lock_timeout": "20s", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"} {
		if cc.RuntimeParams[k] == "" {
			cc.RuntimeParams[k] = v
		}
	}
	for k, v := range o.Params {
		cc.RuntimeParams[k] = v
	}
	cc.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize() + ", public"
	return c, nil
}

// checked refuses what no URL of ours has, and asks for TLS where nothing is said.
// What it returns is for the driver only.
func checked(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		var cause *url.Error // its text has the URL, perhaps with a password
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return "", fmt.Errorf("%w: %w", ErrURL, err)
	}
	q := u.Query()
	_, given := u.User.Password()
	switch {
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return "", fmt.Errorf("%w: it does not begin with postgres://", ErrURL)
	case given || q.Has("password") || q.Has("sslpassword"):
		return "", fmt.Errorf("%w: it has a password, which lists of processes and settings would show: take it out, and set PGPASSWORD, or PGPASSFILE or HOLDFAST_PG_PASSWORD_FILE to a file that has it", ErrURL)
	case strings.Trim(u.Path, "/") == "":
		return "", fmt.Errorf("%w: it names no database: postgres://USER@HOST/DATABASE", ErrURL)
	}
	if !q.Has("sslmode") && os.Getenv("PGSSLMODE") == "" && !here(u, q) {
		q.Set("sslmode", "verify-full")
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}

// here reports whether each host is this machine.
func here(u *url.URL, q url.Values) bool {
	hosts := u.Host
	if q.Has("host") {
		hosts = q.Get("host")
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		h = strings.Trim(h, "[]")
		if ip := net.ParseIP(h); h != "" && h != "localhost" && !strings.HasPrefix(h, "/") && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
