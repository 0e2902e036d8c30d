package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Accepted implements [catalog.Writer].
func (c *Catalog) Accepted(ctx context.Context, batch []catalog.Accepted) error {
	if len(batch) == 0 {
		return nil
	}
	err := c.change(ctx, func(tx pgx.Tx) error {
		rows, err := addCaptures(ctx, tx, batch)
		if err != nil {
			return err
		}
		fresh, err := addAnswers(ctx, tx, batch, rows)
		if err != nil {
			return err
		}
		if err := addTexts(ctx, tx, batch, fresh, rows); err != nil {
			return err
		}
		if err := noteUnread(ctx, tx, batch, rows); err != nil {
			return err
		}
		return addCases(ctx, tx, batch)
	})
	if err != nil {
		return fmt.Errorf("index %d captures: %w", len(batch), err)
	}
	return nil
}

// key is a Manifest under a capture ID.
type key struct {
	id       holdfast.ID
	manifest hashing.Digest
}

// rows are the rows of a batch's captures; fresh are those that this transaction makes.
type rows struct {
	n     map[key]int64
	fresh map[key]bool
}

func (r rows) of(a *catalog.Accepted) int64 { return r.n[key{a.ID, a.Manifest}] }

// sealing is the best Seal of a Manifest, from member.
type sealing struct {
	seal, state, position int64
}

// standing is what is there of the captures of a batch.
type standing struct {
	position map[holdfast.ID]map[hashing.Digest]int64 // of each Manifest the smallest
	seals    map[key]sealing
	named    map[homeKey]bool
	rows     map[key]int64
}

// addCaptures writes what is new. A message that is known costs one look-up.
func addCaptures(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted) (r rows, err error) {
	ids := make(map[holdfast.ID]bool, len(batch))
	for _, a := range batch {
		ids[a.ID] = true
		if a.Line != nil {
			for _, id := range a.Line.Named {
				ids[id] = true
			}
		}
	}
	raw := rawIDs(ids)
	if err := lockIDs(ctx, tx, raw); err != nil {
		return r, err
	}
	have, err := findStanding(ctx, tx, raw)
	if err != nil {
		return r, err
	}
	who, err := findWho(ctx, tx, batch)
	if err != nil {
		return r, err
	}
	r = rows{have.rows, map[key]bool{}}
	var added []catalog.Accepted
	place := map[key]int{}                // in added
	again := map[key]int64{}              // known ones, at a smaller position
	touched := make(map[holdfast.ID]bool) // IDs with more than one Manifest
	for _, a := range batch {
		k := key{a.ID, a.Manifest}
		if s, ok := have.seals[k]; ok {
			a.Position = min(a.Position, s.position)
		}
		if have.position[a.ID] == nil {
			have.position[a.ID] = make(map[hashing.Digest]int64, 1)
		}
		had, repeated := have.position[a.ID][a.Manifest]
		switch i, here := place[k]; {
		case repeated && had <= a.Position:
			continue
		case repeated && here:
			added[i].Position = a.Position
		case repeated:
			again[k] = a.Position
		default:
			place[k] = len(added)
			added = append(added, a)
		}
		have.position[a.ID][a.Manifest] = a.Position
		if len(have.position[a.ID]) > 1 {
			touched[a.ID] = true
		}
	}
	if err := insertCaptures(ctx, tx, added, have, who, r); err != nil {
		return r, err
	}
	for k, position := range again {
		if _, err := tx.Exec(ctx, `UPDATE capture SET position = least(position, $1) WHERE id = $2 AND manifest = $3`, position, catalog.RawID(k.id), k.manifest[:]); err != nil {
			return r, err
		}
	}
	return r, reshow(ctx, tx, rawIDs(touched))
}

