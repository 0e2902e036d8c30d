package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// Sealed implements [catalog.Writer].
func (c *Catalog) Sealed(ctx context.Context, batch []catalog.SealState) error {
	for _, st := range batch {
		if err := st.Check(); err != nil {
			return fmt.Errorf("index seal: %w", err)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	seals := joined(batch)
	err := c.change(ctx, func(tx pgx.Tx) error { return addSeals(ctx, tx, seals) })
	if err != nil {
		return fmt.Errorf("index %d seals: %w", len(batch), err)
	}
	return nil
}

// stated is all that a batch says of one Seal.
type stated struct {
	catalog.SealState // merged
	placed            bool
	members           []catalog.Member
	places            []catalog.Placed
}

// joined joins what a batch says of each Seal, by ID.
func joined(batch []catalog.SealState) []stated {
	by := map[string]*stated{}
	for _, st := range batch {
		s := by[st.Seal]
		if s == nil {
			s = &stated{SealState: catalog.Merge(st, st)}
			by[st.Seal] = s
		}
		s.SealState = catalog.Merge(s.SealState, st)
		s.placed = s.placed || st.Members != nil && !st.Partial
		s.members, s.places = append(s.members, st.Members...), append(s.places, st.Placed...)
	}
	out := make([]stated, 0, len(by))
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b stated) int { return strings.Compare(a.Seal, b.Seal) })
	return out
}

// addSeals locks the Seals, then the IDs of their captures: so whoever accepts one of
// these, or seals it elsewhere, has ended before, or comes behind and finds what is here.
func addSeals(ctx context.Context, tx pgx.Tx, seals []stated) error {
	rows, changed, err := mergeSeals(ctx, tx, seals)
	if err != nil {
		return err
	}
	ids := map[holdfast.ID]bool{}
	for _, s := range seals {
		for _, m := range s.members {
			ids[m.ID] = true
		}
	}
	if len(changed) > 0 {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var id []byte
			err := scan(&id)
			ids[catalog.TextID(id)] = true
			return err
		}, `SELECT DISTINCT id FROM member WHERE seal = ANY ($1::bigint[])`, changed)
		if err != nil {
			return err
		}
	}
	raw := rawIDs(ids)
	if err := lockIDs(ctx, tx, raw); err != nil {
		return err
	}
	if err := insertMembers(ctx, tx, seals, rows); err != nil {
		return err
	}
	if err := advance(ctx, tx, raw); err != nil {
		return err
	}
	return addPlaces(ctx, tx, seals)
}

// mergeSeals joins what is stated with what is kept, and returns the rows and those
// whose captures may have to show another state.
func mergeSeals(ctx context.Context, tx pgx.Tx, seals []stated) (rows map[string]int64, changed []int64, err error) {
	names := make([][]byte, len(seals))
	by := make(map[string]*stated, len(seals))
	for i := range seals {
		names[i], by[seals[i].Seal] = []byte(seals[i].Seal), &seals[i]
	}
	// A new one begins as what any statement goes beyond.
	_, err = tx.Exec(ctx, `INSERT INTO seal (id, state, reason, t, at, placed) SELECT u, 0, '', 0, 0, false FROM unnest($1::bytea[]) u ON CONFLICT DO NOTHING`, names)
	if err != nil {
		return nil, nil, err
	}
	rows = make(map[string]int64, len(seals))
	var ns, states, ts, ats []int64
	var reasons [][]byte
	var placed []bool
	err = each(ctx, tx, func(scan func(...any) error) error {
		var n, rank, t, at int64
		var id, reason []byte
		var was bool
		if err := scan(&n, &id, &rank, &reason, &t, &at, &was); err != nil {
			return err
		}
		s := by[string(id)]
		rows[s.Seal] = n
		old := catalog.SealState{Seal: s.Seal, State: catalog.StateName(rank), Reason: string(reason), T: fromMicro(t), At: fromMicro(at)}
		now := catalog.Merge(old, s.SealState)
		if now.State != old.State {
			changed = append(changed, n)
		}
		if now.State == old.State && now.Reason == old.Reason && now.T.Equal(old.T) && now.At.Equal(old.At) && (was || !s.placed) {
			return nil
		}
		ns, states, reasons = append(ns, n), append(states, int64(catalog.Rank(now.State))), append(reasons, []byte(now.Reason))
		ts, ats, placed = append(ts, micro(now.T)), append(ats, micro(now.At)), append(placed, was || s.placed)
		return nil
	}, `SELECT n, id, state, reason, t, at, placed FROM seal WHERE id = ANY ($1::bytea[]) ORDER BY id FOR UPDATE`, names)
	if err != nil || len(ns) == 0 {
		return rows, changed, err
	}
	_, err = tx.Exec(ctx, `UPDATE seal SET state = u.state, reason = u.reason, t = u.t, at = u.at, placed = u.placed
		FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[]) u (n, state, reason, t, at, placed) WHERE seal.n = u.n`, ns, states, reasons, ts, ats, placed)
	return rows, changed, err
}

