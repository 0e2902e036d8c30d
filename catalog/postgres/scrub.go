package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Scrub has the server write its statistics anew: they hold values of rows, and of those
// that a rebuild has taken away until then (the tables themselves are new files after
// one). Where the user does not own the database nothing is done, and Lingers says so.
// It locks the statistics of this database for a moment.
func (c *Catalog) Scrub(ctx context.Context) error {
	owns, err := c.owns(ctx)
	if err != nil || !owns {
		return err
	}
	if _, err := c.write.Exec(ctx, `VACUUM FULL pg_catalog.pg_statistic`); err != nil {
		return fmt.Errorf("scrub catalog: %w", err)
	}
	return nil
}

// Lingers says where deleted rows still lie, and until when.
func (c *Catalog) Lingers(ctx context.Context) (string, error) {
	owns, err := c.owns(ctx)
	if err != nil {
		return "", err
	}
	what := "no table has it any more; the server's pg_wal does until it has written over it, and archived WAL, standbys and backups until they go"
	if !owns {
		what += "; and so may the server's statistics, which the owner of the database writes anew: VACUUM FULL pg_catalog.pg_statistic"
	}
	return what, nil
}

func (c *Catalog) owns(ctx context.Context) (owns bool, err error) {
	err = c.write.QueryRow(ctx, `SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_database WHERE datname = current_database()`).Scan(&owns)
	if err != nil {
		err = fmt.Errorf("ask who owns the database: %w", err)
	}
	return owns, err
}

// blanks are a row for each table that has words of what was captured, and what takes it
// away again: no capture, answer, text or address is like it.
func blanks() [][2]string {
	return [][2]string{
		{`INSERT INTO text (digest, at, lang, wide) VALUES ('', 0, '', false)`, `DELETE FROM text WHERE digest = ''`},
		{`INSERT INTO address (digest, body) VALUES ('', '')`, `DELETE FROM address WHERE digest = ''`},
		{`INSERT INTO called VALUES ('', 0, 0, -1)`, `DELETE FROM called WHERE answer = -1`},
		{`INSERT INTO answer VALUES (-1, -1, 0, 0, '', 0, '', 0, 0, 0, 0, 0, 0, 0)`, `DELETE FROM answer WHERE n = -1`},
		{`INSERT INTO sight VALUES (0, 0, -1, 0, 0, '', '', false, NULL, NULL, 0, 0, 0, 0, '')`, `DELETE FROM sight WHERE answer = -1`},
	}
}

// analyze has the server take its statistics, by which it plans: of tables that it thinks
// empty behind a rebuild. Of one that is empty it keeps what it had, which are words of
// rows that a rebuild has taken away; so each has a row while it looks.
func analyze(ctx context.Context, tx pgx.Tx) error {
	var first, last []string
	for _, b := range blanks() {
		first, last = append(first, b[0]), append(last, b[1])
	}
	look := `ANALYZE ` + strings.Join(strings.Fields(tables), `, `)
	for _, q := range slices.Concat(first, []string{look}, last) {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
