package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/catalog"
	"holdfast/search"
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
	err = c.view(ctx, func(tx *sql.Tx) error {
		hits, err := a.hitsWithin(ctx, tx, q, &out)
		if err != nil {
			return err
		}
		if out.More = len(hits) > q.Limit; out.More {
			hits = hits[:q.Limit]
		}
		for i := range hits {
			if err := a.seen(ctx, tx, &hits[i]); err != nil {
				return err
			}
			out.Hits = append(out.Hits, hits[i].Hit)
		}
		return nil
	})
	if err == nil && a.onlyHashes() && !out.Stopped {
		err = c.held(ctx, q, a, &out)
	}
	if err != nil {
		return catalog.Found{}, fmt.Errorf("search: %w", err)
	}
	return out, nil
}

// ask is a question in SQL.
type ask struct {
	words    string // for the table words; "" where nothing is asked of it
	without  string // the same, for what must not be there
	urls     []string
	notURLs  []string
	hashes   [][2][]byte // from and to
	member   []byte
	channels []any
	spoken   []any
	q        catalog.TextQuery
}

func newAsk(q catalog.TextQuery) (a ask, err error) {
	a.q = q
	var with, without []string
	for _, t := range q.Words.Terms {
		switch {
		case len(t.Words) == 0:
			return a, errors.New("a term without words")
		case t.Kind == search.Hash:
			from, to, err := catalog.HashRange(t.Words[0])
			if err != nil {
				return a, err
			}
			a.hashes = append(a.hashes, [2][]byte{from, to})
		case t.Kind == search.URL && t.Not:
			a.notURLs = append(a.notURLs, match("body", t))
		case t.Kind == search.URL:
			a.urls = append(a.urls, match("body", t))
		case t.Not:
			without = append(without, match(columnOf(t), t))
		default:
			with = append(with, match(columnOf(t), t))
		}
	}
	a.words, a.without = strings.Join(with, " AND "), strings.Join(without, " OR ")
	if a.words != "" && a.without != "" {
		a.words, a.without = "("+a.words+") NOT ("+a.without+")", ""
	}
	if a.words == "" && len(a.urls)+len(a.hashes) == 0 {
		return a, errors.New("nothing is asked for")
	}
	if q.Member != "" {
		if a.member, err = catalog.ParseID(q.Member); err != nil {
			return a, err
		}
	}
	for _, k := range q.Channels {
		a.channels = append(a.channels, catalog.ChannelNumber(k))
	}
	for _, k := range q.Spoken {
		a.spoken = append(a.spoken, catalog.ChannelNumber(k))
	}
	if len(a.channels) > chunk || len(q.Sources) > chunk || len(a.spoken) > catalog.MaxSpoken {
		return a, fmt.Errorf("%d channels and %d sources, at most %d; %d channels of a language, at most %d", len(a.channels), len(q.Sources), chunk, len(a.spoken), catalog.MaxSpoken)
	}
	return a, nil
}

func columnOf(t search.Term) string {
	if t.Kind == search.Handle {
		return "handle"
	}
	return "body"
}

// match is a term in FTS5's words. A folded word has letters, digits, marks, symbols
// and perhaps `_`: none of them ends a string there.
func match(column string, t search.Term) string {
	s := column + ` : "` + strings.ReplaceAll(strings.Join(t.Words, " "), `"`, ``) + `"`
	if t.Prefix {
		s += " *"
	}
	return s
}

func (a ask) onlyHashes() bool {
	return a.words == "" && a.without == "" && len(a.urls)+len(a.notURLs) == 0
}

// part is SQL with the values of its holes.
type part struct {
	strings.Builder
	args []any
}

func (p *part) add(sql string, args ...any) {
	p.WriteString(sql)
	p.args = append(p.args, args...)
}

type hitRow struct {
	n int64
	catalog.Hit
}

// hitsWithin reads for as long as the question may take. Rows come newest first, so of
// what was read until then nothing is missing.
func (a ask) hitsWithin(ctx context.Context, tx *sql.Tx, q catalog.TextQuery, found *catalog.Found) ([]hitRow, error) {
	if q.Within <= 0 {
		return a.hits(ctx, tx, q)
	}
	limited, cancel := context.WithTimeout(ctx, q.Within)
	defer cancel()
	hits, err := a.hits(limited, tx, q)
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return hits, err
	}
	if found.Stopped = true; q.After != nil {
		found.Down = *q.After
	}
	if len(hits) > 0 {
		found.Down = hits[len(hits)-1].TextCursor
	}
	return hits, nil
}

