package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
)

// Search implements [catalog.Searcher].
func (c *Catalog) Search(ctx context.Context, q catalog.TextQuery) (out catalog.Found, err error) {
	if q.Limit <= 0 || q.Limit > catalog.MaxHits {
		q.Limit = catalog.MaxHits
	}
	a, err := newAsk(q)
	if err != nil {
		return out, fmt.Errorf("search: %w", err)
	}
	err = c.view(ctx, func(tx pgx.Tx) error {
		out = catalog.Found{}
		if !a.possible {
			return nil
		}
		out, err = a.hitsWithin(ctx, tx)
		if out.More = len(out.Hits) > q.Limit; out.More {
			out.Hits = out.Hits[:q.Limit]
		}
		return err
	})
	if err == nil && a.onlyHashes() && !out.Stopped {
		err = c.held(ctx, q, a, &out)
	}
	if err != nil {
		return catalog.Found{}, fmt.Errorf("search: %w", err)
	}
	return out, nil
}

// candidate is a text that has the words; whether it was seen where it was asked for is
// another question.
type candidate struct {
	n      int64
	digest []byte
	hit    catalog.Hit
}

func (a *ask) candidates(ctx context.Context, tx pgx.Tx, s span, size int) (out []candidate, err error) {
	var p part
	p.add(`SELECT x.n, x.digest, x.at, x.lang FROM text x WHERE true`)
	a.text(&p)
	if s.after != nil {
		p.add(` AND (x.at, x.digest) < (?, ?)`, s.after.At.UnixMilli(), s.after.Text[:])
	}
	if s.above != nil {
		p.add(` AND x.at > ?`, *s.above)
	}
	p.add(` ORDER BY x.at DESC, x.digest DESC LIMIT ?`, size)
	return out, each(ctx, tx, func(scan func(...any) error) error {
		var k candidate
		var lang []byte
		var at int64
		err := scan(&k.n, &k.digest, &at, &lang)
		k.hit.Text, k.hit.At, k.hit.Language = digest(k.digest), fromMilli(at), string(lang)
		out = append(out, k)
		return err
	}, p.String(), p.args...)
}

// seen fills in where candidates stand. The order is total, so that no answer hangs on
// the order in which facts came.
func (a *ask) seen(ctx context.Context, tx pgx.Tx, found []candidate) error {
	if len(found) == 0 {
		return nil
	}
	ns, ds, of := make([]int64, len(found)), make([][]byte, len(found)), make(map[int64]*catalog.Hit, len(found))
	for i := range found {
		ns[i], ds[i], of[found[i].n] = found[i].n, found[i].digest, &found[i].hit
	}
	var p part
	p.add(`SELECT t.n, s.at, s.channel, s.post, s.id FROM unnest(?::bigint[], ?::bytea[]) t (n, digest) CROSS JOIN LATERAL (`, ns, ds)
	a.places(&p)
	p.add(` ORDER BY at DESC, channel, post, id LIMIT ?) s ORDER BY t.n, s.at DESC, s.channel, s.post, s.id`, catalog.MaxSeen+1)
	return each(ctx, tx, func(scan func(...any) error) error {
		var n, at, channel, post int64
		var id []byte
		err := scan(&n, &at, &channel, &post, &id)
		s := catalog.Place{At: fromMilli(at)}
		if channel != 0 {
			s.Channel, s.Post = strconv.FormatInt(channel, 10), post
		} else {
			s.Capture = catalog.TextID(id)
		}
		if h := of[n]; len(h.Seen) < catalog.MaxSeen {
			h.Seen = append(h.Seen, s)
		} else {
			h.More = true
		}
		return err
	}, p.String(), p.args...)
}

// held finds the captures that hold what was asked for by hashes alone.
func (c *Catalog) held(ctx context.Context, q catalog.TextQuery, a *ask, out *catalog.Found) error {
	if len(a.channels) > 0 || len(q.Sources) > 0 || q.Language != "" || q.After != nil {
		return nil // those select texts
	}
	var p part
	for _, h := range a.hashes {
		p.add(` AND c.n IN (SELECT capture FROM object WHERE digest BETWEEN ? AND ?)`, h[0], h[1])
	}
	a.member(&p)
	if !q.Since.IsZero() {
		p.add(` AND c.started >= ?`, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		p.add(` AND c.started <= ?`, q.Until.UnixMilli())
	}
	got, err := c.captures(ctx, &p, q.Limit+1)
	if err != nil {
		return err
	}
	if len(got) > q.Limit {
		out.More, got = true, got[:q.Limit]
	}
	for _, k := range got {
		ds, err := c.digestsOf(ctx, k, a.hashes)
		if err != nil {
			return err
		}
		for _, d := range ds {
			out.Objects = append(out.Objects, catalog.Held{Digest: digest(d), Capture: k})
		}
	}
	return nil
}

// digestsOf are those Objects of a capture that were asked for.
func (c *Catalog) digestsOf(ctx context.Context, k catalog.Capture, hashes [][2][]byte) (out [][]byte, err error) {
	return out, c.view(ctx, func(tx pgx.Tx) error {
		out = nil
		for _, h := range hashes {
			ds, err := list[[]byte](ctx, tx, `SELECT o.digest FROM object o JOIN capture c ON c.n = o.capture WHERE o.digest BETWEEN $1 AND $2 AND c.id = $3 AND c.manifest = $4 ORDER BY o.digest`,
				h[0], h[1], catalog.RawID(k.ID), k.Manifest[:])
			if err != nil {
				return err
			}
			out = append(out, ds...)
		}
		return nil
	})
}

// Unsearched implements [catalog.Searcher].
func (c *Catalog) Unsearched(ctx context.Context) (u catalog.Unsearched, err error) {
	err = c.view(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM capture WHERE shown AND NOT event), (SELECT count(*) FROM text),
			(SELECT count(DISTINCT u.capture) FROM unread u JOIN capture c ON c.n = u.capture WHERE c.shown),
			(SELECT count(*) FROM capture WHERE shown AND NOT event AND texts = 0)`).Scan(&u.Captures, &u.Texts, &u.Unread, &u.Textless)
	})
	if err != nil {
		return u, fmt.Errorf("count what is searched: %w", err)
	}
	return u, nil
}

// Unguessed counts the texts whose language nobody would guess.
func (c *Catalog) Unguessed(ctx context.Context) (n int64, err error) {
	err = c.view(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT count(*) FROM text WHERE lang = ''`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count texts of no language: %w", err)
	}
	return n, nil
}
