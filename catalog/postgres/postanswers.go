package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// Channels implements [catalog.Posts].
func (c *Catalog) Channels(ctx context.Context, name string) iter.Seq2[catalog.Channel, error] {
	return catalog.Pages(0, func(int) (all []catalog.Channel, _ int, more bool, err error) {
		err = c.view(ctx, func(tx pgx.Tx) error {
			all = nil
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
			return nil, 0, false, fmt.Errorf("find channel %.80q: %w", name, err)
		}
		slices.SortStableFunc(all, func(a, b catalog.Channel) int { return a.First.Compare(b.First.Time) })
		return all, 0, false, nil
	})
}

// nextChannel finds the next number that was given the name, and between which
// times. Each question is one step in an index, since a channel that is watched
// has an answer for every minute. k is empty if only a Manifest that is not shown
// says so.
func nextChannel(ctx context.Context, tx pgx.Tx, name string, after int64) (k catalog.Channel, next int64, err error) {
	var id *int64
	if err := tx.QueryRow(ctx, `SELECT min(channel) FROM called WHERE name = $1 AND channel > $2`, []byte(name), after).Scan(&id); err != nil || id == nil {
		return k, 0, err
	}
	const shown = `SELECT d.received, a.title FROM called d JOIN answer a ON a.n = d.answer JOIN capture c ON c.n = a.capture
		WHERE d.name = $1 AND d.channel = $2 AND c.shown ORDER BY d.received `
	var first, last int64
	var title []byte
	err = tx.QueryRow(ctx, shown+`LIMIT 1`, []byte(name), *id).Scan(&first, &title)
	if errors.Is(err, pgx.ErrNoRows) {
		return k, *id, nil
	}
	if err == nil { // of two answers of one millisecond the title decides, not the row
		err = tx.QueryRow(ctx, shown+`DESC, a.title LIMIT 1`, []byte(name), *id).Scan(&last, &title)
	}
	k = catalog.Channel{ID: strconv.FormatInt(*id, 10), Name: name, Title: string(title), First: fromMilli(first), Last: fromMilli(last)}
	return k, *id, err
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
// Manifest speaks of that is not shown has no facts. The numbers are found one by one in
// the index, however many sights each has.
func (c *Catalog) facts(ctx context.Context, channel, after, to int64) (ids []int64, facts map[int64][]catalog.Fact, err error) {
	err = c.view(ctx, func(tx pgx.Tx) error {
		facts = make(map[int64][]catalog.Fact)
		ids, err = list[int64](ctx, tx, `WITH RECURSIVE p (post, i) AS (
			(SELECT post, 1::bigint FROM sight WHERE channel = $1 AND post > $2 AND post <= $3 ORDER BY post LIMIT 1)
			UNION ALL SELECT (SELECT s.post FROM sight s WHERE s.channel = $1 AND s.post > p.post AND s.post <= $3 ORDER BY s.post LIMIT 1), i + 1 FROM p WHERE p.post IS NOT NULL AND i <= $4::bigint)
			SELECT post FROM p WHERE post IS NOT NULL ORDER BY post LIMIT $4::bigint`, channel, after, to, page)
		if err != nil || len(ids) == 0 {
			return err
		}
		return each(ctx, tx, func(scan func(...any) error) error {
			id, f, err := scanFact(scan)
			facts[id] = append(facts[id], f)
			return err
		}, `SELECT s.post, s.kind, s.place, s.content, s.text, s.service, s.posted, s.edited, s.views, s.forwards, s.reactions, s.replies, s.poll, a.received, a.how, c.id, c.state
			FROM sight s JOIN answer a ON a.n = s.answer JOIN capture c ON c.n = a.capture
			WHERE s.channel = $1 AND s.post >= $2 AND s.post <= $3 AND c.shown`, channel, ids[0], ids[len(ids)-1])
	})
	return ids, facts, err
}

func scanFact(scan func(...any) error) (id int64, f catalog.Fact, err error) {
	var content, text, poll, how, capture []byte
	var posted, edited *int64
	var service bool
	var received, state, kind int64
	o := &f.Observed
	err = scan(&id, &kind, &o.Place, &content, &text, &service, &posted, &edited, &o.Views, &o.Forwards, &o.Reactions, &o.Replies, &poll, &received, &how, &capture, &state)
	f.Kind = catalog.FactKind(kind)
	f.Sight = catalog.Sight{At: fromMilli(received), How: string(how), Capture: catalog.TextID(capture), State: catalog.StateName(state)}
	if f.Kind != catalog.Seen {
		f.Observed = catalog.Observed{}
		return id, f, err
	}
	o.ID, o.Kind, o.Content, o.Text, o.Poll = id, "message", digest(content), digest(text), string(poll)
	if service {
		o.Kind = "service"
	}
	o.Posted, o.Edited = moment(posted), moment(edited)
	return id, f, err
}

// moment is a time that may not be said.
func moment(n *int64) holdfast.Time {
	if n == nil {
		return holdfast.Time{}
	}
	return fromMilli(*n)
}

// Answers implements [catalog.Posts].
func (c *Catalog) Answers(ctx context.Context, channel string) iter.Seq2[catalog.Heard, error] {
	return catalog.Pages(int64(math.MinInt64), func(received int64) (all []catalog.Heard, at int64, more bool, err error) {
		all, at, more, err = c.answers(ctx, catalog.ChannelNumber(channel), received)
		if err != nil {
			err = fmt.Errorf("list answers of channel %.40q: %w", channel, err)
		}
		return all, at, more, err
	})
}

// answers is the next page of them, sorted; a page ends with the last answer of a
// millisecond, so that the order hangs on no row. more is false behind the last.
func (c *Catalog) answers(ctx context.Context, channel, received int64) (all []catalog.Heard, at int64, more bool, err error) {
	rows := 0
	read := func(scan func(...any) error) error {
		h, shown, err := scanHeard(scan)
		rows++
		if at = h.At.UnixMilli(); shown {
			all = append(all, h)
		}
		return err
	}
	const columns = `SELECT a.received, a.how, a.reached, a.reaches, a.flags, a.shows, a.misses, c.id, c.state, c.shown
		FROM answer a JOIN capture c ON c.n = a.capture WHERE a.channel = $1 AND a.received `
	err = c.view(ctx, func(tx pgx.Tx) error {
		all, rows = nil, 0
		var last *int64 // the page ends with the last answer of that millisecond
		err := tx.QueryRow(ctx, `SELECT max(received) FROM (SELECT received FROM answer WHERE channel = $1 AND received > $2 ORDER BY received LIMIT $3) a`, channel, received, page).Scan(&last)
		if err != nil || last == nil {
			return err
		}
		return each(ctx, tx, read, columns+`> $2 AND a.received <= $3 ORDER BY a.received`, channel, received, *last)
	})
	catalog.SortHeard(all)
	return all, at, rows >= page, err
}

func scanHeard(scan func(...any) error) (h catalog.Heard, shown bool, err error) {
	var how, capture []byte
	var received, flags, state int64
	err = scan(&received, &how, &h.From, &h.To, &flags, &h.Posts, &h.Gone, &capture, &state, &shown)
	h.Sight = catalog.Sight{At: fromMilli(received), How: string(how), Capture: catalog.TextID(capture), State: catalog.StateName(state)}
	h.SetFlags(flags)
	return h, shown, err
}

// Below implements [catalog.Posts].
func (c *Catalog) Below(ctx context.Context, t catalog.Thread) iter.Seq2[catalog.Thread, error] {
	type place struct{ channel, post int64 }
	return catalog.Pages(place{0, math.MinInt64}, func(at place) (all []catalog.Thread, _ place, more bool, err error) {
		err = c.view(ctx, func(tx pgx.Tx) error {
			all = nil
			return each(ctx, tx, func(scan func(...any) error) error {
				err := scan(&at.channel, &at.post)
				all = append(all, catalog.Thread{Channel: strconv.FormatInt(at.channel, 10), Post: at.post})
				return err
			}, `SELECT DISTINCT s.channel, s.post FROM answer a JOIN capture c ON c.n = a.capture JOIN sight s ON s.channel = a.channel AND s.answer = a.n
				WHERE a.over = $1 AND a.below = $2 AND a.below > 0 AND c.shown AND (s.channel, s.post) > ($3, $4) ORDER BY s.channel, s.post LIMIT $5`,
				catalog.ChannelNumber(t.Channel), t.Post, at.channel, at.post, page)
		})
		if err != nil {
			return nil, at, false, fmt.Errorf("list what stands below post %d of channel %.40q: %w", t.Post, t.Channel, err)
		}
		return all, at, len(all) == page, nil
	})
}

// Documents implements [catalog.Posts]. All are read before the first is yielded: of
// a channel that is watched there are some each day, of 100 bytes each.
func (c *Catalog) Documents(ctx context.Context, s holdfast.Source, role string) iter.Seq2[catalog.Document, error] {
	return catalog.Pages(0, func(int) (all []catalog.Document, _ int, more bool, err error) {
		err = c.view(ctx, func(tx pgx.Tx) error {
			all = nil
			return each(ctx, tx, func(scan func(...any) error) error {
				var id, body []byte
				var started, state int64
				d := catalog.Document{Role: role}
				err := scan(&started, &id, &state, &d.Part, &body, &d.Size)
				d.Sight = catalog.Sight{At: fromMilli(started), Capture: catalog.TextID(id), State: catalog.StateName(state)}
				d.Digest = digest(body)
				all = append(all, d)
				return err
			}, `SELECT c.started, c.id, c.state, d.part, d.digest, d.size FROM document d JOIN capture c ON c.n = d.capture
				WHERE d.role = $1 AND d.skey = $2 AND c.source = $3 AND c.shown ORDER BY c.started, c.id, d.part`, []byte(role), catalog.SourceKey(s), []byte(s))
		})
		if err != nil {
			return nil, 0, false, fmt.Errorf("list documents of %.200s: %w", s, err)
		}
		return all, 0, false, nil
	})
}
