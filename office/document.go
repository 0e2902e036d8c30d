package office

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

// MaxDocument bounds a document, in bytes.
const MaxDocument = 4 << 20

// Document is a small document. Names are up to 200 bytes of ASCII, with / between
// parts.
type Document struct {
	Name string
	Body []byte
}

// Create keeps a document that is not there yet; else the error wraps fs.ErrExist and
// nothing is changed.
func (b *Book) Create(ctx context.Context, name string, body []byte) error {
	if len(body) > MaxDocument {
		return fmt.Errorf("keep %s: %d bytes, at most %d", name, len(body), MaxDocument)
	}
	err := b.do(ctx, func(t *tx) error {
		tag, err := t.Exec(t.ctx, `INSERT INTO document (name, body) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, whole(body))
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		var is []byte
		if err := t.QueryRow(t.ctx, `SELECT body FROM document WHERE name = $1`, name).Scan(&is); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if t.again && bytes.Equal(is, body) { // the attempt whose answer was lost
			return nil
		}
		return fs.ErrExist
	})
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// whole is a body, which may be empty: nil would be no value to the server.
func whole(body []byte) []byte { return append([]byte{}, body...) }

// Replace puts a body in the place of that of a document which is there; else the error
// wraps fs.ErrNotExist.
func (b *Book) Replace(ctx context.Context, name string, body []byte) error {
	if len(body) > MaxDocument {
		return fmt.Errorf("keep %s: %d bytes, at most %d", name, len(body), MaxDocument)
	}
	err := b.do(ctx, func(t *tx) error {
		tag, err := t.Exec(t.ctx, `UPDATE document SET body = $2 WHERE name = $1`, name, whole(body))
		if err == nil && tag.RowsAffected() == 0 {
			err = fs.ErrNotExist
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// Read returns a document's body; the error wraps fs.ErrNotExist where there is none.
func (b *Book) Read(ctx context.Context, name string) (body []byte, err error) {
	err = b.do(ctx, func(t *tx) error {
		err := t.QueryRow(t.ctx, `SELECT body FROM document WHERE name = $1`, name).Scan(&body)
		if errors.Is(err, pgx.ErrNoRows) {
			err = fs.ErrNotExist
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return body, nil
}

// Remove forgets documents; those that are not there are no error.
func (b *Book) Remove(ctx context.Context, names ...string) error {
	err := b.do(ctx, func(t *tx) error {
		_, err := t.Exec(t.ctx, `DELETE FROM document WHERE name = ANY ($1)`, names)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove documents: %w", err)
	}
	return nil
}

// List returns the documents whose names begin with prefix, sorted by name, behind one
// that is named (prefix itself is the beginning), at most limit.
func (b *Book) List(ctx context.Context, prefix, after string, limit int) (all []Document, err error) {
	err = b.do(ctx, func(t *tx) error {
		r, err := t.Query(t.ctx, `SELECT name, body FROM document WHERE name > $1 AND starts_with(name, $2) ORDER BY name LIMIT $3`, after, prefix, limit)
		if err == nil {
			all, err = pgx.CollectRows(r, pgx.RowToStructByPos[Document])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return all, nil
}
