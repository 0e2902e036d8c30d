package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"holdfast"
	"holdfast/catalog"
)

// addAnswers writes what captures say of posts. A capture's Manifest names the
// Object by its Digest, and a transaction is all or nothing: so an answer that
// is there is there with all its sights, and its texts. It returns the new ones.
func addAnswers(ctx context.Context, tx *sql.Tx, batch []catalog.Accepted) (fresh []*catalog.Answer, err error) {
	var rows []any
	for _, a := range batch {
		for i, x := range a.Answers {
			n, err := addAnswer(ctx, tx, a, x)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				continue
			}
			fresh = append(fresh, &a.Answers[i])
			x.Facts(func(id int64, k catalog.FactKind, o catalog.Observed) {
				rows = append(rows, catalog.ChannelNumber(x.Channel), id, n, int(k), o.Place, o.Content[:], o.Text[:], o.Kind == "service", milli(o.Posted), milli(o.Edited),
					o.Views, o.Forwards, o.Reactions, o.Replies, []byte(o.Poll))
			})
			if len(rows) < 1<<16 {
				continue
			}
			if err := addSights(ctx, tx, rows); err != nil {
				return nil, err
			}
			rows = rows[:0]
		}
	}
	return fresh, addSights(ctx, tx, rows)
}

func addSights(ctx context.Context, tx *sql.Tx, rows []any) error {
	return insert(ctx, tx, `INSERT OR IGNORE INTO sight (channel, post, answer, kind, place, content, text, service, posted, edited, views, forwards, reactions, replies, poll)`, 15, rows)
}

// addAnswer returns the row of a new answer, 0 for one that is there.
func addAnswer(ctx context.Context, tx *sql.Tx, a catalog.Accepted, x catalog.Answer) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO answer (capture, part, channel, title, received, how, reached, reaches, flags, shows, misses, over, below)
		SELECT n, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM capture WHERE id = ? AND manifest = ? ON CONFLICT DO NOTHING RETURNING n`,
		x.Part, catalog.ChannelNumber(x.Channel), []byte(x.Title), x.Received.UnixMilli(), []byte(x.How),
		x.From, x.To, x.Flags(), len(x.Posts), len(x.Absent)+len(x.Deleted), catalog.ChannelNumber(x.Thread.Channel), x.Thread.Post, catalog.RawID(a.ID), a.Manifest[:]).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var rows []any
	for _, name := range x.Names {
		rows = append(rows, []byte(name), catalog.ChannelNumber(x.Channel), x.Received.UnixMilli(), n)
	}
	return n, insert(ctx, tx, `INSERT OR IGNORE INTO called (name, channel, received, answer)`, 4, rows)
}

// milli is NULL for a time that nobody stated.
func milli(t holdfast.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}