// hits reads texts newest first until there are more than the limit. The inner
// question is sorted before the outer one looks where each of them stands: LIMIT -1
// keeps SQLite from looking at all of them first.
func (a ask) hits(ctx context.Context, tx *sql.Tx, q catalog.TextQuery) (out []hitRow, err error) {
	var p part
	p.add(`SELECT t.n, t.digest, t.at, t.lang FROM (SELECT x.n, x.digest, x.at, x.lang FROM `)
	switch {
	case a.words != "":
		p.add(`words w JOIN text x ON x.n = w.rowid WHERE words MATCH ?`, a.words)
	case len(a.urls) > 0:
		p.add(`text x WHERE x.n IN (SELECT text FROM linked WHERE address IN (SELECT rowid FROM addresses WHERE addresses MATCH ?))`, a.urls[0])
	default:
		p.add(`text x WHERE 1`)
	}
	if a.without != "" {
		p.add(` AND x.n NOT IN (SELECT rowid FROM words WHERE words MATCH ?)`, a.without)
	}
	if a.onlyHashes() {
		for _, h := range a.hashes {
			p.add(` AND x.digest BETWEEN ? AND ?`, h[0], h[1])
		}
	}
	if q.Language != "" {
		p.add(` AND (x.lang = ?`, []byte(q.Language))
		if len(a.spoken) > 0 {
			p.add(` OR x.lang = x'' AND EXISTS (SELECT 1 FROM said s WHERE s.text = x.n AND s.channel IN (`+holes(len(a.spoken))+`))`, a.spoken...)
		}
		p.add(`)`)
	}
	if !q.Since.IsZero() { // no place of a text is newer than it
		p.add(` AND x.at >= ?`, q.Since.UnixMilli())
	}
	if q.After != nil {
		p.add(` AND (x.at, x.digest) < (?, ?)`, q.After.At.UnixMilli(), q.After.Text[:])
	}
	p.add(` ORDER BY x.at DESC, x.digest DESC LIMIT -1) t WHERE EXISTS (`)
	a.places(&p, `t.n`, `t.digest`)
	p.add(`) LIMIT ?`, q.Limit+1)
	return out, each(ctx, tx, func(scan func(...any) error) error {
		var h hitRow
		var d, lang sql.RawBytes
		var at int64
		err := scan(&h.n, &d, &at, &lang)
		h.Text, h.At, h.Language = digest(d), fromMilli(at), string(lang)
		out = append(out, h)
		return err
	}, p.String(), p.args...)
}

