package postgres

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Cases implements [catalog.Cases]. All Cases are read before the first is
// yielded: there are few.
func (c *Catalog) Cases(ctx context.Context) iter.Seq2[catalog.Case, error] {
	return catalog.Pages(0, func(int) ([]catalog.Case, int, bool, error) {
		all, err := c.cases(ctx, `true`)
		if err != nil {
			err = fmt.Errorf("list cases: %w", err)
		}
		return all, 0, false, err
	})
}

// Case implements [catalog.Cases].
func (c *Catalog) Case(ctx context.Context, nameOrID string) (catalog.Case, error) {
	var got []catalog.Case
	var err error
	if id, perr := catalog.ParseID(holdfast.ID(nameOrID)); perr == nil {
		got, err = c.cases(ctx, `id = $1`, id)
	}
	if err == nil && len(got) == 0 {
		got, err = c.cases(ctx, `name = $1`, []byte(nameOrID))
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
	err = c.view(ctx, func(tx pgx.Tx) error {
		out = nil
		err := each(ctx, tx, func(scan func(...any) error) error {
			var id, name, body []byte
			var opened *int64
			k := catalog.Case{}
			err := scan(&id, &name, &opened, &k.Captures, &k.Added, &body)
			if err == nil {
				k.Record, err = readRecord(body)
			}
			k.ID, k.Name = catalog.TextID(id), string(name)
			if opened != nil {
				k.Opened = fromMilli(*opened)
			}
			out = append(out, k)
			return err
		}, `SELECT id, name, opened, (SELECT count(*) FROM capture c WHERE c.shown AND c.home = h.id AND NOT c.event),
			(SELECT count(*) FROM added a JOIN capture c ON c.id = a.capture WHERE a.home = h.id AND c.shown AND NOT c.event AND c.home <> h.id),
			(SELECT body FROM record r WHERE r.home = h.id ORDER BY r.at DESC, r.chain DESC LIMIT 1)
			FROM home h WHERE `+where+` ORDER BY coalesce(name, ''), id`, args...)
		for i := range out {
			if err == nil {
				out[i].Chains, err = chains(ctx, tx, catalog.RawID(out[i].ID))
			}
		}
		return err
	})
	return out, err
}

func chains(ctx context.Context, tx pgx.Tx, home []byte) (out []catalog.Chain, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id, node []byte
		var k catalog.Chain
		err := scan(&id, &node, &k.Length)
		k.ID, k.Node = catalog.TextID(id), string(node)
		out = append(out, k)
		return err
	}, `SELECT id, node, length FROM chain WHERE home = $1 ORDER BY id`, home)
	return out, err
}

// readRecord is what a row of record says; the catalog wrote it.
func readRecord(body []byte) (catalog.Record, error) {
	if len(body) == 0 {
		return catalog.Record{}, nil
	}
	r, err := catalog.ParseRecord(body)
	if err != nil {
		return r, fmt.Errorf("read record: %w", err)
	}
	return r, nil
}

// Exhibits implements [catalog.Cases].
func (c *Catalog) Exhibits(ctx context.Context, home holdfast.ID) iter.Seq2[catalog.Exhibit, error] {
	type place struct {
		number  int64
		capture string
	}
	return catalog.Pages(place{}, func(at place) (out []catalog.Exhibit, _ place, more bool, err error) {
		raw, err := catalog.ParseID(home)
		if err == nil {
			err = c.view(ctx, func(tx pgx.Tx) error {
				out = nil
				return each(ctx, tx, func(scan func(...any) error) error {
					var capture []byte
					var when int64
					err := scan(&capture, &at.number, &when)
					at.capture = string(capture)
					out = append(out, catalog.Exhibit{Case: home, Capture: catalog.TextID(capture), Number: strconv.FormatInt(at.number, 10), Exported: fromMilli(when)})
					return err
				}, `SELECT capture, number, at FROM exhibit WHERE home = $1 AND (number, capture) > ($2, $3) ORDER BY number, capture LIMIT $4`, raw, at.number, []byte(at.capture), page)
			})
		}
		if err != nil {
			err = fmt.Errorf("list exhibits of case %.40q: %w", home, err)
		}
		return out, at, len(out) == page, err
	})
}

// Refs implements [catalog.Refs].
func (c *Catalog) Refs(ctx context.Context, d hashing.Digest) iter.Seq2[catalog.Ref, error] {
	return catalog.Pages("", func(after string) (out []catalog.Ref, _ string, more bool, err error) {
		err = c.view(ctx, func(tx pgx.Tx) error {
			out = nil
			return each(ctx, tx, func(scan func(...any) error) error {
				var name []byte
				var r catalog.Ref
				err := scan(&name, &r.Offset, &r.Size)
				r.Name = string(name)
				out = append(out, r)
				return err
			}, `SELECT p.name, r.start, r.size FROM ref r JOIN pack p ON p.n = r.pack WHERE r.digest = $1 AND p.name > $2 ORDER BY p.name LIMIT $3`, d[:], []byte(after), page)
		})
		if err != nil {
			return nil, "", false, fmt.Errorf("find %s: %w", d, err)
		}
		if len(out) > 0 {
			after = out[len(out)-1].Name
		}
		return out, after, len(out) == page, nil
	})
}
