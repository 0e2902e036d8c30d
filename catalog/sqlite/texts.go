package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/search"
)

// texts are those of a batch, and their rows: of each text and of each address.
type texts struct {
	catalog.Gathered
	text, address []int64
	captures      []int64 // of the batch
}

// addTexts indexes the texts of answers that are new and of pages. All of it may be
// there already, whichever call brought it.
func addTexts(ctx context.Context, tx *sql.Tx, batch []catalog.Accepted, fresh []*catalog.Answer) error {
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
		}
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO object (digest, capture)`, 2, objects); err != nil {
		return err
	}
	if err := addDocuments(ctx, tx, documents); err != nil {
		return err
	}
	t := texts{Gathered: catalog.Gather(batch, fresh), captures: all}
	if err := t.write(ctx, tx); err != nil {
		return err
	}
	return noteUnread(ctx, tx, batch, all)
}

// rowsOf finds the rows that addCaptures has just seen to.
func rowsOf(ctx context.Context, tx *sql.Tx, part []catalog.Accepted) (map[key]int64, error) {
	ids := make([]any, len(part))
	for i, a := range part {
		ids[i] = catalog.RawID(a.ID)
	}
	rows := make(map[key]int64, len(part))
	return rows, each(ctx, tx, func(scan func(...any) error) error {
		var id, d sql.RawBytes
		var n int64
		err := scan(&id, &d, &n)
		rows[key{catalog.TextID(id), digest(d)}] = n
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
	for _, p := range t.Places {
		n, capture := t.text[p.Text], int64(0)
		if p.Capture < 0 {
			said = append(said, n, p.Channel, p.Post)
		} else {
			capture = t.captures[p.Capture]
			page = append(page, capture, n)
		}
		for _, a := range p.Addresses {
			linked = append(linked, t.address[a], n, p.Channel, p.Post, capture)
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

// numbered draws the rows of what has these Digests: those that are there, and for
// the rest, whose places it returns, the next ones. Another writer waits meanwhile.
// What is there is told to have, with the number in that column.
func numbered(ctx context.Context, tx *sql.Tx, table, column string, digests []hashing.Digest, have func(i int, v int64)) (rows []int64, missing []int, err error) {
	rows = make([]int64, len(digests))
	place := make(map[hashing.Digest]int, len(digests))
	for i, d := range digests {
		place[d] = i
	}
	for part := range slices.Chunk(digests, chunk) {
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		err := each(ctx, tx, func(scan func(...any) error) error {
			var d sql.RawBytes
			var n, v int64
			err := scan(&d, &n, &v)
			i := place[digest(d)]
			rows[i] = n
			have(i, v)
			return err
		}, `SELECT digest, n, `+column+` FROM `+table+` WHERE digest IN (`+holes(len(args))+`)`, args...)
		if err != nil {
			return nil, nil, err
		}
	}
	var last int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM `+table).Scan(&last); err != nil {
		return nil, nil, err
	}
	for i := range rows {
		if rows[i] == 0 {
			last++
			rows[i], missing = last, append(missing, i)
		}
	}
	return rows, missing, nil
}

// writeTexts gives every text its row.
func (t *texts) writeTexts(ctx context.Context, tx *sql.Tx) error {
	digests := make([]hashing.Digest, len(t.Texts))
	for i := range t.Texts {
		digests[i] = t.Texts[i].Digest
	}
	var later []int
	var missing []int
	var err error
	t.text, missing, err = numbered(ctx, tx, `text`, `at`, digests, func(i int, at int64) {
		if t.Texts[i].At.UnixMilli() > at {
			later = append(later, i)
		}
	})
	for _, i := range later {
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE text SET at = ? WHERE n = ?`, t.Texts[i].At.UnixMilli(), t.text[i])
		}
	}
	if err != nil {
		return err
	}
	languages := search.NewLanguages()
	var rows, words []any
	for _, i := range missing {
		x := &t.Texts[i]
		rows = append(rows, t.text[i], x.Digest[:], x.At.UnixMilli(), []byte(languages.Of(x.Body)))
		if body, handle := search.Index(x.Title, x.Body); body != "" {
			words = append(words, t.text[i], body, handle)
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

// writeAddresses gives every address its row.
func (t *texts) writeAddresses(ctx context.Context, tx *sql.Tx) error {
	digests := make([]hashing.Digest, len(t.Addresses))
	for i := range t.Addresses {
		digests[i] = t.Addresses[i].Digest
	}
	var missing []int
	var err error
	if t.address, missing, err = numbered(ctx, tx, `address`, `n`, digests, func(int, int64) {}); err != nil {
		return err
	}
	var rows, words []any
	for _, i := range missing {
		rows = append(rows, t.address[i], digests[i][:])
		words = append(words, t.address[i], search.Address(t.Addresses[i].Address))
	}
	if err := insert(ctx, tx, `INSERT OR FAIL INTO address (n, digest)`, 2, rows); err != nil {
		return err
	}
	return insertWords(ctx, tx, `INSERT INTO addresses (rowid, body) VALUES (?, ?)`, 2, words)
}
