package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"strings"

	"holdfast/pipeline"
)

// statements keeps prepared statements of the write connection by their text.
// Texts are constants and a few row counts, so there are few.
type statements struct {
	conn *sql.Conn
	made map[string]*sql.Stmt
}

func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := s.made[text]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare %.40q: %w", text, err)
	}
	s.made[text] = st
	return st, nil
}

func (s *statements) close() {
	for _, st := range s.made {
		st.Close()
	}
}

// tx is the running transaction. ends caches the last positions; flush writes
// back those that moved.
type tx struct {
	ctx  context.Context
	st   *statements
	ends map[string]int64

	published []pipeline.Message
	news      bool // there is something that a Receive may wait for
}

func (t *tx) exec(text string, args ...any) error {
	_, err := t.count(text, args...)
	return err
}

// count is exec, and returns the number of rows that changed.
func (t *tx) count(text string, args ...any) (int64, error) {
	st, err := t.st.get(t.ctx, text)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// scan reads the one row of a query; no row is sql.ErrNoRows.
func (t *tx) scan(text string, args []any, dest ...any) error {
	st, err := t.st.get(t.ctx, text)
	if err != nil {
		return err
	}
	return st.QueryRowContext(t.ctx, args...).Scan(dest...)
}

func (t *tx) end(topic string) (int64, error) {
	if p, ok := t.ends[topic]; ok {
		return p, nil
	}
	var p int64
	if err := t.scan(`SELECT position FROM ends WHERE topic = ?`, []any{topic}, &p); err != nil {
		return 0, err
	}
	t.setEnd(topic, p)
	return p, nil
}

func (t *tx) setEnd(topic string, p int64) {
	if t.ends == nil {
		t.ends = map[string]int64{}
	}
	t.ends[topic] = p
}

func (t *tx) flush() error {
	for topic, p := range t.ends {
		if err := t.exec(`UPDATE ends SET position = ? WHERE topic = ? AND position <> ?`, p, topic, p); err != nil {
			return err
		}
	}
	return nil
}

// chunks calls f for runs of n rows: as many as 64 at once, so that the number
// of different statements stays small.
func chunks(n int, f func(from, to int) error) error {
	for from := 0; from < n; {
		size := 1
		switch left := n - from; {
		case left >= 64:
			size = 64
		case left >= 8:
			size = 8
		}
		if err := f(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// values is text followed by n times the row.
func values(text, row string, n int) string {
	return text + strings.TrimSuffix(strings.Repeat(row+",", n), ",")
}

// sum is the CRC-32C of parts. It is there to notice that the disk or the file
// was changed by accident; what somebody changes on purpose, the Digests in the
// Manifest notice.
func sum(parts ...[]byte) int64 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	c := uint32(0)
	for _, p := range parts {
		c = crc32.Update(c, table, p)
	}
	return int64(c)
}
