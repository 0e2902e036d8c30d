package office

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bounds of what processes that capture say of themselves: of one in bytes, and how many
// are told of.
const (
	MaxCollector  = 128 << 10
	maxCollectors = 1000
)

// Collectors are the processes that capture, on any node, and what each says of itself. It
// is a hint for who looks at what waits: nothing is given to a process or taken from it by
// what stands there.
type Collectors struct{ b *Book }

// Collectors returns it; it needs no Close.
func (b *Book) Collectors() *Collectors { return &Collectors{b} }

// Beat says that a process is there, for as long as lease from now on, and what others are
// to know of it. Those that have not been heard of for a day are forgotten on the way.
func (c *Collectors) Beat(ctx context.Context, process string, lease time.Duration, body []byte) error {
	if len(body) > MaxCollector {
		return fmt.Errorf("say that it captures: %d bytes, at most %d", len(body), MaxCollector)
	}
	err := c.b.do(ctx, func(t *tx) error {
		_, err := t.Exec(t.ctx, `INSERT INTO collector (process, until, body) VALUES ($1, clock_timestamp() + $2, $3)
			ON CONFLICT (process) DO UPDATE SET until = excluded.until, body = excluded.body`, process, lease, whole(body))
		if err == nil {
			_, err = t.Exec(t.ctx, `DELETE FROM collector WHERE until < clock_timestamp() - interval '1 day'`)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("say that it captures: %w", err)
	}
	return nil
}

// There is what those say whose lease has not run out, sorted by the name of the process.
func (c *Collectors) There(ctx context.Context) (all [][]byte, err error) {
	err = c.b.do(ctx, func(t *tx) error {
		r, err := t.Query(t.ctx, `SELECT body FROM collector WHERE until > clock_timestamp() ORDER BY process LIMIT $1`, maxCollectors)
		if err == nil {
			all, err = pgx.CollectRows(r, pgx.RowTo[[]byte])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who captures: %w", err)
	}
	return all, nil
}

// Leave forgets a process that ends.
func (c *Collectors) Leave(ctx context.Context, process string) error {
	err := c.b.do(ctx, func(t *tx) error {
		_, err := t.Exec(t.ctx, `DELETE FROM collector WHERE process = $1`, process)
		return err
	})
	if err != nil {
		return fmt.Errorf("say that it captures no more: %w", err)
	}
	return nil
}