// insertCaptures copies new ones, their Objects and documents.
func insertCaptures(ctx context.Context, tx pgx.Tx, added []catalog.Accepted, have standing, who map[agent]int64, r rows) error {
	ns, err := numbers(ctx, tx, "capture_n", len(added))
	if err != nil {
		return err
	}
	var captures, objects, documents [][]any
	shown := map[holdfast.ID]bool{}
	for id := range have.rows {
		shown[id.id] = true
	}
	for i := range added {
		a, n := &added[i], ns[i]
		k := key{a.ID, a.Manifest}
		s := have.seals[k]
		var seal any
		if s.seal != 0 {
			seal = s.seal
		}
		captures = append(captures, []any{n, catalog.RawID(a.ID), a.Manifest[:], !shown[a.ID], false, a.Position, s.state, seal, a.Kind == holdfast.KindEvent,
			[]byte(a.Source), catalog.SourceKey(a.Source), catalog.RawID(a.Case), a.Started.UnixMilli(), a.Ended.UnixMilli(), catalog.OutcomeRank(a.Outcome),
			who[agent{a.Agent, a.Node}], a.Training, have.named[homeKey{a.Case, a.ID}], len(a.Parts())})
		shown[a.ID], r.n[k], r.fresh[k] = true, n, true
		for _, d := range distinct(append([]hashing.Digest{a.Manifest}, a.Objects...)) {
			objects = append(objects, []any{d[:], n})
		}
		for _, d := range a.Documents {
			documents = append(documents, []any{[]byte(d.Role), catalog.SourceKey(a.Source), n, d.Part, d.Digest[:], d.Size})
		}
	}
	if err := bulk(ctx, tx, "capture", `n id manifest shown twice position state seal event source skey home started ended outcome who training named texts`, captures); err != nil {
		return err
	}
	if err := bulk(ctx, tx, "object", `digest capture`, objects); err != nil {
		return err
	}
	return bulk(ctx, tx, "document", `role skey capture part digest size`, documents)
}

func distinct(ds []hashing.Digest) []hashing.Digest {
	slices.SortFunc(ds, hashing.Digest.Compare)
	return slices.Compact(ds)
}

// lockIDs makes other writers about these IDs wait until this transaction ends. ids are
// sorted, so that two who want the same ones take them in one order.
func lockIDs(ctx context.Context, tx pgx.Tx, ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `INSERT INTO ident (id) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING`, ids); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT FROM ident WHERE id = ANY ($1::bytea[]) ORDER BY id FOR UPDATE`, ids)
	return err
}

// findStanding reads what is there, Seals and names that were stated before their captures
// were too.
func findStanding(ctx context.Context, tx pgx.Tx, ids [][]byte) (s standing, err error) {
	s = standing{map[holdfast.ID]map[hashing.Digest]int64{}, map[key]sealing{}, map[homeKey]bool{}, map[key]int64{}}
	err = each(ctx, tx, func(scan func(...any) error) error {
		var raw, d []byte
		var position, n int64
		err := scan(&raw, &d, &position, &n)
		id := catalog.TextID(raw)
		if s.position[id] == nil {
			s.position[id] = make(map[hashing.Digest]int64, 1)
		}
		s.position[id][digest(d)], s.rows[key{id, digest(d)}] = position, n
		return err
	}, `SELECT id, manifest, position, n FROM capture WHERE id = ANY ($1::bytea[])`, ids)
	if err != nil {
		return s, err
	}
	err = each(ctx, tx, func(scan func(...any) error) error {
		var id, d []byte
		var x sealing
		err := scan(&id, &d, &x.seal, &x.state, &x.position)
		k := key{catalog.TextID(id), digest(d)}
		if b, ok := s.seals[k]; ok { // the best comes first
			x = sealing{b.seal, b.state, min(b.position, x.position)}
		}
		s.seals[k] = x
		return err
	}, `SELECT m.id, m.manifest, m.seal, s.state, m.position FROM member m JOIN seal s ON s.n = m.seal
		WHERE m.id = ANY ($1::bytea[]) ORDER BY s.state DESC, s.id`, ids)
	if err != nil {
		return s, err
	}
	return s, each(ctx, tx, func(scan func(...any) error) error {
		var home, id []byte
		err := scan(&home, &id)
		s.named[homeKey{catalog.TextID(home), catalog.TextID(id)}] = true
		return err
	}, `SELECT home, capture FROM named WHERE capture = ANY ($1::bytea[])`, ids)
}

// reshow chooses among the Manifests of one ID, by what they are and not by
// which came first, so that every order of facts shows the same one.
func reshow(ctx context.Context, tx pgx.Tx, ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE capture c SET twice = true, shown = (c.n = b.n)
		FROM (SELECT DISTINCT ON (id) id, n FROM capture WHERE id = ANY ($1::bytea[]) ORDER BY id, position, manifest) b WHERE c.id = b.id`, ids)
	return err
}

