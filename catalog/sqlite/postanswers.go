package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"holdfast/catalog"
)

// Channels implements [catalog.Posts].
func (c *Catalog) Channels(ctx context.Context, name string) iter.Seq2[catalog.Channel, error] {
	return func(yield func(catalog.Channel, error) bool) {
		var all []catalog.Channel
		err := c.view(ctx, func(tx *sql.Tx) error {
			for after := int64(0); ; {
				k, next, err := nextChannel(ctx, tx, name, after)
				if err != nil || next == 0 {
					return err
				}
				if after = next; k.ID != "" {
					all = append(all, k)
				}
			}
		})
		if err != nil {
			yield(catalog.Channel{}, fmt.Errorf("find channel %.80q: %w", name, err))
			return
		}
		slices.SortStableFunc(all, func(a, b catalog.Channel) int { return a.First.Compare(b.First.Time) })
		for _, k := range all {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// nextChannel finds the next number that was given the name, and between which
// times. Each question is one step in an index, since a channel that is watched
// has an answer for every minute. k is empty if only a Manifest that is not shown
// says so.
func nextChannel(ctx context.Context, tx *sql.Tx, name string, after int64) (k catalog.Channel, next int64, err error) {
	var id sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT min(channel) FROM called WHERE name = ? AND channel > ?`, []byte(name), after).Scan(&id); err != nil || !id.Valid {
		return k, 0, err
	}
	const shown = `SELECT d.received, a.title FROM called d JOIN answer a ON a.n = d.answer JOIN capture c ON c.n = a.capture
		WHERE d.name = ? AND d.channel = ? AND c.shown = 1 ORDER BY d.received `
	var first, last int64
	var title []byte
	err = tx.QueryRowContext(ctx, shown+`LIMIT 1`, []byte(name), id.Int64).Scan(&first, &title)
	if errors.Is(err, sql.ErrNoRows) {
		return k, id.Int64, nil
	}
	if err == nil { // of two answers of one millisecond the title decides, not the row
		err = tx.QueryRowContext(ctx, shown+`DESC, a.title LIMIT 1`, []byte(name), id.Int64).Scan(&last, &title)
	}
	k = catalog.Channel{ID: strconv.FormatInt(id.Int64, 10), Name: name, Title: string(title), First: fromMilli(first), Last: fromMilli(last)}
	return k, id.Int64, err
}

// Posts implements [catalog.Posts].
func (c *Catalog) Posts(ctx context.Context, q catalog.PostQuery) iter.Seq2[catalog.Post, error] {
	return catalog.PagePosts(q, page, func(after, to int64) ([]int64, map[int64][]catalog.Fact, error) {
		ids, facts, err := c.facts(ctx, catalog.ChannelNumber(q.Channel), after, to)
		if err != nil {
			err = fmt.Errorf("list posts of channel %.40q: %w", q.Channel, err)
		}
		return ids, facts, err
	})
}

// facts reads what is known of the next page of posts. A post that only a
// Manifest speaks of that is not shown has no facts.
func (c *Catalog) facts(ctx context.Context, channel, after, to int64) (ids []int64, facts map[int64][]catalog.Fact, err error) {
	facts = make(map[int64][]catalog.Fact)
	err = c.view(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT DISTINCT post FROM sight WHERE channel = ? AND post > ? AND post <= ? ORDER BY post LIMIT ?`, channel, after, to, page)
		if err != nil || len(ids) == 0 {
			return err
		}
		return each(ctx, tx, func(scan func(...any) error) error {
			id, f, err := scanFact(scan)
			facts[id] = append(facts[id], f)
			return err
		}, `SELECT s.post, s.kind, s.place, s.content, s.text, s.service, s.posted, s.edited, s.views, s.forwards, s.reactions, s.replies, s.poll, a.received, a.how, c.id, c.state
			FROM sight s JOIN answer a ON a.n = s.answer JOIN capture c ON c.n = a.capture
			WHERE s.channel = ? AND s.post >= ? AND s.post <= ? AND c.shown = 1`, channel, ids[0], ids[len(ids)-1])
	})
	return ids, facts, err
}