// places are (at, channel, post, id) of where a text was seen, as far as it was asked
// for. n and d are SQL for its row and its Digest.
func (a ask) places(p *part, n, d string) {
	q := a.q
	p.add(`SELECT at, channel, post, id FROM (`)
	posts, pages := len(q.Sources) == 0, len(a.channels) == 0
	if posts {
		a.posts(p, n, d)
	}
	if posts && pages {
		p.add(` UNION ALL `)
	}
	if pages {
		a.pages(p, n)
	}
	if !posts && !pages {
		p.add(`SELECT NULL AS at, 0 AS channel, 0 AS post, x'' AS id WHERE 0`)
	}
	p.add(`) WHERE at IS NOT NULL`)
	if !q.Since.IsZero() {
		p.add(` AND at >= ?`, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		p.add(` AND at <= ?`, q.Until.UnixMilli())
	}
}

func (a ask) posts(p *part, n, d string) {
	p.add(`SELECT (SELECT min(coalesce(g.posted, r.received)) FROM sight g JOIN answer r ON r.n = g.answer JOIN capture c ON c.n = r.capture
		WHERE g.channel = s.channel AND g.post = s.post AND g.kind = 0 AND g.text = ` + d + ` AND c.shown = 1`)
	a.capture(p)
	p.add(`) AS at, s.channel AS channel, s.post AS post, x'' AS id FROM said s WHERE s.text = ` + n)
	if len(a.channels) > 0 {
		p.add(` AND s.channel IN (`+holes(len(a.channels))+`)`, a.channels...)
		if a.q.Post != 0 {
			p.add(` AND s.post = ?`, a.q.Post)
		}
	}
	a.linked(p, n, `s.channel`, `s.post`, `0`)
}

func (a ask) pages(p *part, n string) {
	p.add(`SELECT c.started AS at, 0 AS channel, 0 AS post, c.id AS id FROM page g JOIN capture c ON c.n = g.capture WHERE c.shown = 1 AND g.text = ` + n)
	for i, source := range a.q.Sources {
		s := []byte(source)
		p.add([]string{` AND (`, ` OR `}[min(i, 1)]+`c.source = ?`, s)
		for _, end := range []string{"/", "?", "#"} {
			whole := append(slices.Clone(s), end...)
			if end == "/" && strings.HasSuffix(source, "/") {
				whole = s
			}
			p.add(` OR substr(c.source, 1, ?) = ?`, len(whole), whole)
		}
	}
	if len(a.q.Sources) > 0 {
		p.add(`)`)
	}
	a.capture(p)
	a.linked(p, n, `0`, `0`, `g.capture`)
}

// capture are conditions for the capture c in which something was seen.
func (a ask) capture(p *part) {
	if a.member != nil {
		p.add(` AND (c.home = ? OR EXISTS (SELECT 1 FROM added d WHERE d.home = ? AND d.capture = c.id))`, a.member, a.member)
	}
	if a.onlyHashes() {
		return // then a text itself has the hash, or a capture, which held finds
	}
	for _, h := range a.hashes {
		p.add(` AND c.n IN (SELECT capture FROM object WHERE digest BETWEEN ? AND ?)`, h[0], h[1])
	}
}

// linked are conditions for the addresses that stand beside a text in one place. Each
// is held against the index of full text by its row, so that an address that stands in
// very many places costs no more than those that are looked at.
func (a ask) linked(p *part, n, channel, post, capture string) {
	for i, list := range [][]string{a.urls, a.notURLs} {
		for _, u := range list {
			p.add([]string{` AND EXISTS`, ` AND NOT EXISTS`}[i]+` (SELECT 1 FROM linked l WHERE l.text = `+n+` AND l.channel = `+channel+` AND l.post = `+post+` AND l.capture = `+capture+`
				AND EXISTS (SELECT 1 FROM addresses WHERE addresses MATCH ? AND rowid = l.address))`, u)
		}
	}
}

// seen fills in where a hit stands. The order is total, so that no answer hangs on
// the order in which facts came.
func (a ask) seen(ctx context.Context, tx *sql.Tx, h *hitRow) error {
	var p part
	a.places(&p, strconv.FormatInt(h.n, 10), `(SELECT digest FROM text WHERE n = `+strconv.FormatInt(h.n, 10)+`)`)
	p.add(` ORDER BY at DESC, channel, post, id LIMIT ?`, catalog.MaxSeen+1)
	err := each(ctx, tx, func(scan func(...any) error) error {
		var at, channel, post int64
		var id sql.RawBytes
		err := scan(&at, &channel, &post, &id)
		s := catalog.Place{At: fromMilli(at)}
		if channel != 0 {
			s.Channel, s.Post = strconv.FormatInt(channel, 10), post
		} else {
			s.Capture = catalog.TextID(id)
		}
		h.Seen = append(h.Seen, s)
		return err
	}, p.String(), p.args...)
	if h.More = len(h.Seen) > catalog.MaxSeen; h.More {
		h.Seen = h.Seen[:catalog.MaxSeen]
	}
	return err
}

// held finds the captures that hold what was asked for by hashes alone.
func (c *Catalog) held(ctx context.Context, q catalog.TextQuery, a ask, out *catalog.Found) error {
	if len(a.channels) > 0 || len(q.Sources) > 0 || q.Language != "" || q.After != nil {
		return nil // those select texts
	}
	var p part
	p.add(`1`)
	for _, h := range a.hashes {
		p.add(` AND c.n IN (SELECT capture FROM object WHERE digest BETWEEN ? AND ?)`, h[0], h[1])
	}
	if a.member != nil {
		p.add(` AND (c.home = ? OR EXISTS (SELECT 1 FROM added d WHERE d.home = ? AND d.capture = c.id))`, a.member, a.member)
	}
	if !q.Since.IsZero() {
		p.add(` AND c.started >= ?`, q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		p.add(` AND c.started <= ?`, q.Until.UnixMilli())
	}
	got, err := c.captures(ctx, p.String(), p.args, q.Limit+1)
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
			d.Capture = k
			out.Objects = append(out.Objects, d)
		}
	}
	return nil
}

// digestsOf are those Objects of a capture that were asked for.
func (c *Catalog) digestsOf(ctx context.Context, k catalog.Capture, hashes [][2][]byte) (out []catalog.Held, err error) {
	return out, c.view(ctx, func(tx *sql.Tx) error {
		for _, h := range hashes {
			err := each(ctx, tx, func(scan func(...any) error) error {
				var d sql.RawBytes
				err := scan(&d)
				out = append(out, catalog.Held{Digest: digest(d)})
				return err
			}, `SELECT o.digest FROM object o JOIN capture c ON c.n = o.capture WHERE o.digest BETWEEN ? AND ? AND c.id = ? AND c.manifest = ? ORDER BY o.digest`,
				h[0], h[1], catalog.RawID(k.ID), k.Manifest[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Unsearched implements [catalog.Searcher].
func (c *Catalog) Unsearched(ctx context.Context) (u catalog.Unsearched, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM capture WHERE shown = 1 AND event = 0), (SELECT count(*) FROM text),
			(SELECT count(DISTINCT u.capture) FROM unread u JOIN capture c ON c.n = u.capture WHERE c.shown = 1),
			(SELECT count(*) FROM capture WHERE shown = 1 AND event = 0 AND texts = 0)`).Scan(&u.Captures, &u.Texts, &u.Unread, &u.Textless)
	})
	if err != nil {
		return u, fmt.Errorf("count what is searched: %w", err)
	}
	return u, nil
}

// Unguessed counts the texts whose language nobody would guess.
func (c *Catalog) Unguessed(ctx context.Context) (n int64, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM text WHERE lang = x''`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count texts of no language: %w", err)
	}
	return n, nil
}
