package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// page is how many captures are read at once. Between two pages nothing is
// open: a slow reader holds up no checkpoint, so the WAL file stays small.
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
		got, err = c.captures(ctx, `c.id = ?`, []any{raw}, 1)
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
	where, args, err := conditions(q)
	if err != nil {
		return nil, err
	}
	return c.captures(ctx, where, args, limit)
}

// conditions are those of a query but for Member.
func conditions(q catalog.Query) (string, []any, error) {
	var where []string
	var args []any
	and := func(cond string, a ...any) { where, args = append(where, cond), append(args, a...) }
	and(`1`)
	if q.Case != "" {
		id, err := catalog.ParseID(q.Case)
		if err != nil {
			return "", nil, err
		}
		and(`c.home = ?`, id)
	}
	if q.Source != "" {
		and(`c.skey = ? AND c.source = ?`, catalog.SourceKey(q.Source), []byte(q.Source))
	}
	switch rank := catalog.Rank(q.State); {
	case q.State == "":
	case rank < 0:
		return "", nil, fmt.Errorf("state %.20q is none of pending, signed, sealed", q.State)
	case rank < 2: // said twice so that the index of unsealed ones may serve
		and(`c.state < 2 AND c.state = ?`, rank)
	default:
		and(`c.state = ?`, rank)
	}
	switch q.Kind { // literals, so that the index of Events may serve
	case "":
	case holdfast.KindEvent:
		and(`c.event = 1`)
	case holdfast.KindCapture:
		and(`c.event = 0`)
	default:
		return "", nil, fmt.Errorf("kind %.20q is neither capture nor event", q.Kind)
	}
	if q.Unnamed { // literals again
		and(`c.event = 0 AND c.named = 0`)
	}
	if q.After.ID != "" {
		id, err := catalog.ParseID(q.After.ID)
		if err != nil {
			return "", nil, err
		}
		and(`(c.started, c.id) < (?, ?)`, q.After.Started.UnixMilli(), id)
	}
	return strings.Join(where, ` AND `), args, nil
}

// captures reads one page, with the conflicts of those that have any.
func (c *Catalog) captures(ctx context.Context, where string, args []any, limit int) (out []catalog.Capture, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		var twice []int
		err := each(ctx, tx, func(scan func(...any) error) error {
			k, conflicts, err := scanCapture(scan)
			if conflicts {
				twice = append(twice, len(out))
			}
			out = append(out, k)
			return err
		}, `SELECT c.id, c.manifest, c.twice, c.position, c.state, c.event, c.source, c.home, c.started, c.ended, c.outcome,
				w.office, w.pseudonym, w.role, w.node, c.training, s.id, s.reason, s.t, e.number,
				EXISTS (SELECT 1 FROM seal u WHERE u.placed = 0 AND NOT EXISTS (SELECT 1 FROM member m WHERE m.seal = u.n))
			FROM capture c JOIN who w ON w.n = c.who LEFT JOIN seal s ON s.n = c.seal LEFT JOIN exhibit e ON e.home = c.home AND e.capture = c.id
			WHERE c.shown = 1 AND `+where+` ORDER BY c.started DESC, c.id DESC LIMIT ?`, append(args, limit)...)
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
	var id, manifest, source, home, office, pseudonym, role, node, seal, reason sql.RawBytes
	var state, started, ended, outcome int64
	var event, unplaced bool
	var t, number sql.NullInt64
	err = scan(&id, &manifest, &twice, &k.Position, &state, &event, &source, &home, &started, &ended, &outcome,
		&office, &pseudonym, &role, &node, &k.Training, &seal, &reason, &t, &number, &unplaced)
	k.ID, k.Case, k.Manifest = catalog.TextID(id), catalog.TextID(home), digest(manifest)
	k.Kind, k.Source, k.Outcome, k.Node = holdfast.KindCapture, holdfast.Source(source), catalog.OutcomeName(outcome), string(node)
	if event {
		k.Kind = holdfast.KindEvent
	}
	k.Started, k.Ended = fromMilli(started), fromMilli(ended)
	k.Agent = holdfast.Agent{Office: string(office), Pseudonym: string(pseudonym), Role: string(role)}
	k.State, k.Seal, k.Reason, k.T = catalog.StateName(state), string(seal), string(reason), fromMicro(t.Int64)
	if k.Seal == "" {
		k.Reason = catalog.ReasonQueued
		if unplaced {
			k.Reason = catalog.ReasonUnplaced
		}
	}
	if number.Valid {
		k.Exhibit = numberText(number.Int64)
	}
	return k, twice, err
}

func conflicts(ctx context.Context, tx *sql.Tx, k catalog.Capture) (out []catalog.Conflict, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var manifest, seal sql.RawBytes
		var x catalog.Conflict
		var state int64
		err := scan(&manifest, &x.Position, &state, &seal)
		x.Manifest, x.State, x.Seal = digest(manifest), catalog.StateName(state), string(seal)
		out = append(out, x)
		return err
	}, `SELECT c.manifest, c.position, c.state, s.id FROM capture c LEFT JOIN seal s ON s.n = c.seal
		WHERE c.id = ? AND c.shown = 0 ORDER BY c.position, c.manifest`, catalog.RawID(k.ID))
	return out, err
}

func digest(b []byte) (d hashing.Digest) {
	copy(d[:], b)
	return d
}

func fromMilli(n int64) holdfast.Time { return holdfast.At(time.UnixMilli(n)) }