func scanFact(scan func(...any) error) (id int64, f catalog.Fact, err error) {
	var content, text, poll, how, capture sql.RawBytes
	var posted, edited sql.NullInt64
	var service bool
	var received, state int64
	o := &f.Observed
	err = scan(&id, &f.Kind, &o.Place, &content, &text, &service, &posted, &edited, &o.Views, &o.Forwards, &o.Reactions, &o.Replies, &poll, &received, &how, &capture, &state)
	f.Sight = catalog.Sight{At: fromMilli(received), How: string(how), Capture: catalog.TextID(capture), State: catalog.StateName(state)}
	if f.Kind != catalog.Seen {
		f.Observed = catalog.Observed{}
		return id, f, err
	}
	o.ID, o.Kind, o.Content, o.Text, o.Poll = id, "message", digest(content), digest(text), string(poll)
	if service {
		o.Kind = "service"
	}
	if posted.Valid {
		o.Posted = fromMilli(posted.Int64)
	}
	if edited.Valid {
		o.Edited = fromMilli(edited.Int64)
	}
	return id, f, err
}

// Answers implements [catalog.Posts].
func (c *Catalog) Answers(ctx context.Context, channel string) iter.Seq2[catalog.Heard, error] {
	return catalog.Pages(int64(math.MinInt64), func(received int64) ([]catalog.Heard, int64, bool, error) {
		all, at, more, err := c.answers(ctx, catalog.ChannelNumber(channel), received)
		if err != nil {
			err = fmt.Errorf("list answers of channel %.40q: %w", channel, err)
		}
		return all, at, more, err
	})
}

// answers is the next page of them, sorted; a page ends with the last answer of a
// millisecond, so that the order hangs on no row. more is false behind the last.
func (c *Catalog) answers(ctx context.Context, channel, received int64) (all []catalog.Heard, at int64, more bool, err error) {
	type row struct {
		h catalog.Heard
		n int64
	}
	var rows []row
	read := func(scan func(...any) error) error {
		var r row
		var shown bool
		err := scanHeard(scan, &r.h, &r.n, &shown)
		if !shown {
			r.h.Capture = ""
		}
		rows = append(rows, r)
		return err
	}
	const columns = `SELECT a.n, a.received, a.how, a.reached, a.reaches, a.flags, a.shows, a.misses, c.id, c.state, c.shown
		FROM answer a JOIN capture c ON c.n = a.capture WHERE a.channel = ? AND `
	err = c.view(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, read, columns+`a.received > ? ORDER BY a.received, a.n LIMIT ?`, channel, received, page)
		if err != nil || len(rows) < page {
			return err
		}
		last := rows[len(rows)-1]
		return each(ctx, tx, read, columns+`a.received = ? AND a.n > ? ORDER BY a.n`, channel, last.h.At.UnixMilli(), last.n)
	})
	if err != nil || len(rows) == 0 {
		return nil, 0, false, err
	}
	at = rows[len(rows)-1].h.At.UnixMilli()
	for _, r := range rows {
		if r.h.Capture != "" {
			all = append(all, r.h)
		}
	}
	catalog.SortHeard(all)
	return all, at, len(rows) >= page, nil
}

func scanHeard(scan func(...any) error, h *catalog.Heard, n *int64, shown *bool) error {
	var how, capture sql.RawBytes
	var received, flags, state int64
	err := scan(n, &received, &how, &h.From, &h.To, &flags, &h.Posts, &h.Gone, &capture, &state, shown)
	h.Sight = catalog.Sight{At: fromMilli(received), How: string(how), Capture: catalog.TextID(capture), State: catalog.StateName(state)}
	h.SetFlags(flags)
	return err
}
