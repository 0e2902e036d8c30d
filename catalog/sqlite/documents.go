package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"

	"holdfast"
	"holdfast/catalog"
)

// appendDocuments are the rows of a capture's documents.
func appendDocuments(rows []any, a *catalog.Accepted, n int64) []any {
	for i := range a.Documents {
		d := &a.Documents[i]
		rows = append(rows, []byte(d.Role), catalog.SourceKey(a.Source), n, d.Part, d.Digest[:], d.Size)
	}
	return rows
}

func addDocuments(ctx context.Context, tx *sql.Tx, rows []any) error {
	return insert(ctx, tx, `INSERT OR IGNORE INTO document (role, skey, capture, part, digest, size)`, 6, rows)
}

// Documents implements [catalog.Posts]. All are read before the first is yielded: of
// a channel that is watched there are some each day, of 100 bytes each.
func (c *Catalog) Documents(ctx context.Context, s holdfast.Source, role string) iter.Seq2[catalog.Document, error] {
	return func(yield func(catalog.Document, error) bool) {
		var all []catalog.Document
		err := c.view(ctx, func(tx *sql.Tx) error {
			return each(ctx, tx, func(scan func(...any) error) error {
				var id, body sql.RawBytes
				var started, state int64
				d := catalog.Document{Role: role}
				err := scan(&started, &id, &state, &d.Part, &body, &d.Size)
				d.Sight = catalog.Sight{At: fromMilli(started), Capture: catalog.TextID(id), State: catalog.StateName(state)}
				d.Digest = digest(body)
				all = append(all, d)
				return err
			}, `SELECT c.started, c.id, c.state, d.part, d.digest, d.size FROM document d JOIN capture c ON c.n = d.capture
				WHERE d.role = ? AND d.skey = ? AND c.source = ? AND c.shown = 1 ORDER BY c.started, c.id, d.part`, []byte(role), catalog.SourceKey(s), []byte(s))
		})
		if err != nil {
			yield(catalog.Document{}, fmt.Errorf("list documents of %.200s: %w", s, err))
			return
		}
		for _, d := range all {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// Below implements [catalog.Posts].
func (c *Catalog) Below(ctx context.Context, t catalog.Thread) iter.Seq2[catalog.Thread, error] {
	return func(yield func(catalog.Thread, error) bool) {
		channel, post := int64(0), int64(math.MinInt64)
		for {
			var all []catalog.Thread
			err := c.view(ctx, func(tx *sql.Tx) error {
				return each(ctx, tx, func(scan func(...any) error) error {
					err := scan(&channel, &post)
					all = append(all, catalog.Thread{Channel: fmt.Sprint(channel), Post: post})
					return err
				}, `SELECT DISTINCT s.channel, s.post FROM answer a JOIN capture c ON c.n = a.capture JOIN sight s ON s.channel = a.channel AND s.answer = a.n
					WHERE a.over = ? AND a.below = ? AND a.below > 0 AND c.shown = 1 AND (s.channel, s.post) > (?, ?) ORDER BY s.channel, s.post LIMIT ?`,
					catalog.ChannelNumber(t.Channel), t.Post, channel, post, page)
			})
			if err != nil {
				yield(catalog.Thread{}, fmt.Errorf("list what stands below post %d of channel %.40q: %w", t.Post, t.Channel, err))
				return
			}
			for _, x := range all {
				if !yield(x, nil) {
					return
				}
			}
			if len(all) < page {
				return
			}
		}
	}
}
