package postgres

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// page is how many rows are read at once. Between two pages nothing is open: a slow
// reader keeps the server from nothing.
const page = 256

// Captures implements [catalog.Captures].
func (c *Catalog) Captures(ctx context.Context, q catalog.Query) iter.Seq2[catalog.Capture, error] {
	return catalog.PageCaptures(q, page, func(q catalog.Query, limit int) ([]catalog.Capture, error) {
		got, err := c.page(ctx, q, limit)
		if err != nil {
			err = fmt.Errorf("list captures: %w", err)
		}
		return got, err
	})
}

// Capture implements [catalog.Captures].
func (c *Catalog) Capture(ctx context.Context, id holdfast.ID) (catalog.Capture, error) {
	var got []catalog.Capture
	raw, err := catalog.ParseID(id)
	if err == nil {
		var p part
		p.add(` AND c.id = ?`, raw)
		got, err = c.captures(ctx, &p, 1)
	}
	if err == nil && len(got) == 0 {
		err = catalog.ErrNotFound
	}
	if err != nil {
		return catalog.Capture{}, fmt.Errorf("find capture %.40q: %w", id, err)
	}
	return got[0], nil
}

func (c *Catalog) page(ctx context.Context, q catalog.Query, limit int) ([]catalog.Capture, error) {
	if q.Member != "" {
		return c.members(ctx, q, limit)
	}
	var p part
	if err := conditions(&p, q); err != nil {
		return nil, err
	}
	return c.captures(ctx, &p, limit)
}

// conditions are those of a query but for Member.
func conditions(p *part, q catalog.Query) error {
	if q.Case != "" {
		id, err := catalog.ParseID(q.Case)
		if err != nil {
			return err
		}
		p.add(` AND c.home = ?`, id)
	}
	if q.Source != "" {
		p.add(` AND c.skey = ? AND c.source = ?`, catalog.SourceKey(q.Source), []byte(q.Source))
	}
	switch rank := catalog.Rank(q.State); {
	case q.State == "":
	case rank < 0:
		return fmt.Errorf("state %.20q is none of pending, signed, sealed", q.State)
	case rank < 2: // said twice so that the index of unsealed ones may serve
		p.add(` AND c.state < 2 AND c.state = ?`, rank)
	default:
		p.add(` AND c.state = ?`, rank)
	}
	switch q.Kind {
	case "":
	case holdfast.KindEvent:
		p.add(` AND c.event`)
	case holdfast.KindCapture:
		p.add(` AND NOT c.event`)
	default:
		return fmt.Errorf("kind %.20q is neither capture nor event", q.Kind)
	}
	if q.Unnamed {
		p.add(` AND NOT c.event AND NOT c.named`)
	}
	if q.After.ID != "" {
		id, err := catalog.ParseID(q.After.ID)
		if err != nil {
			return err
		}
		p.add(` AND (c.started, c.id) < (?, ?)`, q.After.Started.UnixMilli(), id)
	}
	return nil
}

// captures reads one page, with the conflicts of those that have any.
func (c *Catalog) captures(ctx context.Context, where *part, limit int) (out []catalog.Capture, err error) {
	var p part
	p.add(`SELECT c.id, c.manifest, c.twice, c.position, c.state, c.event, c.source, c.home, c.started, c.ended, c.outcome,
			w.office, w.pseudonym, w.role, w.node, c.training, s.id, s.reason, coalesce(s.t, 0), e.number,
			EXISTS (SELECT FROM seal u WHERE NOT u.placed AND NOT EXISTS (SELECT FROM member m WHERE m.seal = u.n))
		FROM capture c JOIN who w ON w.n = c.who LEFT JOIN seal s ON s.n = c.seal LEFT JOIN exhibit e ON e.home = c.home AND e.capture = c.id
		WHERE c.shown`)
	p.join(where)
	p.add(` ORDER BY c.started DESC, c.id DESC LIMIT ?`, limit)
	err = c.view(ctx, func(tx pgx.Tx) error {
		out = nil
		var twice []int
		err := each(ctx, tx, func(scan func(...any) error) error {
			k, conflicts, err := scanCapture(scan)
			if conflicts {
				twice = append(twice, len(out))
			}
			out = append(out, k)
			return err
		}, p.String(), p.args...)
		for _, i := range twice {
			if err == nil {
				out[i].Conflicts, err = conflicts(ctx, tx, out[i])
			}
		}
		return err
	})
	return out, err
}

