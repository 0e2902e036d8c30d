package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strconv"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Cases implements [catalog.Cases]. All Cases are read before the first is
// yielded: there are few.
func (c *Catalog) Cases(ctx context.Context) iter.Seq2[catalog.Case, error] {
	return func(yield func(catalog.Case, error) bool) {
		all, err := c.cases(ctx, `1`)
		if err != nil {
			yield(catalog.Case{}, fmt.Errorf("list cases: %w", err))
			return
		}
		for _, k := range all {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// Case implements [catalog.Cases].
func (c *Catalog) Case(ctx context.Context, nameOrID string) (catalog.Case, error) {
	var got []catalog.Case
	var err error
	if id, perr := catalog.ParseID(holdfast.ID(nameOrID)); perr == nil {
		got, err = c.cases(ctx, `id = ?`, id)
	}
	if err == nil && len(got) == 0 {
		got, err = c.cases(ctx, `name = ?`, []byte(nameOrID))
	}
	switch {
	case err != nil:
	case len(got) == 0:
		err = catalog.ErrNotFound
	case len(got) > 1:
		err = fmt.Errorf("%s and %s: %w", got[0].ID, got[1].ID, catalog.ErrAmbiguous)
	}
	if err != nil {
		return catalog.Case{}, fmt.Errorf("find case %.80q: %w", nameOrID, err)
	}
	return got[0], nil
}

func (c *Catalog) cases(ctx context.Context, where string, args ...any) (out []catalog.Case, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var id, name, body sql.RawBytes
			var opened sql.NullInt64
			k := catalog.Case{}
			err := scan(&id, &name, &opened, &k.Captures, &k.Added, &body)
			if err == nil {
				k.Record, err = readRecord(body)
			}
			k.ID, k.Name = catalog.TextID(id), string(name)
			if opened.Valid {
				k.Opened = fromMilli(opened.Int64)
			}
			out = append(out, k)
			return err
		}, `SELECT id, name, opened, (SELECT count(*) FROM capture c WHERE c.shown = 1 AND c.home = h.id AND c.event = 0),
			(SELECT count(*) FROM added a JOIN capture c ON c.id = a.capture WHERE a.home = h.id AND c.shown = 1 AND c.event = 0 AND c.home <> h.id),
			(SELECT body FROM record r WHERE r.home = h.id ORDER BY r.at DESC, r.chain DESC LIMIT 1)
			FROM home h WHERE `+where+` ORDER BY coalesce(name, x''), id`, args...)
		for i := range out {
			if err == nil {
				out[i].Chains, err = chains(ctx, tx, catalog.RawID(out[i].ID))
			}
		}
		return err
	})
	return out, err
}

func chains(ctx context.Context, tx *sql.Tx, home []byte) (out []catalog.Chain, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id, node sql.RawBytes
		var k catalog.Chain
		err := scan(&id, &node, &k.Length)
		k.ID, k.Node = catalog.TextID(id), string(node)
		out = append(out, k)
		return err
	}, `SELECT id, node, length FROM chain WHERE home = ? ORDER BY id`, home)
	return out, err
}

// Exhibits implements [catalog.Cases].
func (c *Catalog) Exhibits(ctx context.Context, home holdfast.ID) iter.Seq2[catalog.Exhibit, error] {
	return func(yield func(catalog.Exhibit, error) bool) {
		raw, err := catalog.ParseID(home)
		if err != nil {
			yield(catalog.Exhibit{}, fmt.Errorf("list exhibits: %w", err))
			return
		}
		last, from := int64(0), []byte{}
		for {
			got, n, err := c.exhibits(ctx, raw, last, from)
			if err != nil {
				yield(catalog.Exhibit{}, fmt.Errorf("list exhibits of case %s: %w", home, err))
				return
			}
			for _, x := range got {
				if !yield(x, nil) {
					return
				}
			}
			if len(got) < page {
				return
			}
			last, from = n, catalog.RawID(got[len(got)-1].Capture)
		}
	}
}

func (c *Catalog) exhibits(ctx context.Context, home []byte, last int64, from []byte) (out []catalog.Exhibit, n int64, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var capture sql.RawBytes
			var at int64
			err := scan(&capture, &n, &at)
			out = append(out, catalog.Exhibit{Case: catalog.TextID(home), Capture: catalog.TextID(capture), Number: numberText(n), Exported: fromMilli(at)})
			return err
		}, `SELECT capture, number, at FROM exhibit WHERE home = ? AND (number, capture) > (?, ?) ORDER BY number, capture LIMIT ?`, home, last, from, page)
	})
	return out, n, err
}

// Refs implements [catalog.Refs].
func (c *Catalog) Refs(ctx context.Context, d hashing.Digest) iter.Seq2[catalog.Ref, error] {
	return func(yield func(catalog.Ref, error) bool) {
		after := []byte{}
		for {
			got, err := c.refs(ctx, d, after)
			if err != nil {
				yield(catalog.Ref{}, fmt.Errorf("find %s: %w", d, err))
				return
			}
			for _, r := range got {
				if !yield(r, nil) {
					return
				}
				after = []byte(r.Name)
			}
			if len(got) < page {
				return
			}
		}
	}
}

func (c *Catalog) refs(ctx context.Context, d hashing.Digest, after []byte) (out []catalog.Ref, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(scan func(...any) error) error {
			var name sql.RawBytes
			var r catalog.Ref
			err := scan(&name, &r.Offset, &r.Size)
			r.Name = string(name)
			out = append(out, r)
			return err
		}, `SELECT p.name, r.start, r.size FROM ref r JOIN pack p ON p.n = r.pack WHERE r.digest = ? AND p.name > ? ORDER BY p.name LIMIT ?`, d[:], after, page)
	})
	return out, err
}

// number is that of an exhibit; catalog.Accepted.ReadLine has checked the form.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func numberText(n int64) string { return strconv.FormatInt(n, 10) }
