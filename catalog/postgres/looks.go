package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// Looks implements [catalog.Looker].
func (c *Catalog) Looks(ctx context.Context, channel string, since holdfast.Time) iter.Seq2[catalog.Look, error] {
	return c.looksBy(ctx, channel, since, false)
}

// PageLooks implements [catalog.Looker].
func (c *Catalog) PageLooks(ctx context.Context, channel string, since holdfast.Time) iter.Seq2[catalog.Look, error] {
	return c.looksBy(ctx, channel, since, true)
}

func (c *Catalog) looksBy(ctx context.Context, channel string, since holdfast.Time, web bool) iter.Seq2[catalog.Look, error] {
	return catalog.PageLooks(since, page, func(below int64) ([]catalog.Look, error) {
		got, err := c.looks(ctx, catalog.ChannelNumber(channel), below, web)
		if err != nil {
			err = fmt.Errorf("look for posts of channel %.40q: %w", channel, err)
		}
		return got, err
	})
}

// looks reads a page. The posts lead: they are read in the order of their index, and no
// further than the page. Time and kind are one number, so that they are of one fact.
func (c *Catalog) looks(ctx context.Context, channel, below int64, web bool) (out []catalog.Look, err error) {
	err = c.view(ctx, func(tx pgx.Tx) error {
		out = nil
		return each(ctx, tx, func(scan func(...any) error) error {
			var l catalog.Look
			var posted, last int64
			err := scan(&l.ID, &posted, &last)
			l.Posted, l.At, l.Kind = fromMilli(posted), fromMilli(last/4), catalog.FactKind(last%4)
			out = append(out, l)
			return err
		}, `SELECT s.post, min(s.posted), max(a.received * 4 + s.kind)
			FROM sight s JOIN answer a ON a.n = s.answer JOIN capture c ON c.n = a.capture
			WHERE s.channel = $1 AND s.post < $2 AND c.shown AND (a.how = $3) = $4
			GROUP BY s.post HAVING min(s.posted) IS NOT NULL ORDER BY s.post DESC LIMIT $5`, channel, below, []byte(catalog.HowWeb), web, page)
	})
	return out, err
}

// Newest is when the post of a channel with the highest number was posted, whoever shows
// it, the service or its public page; zero: none is known.
func (c *Catalog) Newest(ctx context.Context, channel string) (at holdfast.Time, err error) {
	var posted int64
	err = c.view(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT s.posted FROM sight s JOIN answer a ON a.n = s.answer JOIN capture c ON c.n = a.capture
			WHERE s.channel = $1 AND s.posted IS NOT NULL AND c.shown ORDER BY s.post DESC LIMIT 1`, catalog.ChannelNumber(channel)).Scan(&posted)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("look for the newest post of channel %.40q: %w", channel, err)
	}
	return fromMilli(posted), nil
}
