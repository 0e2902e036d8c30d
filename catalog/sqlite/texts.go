package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/search"
)

// texts gathers what a batch has that is searched: each text and each address once,
// and where they stand.
type texts struct {
	text    map[hashing.Digest]*text
	address map[string]int64
	order   []hashing.Digest // of text, as they came: the order of rows means nothing, but it stays one
	said    []any
	page    []any
	places  []place

	languages *search.Languages
}

type text struct {
	n           int64
	title, body string
	at          int64
}

// place is where a text stands, with the addresses that stand there.
type place struct {
	text                   hashing.Digest
	channel, post, capture int64
	addresses              []string
}

// addTexts indexes the texts of answers that are new and of pages. All of it may be
// there already, whichever call brought it.
func addTexts(ctx context.Context, tx *sql.Tx, batch []catalog.Accepted, fresh []*catalog.Answer) error {
	t := texts{text: map[hashing.Digest]*text{}, address: map[string]int64{}, languages: search.NewLanguages()}
	for _, x := range fresh {
		t.answer(x)
	}
	var objects, documents []any
	all := make([]int64, 0, len(batch)) // rows
	for part := range slices.Chunk(batch, chunk) {
		rows, err := rowsOf(ctx, tx, part)
		if err != nil {
			return err
		}
		for i := range part {
			a, n := &part[i], rows[key{part[i].ID, part[i].Manifest}]
			objects, documents, all = appendObjects(objects, a, n), appendDocuments(documents, a, n), append(all, n)
			if a.Page != nil {
				t.add(a.Page.Digest(), a.Page.Title, a.Page.Text, a.Started.UnixMilli(), place{capture: n, addresses: a.Page.Addresses})
			}
		}
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO object (digest, capture)`, 2, objects); err != nil {
		return err
	}
	if err := addDocuments(ctx, tx, documents); err != nil {
		return err
	}
	if err := t.write(ctx, tx); err != nil {
		return err
	}
	return noteUnread(ctx, tx, batch, all)
}

func (t *texts) answer(x *catalog.Answer) {
	channel := channelNumber(x.Channel)
	for i, p := range x.Posts {
		at := p.Posted
		if at.IsZero() {
			at = x.Received
		}
		s := x.Said[i]
		if s.Text != "" || len(s.Links) > 0 {
			t.add(p.Text, "", s.Text, at.UnixMilli(), place{channel: channel, post: p.ID, addresses: s.Links})
		}
	}
}

func (t *texts) add(d hashing.Digest, title, body string, at int64, p place) {
	x := t.text[d]
	if x == nil {
		x = &text{title: title, body: body, at: at}
		t.text[d] = x
		t.order = append(t.order, d)
	}
	x.at = max(x.at, at)
	p.text = d
	t.places = append(t.places, p)
}

// rowsOf finds the rows that addCaptures has just seen to.
func rowsOf(ctx context.Context, tx *sql.Tx, part []catalog.Accepted) (map[key]int64, error) {
	ids := make([]any, len(part))
	for i, a := range part {
		ids[i] = rawID(a.ID)
	}
	rows := make(map[key]int64, len(part))
	return rows, each(ctx, tx, func(scan func(...any) error) error {
		var id, d sql.RawBytes
		var n int64
		err := scan(&id, &d, &n)
		rows[key{textID(id), digest(d)}] = n
		return err
	}, `SELECT id, manifest, n FROM capture WHERE id IN (`+holes(len(ids))+`)`, ids...)
}

func appendObjects(rows []any, a *catalog.Accepted, n int64) []any {
	rows = append(rows, a.Manifest[:], n)
	for i := range a.Objects {
		rows = append(rows, a.Objects[i][:], n)
	}
	return rows
}

// noteUnread notes which stated texts nobody has read. To read one, whenever that is,
// takes the note back, and no note is made of what was read: so it comes last.
func noteUnread(ctx context.Context, tx *sql.Tx, batch []catalog.Accepted, rows []int64) error {
	var notes bool // there are any: mostly there are none
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM unread)`).Scan(&notes); err != nil {
		return err
	}
	for i := range batch {
		for _, part := range batch[i].Parts() {
			var err error
			switch {
			case !batch[i].HasRead(part):
				notes = true
				_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO unread (capture, part) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM answer WHERE capture = ?1 AND part = ?2)
					AND NOT (?2 = ?3 AND EXISTS (SELECT 1 FROM page WHERE capture = ?1))`, rows[i], part, catalog.PagePart)
			case notes:
				_, err = tx.ExecContext(ctx, `DELETE FROM unread WHERE capture = ? AND part = ?`, rows[i], part)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *texts) write(ctx context.Context, tx *sql.Tx) error {
	if err := t.writeTexts(ctx, tx); err != nil {
		return err
	}
	if err := t.writeAddresses(ctx, tx); err != nil {
		return err
	}
	var said, page, linked []any
	for _, p := range t.places {
		n := t.text[p.text].n
		if p.capture == 0 {
			said = append(said, n, p.channel, p.post)
		} else {
			page = append(page, p.capture, n)
		}
		for _, a := range p.addresses {
			linked = append(linked, t.address[a], n, p.channel, p.post, p.capture)
		}
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO said (text, channel, post)`, 3, said); err != nil {
		return err
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO page (capture, text)`, 2, page); err != nil {
		return err
	}
	return insert(ctx, tx, `INSERT OR IGNORE INTO linked (address, text, channel, post, capture)`, 5, linked)
}

// writeTexts gives every text its row. Numbers are drawn here: a transaction of
// another writer waits.
func (t *texts) writeTexts(ctx context.Context, tx *sql.Tx) error {
	for part := range slices.Chunk(t.order, chunk) {
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		var later []*text
		err := each(ctx, tx, func(scan func(...any) error) error {
			var d sql.RawBytes
			var n, at int64
			err := scan(&d, &n, &at)
			x := t.text[digest(d)]
			if x.n = n; x.at > at {
				later = append(later, x)
			}
			return err
		}, `SELECT digest, n, at FROM text WHERE digest IN (`+holes(len(args))+`)`, args...)
		for _, x := range later {
			if err == nil {
				_, err = tx.ExecContext(ctx, `UPDATE text SET at = ? WHERE n = ?`, x.at, x.n)
			}
		}
		if err == nil {
			err = t.newTexts(ctx, tx, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *texts) newTexts(ctx context.Context, tx *sql.Tx, part []hashing.Digest) error {
	last, err := lastRow(ctx, tx, `text`)
	if err != nil {
		return err
	}
	var rows, words []any
	for i := range part {
		x := t.text[part[i]]
		if x.n != 0 {
			continue
		}
		last++
		x.n = last
		rows = append(rows, x.n, part[i][:], x.at, []byte(t.languages.Of(x.body)))
		if body, handle := search.Index(x.title, x.body); body != "" {
			words = append(words, x.n, body, handle)
		}
	}
	if err := insert(ctx, tx, `INSERT OR FAIL INTO text (n, digest, at, lang)`, 4, rows); err != nil {
		return err
	}
	return insertWords(ctx, tx, `INSERT INTO words (rowid, body, handle) VALUES (?, ?, ?)`, 3, words)
}

// insertWords adds to an index of full text, row by row: a statement of several rows
// could be undone alone, for which FTS5 writes out at each what it would gather until
// the commit.
func insertWords(ctx context.Context, tx *sql.Tx, query string, width int, values []any) error {
	if len(values) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for row := range slices.Chunk(values, width) {
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

func lastRow(ctx context.Context, tx *sql.Tx, table string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM `+table).Scan(&n)
	return n, err
}

func (t *texts) writeAddresses(ctx context.Context, tx *sql.Tx) error {
	byDigest := map[hashing.Digest]string{}
	var order []hashing.Digest
	for _, p := range t.places {
		for _, a := range p.addresses {
			if _, known := t.address[a]; !known {
				t.address[a] = 0
				d := hashing.Of([]byte(a))
				byDigest[d], order = a, append(order, d)
			}
		}
	}
	for part := range slices.Chunk(order, chunk) {
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var d sql.RawBytes
			var n int64
			err := scan(&d, &n)
			t.address[byDigest[digest(d)]] = n
			return err
		}, `SELECT digest, n FROM address WHERE digest IN (`+holes(len(args))+`)`, args...)
		if err != nil {
			return err
		}
		last, err := lastRow(ctx, tx, `address`)
		if err != nil {
			return err
		}
		var rows, words []any
		for i := range part {
			a := byDigest[part[i]]
			if t.address[a] != 0 {
				continue
			}
			last++
			t.address[a] = last
			rows = append(rows, last, part[i][:])
			words = append(words, last, search.Address(a))
		}
		if err := insert(ctx, tx, `INSERT OR FAIL INTO address (n, digest)`, 2, rows); err != nil {
			return err
		}
		if err := insertWords(ctx, tx, `INSERT INTO addresses (rowid, body) VALUES (?, ?)`, 2, words); err != nil {
			return err
		}
	}
	return nil
}