func scanCapture(scan func(...any) error) (k catalog.Capture, twice bool, err error) {
	var id, manifest, source, home, office, pseudonym, role, node, seal, reason []byte
	var state, started, ended, outcome, t int64
	var event, unplaced bool
	var number *int64
	err = scan(&id, &manifest, &twice, &k.Position, &state, &event, &source, &home, &started, &ended, &outcome,
		&office, &pseudonym, &role, &node, &k.Training, &seal, &reason, &t, &number, &unplaced)
	k.ID, k.Case, k.Manifest = catalog.TextID(id), catalog.TextID(home), digest(manifest)
	k.Kind, k.Source, k.Outcome, k.Node = holdfast.KindCapture, holdfast.Source(source), catalog.OutcomeName(outcome), string(node)
	if event {
		k.Kind = holdfast.KindEvent
	}
	k.Started, k.Ended = fromMilli(started), fromMilli(ended)
	k.Agent = holdfast.Agent{Office: string(office), Pseudonym: string(pseudonym), Role: string(role)}
	k.State, k.Seal, k.Reason, k.T = catalog.StateName(state), string(seal), string(reason), fromMicro(t)
	if k.Seal == "" {
		k.Reason = catalog.ReasonQueued
		if unplaced {
			k.Reason = catalog.ReasonUnplaced
		}
	}
	if number != nil {
		k.Exhibit = strconv.FormatInt(*number, 10)
	}
	return k, twice, err
}

func conflicts(ctx context.Context, tx pgx.Tx, k catalog.Capture) (out []catalog.Conflict, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var manifest, seal []byte
		var x catalog.Conflict
		var state int64
		err := scan(&manifest, &x.Position, &state, &seal)
		x.Manifest, x.State, x.Seal = digest(manifest), catalog.StateName(state), string(seal)
		out = append(out, x)
		return err
	}, `SELECT c.manifest, c.position, c.state, s.id FROM capture c LEFT JOIN seal s ON s.n = c.seal
		WHERE c.id = $1 AND NOT c.shown ORDER BY c.position, c.manifest`, catalog.RawID(k.ID))
	return out, err
}

// members is a page of those that are at home in a Case or were added to it:
// two pages, each by its own index, joined in the order of lists.
func (c *Catalog) members(ctx context.Context, q catalog.Query, limit int) ([]catalog.Capture, error) {
	raw, err := catalog.ParseID(q.Member)
	if err != nil {
		return nil, err
	}
	var home, guests part
	if err := cmp.Or(conditions(&home, q), conditions(&guests, q)); err != nil {
		return nil, err
	}
	home.add(` AND c.home = ?`, raw)
	guests.add(` AND c.home <> ? AND c.id IN (SELECT capture FROM added WHERE home = ?)`, raw, raw)
	all, err := c.captures(ctx, &home, limit)
	if err != nil {
		return nil, err
	}
	added, err := c.captures(ctx, &guests, limit)
	if err != nil {
		return nil, err
	}
	all = append(all, added...)
	slices.SortFunc(all, func(a, b catalog.Capture) int {
		return cmp.Or(b.Started.Compare(a.Started.Time), cmp.Compare(b.ID, a.ID))
	})
	return all[:min(len(all), limit)], nil
}

func fromMilli(n int64) holdfast.Time { return holdfast.At(time.UnixMilli(n)) }
