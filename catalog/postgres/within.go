package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/catalog"
)

// Two common words that are seldom in one text: the server has to go through all texts of
// one of them, and whatever it has found when its time is over is lost. So a question that
// takes a part of its time is broken off, and what is left of the texts is asked for in
// strips, from the newest down: what was found in them, and how far down that is, is an
// answer at any moment.

// firstStrip is how many texts of whatever words the first strip has; later ones have as
// many as are looked through in a part of the time.
const firstStrip = 50_000

// span are the texts behind after and above a time; nil: no bound.
type span struct {
	after *catalog.TextCursor
	above *int64 // Unix milliseconds
}

// sought is how far a question has come.
type sought struct {
	hits  []catalog.Hit
	after *catalog.TextCursor // down to it nothing is left out
}

// hitsWithin reads texts newest first until there are more than the limit, or the time is
// over.
func (a *ask) hitsWithin(ctx context.Context, tx pgx.Tx) (catalog.Found, error) {
	f := &sought{after: a.q.After}
	if a.q.Within <= 0 {
		err := a.hits(ctx, tx, f, a.whole(), time.Time{})
		return catalog.Found{Hits: f.hits}, err
	}
	end := time.Now().Add(a.q.Within)
	first := time.Now().Add(a.q.Within / 3)
	all, err := intime(ctx, tx, func(tx pgx.Tx) error { return a.hits(ctx, tx, f, a.whole(), first) })
	if err == nil && !all {
		all, err = a.strips(ctx, tx, f, firstStrip, end)
	}
	out := catalog.Found{Hits: f.hits, Stopped: !all}
	if !all && f.after != nil {
		out.Down = *f.after
	}
	return out, err
}

// whole are all texts that can be wanted. None was said later than its own time.
func (a *ask) whole() span {
	s := span{after: a.q.After}
	if !a.q.Since.IsZero() {
		at := a.q.Since.UnixMilli() - 1
		s.above = &at
	}
	return s
}

// hits reads the texts of a span. Which were seen where they are asked for is looked for
// page by page: what most candidates have is answered by the first page, and what few have
// costs no more than all of them. Of what is in f when end comes nothing is missing.
func (a *ask) hits(ctx context.Context, tx pgx.Tx, f *sought, s span, end time.Time) error {
	for size := a.q.Limit + 1; ; size = min(4*size, 20_000) {
		if err := until(ctx, tx, end); err != nil {
			return err
		}
		found, err := a.candidates(ctx, tx, s, size)
		if err != nil {
			return err
		}
		if err := until(ctx, tx, end); err != nil {
			return err
		}
		if err := a.seen(ctx, tx, found); err != nil {
			return err
		}
		for i := range found {
			if h := &found[i].hit; len(h.Seen) > 0 && len(f.hits) <= a.q.Limit {
				f.hits = append(f.hits, *h)
			}
		}
		if len(found) < size || len(f.hits) > a.q.Limit {
			return nil
		}
		s.after = &found[len(found)-1].hit.TextCursor
		f.after = s.after
	}
}

// errOver ends what has no time left.
var errOver = errors.New("the time is over")

// until has the server break off at end what is asked next; zero: as the connection says.
func until(ctx context.Context, tx pgx.Tx, end time.Time) error {
	if end.IsZero() {
		return nil
	}
	left := time.Until(end)
	if left <= 0 {
		return errOver
	}
	_, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, milliseconds(left))
	return err
}

// intime reports whether do ended before its time was over. A statement that is broken off
// ends its transaction, so do has one within tx.
func intime(ctx context.Context, tx pgx.Tx, do func(pgx.Tx) error) (bool, error) {
	var e *pgconn.PgError
	err := pgx.BeginFunc(ctx, tx, do)
	if errors.Is(err, errOver) || errors.As(err, &e) && e.Code == codeCanceled {
		return false, nil
	}
	return err == nil, err
}

// strips reads what is left, strip by strip, and reports whether that was all.
func (a *ask) strips(ctx context.Context, tx pgx.Tx, f *sought, texts int, end time.Time) (all bool, err error) {
	for last := false; !last && len(f.hits) <= a.q.Limit; {
		begun, s := time.Now(), a.whole()
		s.after = f.after
		var lower *int64
		if all, err = intime(ctx, tx, func(tx pgx.Tx) (err error) {
			lower, err = strip(ctx, tx, f.after, texts, end)
			return err
		}); err != nil || !all {
			return false, err
		}
		if last = lower == nil || s.above != nil && *lower <= *s.above; !last {
			s.above = lower
		}
		if all, err = intime(ctx, tx, func(tx pgx.Tx) error { return a.hits(ctx, tx, f, s, end) }); err != nil || !all {
			return false, err
		}
		if !last && len(f.hits) <= a.q.Limit {
			f.after = catalog.AtOrBelow(fromMilli(*lower))
		}
		switch took := time.Since(begun); {
		case took < a.q.Within/100:
			texts = min(4*texts, 10_000_000)
		case took > a.q.Within/20:
			texts = max(texts/2, 1)
		}
	}
	return true, nil
}

// strip is the time that so many texts lie above, of those behind after; nil: there are
// not so many.
func strip(ctx context.Context, tx pgx.Tx, after *catalog.TextCursor, texts int, end time.Time) (lower *int64, err error) {
	top := int64(math.MaxInt64)
	if after != nil {
		top = after.At.UnixMilli()
	}
	if err := until(ctx, tx, end); err != nil {
		return nil, err
	}
	lower = new(int64)
	err = tx.QueryRow(ctx, `SELECT at FROM text WHERE at < $1 ORDER BY at DESC OFFSET $2 LIMIT 1`, top, texts).Scan(lower)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return lower, err
}
