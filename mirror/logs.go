package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/preserve"
	"holdfast/storage"
)

// lookLogs settles where each log ends, and takes what is not behind that.
func (c *Copier) lookLogs(ctx context.Context) error {
	var tiles []storage.Entry
	err := c.both(ctx, "tlog/", func(e storage.Entry, there bool) error {
		origin, size, ok := preserve.MirrorSize(e.Name)
		switch {
		case !ok:
			c.Problem(e.Name, fmt.Errorf("no log makes such a name: %w", storage.ErrForeign))
		case strings.Contains(e.Name, "/checkpoint/"):
			c.ends[origin] = max(c.ends[origin], size)
			if !there {
				c.plan.points = append(c.plan.points, e)
			}
		case !there:
			tiles = append(tiles, e)
		}
		return nil
	})
	for _, e := range tiles {
		if origin, size, _ := preserve.MirrorSize(e.Name); size <= c.ends[origin] {
			c.plan.tiles = append(c.plan.tiles, e)
		}
	}
	if c.After != nil {
		for _, e := range slices.Concat(c.plan.tiles, c.plan.points) {
			c.Problem(e.Name, ErrLater)
		}
		c.plan.tiles, c.plan.points = nil, nil
	}
	slices.SortFunc(c.plan.points, func(a, b storage.Entry) int {
		_, m, _ := preserve.MirrorSize(a.Name)
		_, n, _ := preserve.MirrorSize(b.Name)
		return int(m - n)
	})
	return err
}