// agent is a row of who: there are few, so they are written once.
type agent struct {
	holdfast.Agent
	node string
}

// findWho returns the rows of a batch's agents.
func findWho(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted) (map[agent]int64, error) {
	who := map[agent]int64{}
	for _, a := range batch {
		who[agent{a.Agent, a.Node}] = 0
	}
	var names [4][][]byte
	for _, a := range slices.SortedFunc(mapKeys(who), func(a, b agent) int {
		return slices.Compare([]string{a.Office, a.Pseudonym, a.Role, a.node}, []string{b.Office, b.Pseudonym, b.Role, b.node})
	}) {
		for i, s := range []string{a.Office, a.Pseudonym, a.Role, a.node} {
			names[i] = append(names[i], []byte(s))
		}
	}
	found := 0
	find := func() error {
		found = 0
		return each(ctx, tx, func(scan func(...any) error) error {
			var office, pseudonym, role, node []byte
			var n int64
			err := scan(&office, &pseudonym, &role, &node, &n)
			who[agent{holdfast.Agent{Office: string(office), Pseudonym: string(pseudonym), Role: string(role)}, string(node)}] = n
			found++
			return err
		}, `SELECT office, pseudonym, role, node, n FROM who JOIN unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[]) u (office, pseudonym, role, node) USING (office, pseudonym, role, node)`,
			names[0], names[1], names[2], names[3])
	}
	if err := find(); err != nil || found == len(who) {
		return who, err
	}
	_, err := tx.Exec(ctx, `INSERT INTO who (office, pseudonym, role, node) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING`,
		names[0], names[1], names[2], names[3])
	if err != nil {
		return who, err
	}
	return who, find()
}

// rawIDs are the bytes of IDs, in their order.
func rawIDs(ids map[holdfast.ID]bool) [][]byte {
	out := make([][]byte, 0, len(ids))
	for id := range ids {
		out = append(out, catalog.RawID(id))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

func digest(b []byte) (d hashing.Digest) {
	copy(d[:], b)
	return d
}

// noteUnread notes which stated texts nobody has read. To read one, whenever that is,
// takes the note back, and no note is made of what was read: so it comes last.
func noteUnread(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted, r rows) error {
	var blind, read [2][]int64
	for i := range batch {
		a := &batch[i]
		for _, p := range a.Parts() {
			to := &read
			if !a.HasRead(p) {
				to = &blind
			} else if r.fresh[key{a.ID, a.Manifest}] {
				continue // nobody can have noted it
			}
			to[0], to[1] = append(to[0], r.of(a)), append(to[1], int64(p))
		}
	}
	if len(blind[0]) > 0 {
		_, err := tx.Exec(ctx, `INSERT INTO unread (capture, part) SELECT c, p FROM unnest($1::bigint[], $2::bigint[]) u (c, p)
			WHERE NOT EXISTS (SELECT FROM answer WHERE capture = c AND part = p) AND NOT (p = $3 AND EXISTS (SELECT FROM page WHERE capture = c)) ON CONFLICT DO NOTHING`, blind[0], blind[1], catalog.PagePart)
		if err != nil {
			return err
		}
	}
	if len(read[0]) > 0 {
		_, err := tx.Exec(ctx, `DELETE FROM unread USING unnest($1::bigint[], $2::bigint[]) u (c, p) WHERE capture = c AND part = p`, read[0], read[1])
		return err
	}
	return nil
}
