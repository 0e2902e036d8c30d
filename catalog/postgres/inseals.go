package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// InSeals returns in which Seals, signed or sealed, captures are by their plans, as far
// as the catalog was told; at most some thousand at once. One of which nothing is known,
// or that is in none, is not in the answer.
func (c *Catalog) InSeals(ctx context.Context, ids []holdfast.ID) (map[holdfast.ID][]string, error) {
	raw := make([][]byte, len(ids))
	for i, id := range ids {
		var err error
		if raw[i], err = catalog.ParseID(id); err != nil {
			return nil, fmt.Errorf("find seals: %w", err)
		}
	}
	var out map[holdfast.ID][]string
	err := c.view(ctx, func(tx pgx.Tx) error {
		out = map[holdfast.ID][]string{}
		return each(ctx, tx, func(scan func(...any) error) error {
			var id, seal []byte
			err := scan(&id, &seal)
			out[catalog.TextID(id)] = append(out[catalog.TextID(id)], string(seal))
			return err
		}, `SELECT DISTINCT m.id, s.id FROM member m JOIN seal s ON s.n = m.seal WHERE m.id = ANY ($1) AND s.state > 0 ORDER BY m.id, s.id`, raw)
	})
	if err != nil {
		return nil, fmt.Errorf("find seals: %w", err)
	}
	return out, nil
}
