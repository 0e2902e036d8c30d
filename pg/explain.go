package pg

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors that callers branch on. The texts that wrap them say what to do.
var (
	ErrURL         = errors.New("not a URL of a database as holdfast takes it")
	ErrNone        = errors.New("nothing of holdfast's is there")
	ErrNewer       = errors.New("the database is of a newer holdfast")
	ErrRefused     = errors.New("the database server refuses")
	ErrUnavailable = errors.New("the database cannot be reached now")
)

// Explain adds what a caller branches on, and what a person can do, to an error of
// the driver. The text keeps the cause, which never has a password.
func Explain(err error) error {
	var e *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnavailable):
		return err
	case errors.As(err, &e):
		return server(e, err)
	case errors.Is(err, context.Canceled):
		return err
	case untrusted(err):
		return fmt.Errorf("%w: its certificate is not good for its name, or it has no TLS: give its authority with sslrootcert=FILE in the URL, or say sslmode=… yourself: %w", ErrRefused, err)
	case broken(err):
		return fmt.Errorf("%w: is it running, and is its address right? %w", ErrUnavailable, err)
	}
	return err
}

// broken reports whether the connection, and no statement, failed.
func broken(err error) bool {
	var dial *pgconn.ConnectError
	var netw net.Error
	return errors.As(err, &dial) || errors.As(err, &netw) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// untrusted reports whether TLS was asked for and is not to be had.
func untrusted(err error) bool {
	var bad *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	return errors.As(err, &bad) || errors.As(err, &plain) || strings.Contains(err.Error(), "server refused TLS connection")
}

// server explains what the server itself says, by its code (PostgreSQL, appendix A).
func server(e *pgconn.PgError, err error) error {
	say := func(kind error, what string) error { return fmt.Errorf("%w: %s: %w", kind, what, err) }
	switch {
	case e.Code == "28P01" || e.Code == "28000":
		return say(ErrRefused, "the user or the password is wrong: the user stands in the URL; for the password set PGPASSWORD, or PGPASSFILE or HOLDFAST_PG_PASSWORD_FILE to a file that has it, and look at the server's pg_hba.conf")
	case e.Code == "3D000":
		return say(ErrRefused, "there is no such database: make it with `createdb -O USER NAME`, or name another in the URL")
	case e.Code == "42501":
		return say(ErrRefused, "the user may not: `GRANT CREATE ON DATABASE NAME TO USER`, and let the user own what is there")
	case e.Code == "25006":
		return say(ErrRefused, "this server is a standby and cannot be written: name the primary in the URL, or both, with a comma")
	case e.Code == "53100":
		return say(ErrUnavailable, "the server's disk is full: free space there and go on")
	case e.Code == "53300":
		return say(ErrUnavailable, "the server has no connection left: raise its max_connections, or lower pool_max_conns in the URLs")
	case strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08"):
		return say(ErrUnavailable, "the server is stopping or starting")
	case e.Code == "40001" || e.Code == "40P01" || e.Code == "55P03" || e.Code == "57014":
		return say(ErrUnavailable, "another transaction was in the way for too long")
	}
	return err
}
