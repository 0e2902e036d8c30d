package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/catalog"
	"holdfast/pg"
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

	steps fs.FS // the migrations; nil: those of this program
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

// config reads a URL; see [pg.Config].
func config(address string, o Options) (*pgxpool.Config, error) {
	if ok, _ := regexp.MatchString(`^[a-z][a-z0-9_]{0,40}$`, o.Schema); !ok {
		return nil, fmt.Errorf("schema %.60q: it is a lower-case letter and up to 40 of a-z, 0-9 and _", o.Schema)
	}
	c, err := pg.Config(pg.Options{URL: address, Password: o.Password, Schema: o.Schema, Params: map[string]string{
		"application_name": "holdfast catalog", "jit": "off", "statement_timeout": "0", "lock_timeout": "0"}})
	if err != nil {
		return nil, err
	}
	c.ConnConfig.RuntimeParams["search_path"] = o.Schema // and no other: what is missing here is not looked for elsewhere
	return c, nil
}

// writing are the settings of connections that write.
func writing(c *pgxpool.Config, o Options) *pgxpool.Config {
	c = c.Copy()
	c.MaxConns = int32(o.Writers)
	c.ConnConfig.RuntimeParams["lock_timeout"] = milliseconds(o.Busy)
	return c
}

// reading are those of connections that ask. Each question is planned for the words
// that it asks for: how many texts have them decides.
func reading(c *pgxpool.Config, o Options) *pgxpool.Config {
	c = c.Copy()
	c.MaxConns = int32(o.Readers)
	p := c.ConnConfig.RuntimeParams
	p["statement_timeout"], p["plan_cache_mode"] = milliseconds(o.Timeout), "force_custom_plan"
	return c
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// The server's codes that mean something here (PostgreSQL, appendix A).
const (
	codeSerialization, codeDeadlock                    = "40001", "40P01"
	codeStopped, codeCrashed, codeStarting, codeFull   = "57P01", "57P02", "57P03", "53300"
	codeNoSchema, codeNoTable, codeNoColumn, codeNoFun = "3F000", "42P01", "42703", "42883"
	codeCorrupt, codeIndexCorrupt, codeCanceled        = "XX001", "XX002", "57014"
	codeForbidden, codeNoFile, codeNoFeature           = "42501", "58P01", "0A000"
)

// again reports whether a call that ended so may be made anew: the server was away, or
// has chosen others.
func again(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case codeSerialization, codeDeadlock, codeStopped, codeCrashed, codeStarting, codeFull:
			return true
		}
		return strings.HasPrefix(e.Code, "08")
	}
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// explain adds what the person can do.
func explain(err error) error {
	var e *pgconn.PgError
	if err == nil || !errors.As(err, &e) {
		return pg.Explain(err)
	}
	switch e.Code {
	case codeCanceled:
		return fmt.Errorf("%w: %w", catalog.ErrTooLong, err)
	case codeNoSchema, codeNoTable, codeNoColumn, codeNoFun, codeCorrupt, codeIndexCorrupt:
		return fmt.Errorf("%w: %w", err, catalog.ErrRebuild)
	}
	return pg.Explain(err)
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