// insertMembers keeps which captures Seals hold. A plan is write-once, so a row that is
// there says the same.
func insertMembers(ctx context.Context, tx pgx.Tx, seals []stated, rows map[string]int64) error {
	var ids, manifests [][]byte
	var ns, positions []int64
	for _, s := range seals {
		for _, m := range s.members {
			ids, manifests = append(ids, catalog.RawID(m.ID)), append(manifests, m.Manifest[:])
			ns, positions = append(ns, rows[s.Seal]), append(positions, m.Position)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO member (id, manifest, seal, position) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING`, ids, manifests, ns, positions)
	return err
}

// advance gives captures the best state that their Seals have. States only grow, so it
// never takes one back.
func advance(ctx context.Context, tx pgx.Tx, ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	twice := map[holdfast.ID]bool{}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var id []byte
		var more bool
		err := scan(&id, &more)
		if more {
			twice[catalog.TextID(id)] = true
		}
		return err
	}, `UPDATE capture c SET state = b.state, seal = b.seal, position = least(c.position, b.position)
		FROM (SELECT DISTINCT ON (m.id, m.manifest) m.id, m.manifest, s.state, s.n AS seal, min(m.position) OVER (PARTITION BY m.id, m.manifest) AS position
			FROM member m JOIN seal s ON s.n = m.seal WHERE m.id = ANY ($1::bytea[]) ORDER BY m.id, m.manifest, s.state DESC, s.id) b
		WHERE c.id = b.id AND c.manifest = b.manifest AND (c.state <> b.state OR c.seal IS DISTINCT FROM b.seal OR c.position > b.position) RETURNING c.id, c.twice`, ids)
	if err != nil {
		return err
	}
	return reshow(ctx, tx, rawIDs(twice))
}

// addPlaces writes where small Objects lie. A pack is write-once too.
func addPlaces(ctx context.Context, tx pgx.Tx, seals []stated) error {
	packs := map[string]int64{}
	var places []catalog.Placed
	for _, s := range seals {
		for _, p := range s.places {
			packs[p.Ref.Name] = 0
			places = append(places, p)
		}
	}
	if len(places) == 0 {
		return nil
	}
	var names [][]byte
	for _, name := range slices.Sorted(mapKeys(packs)) {
		names = append(names, []byte(name))
	}
	if _, err := tx.Exec(ctx, `INSERT INTO pack (name) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING`, names); err != nil {
		return err
	}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var name []byte
		var n int64
		err := scan(&name, &n)
		packs[string(name)] = n
		return err
	}, `SELECT name, n FROM pack WHERE name = ANY ($1::bytea[])`, names)
	if err != nil {
		return err
	}
	slices.SortFunc(places, func(a, b catalog.Placed) int {
		return cmp.Or(a.Digest.Compare(b.Digest), cmp.Compare(packs[a.Ref.Name], packs[b.Ref.Name]))
	})
	var digests [][]byte
	var ns, starts, sizes []int64
	for i := range places {
		p := &places[i]
		digests, ns, starts, sizes = append(digests, p.Digest[:]), append(ns, packs[p.Ref.Name]), append(starts, p.Ref.Offset), append(sizes, p.Ref.Size)
	}
	_, err = tx.Exec(ctx, `INSERT INTO ref (digest, pack, start, size) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING`, digests, ns, starts, sizes)
	return err
}

// Unplaced implements [catalog.Unplaced].
func (c *Catalog) Unplaced(ctx context.Context, limit int) (seals []string, err error) {
	err = c.view(ctx, func(tx pgx.Tx) error {
		ids, err := list[[]byte](ctx, tx, `SELECT id FROM seal WHERE NOT placed ORDER BY id LIMIT $1`, limit)
		seals = nil
		for _, id := range ids {
			seals = append(seals, string(id))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list seals without captures: %w", err)
	}
	return seals, nil
}

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
